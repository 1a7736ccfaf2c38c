"""Metrics of one's own: that of docs/extending.md, and what is refused."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest

from dlfd_jax.evaluation import (
  again,
  inputs as inputs_lib,
  own_metrics,
  registry,
  run,
)
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import tables
from tests.evaluation import fakes

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'extending.md'
METRIC, = re.findall(
    r'```python\n([^`]*\nBRIER = .*?)```', PAGE.read_text('utf-8'), re.S)
_QUICK = run.EvaluationConfig(bootstrap=60, permutations=20, draws=1)


@pytest.fixture
def brier(tmp_path):
  path = tmp_path / 'my_metrics.py'
  path.write_text(METRIC)
  return f'{path}:BRIER'


def _of(value, **fields):
  return registry.Metric(**{
      'name': 'mine', 'label': 'Mine', 'split': 'test', 'direction': 'up',
      'value': value, **fields})


def _judged(*metrics, tier=0):
  data = fakes.dataset()
  splits = fakes.splits(data)
  models = [fakes.logits(data, splits, seed) for seed in range(4)]
  result = run.evaluate(
      {'original': models[0], 'unlearned': models[1], 'retrained': models[2:]},
      data, splits, _QUICK, tier=tier, own=own_metrics.load(metrics))
  return {'kind': 'evaluation', 'schema': 1,
          'config': dataclasses.asdict(_QUICK), **result}, data, splits, models


def test_the_metric_of_the_page_is_fifteen_lines_and_what_it_says(brier):
  assert len([line for line in METRIC.splitlines() if line]) <= 15
  result, data, splits, models = _judged(brier)
  labels = data.labels[splits.test]
  exp = np.exp(models[1]['test'].astype(np.float64))
  exp /= exp.sum(1, keepdims=True)
  exp[np.arange(len(labels)), labels] -= 1
  record = tables.find_record(result, 'brier_test')
  cell = record['unlearned']
  assert np.isclose(cell['value'], np.square(exp).sum(1).mean())
  assert cell['low'] < cell['value'] < cell['high']
  assert record['unit'] == 'person' and not record['notes']
  assert (record['null']['low'], record['null']['high']) != (None, None)
  row, = (row for row in tables.summary_table(result).rows
          if row.key == 'brier_test')
  assert row.label == 'Brier score, test' and row.cells[1].value == (
      cell['value'])
  found = again.check(result, result['per_example'])
  assert found.left == ('brier_test',) and found.values > 100
  plain, *_ = _judged()
  assert [one for one in result['metrics'] if one is not record] == (
      plain['metrics'])  # the others are what they were


def test_one_of_tier_1_is_beside_the_retrained_models():
  def farther(inputs, model, references):
    return float(np.mean([
        np.abs(model.logits['forget'] - other.logits['forget']).mean()
        for other in references]))

  own = _of(farther, form=registry.SLOT, split='forget', tier=1)
  assert not tables.find_record(_judged(own)[0], 'mine')
  result, _, _, models = _judged(own, tier=1)
  apart = [np.abs(models[1]['forget'] - other['forget']).mean()
           for other in models[2:]]
  for table in (tables.reference_table(result), tables.brief_table(result)):
    row = next(row for row in table.rows if row.key == 'mine')
    assert np.isclose(row.cells[1].value, np.mean(apart))
  assert 'mine' not in result['verdicts']['forgetting']['metrics']


def test_what_a_function_cannot_say_has_a_reason():
  result, *_ = _judged(_of(lambda inputs, model: np.float32('nan')),
                       _of(lambda inputs, model: 3, name='three'))
  assert tables.find_cell(result, 'mine', 'unlearned').reason == 'it was nan'
  assert tables.find_cell(result, 'three', 'unlearned').value == 3


@pytest.mark.parametrize('value, sentence', [
    (lambda inputs, model: 1 / 0, 'Expected the metric mine to be computed, '
     'got ZeroDivisionError: division by zero.'),
    (lambda inputs: 1., 'got TypeError'),
    (lambda inputs, model: 'high', 'to give a number or an Estimate, got str'),
    (lambda inputs, model: np.zeros(3), 'got ndarray'),
    (lambda inputs, model: None, 'got NoneType')])
def test_a_function_that_fails_is_one_sentence(value, sentence):
  data = fakes.dataset(people=20)
  splits = fakes.splits(data)
  inputs = inputs_lib.prepare(
      {'unlearned': fakes.logits(data, splits, 0), 'retrained': []}, data,
      splits, run.EvaluationConfig(bootstrap=20))
  with pytest.raises(ValueError, match=re.escape(sentence)):
    run.records(inputs, *own_metrics.load([_of(value)]))


@pytest.mark.parametrize('fields, sentence', [
    ({'name': 'Mine/all'}, 'a name of small letters'),
    ({'name': 'mia_auc'}, 'a name that no other metric has'),
    ({'form': 'shadow'}, 'a form of single, gap, slot'),
    ({'split': None}, 'a split of retain'),
    ({'votes': ('forgetting', 1)}, 'no votes'),
    ({'members': lambda inputs: ['a']}, 'no members'),
    ({'tier': 4}, 'a tier from 0 to 3'),
    ({'margin': 'wide'}, 'a margin of the settings')])
def test_an_entry_that_cannot_be_added_is_refused(fields, sentence):
  with pytest.raises(ValueError, match=sentence):
    own_metrics.load([_of(lambda inputs, model: 1., **fields)])


def test_two_of_one_name_and_what_is_no_entry_are_refused(brier, tmp_path):
  with pytest.raises(ValueError, match='got brier_test twice'):
    own_metrics.load([brier, brier])
  with pytest.raises(ValueError, match='a registry.Metric in .* got function'):
    own_metrics.load([brier.replace('BRIER', 'brier')])


def test_a_change_of_the_file_is_another_metric(brier, tmp_path):
  first = own_metrics.load([brier])
  other = tmp_path / 'other.py'
  other.write_text(METRIC.replace('.sum(1)', '.sum(1) / 2'))
  second = own_metrics.load([f'{other}:BRIER'])
  assert own_metrics.mark(first) == own_metrics.mark(own_metrics.load(first))
  assert own_metrics.mark(first) != own_metrics.mark(second)
  assert own_metrics.mark([]) == ''
  nowhere = dataclasses.replace(first[0], value=Estimate)
  assert own_metrics.identity([nowhere]) == {'brier_test': None}
