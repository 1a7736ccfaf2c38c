"""The registry: every metric of a result has one entry, which says the same."""

import json
import pathlib

import numpy as np
import pytest

from dlfd_jax.evaluation import (
  inputs,
  references as references_lib,
  registry,
  run,
)
from dlfd_jax.metrics import forgetting
from tests.evaluation import fakes, shadows_test

_ROOT = pathlib.Path(__file__).parents[2]


def _shown():
  return json.loads((_ROOT / 'docs/results/demo.json').read_text())['metrics']


def _fresh(task):
  data = fakes.dataset(task, people=40)
  splits = fakes.splits(data)
  models = {name: fakes.logits(data, splits, seed) for seed, name in enumerate(
      ('original', 'unlearned', *(f'retrained_{i}' for i in range(4))))}
  blocks = {name: {split: {'stem': of_model[split]}
                   for split in ('forget', 'test')}
            for name, of_model in models.items()}
  counts = {f'forget-{part}': 0 for part in ('retain', 'val', 'test')}
  return run.evaluate(
      {'original': models['original'], 'unlearned': models['unlearned'],
       'retrained': [models[f'retrained_{i}'] for i in range(4)]},
      data, splits,
      inputs.EvaluationConfig(bootstrap=20, permutations=20, draws=1),
      tier=run.HIGHEST_TIER,
      references=references_lib.References(
          features=models, blocks=blocks,
          shadows=shadows_test.drawn(len(splits.forget), 12, images=4),
          random_logits=[models['original']['forget']],
          relearned=dict.fromkeys(models, [forgetting.RelearnTime(3)])),
      leakage={'exact': counts, 'near': counts})['metrics']


@pytest.mark.parametrize('records', [
    _shown, lambda: _fresh(fakes.CLASSES),
    pytest.param(lambda: _fresh(fakes.ATTRIBUTES), marks=pytest.mark.slow)],
                         ids=['shown', 'classes', 'attributes'])
def test_every_record_is_what_its_entry_says(records):
  config = inputs.ReferenceConfig()
  for record in records():
    metric = registry.find(record['metric'])
    assert metric is not None, record['metric']
    assert record['direction'] == metric.direction_in(config)
    assert (record['units'], record['split'], record['tier']) == (
        metric.units, metric.split, metric.tier), record['metric']
    assert registry.label(record['metric']).startswith(metric.label)


@pytest.mark.long
def test_every_entry_is_made_by_one_of_both_kinds_of_task():
  found = {registry.find(record['metric']).name
           for task in (fakes.CLASSES, fakes.ATTRIBUTES)
           for record in _fresh(task)}
  assert found == {metric.name for metric in registry.METRICS
                   if not metric.name.endswith('_forgotten')}  # see by_class


def test_names_and_labels_are_unique():
  for of in ('name', 'label'):
    alone = [getattr(metric, of) for metric in registry.METRICS
             if not metric.members]
    assert len(alone) == len(set(alone))


def test_names_of_earlier_versions_keep_a_label_of_their_own():
  labels = {metric.label for metric in registry.METRICS}
  for name in ('rmia_tpr_at_fpr_0.01', 'u_lira_tpr_at_fpr_0.01'):
    assert registry.find(name) is None
    said = registry.label(name)
    assert said.endswith('LiRA TPR at a pooled 1 % FPR' if 'lira' in name else
                         'RMIA TPR at a pooled 1 % FPR')
    assert said not in labels and registry.short_label(name) == said


def test_a_name_in_a_result_is_found_in_the_source():
  source = pathlib.Path(registry.__file__).read_text()
  for metric in registry.METRICS:
    assert f"'{metric.name}'" in source, metric.name


def test_a_margin_is_a_setting_and_votes_have_one():
  configs = inputs.EvaluationConfig(), inputs.ReferenceConfig()
  for metric in registry.METRICS:
    assert (metric.margin is None) == (metric.margin_in(*configs) is None)
    assert metric.margin or not metric.votes or metric.role == 'accuser'
  assert np.isclose(registry.find('log2_ain').margin_in(*configs), 1)


def test_the_page_of_metrics_holds_the_table():
  page = (_ROOT / 'docs/metrics.md').read_text()
  assert registry.markdown() in page, (
      'docs/metrics.md: put registry.markdown() under "All metrics" anew')
