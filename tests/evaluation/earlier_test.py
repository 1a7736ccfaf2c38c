"""People of earlier requests: visible again, or not, in planted outputs."""

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import earlier, inputs as inputs_lib

PEOPLE, EACH = 45, 3  # of every part
PARTS = ('retain', 'forget', 'earlier', 'val', 'test')


def _world():
  n = len(PARTS) * PEOPLE * EACH
  rows = np.arange(n).reshape(len(PARTS), -1)
  data = dataset_lib.Dataset(
      images=np.zeros((n, 2, 2, 3), np.uint8),
      labels=(np.arange(n) % 2).astype(np.int32),
      identity=(np.arange(n) // EACH).astype(np.int32),
      sample_id=np.array([f'i{k}' for k in range(n)]),
      task=tasks.Task('multiclass', ('no', 'yes')))
  return data, splits_lib.Splits(**dict(zip(PARTS, rows)))


def _logits(data, splits, seed, **margins):
  """Logits whose margins vary around those that are named."""
  rng = np.random.default_rng(seed)
  found = {}
  for name in ('earlier', 'test'):
    rows = getattr(splits, name)
    margin = rng.normal(1 + margins.get(name, 0), 1, len(rows))
    sign = 2 * data.labels[rows] - 1
    found[name] = np.stack(
        [0 * margin, sign * margin], 1).astype(np.float32)
  return found


@pytest.mark.parametrize('before, now, visible', [
    (0, 3, True), (0, 0, False), (3, 3, False), (0, -3, False),
    (3, 0, False)])
def test_a_group_is_visible_again_if_the_attack_rose(before, now, visible):
  data, splits = _world()
  found = earlier.again(
      {'original': _logits(data, splits, 0, earlier=before),
       'unlearned': _logits(data, splits, 1, earlier=now)}, data, splits,
      inputs_lib.EvaluationConfig(bootstrap=200))
  assert found['visible_again'] is visible
  # Independent of the code: the share of pairs in the right order, by class.
  margins = {name: _logits(data, splits, 1, earlier=now)[name][:, 1]
             for name in ('earlier', 'test')}
  shares = []
  for label in (0, 1):
    sign = 2 * label - 1
    mine, theirs = (sign * margins[name][data.labels[
        getattr(splits, name)] == label] for name in ('earlier', 'test'))
    shares.append((mine[:, None] > theirs[None]).mean())
  assert found['unlearned']['value'] == pytest.approx(np.mean(shares), abs=.02)


def test_one_person_is_visible_again_by_rank():
  data, splits = _world()
  splits = splits_lib.Splits(splits.retain, splits.forget, splits.val,
                             splits.test, earlier=splits.earlier[:EACH])
  config = inputs_lib.EvaluationConfig(bootstrap=20)
  low, high = (_logits(data, splits, 2, earlier=by) for by in (0, 9))
  outputs = {'original': low, 'unlearned': high}
  # A p takes two retrained models: without them nobody is told apart.
  assert earlier.again(outputs, data, splits, config)['people'] == []
  outputs['retrained'] = [_logits(data, splits, seed) for seed in (3, 4)]
  found = earlier.again(outputs, data, splits, config)
  assert found['people'] == [data.identity[splits.earlier[0]]]
  assert found['visible_again'] is None  # one person has no interval
  outputs |= {'original': high}  # who was never forgotten is not new
  assert earlier.again(outputs, data, splits, config)['people'] == []
  outputs |= {'original': low, 'unlearned': low}
  assert earlier.again(outputs, data, splits, config)['people'] == []


def test_beside_an_original_that_knew_them_nothing_is_said_of_a_rise():
  data, splits = _world()
  found = earlier.again(
      {'original': _logits(data, splits, 0, earlier=3),
       'unlearned': _logits(data, splits, 1, earlier=3)}, data, splits,
      inputs_lib.EvaluationConfig(bootstrap=50), older=True)
  assert found['older'] and found['visible_again'] is None
  assert found['people'] == [] and found['unlearned']['low'] > .5


def test_too_few_people_say_nothing():
  data, splits = _world()
  few = splits_lib.Splits(
      splits.retain, splits.forget, splits.val, splits.test,
      earlier=splits.earlier[:2 * EACH])
  found = earlier.again(
      {'original': _logits(data, few, 0), 'unlearned': _logits(data, few, 1)},
      data, few, inputs_lib.EvaluationConfig(bootstrap=20))
  assert found['visible_again'] is None
  assert found['unlearned']['value'] is not None
