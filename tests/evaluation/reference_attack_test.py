"""Fakes that pass every attack on one model, and what sees them."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.evaluation import run
from tests.evaluation import fakes

_QUICK = run.EvaluationConfig(bootstrap=200, permutations=20, draws=1)
_SMALL = run.ReferenceConfig(
    probe_folds=2, probe_permutations=2, probe_people=5, jackknife_groups=3)
_DATA = fakes.dataset(people=120, images=3)
_PARTS = fakes.splits(_DATA)


class _World:
  """Models that agree on how hard an image is, and differ by their seeds."""

  def __init__(self, data, parts):
    self.data, self.parts = data, parts
    self._hard = np.random.default_rng(99).normal(0, 1.5, data.labels.shape)

  def model(self, seed, memory=0.0, stay=2.0):
    rng = np.random.default_rng(seed)
    found = {}
    for split, rows in self.parts.parts.items():
      labels = self.data.labels[rows]
      lift = 1 + self._hard[rows] + memory * (split == 'forget') + (
          stay if split == 'retain' else 0.0) + rng.normal(
              0, .5, labels.shape)
      if self.data.task.is_multilabel:
        found[split] = ((2 * labels - 1) * lift).astype(np.float32)
        continue
      z = rng.normal(0, .3, (len(rows), self.data.task.num_outputs))
      z[np.arange(len(rows)), labels] += lift
      found[split] = z.astype(np.float32)
    return found

  def like_val(self, model, seed=0):
    """On forget it gives the logits of val images of the same label."""
    rng = np.random.default_rng(seed)
    keys = self.data.class_key()
    forget, val = (keys[self.parts.parts[s]] for s in ('forget', 'val'))
    picks = np.array([rng.choice(np.flatnonzero(val == key)) for key in forget])
    return {**model, 'forget': model['val'][picks]}


_WORLD = _World(_DATA, _PARTS)


def _evaluate(unlearned, retrained=6, world=_WORLD, data=_DATA):
  result = run.evaluate(
      {'original': world.model(0, memory=3.0), 'unlearned': unlearned,
       'retrained': [world.model(100 + i) for i in range(retrained)]},
      data, world.parts, _QUICK, tier=1, reference_config=_SMALL)
  return result, {r['metric']: r for r in result['metrics']}


@pytest.fixture(scope='module')
def faked():
  return _evaluate(_WORLD.like_val(_WORLD.model(0, memory=3.0)))


def test_exchanged_outputs_pass_alone_and_are_seen_beside_retrained_models(
    faked):
  result, found = faked
  for name in ('gap_accuracy_forget', 'gap_mia_auc_matched', 'streisand'):
    assert found[name]['verdict'] != 'distinguishable', name
  record = found['reference_attack_two_sided']
  assert record['verdict'] == 'distinguishable'
  assert record['unlearned']['value'] > .7
  assert abs(record['null']['value'] - .5) < .05
  assert result['verdicts']['forgetting']['verdict'] == 'distinguishable'


def test_a_left_out_retrained_model_is_not_told_apart():
  _, found = _evaluate(_WORLD.model(7))
  for name in ('reference_attack', 'reference_attack_two_sided',
               'reference_attack_person',
               'reference_attack_person_two_sided'):
    assert found[name]['verdict'] != 'distinguishable', name


def test_the_original_is_seen_by_every_form():
  _, found = _evaluate(_WORLD.model(7))
  for name, record in found.items():
    if name.startswith('reference_attack'):
      assert record['original']['low'] > record['null']['high'], name
      assert record['margin'] == .05


@pytest.mark.parametrize('retrained, there', [
    (0, ()), (1, ()), (2, ('original', 'unlearned')),
    (3, ('original', 'unlearned', 'retrained', 'null', 'delta'))])
def test_it_is_printed_from_two_retrained_models_and_judged_from_three(
    retrained, there):
  _, found = _evaluate(_WORLD.model(7), retrained)
  record = found['reference_attack_two_sided']
  for column in ('original', 'unlearned', 'retrained', 'null', 'delta'):
    assert (record[column]['value'] is not None) == (column in there), column
  assert (record['verdict'] is not None) == (retrained >= 3)


def test_equal_retrained_models_have_no_spread_to_compare_with():
  one = _WORLD.model(100)
  result = run.evaluate(
      {'unlearned': _WORLD.model(7), 'retrained': [one] * 3}, _DATA, _PARTS,
      _QUICK, tier=1, reference_config=_SMALL)
  record = next(r for r in result['metrics']
                if r['metric'] == 'reference_attack')
  assert record['unlearned']['reason'] == (
      'the retrained models answer alike on every image')


def test_attributes_count_where_they_are_known():
  data = fakes.dataset(fakes.ATTRIBUTES, people=100, images=3)
  data.labels[::4, 0] = tasks.UNKNOWN
  world = _World(data, fakes.splits(data))
  _, found = _evaluate(
      world.like_val(world.model(0, memory=2.0)), world=world, data=data)
  assert found['reference_attack_two_sided']['verdict'] == 'distinguishable'


def _request(people, images, unseen, memory, known=True, task=fakes.CLASSES,
             classes=4, retrained=2):
  """Ranks after a request of a few people with as many images each."""
  data = fakes.dataset(task, people=120, images=images, known=known)
  data.labels[...] %= classes
  cut = (60 + np.cumsum([0, people, 20])) / 120
  world = _World(data, fakes.splits(data, cut, by_person=known))
  parts = world.parts
  world.parts = dataclasses.replace(
      parts, test=parts.test[:unseen * images])
  original = world.model(0, memory=9.0)
  result = run.evaluate(
      {'original': original, 'unlearned': world.model(7, memory=memory),
       'retrained': [world.model(100 + i) for i in range(retrained)]},
      data, world.parts, _QUICK)
  return result['people']


@pytest.mark.parametrize('people, images, known, task', [
    (1, 1, True, fakes.ATTRIBUTES), (1, 4, True, fakes.CLASSES),
    (3, 4, True, fakes.CLASSES), (1, 4, False, fakes.CLASSES)])
def test_each_person_has_a_rank_that_sees_the_original(
    people, images, known, task):
  found = _request(people, images, 39, 0.0, known, task)
  assert len(found) == (people if known else images)
  for entry in found:
    assert entry['unit'] == ('person' if known else 'image')
    assert entry['unseen'] >= (3 if entry['unit'] == 'image' else 20)
    assert entry['original_p'] == pytest.approx(entry['smallest_p'])
    assert entry['p'] <= entry['p_adjusted'] <= 1


def test_a_person_who_is_remembered_is_told_apart_where_there_are_enough():
  (entry,) = _request(1, 4, 39, 9.0, classes=1)
  assert entry['unseen'] == 39 and entry['compared'] == 4
  assert entry['told_apart'] and entry['value'] > entry['high']
  (entry,) = _request(1, 4, 15, 9.0, classes=1)
  assert not entry['told_apart'] and entry['high'] is None


@pytest.mark.parametrize('retrained', [0, 1])
def test_below_two_retrained_models_a_place_has_no_p(retrained):
  (entry,) = _request(1, 4, 39, 9.0, classes=1, retrained=retrained)
  assert entry['place'] == 1 and entry['unseen'] == 39
  assert entry['value'] > 0
  for key in ('p', 'p_adjusted', 'smallest_p', 'told_apart', 'original_p'):
    assert entry[key] is None, key
