"""How often a null's range leaves out what is found where nothing is there."""

import numpy as np
import pytest

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import inputs, run
from tests.evaluation import fakes

_PEOPLE, _IMAGES, _DRAWS = 14, 12, 24
_BOTH = ('mia_auc_matched', 'mia_auc', 'mia_accuracy_two_sided')
_ABOVE = ('ks_loss', 'mia_accuracy', 'forgetting_score',
          'forgetting_score_unbalanced')


def _world(seed):
  """Margins of people who are 36 % of the variance; nobody is remembered."""
  rng = np.random.default_rng(seed)
  people = np.repeat(np.arange(4 * _PEOPLE), _IMAGES)
  n = len(people)
  labels = rng.integers(0, 4, n).astype(np.int32)
  data = dataset_lib.Dataset(
      images=np.zeros((n, 1, 1, 3), np.uint8), labels=labels,
      identity=people.astype(np.int32), sample_id=np.arange(n).astype(str),
      task=fakes.CLASSES)
  splits = splits_lib.Splits(*np.split(np.arange(n), 4), by_person=True)
  margins = 1.28 + .6 * rng.normal(size=4 * _PEOPLE)[people] + (
      .8 * rng.normal(size=n))
  logits = np.where(labels[:, None] == np.arange(4), margins[:, None], 0)
  return {'unlearned': {
      name: logits[rows] for name, rows in splits.parts.items()}}, data, splits


@pytest.fixture(scope='module')
def outside():
  """Share of evaluations beyond the range, below and above, by metric."""
  found = {name: [] for name in (*_BOTH, *_ABOVE)}
  config = inputs.EvaluationConfig(bootstrap=20, permutations=100, draws=1)
  for seed in range(_DRAWS):
    for record in run.evaluate(*_world(seed), config)['metrics']:
      if record['metric'] in found:
        value, null = record['unlearned']['value'], record['null']
        found[record['metric']].append(
            (value < null['low'], value > null['high']))
  return {name: np.mean(of_metric, axis=0)
          for name, of_metric in found.items()}


@pytest.mark.parametrize('name', _BOTH)
def test_the_range_holds_what_people_make_by_chance(outside, name):
  """5 % lie outside; where images are swapped a third or more do."""
  assert outside[name].sum() <= .17


@pytest.mark.parametrize('name', _ABOVE)
def test_the_upper_end_holds_what_people_make_by_chance(outside, name):
  assert outside[name][1] <= .13
