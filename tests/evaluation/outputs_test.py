"""Tier 0's metrics of one model, and their nulls."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import inputs, nulls, outputs, registry
from dlfd_jax.metrics import (
  accuracy,
  attack,
  distances,
  forgetting,
  per_example,
  released_attack,
  stats,
)
from tests.evaluation import fakes

_QUICK = inputs.EvaluationConfig(bootstrap=60, permutations=40, draws=2)


def _prepare(task=fakes.CLASSES, *, forget=1.5, known=True, original=True,
             config=_QUICK, labels=None):
  data = fakes.dataset(task, people=120, known=known)
  splits = fakes.splits(data, by_person=known)
  if labels is not None:
    labels(data.labels, splits)
  return inputs.prepare({
      'original': fakes.logits(data, splits, 1, forget=2.) if original else
                  None,
      'unlearned': fakes.logits(data, splits, 2, forget=forget)},
      data, splits, config)


def _sides(prepared):
  return [-prepared.unlearned.losses[split] for split in ('forget', 'test')]


def test_values_are_those_of_the_plain_functions():
  prepared = _prepare()
  got = {name: e.value for name, e in fakes.values(prepared).items()}
  forget, test = _sides(prepared)
  parts = [prepared.parts[split] for split in ('forget', 'test')]
  keys = [part.keys for part in parts]
  people = [part.identity for part in parts]
  assert got['mia_auc'] == pytest.approx(attack.auc(forget, test))
  assert got['mia_auc_matched'] == pytest.approx(
      attack.class_matched_auc(forget, test, *keys, draws=None))
  assert got['mia_auc_person'] == attack.person_auc(forget, test, *people)
  assert got['mia_accuracy'] == attack.balanced_accuracy(
      forget, test, draws=2, seed=0)
  assert got['mia_accuracy_two_sided'] == attack.balanced_accuracy(
      forget, test, draws=2, seed=0, two_sided=True)
  tpr = attack.tpr_at_fpr(forget, test, .01)
  assert got['mia_tpr_at_fpr_0.01'] == tpr
  assert got['ks_loss'] == pytest.approx(distances.ks(-forget, -test))
  assert got['forgetting_score'] == forgetting.forgetting_score(
      got['mia_accuracy'])
  unbalanced = forgetting.forgetting_score(
      released_attack.unbalanced_accuracy(-forget, -test))
  assert got['forgetting_score_unbalanced'] == pytest.approx(unbalanced)
  assert got['nomus'] == pytest.approx(
      forgetting.nomus(got['accuracy_test'], got['forgetting_score']))
  assert got['nomus_unbalanced'] == pytest.approx(
      forgetting.nomus(got['accuracy_test'], unbalanced))


def test_loss_and_margin_give_one_auc_for_classes():
  prepared = _prepare()
  margins = [
      per_example.margin(prepared.task, prepared.unlearned.logits[split],
                         prepared.parts[split].labels)
      for split in ('forget', 'test')]
  assert attack.auc(*margins) == attack.auc(*_sides(prepared))


def test_replicates_repeat_people_and_match_their_classes_anew():
  prepared = _prepare()
  got = fakes.values(prepared)
  forget, test = _sides(prepared)
  parts = [prepared.parts[split] for split in ('forget', 'test')]
  for row in range(3):
    f, t = (np.repeat(np.arange(len(part)), part.multiplicities[row][
        part.units]) for part in parts)
    assert got['mia_auc'].replicates[row] == pytest.approx(
        attack.auc(forget[f], test[t]))
    assert got['mia_auc_matched'].replicates[row] == pytest.approx(
        attack.class_matched_auc(
            forget[f], test[t], parts[0].keys[f], parts[1].keys[t],
            draws=None))


def test_intervals_hold_their_value():
  for name, estimate in fakes.values(_prepare()).items():
    if estimate.low is not None:
      assert estimate.low <= estimate.value <= estimate.high, name


def test_held_out_predictions_are_resampled_not_the_attack():
  prepared = _prepare()
  got = fakes.values(prepared)['mia_accuracy']
  assert got.replicates.shape == (60,)
  assert abs(got.replicates.mean() - got.value) < .02
  assert 0 < got.replicates.std() < .1


def test_small_false_positive_rates_need_enough_unseen_images():
  got = fakes.values(_prepare())
  n = len(_prepare().parts['test'])
  assert n < 1000
  assert 'too few: it needs 1000' in got['mia_tpr_at_fpr_0.001'].reason


def test_attributes_have_their_own_metrics():
  def forget_one(labels, splits):
    labels[splits.forget[::2], 1] = -1
  prepared = _prepare(fakes.ATTRIBUTES, labels=forget_one)
  got = fakes.values(prepared)
  parts = [prepared.parts[split] for split in ('forget', 'test')]
  known = [part.labels[:, 1] != -1 for part in parts]
  losses = [
      per_example.loss(prepared.task, prepared.unlearned.logits[split],
                       part.labels, per_attribute=True)[:, 1]
      for split, part in zip(('forget', 'test'), parts)]
  expected = attack.class_matched_auc(
      *(-loss[rows] for loss, rows in zip(losses, known)),
      *(part.labels[rows, 1] for part, rows in zip(parts, known)), draws=None)
  assert got['mia_auc_matched/y'].value == pytest.approx(expected)
  assert 'mia_auc_matched_margin' in got


@pytest.mark.parametrize('case', ['gaps', 'one shared', 'opposite'])
def test_label_vectors_with_gaps_are_matched_by_what_is_known(case):
  def gaps(labels, splits):
    labels[splits.forget, 1:], labels[splits.test, 2] = -1, -1
    if case == 'one shared':
      labels[splits.test[0]] = labels[splits.forget[0]]
    if case == 'opposite':
      labels[splits.forget, 1:], labels[splits.test, 1:] = 0, 1
  prepared = _prepare(fakes.ATTRIBUTES, labels=gaps)
  got, shown = fakes.values(prepared), fakes.nulls(prepared)
  main = got['mia_auc_matched']
  known = [got[f'mia_auc_matched/{name}'].value for name in ('x', 'y', 'z')]
  assert main.value == pytest.approx(
      np.mean([value for value in known if value is not None]))
  assert known[0] is not None and main.low < main.value < main.high
  for name in ('mia_auc_matched', 'mia_auc'):
    assert shown[name].low < .5 < shown[name].high
  assert outputs.attributes_in(prepared, None)


def test_unknown_people_leave_the_person_auc_out():
  got = fakes.values(_prepare(known=False))
  assert got['mia_auc_person'].reason == outputs.NO_PEOPLE


def test_without_shared_class_nothing_is_matched():
  def apart(labels, splits):
    labels[splits.forget], labels[splits.test] = 0, 1
  prepared = _prepare(labels=apart)
  got = fakes.values(prepared)
  assert got['mia_auc_matched'].reason == outputs.NO_CLASS
  assert got['rf_jsd'].reason == outputs.NO_CLASS
  assert got['mia_auc'].value is not None
  shown = fakes.nulls(prepared)
  assert shown['mia_auc_matched'].reason == outputs.NO_CLASS


def test_rf_jsd_compares_with_the_original_on_unseen_data():
  prepared = _prepare()
  means = [
      distances.mean_predictions(
          prepared.task,
          per_example.probabilities(prepared.task, model.logits[split]),
          prepared.parts[split].labels)
      for model, split in ((prepared.unlearned, 'forget'),
                           (prepared.original, 'test'))]
  got = fakes.values(prepared)['rf_jsd']
  assert got.value == pytest.approx(float(distances.rf_jsd(*means)))
  none = fakes.values(_prepare(original=False))['rf_jsd']
  assert 'original model on test' in none.reason


def test_permuting_within_classes_keeps_what_the_classes_tell():
  # Forget is rich in a class with small losses: the plain AUC of a model that
  # remembers nothing is above one half, the matched one is not.
  def mix(labels, splits):
    labels[splits.forget[:48]], labels[splits.forget[48:]] = 0, 1
    labels[splits.test[:20]], labels[splits.test[20:]] = 0, 1
  prepared = _prepare(forget=0., labels=mix)
  model = prepared.unlearned
  losses = {
      split: model.losses[split] + 5. * (prepared.parts[split].labels == 1)
      for split in outputs.SIDES}
  prepared = dataclasses.replace(
      prepared, unlearned=dataclasses.replace(model, losses=losses))
  shown = fakes.nulls(prepared)
  assert shown['mia_auc'].low > .55
  assert shown['mia_auc_matched'].low < .5 < shown['mia_auc_matched'].high


def test_null_of_the_forgetting_score_is_above_zero():
  shown = fakes.nulls(_prepare(forget=4.))
  cell = shown['forgetting_score']
  assert .01 < cell.value < .2 and 0 <= cell.low < cell.high
  assert shown['mia_accuracy'].value == pytest.approx(.5, abs=.04)


def test_null_of_nomus_is_the_constant_classifier():
  prepared = _prepare()
  shown = fakes.nulls(prepared)
  share = shown['accuracy_test'].value
  assert shown['nomus'].value == pytest.approx((share + 1) / 2)
  floor = released_attack.unbalanced_constant_accuracy(
      *(len(prepared.parts[split]) for split in ('forget', 'test')))
  assert shown['nomus_unbalanced'].value == pytest.approx(
      forgetting.nomus(share, 2 * abs(floor - .5)))


def test_formula_nulls():
  prepared = _prepare(known=False)
  shown = fakes.nulls(prepared)
  assert shown['mia_tpr_at_fpr_0.01'].value == .01
  ks = shown['ks_loss']
  assert ks.value == distances.ks_null(
      *(len(prepared.parts[split]) for split in ('forget', 'test')))
  assert ks.low < ks.value < ks.high


def test_the_null_of_ks_is_that_of_permutations_where_losses_tie():
  data = fakes.dataset(people=40)
  splits = fakes.splits(data)
  flat = {name: np.zeros((len(part), 4), np.float32)
          for name, part in splits.parts.items()}
  ks = registry.find('ks_loss').null(inputs.prepare(
      {'unlearned': flat}, data, splits, _QUICK))
  assert (ks.value, ks.low, ks.high) == (0, 0, 0)


@pytest.mark.parametrize('forget, test, expected', [
    # Classes of the images of each person; who changes places with whom.
    ([[0], [1]], [[1], [0]], [0, 1, 1, 0]),
    ([[0, 0, 1], [1]], [[0], [1, 1]], [0, 1, 0, 1]),
    ([[0, 1], [0]], [[1, 0], [0]], [-1, 0, -1, 0]),
    # Nobody of test is mostly of class 1, which is there.
    ([[1, 1, 0], [0]], [[0, 1], [0]], [-1, 0, -1, 0]),
    # Class 2 is on one side alone.
    ([[2], [0]], [[0], [0]], [1, 0, 0, 0]),
    # Nobody could change places: all do.
    ([[0, 1]], [[0], [1, 1, 0]], [-1, -1, -1])])
def test_people_change_places_within_their_class(forget, test, expected):
  people = forget + test
  units = np.repeat(np.arange(len(people)), list(map(len, people)))
  found = nulls.classes_of_people(
      units, np.concatenate(people), units < len(forget))
  assert found.tolist() == expected


def test_swapped_people_keep_their_images_and_sides_their_people():
  prepared = _prepare()
  units = np.concatenate([
      prepared.parts[split].identity for split in outputs.SIDES])
  member = nulls._memberships(prepared)
  first = np.unique(units, return_index=True)[1]
  by_person = member[:, first]
  assert (member == by_person[:, np.searchsorted(units[first], units)]).all()
  assert (by_person.sum(1) == by_person[:, :24].shape[1]).all()
  assert len(np.unique(member, axis=0)) > 30


def test_one_person_to_forget_changes_places_with_one_person():
  data = fakes.dataset(people=40, images=6)
  data.labels[:] = 0
  parts = splits_lib.Splits(*np.split(np.arange(240), [96, 102, 120]),
                            by_person=True)
  prepared = inputs.prepare(
      {'unlearned': fakes.logits(data, parts, 2)}, data, parts, _QUICK)
  member = nulls._memberships(prepared)
  assert (member.sum(1) == 6).all() and not member[:, :6].all()
  people = member.reshape(len(member), -1, 6)
  assert (people.all(axis=2) == people.any(axis=2)).all()


def test_people_that_leave_one_image_on_a_side_are_left_out():
  data = fakes.dataset(people=60, images=1)
  data.labels[:] = 0
  data.identity[30:33] = 30  # forget, of three images
  parts = splits_lib.Splits(*np.split(np.arange(60), [30, 33, 40]),
                            by_person=True)
  null = registry.find('mia_accuracy').null(inputs.prepare(
      {'unlearned': fakes.logits(data, parts, 2)}, data, parts, _QUICK))
  assert null.value is None and 'fewer than 2 images' in null.reason


def test_the_unbalanced_null_is_that_of_as_many_images():
  """Forget people have 12 images, others 2: a blind attack is far from 0."""
  data = fakes.dataset(people=48, images=12)
  few = np.concatenate([
      np.arange(36 * 12), *(np.arange(2) + 12 * i for i in range(36, 48))])
  data = dataclasses.replace(
      data, images=data.images[few], labels=np.zeros(len(few), np.int32),
      identity=data.identity[few], sample_id=data.sample_id[few])
  parts = splits_lib.Splits(
      *np.split(np.arange(len(few)), [144, 288, 432]), by_person=True)
  flat = {name: np.zeros((len(part), 4), np.float32)
          for name, part in parts.parts.items()}
  prepared = inputs.prepare({'unlearned': flat}, data, parts, _QUICK)
  metric = registry.find('forgetting_score_unbalanced')
  value = metric.value(prepared, prepared.unlearned)
  null = metric.null(prepared)
  assert value.value > .5
  assert (null.value, null.low, null.high) == pytest.approx(
      (value.value,) * 3, abs=1e-9)


@pytest.mark.parametrize('name', [
    'ks_loss', 'mia_auc', 'mia_accuracy', 'forgetting_score',
    'forgetting_score_unbalanced'])
def test_there_is_no_null_of_what_cannot_change_places(name):
  def apart(labels, splits):
    labels[:] = 0
    labels[splits.test] = 1

  null = registry.find(name).null(_prepare(labels=apart))
  assert null.value is None and null.reason == outputs.NO_CLASS


def test_null_of_rf_jsd_is_two_unseen_samples_of_the_original():
  shown = fakes.nulls(_prepare(forget=6.))
  got = fakes.values(_prepare(forget=6.))['rf_jsd']
  assert 0 < shown['rf_jsd'].value < shown['rf_jsd'].high < got.value
  none = fakes.nulls(_prepare(original=False))
  assert 'original model on val' in none['rf_jsd'].reason


def test_unbalanced_permutations_equal_the_released_attack():
  rng = np.random.default_rng(0)
  losses = rng.exponential(size=110)
  member = np.stack([rng.permutation(110) < 40 for _ in range(6)])
  got = released_attack.permuted_unbalanced_accuracies(losses, member)
  expected = [released_attack.unbalanced_accuracy(losses[row], losses[~row])
              for row in member]
  np.testing.assert_allclose(got, expected, atol=.02)
  # Rows with other numbers of members, each with its own splits.
  member = np.stack([rng.permutation(110) < k for k in (30, 40, 55)])
  got = released_attack.permuted_unbalanced_accuracies(losses, member)
  expected = [released_attack.unbalanced_accuracy(losses[row], losses[~row])
              for row in member]
  np.testing.assert_allclose(got, expected, atol=.02)
  moved = released_attack.permuted_unbalanced_accuracies(losses, member, 40)
  floors = [released_attack.unbalanced_constant_accuracy(k, 110 - k)
            for k in (30, 40, 55)]
  np.testing.assert_allclose(moved - got, floors[1] - np.array(floors))


def test_models_that_were_not_run_say_so():
  prepared = _prepare()
  bare = dataclasses.replace(prepared.unlearned, logits={}, losses={})
  got = fakes.values(prepared, bare)
  assert {e.reason for name, e in got.items() if 'accuracy_' not in name
          } == {'no logits on forget'}
  assert got['accuracy_val'].reason == 'no logits on val'
  nothing = dataclasses.replace(prepared, original=None, unlearned=bare)
  cells = fakes.nulls(nothing)
  assert 'no model was run' in cells['mia_accuracy'].reason


@pytest.mark.parametrize('task', [fakes.CLASSES, fakes.ATTRIBUTES])
def test_accuracies_are_those_of_the_plain_functions(task):
  prepared = _prepare(task)
  model = prepared.unlearned
  got = fakes.values(prepared, model)
  for split in ('retain', 'forget', 'val', 'test'):
    expected = accuracy.accuracy(
        task, model.logits[split], prepared.parts[split].labels).value
    assert got[f'accuracy_{split}'].value == expected
  assert list(got) == list(fakes.nulls(prepared))


@pytest.mark.parametrize('task, names', [
    (fakes.ATTRIBUTES, [
        'exact_match_test', 'balanced_accuracy_test/x',
        'balanced_accuracy_test/y', 'balanced_accuracy_test/z']),
    (fakes.CLASSES, ['top2_accuracy_test']),
    (tasks.Task('multiclass', ('a', 'b')), [])])
def test_accuracies_of_each_kind_of_task(task, names):
  found = list(fakes.nulls(_prepare(task)))
  assert found[4:found.index('mia_auc_matched')] == names


def test_interval_without_people_is_exact():
  prepared = _prepare(fakes.CLASSES, known=False)
  got = fakes.values(prepared)['accuracy_test']
  n = len(prepared.parts['test'])
  np.testing.assert_allclose(
      (got.low, got.high), stats.clopper_pearson(round(got.value * n), n))


def test_interval_with_people_is_their_bootstrap():
  prepared = _prepare(fakes.CLASSES)
  got = fakes.values(prepared)['accuracy_test']
  part = prepared.parts['test']
  right = (prepared.unlearned.logits['test'].argmax(-1) == part.labels)
  by_hand = prepared.bootstrap(
      lambda weights: weights @ right / weights.sum(1), 'test')
  np.testing.assert_allclose(got.replicates, by_hand)


def test_nulls_are_constant_guesses():
  prepared = _prepare(fakes.CLASSES)
  counts = np.bincount(prepared.parts['test'].labels)
  shown = fakes.nulls(prepared)
  assert shown['accuracy_test'].value == counts.max() / counts.sum()
  assert shown['top2_accuracy_test'].value == (
      np.sort(counts)[-2:].sum() / counts.sum())
  assert fakes.nulls(_prepare(fakes.ATTRIBUTES))[
      'balanced_accuracy_test/x'].value == .5
