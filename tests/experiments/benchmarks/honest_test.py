"""Who is accused among retrained models, and how the page says it."""

import numpy as np

from dlfd_jax.evaluation import inputs as inputs_lib
from experiments.benchmarks import honest, verdict_rates

_DATA, _SPLITS = verdict_rates.data_of(
    {'retain': 60, 'forget': 60, 'val': 40, 'test': 60},
    verdict_rates.PER_PERSON)


def _logits(seed, learnt=0.0):
  """Margins of a model, and how much higher they are on forget."""
  rng = np.random.default_rng(seed)
  easy = np.random.default_rng(0)
  return {name: np.where(
      _DATA.labels[rows][:, None] == [0, 1],
      (easy.normal(1, 1, len(rows)) + rng.normal(0, .3, len(rows))
       + learnt * (name == 'forget'))[:, None], 0)
          for name, rows in _SPLITS.parts.items()}


def test_it_counts_what_is_said_of_each_model(monkeypatch):
  monkeypatch.setattr(honest, 'REFERENCES', (3, 5))
  leaks = 4.0  # of one, which did learn the people and is to be found
  rows = honest.accused(
      _DATA, _SPLITS, _logits(99, leaks),
      [_logits(seed) for seed in range(1, 5)] + [_logits(5, leaks)],
      inputs_lib.EvaluationConfig(bootstrap=50, permutations=20, draws=1))
  row, = rows  # five references would leave nobody to judge
  assert row['references'] == 3 and row['models'] == 5
  assert sum(row['forgetting'].values()) == sum(row['utility'].values()) == 5
  assert row['forgetting'].get('distinguishable', 0) >= 1
  assert row['by']['gap_mia_auc_matched'] >= 1


def test_the_page_has_a_column_for_each_verdict():
  rows = [{'references': 3, 'models': 24, 'by': {'rmia_auc': 1},
           'forgetting': {'inconclusive': 22, 'distinguishable': 2},
           'utility': {'inconclusive': 24}}]
  page = honest.markdown({'tasks': [{
      'title': 'Faces', 'image_size': 32, 'train_epochs': 3, 'references': 24,
      'network': {'width': 8}, 'splits': {'forget': 200},
      'people': {'forget': 5}, 'accused': rows}],
      'command': 'x', 'device': 'cpu', 'versions': {'jax': '1'}})
  assert '| 3 | 24 | 2 | 22 | 24 | RMIA AUC (1) |' in page
