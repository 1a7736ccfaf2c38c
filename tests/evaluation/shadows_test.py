"""Tier 3: figures of shadow models, from their margins."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax.evaluation import (
  inputs,
  references,
  registry,
  run,
  shadows as shadow_figures,
)
from dlfd_jax.metrics import epsilon, klom, per_example, ulira
from tests.evaluation import fakes
from tests.evaluation.reference_attack_test import _World

_QUICK = run.EvaluationConfig(bootstrap=30, permutations=30, draws=1)
_SMALL = run.ReferenceConfig(
    probe_folds=2, probe_permutations=2, probe_people=5, jackknife_groups=3)
_IMAGES = 3
_DATA = fakes.dataset(people=60, images=_IMAGES)
_PARTS = fakes.splits(_DATA, (.4, .6, .7))
_WORLD = _World(_DATA, _PARTS)


def drawn(n, models, *, trace=0., memory=2., seed=0, images=1, keep=False,
          level=None):
  """Shadow models in the random design; ``trace`` is left of ``memory``."""
  rng = np.random.default_rng(seed)
  states = np.arange(models) % (3 if keep else 2)
  states = np.repeat(rng.permuted(np.tile(
      states[:, None], -(-n // images)), axis=0), images, axis=1)[:, :n]
  level = rng.normal(0, 2, n) if level is None else level
  before = level + .5 * rng.standard_normal((models, n)) + memory * (
      states != references.OUT)
  after = level + .5 * rng.standard_normal((models, n)) + trace * (
      states == references.FORGET) + memory * (states == references.KEEP)
  exact = level + .5 * rng.standard_normal((models, n)) + memory * (
      states == references.KEEP)
  return references.Shadows(after, before, states.astype(np.int8),
                        retrained=exact if keep else None)


def _evaluate(shadows, retrained=8, data=_DATA, parts=_PARTS, world=_WORLD):
  result = run.evaluate(
      {'original': world.model(0, memory=3.0), 'unlearned': world.model(7),
       'retrained': [world.model(100 + i) for i in range(retrained)]},
      data, parts, _QUICK, tier=3, reference_config=_SMALL,
      references=references.References(shadows=shadows))
  return result, {r['metric']: r for r in result['metrics']
                  if r['tier'] == 3}


def _found(shadows, *names, retrained=4, data=_DATA, parts=_PARTS,
           world=_WORLD):
  """Records of some metrics alone, and what they are made from."""
  prepared = inputs.prepare(
      {'original': world.model(0, memory=3.0), 'unlearned': world.model(7),
       'retrained': [world.model(100 + i) for i in range(retrained)]},
      data, parts, _QUICK, references.References(shadows=shadows))
  return prepared, {
      record.metric: record for metric in registry.METRICS
      if metric.name in names for record in run.records(prepared, metric)}


def _shadows(**options):
  """Their margins are those of the world's retrained models, but for seeds."""
  at = _PARTS.forget
  others = run.evaluate(
      {'unlearned': _WORLD.model(100)}, _DATA, _PARTS, _QUICK)['per_example'][
          'unlearned/forget/margin']
  return drawn(len(at), 24, images=_IMAGES, level=others, **options)


@pytest.fixture(scope='module')
def traced():
  return _evaluate(_shadows(trace=1.))


@pytest.fixture(scope='module')
def clean():
  return _evaluate(_shadows())


def test_a_trace_is_seen_and_told(traced):
  result, found = traced
  for name in ('u_lira_auc', 'u_lira_auc_person'):
    record = found[name]
    assert record['verdict'] == 'distinguishable', name
    assert record['gate'] == 'sees the original', name
    assert record['unlearned']['value'] > record['null']['high']
    assert record['original']['value'] > record['unlearned']['value']
  assert found['u_lira_auc_person']['unlearned']['value'] > (
      found['u_lira_auc']['unlearned']['value'])
  assert found['u_lira_retrained_auc']['unlearned']['value'] > .6
  assert found['klom_forget']['delta']['value'] > .5
  assert result['verdicts']['forgetting']['metrics']['u_lira_auc'] == (
      'distinguishable')
  assert result['shadows']['models'] == 24
  assert len(result['shadows']['worst']) == 10


def test_exact_unlearning_is_not_told_apart(clean):
  result, found = clean
  for name in ('u_lira_auc', 'u_lira_auc_person', 'epsilon_lb_largest'):
    assert found[name]['verdict'] != 'distinguishable', name
  assert abs(found['u_lira_auc']['delta']['value']) < .04
  assert found['epsilon_lb_largest']['unlearned']['value'] is None
  assert not any(row['shown'] for row in result['shadows']['worst'])
  assert .1 < found['forgetting_quality']['null']['value'] < 1


def test_epsilon_is_shown_by_models_that_are_enough(traced):
  _, few = traced
  assert few['epsilon_lb_largest']['unlearned']['reason'] == (
      '12 unlearned and 8 retrained models of an image could not show any '
      f'epsilon at 0.05 over {len(_PARTS.forget)} images, however well they '
      'were told apart; 22 a side could')
  many = drawn(len(_PARTS.forget), 60, images=_IMAGES, trace=9.)
  result, found = _evaluate(many, retrained=30)
  alone = result['per_example'][shadow_figures.EPSILON]
  assert alone.shape == (len(_PARTS.forget),)
  assert alone.max() > found['epsilon_lb_largest']['unlearned']['value']
  shown = found['epsilon_lb_largest']
  assert 0 < shown['unlearned']['value'] <= epsilon.most_shown(
      30, 30, epsilon.LEVEL / len(_PARTS.forget))
  assert shown['null']['value'] == 0


def test_epsilon_of_an_image_by_itself_takes_fewer_models():
  data = fakes.dataset(fakes.ATTRIBUTES, people=40)
  parts = fakes.splits(data)
  data.labels[parts.forget[5]] = -1
  n, least = len(parts.forget), shadow_figures.enough_for_epsilon(1)
  shadows = drawn(n, 2 * least, images=4, trace=9.)

  def of(retrained):
    return _found(shadows, 'epsilon_lb_largest', retrained=retrained,
                  data=data, parts=parts, world=_World(data, parts))

  prepared, found = of(least)
  assert found['epsilon_lb_largest'].unlearned.value is None
  values = shadow_figures.stored(prepared, parts)[shadow_figures.EPSILON]
  assert np.flatnonzero(np.isnan(values)).tolist() == [5]
  np.testing.assert_allclose(np.delete(values, 5), epsilon.lower_bound(
      *shadow_figures._sides(prepared, 'retrained').dense()))
  assert np.nanmax(values) == pytest.approx(epsilon.most_shown(least, least))
  assert shadow_figures.stored(of(4)[0], parts) == {}


def test_points_over_images_see_few_that_leak():
  """A tenth of them; the median does not."""
  n = len(_PARTS.forget)
  leaking = np.arange(n) < n // 10
  prepared, found = _found(
      drawn(n, 32, images=_IMAGES, trace=3. * leaking), 'u_lira_accuracy',
      'klom_forget', retrained=16)
  scores = ulira.scores(*(
      getattr(shadow_figures._sides(prepared, 'unseen'), name)
      for name in ('margins', 'first', 'second')))
  accuracies = scores.accuracies()
  values = klom.gaussian(
      *shadow_figures._sides(prepared, 'retrained').dense())[0]
  for of, name, points in (
      (accuracies, 'u_lira_accuracy', shadow_figures.POINTS),
      (values, 'klom_forget', shadow_figures.KLOM_POINTS)):
    assert found[name].unlearned.value == pytest.approx(of.mean())
    for point in points:
      record = found[f'{name}/{point}']
      assert record.unlearned.value == pytest.approx(
          np.quantile(of, shadow_figures.POINTS[point])), record.metric
      assert record.delta.value == pytest.approx(
          record.unlearned.value - record.null.value)
      assert record.verdict is None
  median, far = (found[f'u_lira_accuracy/{point}']
                 for point in ('median', '95 %'))
  assert median.null.low <= median.unlearned.value <= median.null.high
  assert far.unlearned.value > far.null.high > median.null.high


@pytest.mark.parametrize('trace', [0., 1.5])
def test_rates_of_images_are_those_promised(trace):
  names = [f'u_lira_calibrated_{rate}_at_fpr_0.01' for rate in ('tpr', 'fpr')]
  _, found = _found(_shadows(trace=trace), *names)
  hits, alarms = (found[name] for name in names)
  for rate in (alarms.null, hits.null):
    # Exchanged, what has a trace is of two humps, whose tails are short.
    assert .01 - (.007 if trace else .003) < rate.value < .013
  for rate in (alarms.unlearned, alarms.original):  # of 432 answers
    assert rate.value == pytest.approx(.01, abs=.012)
  assert (hits.unlearned.value > 3 * hits.null.high) == (trace > 0)
  assert hits.original.value > .3


_ALIKE = {name: np.full((24, 2), [.8, .5])
          for name in ('before', 'unlearned', 'retrained')}


def test_the_final_score_is_quality_by_accuracies():
  shadows = dataclasses.replace(_shadows(), accuracies={
      'before': np.ones((24, 2)),
      'unlearned': np.tile([[.9, .4], [.7, .2]], (12, 1))})
  prepared, found = _found(
      shadows, 'forgetting_quality', 'challenge_final_score')
  right = [np.mean([
      (model.logits[split].argmax(1) == prepared.parts[split].labels).mean()
      for model in prepared.retrained]) for split in ('retain', 'test')]
  quality, final = (found[name] for name in (
      'forgetting_quality', 'challenge_final_score'))
  assert final.unlearned.value == pytest.approx(
      quality.unlearned.value * .8 / right[0] * .3 / right[1])
  assert final.original.value == pytest.approx(
      quality.original.value / np.prod(right))
  # Not what margins above 0 would give: there are more than two classes.
  of_margins = np.mean([(shadow_figures.margins_of(
      prepared, model, 'test') > 0).mean() for model in prepared.retrained])
  assert of_margins < right[1] - .01


def test_the_final_score_of_equal_accuracies_is_quality_in_every_column():
  data = fakes.dataset(people=20, images=3)
  small = {'data': data, 'parts': fakes.splits(data)}
  small['world'] = _World(data, small['parts'])
  shadows = dataclasses.replace(
      drawn(len(small['parts'].forget), 24, images=3, keep=True),
      accuracies=_ALIKE)
  _, found = _found(
      shadows, 'forgetting_quality', 'challenge_final_score', **small)
  quality, final = (found[name] for name in (
      'forgetting_quality', 'challenge_final_score'))
  for column in ('original', 'unlearned', 'null', 'delta'):
    assert final.estimates[column].value == pytest.approx(
        quality.estimates[column].value), column
  assert quality.unlearned.value > .02
  # Half as right on retain: half of it, and between both with models exchanged.
  half = _ALIKE | {'unlearned': _ALIKE['unlearned'] * [.5, 1]}
  _, found = _found(dataclasses.replace(shadows, accuracies=half),
                    'challenge_final_score', **small)
  lower = found['challenge_final_score']
  assert lower.unlearned.value == pytest.approx(final.unlearned.value / 2)
  assert lower.unlearned.value < lower.null.value < 1.5 * final.null.value


@pytest.mark.parametrize('accuracies,reason', [
    ({}, 'was not read'),
    (_ALIKE | {'unlearned': np.full((24, 2), np.nan)}, 'no label is known'),
    (_ALIKE | {'before': np.zeros((24, 2))}, 'right on no image')])
def test_without_accuracies_there_is_no_final_score(accuracies, reason):
  _, found = _found(
      dataclasses.replace(_shadows(), accuracies=accuracies),
      'challenge_final_score')
  for column in ('original', 'unlearned', 'null'):
    assert reason in found['challenge_final_score'].estimates[column].reason


def test_online_lira_of_people_is_that_of_their_mean_margins():
  """Of one image each the same number; of three it is told better."""
  names = 'lira_online_auc', 'lira_online_auc_person'
  of = {}
  for images in (1, 3):
    data = fakes.dataset(people=90, images=images)
    parts = fakes.splits(data, (.2, .8, .9))
    world = _World(data, parts)
    level = per_example.margin(
        data.task, world.model(100)['forget'], data.labels[parts.forget])
    shadows = drawn(len(parts.forget), 24, images=images, level=level,
                    memory=.7)
    prepared, found = _found(shadows, *names, data=data, parts=parts,
                             world=world)
    of[images] = [found[name].retrained.value for name in names]
    judged = dataclasses.replace(prepared.unlearned, logits={
        'forget': world.model(5, memory=.7)['forget']})
    of[images] += [shadow_figures.lira_online(prepared, judged, by_person=by)
                   for by in (False, True)]
  assert of[1][0] == of[1][1]
  for end in ('value', 'low', 'high'):
    assert getattr(of[1][2], end) == pytest.approx(getattr(of[1][3], end))
  image, person = of[3][2:]
  assert person.value > image.value + .05
  assert person.low < person.value < person.high
  assert abs(of[3][1] - .5) < .2
  unknown = dataclasses.replace(data, identity=np.full(len(data), -1, np.int32))
  loose = dataclasses.replace(parts, by_person=False)
  _, found = _found(shadows, *names, data=unknown, parts=loose, world=world)
  assert 'unknown' in found[names[1]].unlearned.reason
  assert found[names[0]].unlearned.value is not None


def test_the_null_of_klom_is_the_formula(clean):
  _, found = clean
  assert found['klom_forget']['null']['value'] == pytest.approx(
      klom.gaussian_null(12, 8))


def test_images_whose_spread_is_floored_are_counted():
  n = len(_PARTS.forget)
  shadows = drawn(n, 24, images=_IMAGES)
  assert not any('1 %' in note for note in _found(
      shadows, 'klom_forget')[1]['klom_forget'].notes)
  still = shadows.unlearned.copy()
  still[:, [2, 5, 7]] = 1.
  _, found = _found(dataclasses.replace(shadows, unlearned=still),
                    'klom_forget')
  for name in ('klom_forget', 'klom_forget/95 %'):
    assert found[name].notes[-1].startswith(f'3 images of {n}: '), name


def test_models_change_places_with_their_own_retrained_ones():
  """Exchanged with others they would bring what those kept to the null."""
  of = {}
  for memory in (0., 6.):
    shadows = drawn(90, 60, memory=memory, keep=True)
    sides = shadow_figures._Sides(
        np.concatenate([shadows.unlearned, shadows.retrained]),
        *(np.concatenate(halves) for halves in (
            (shadows.states == references.FORGET, np.zeros((60, 90), bool)),
            (np.zeros((60, 90), bool), shadows.states == references.FORGET))),
        paired=True)
    rng = np.random.default_rng(0)
    of[memory] = [klom.gaussian(*sides.exchanged(rng).dense())[0].mean()
                  for _ in range(40)]
    both = sides.exchanged(rng).margins.reshape(2, 60, 90)
    assert {(a, b) for a, b in zip(both[0, :, 0], both[1, :, 0])} <= {
        pair for a, b in zip(shadows.unlearned[:, 0], shadows.retrained[:, 0])
        for pair in ((a, b), (b, a))}
  np.testing.assert_allclose(of[6.], of[0.])
  assert np.mean(of[6.]) == pytest.approx(klom.gaussian_null(20, 20), rel=.25)


@pytest.mark.slow
def test_shadows_that_never_knew_see_nothing():
  _, found = _evaluate(_shadows(memory=0.))
  assert found['u_lira_auc']['gate'] == 'cannot see the original'


@pytest.mark.long
def test_privacy_harm_needs_people_who_are_kept(clean):
  _, found = clean
  assert 'kept nobody' in found['privacy_harm']['unlearned']['reason']
  _, found = _evaluate(_shadows(keep=True))
  assert abs(found['privacy_harm']['unlearned']['value']) < .1


def test_the_note_on_few_models_counts_each_side():
  prepared, _ = _found(drawn(len(_PARTS.forget), 8, images=_IMAGES))
  note, *_ = shadow_figures.notes(prepared)
  assert note.startswith(
      '4 models that unlearned an image and 4 without it: ')
  prepared, _ = _found(drawn(len(_PARTS.forget), 32, images=_IMAGES))
  assert not any('screening' in note for note in shadow_figures.notes(prepared))


@pytest.mark.parametrize('shadows,retrained,name,reason', [
    (None, 4, 'u_lira_auc', 'no shadow models'),
    (4, 4, 'u_lira_auc', 'only 2 shadow models'),
    (16, 2, 'klom_forget', 'at least 4 retrained'),
    (16, 3, 'klom_histogram_forget', '128')])
def test_what_cannot_be_computed_says_why(shadows, retrained, name, reason):
  n = len(_PARTS.forget)
  _, found = _evaluate(
      shadows and drawn(n, shadows, images=_IMAGES), retrained)
  assert reason in found[name]['unlearned']['reason']


@pytest.mark.parametrize('call,words', [
    (lambda: references.Shadows(np.ones((4, 2)), np.ones((4, 3)),
                            np.ones((4, 2), np.int8)), 'one shape'),
    (lambda: references.Shadows(*2 * [np.ones((4, 2))],
                            np.full((4, 2), 3, np.int8)), 'states 0, 1 and 2'),
    (lambda: dataclasses.replace(drawn(3, 4), accuracies={
        'before': np.full((4, 2), 1.1)}), r'\[4, 2\] in \[0, 1\]'),
    (lambda: dataclasses.replace(drawn(3, 4), accuracies={
        'before': np.ones((3, 2))}), 'before models on retain and test'),
    (lambda: _evaluate(drawn(5, 16)), 'images of forget')])
def test_bad_input_is_one_sentence(call, words):
  with pytest.raises(ValueError, match=words):
    call()
