"""Tier 0's accuracies and their nulls."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.evaluation import inputs, utility
from dlfd_jax.metrics import accuracy, stats
from tests.evaluation import fakes

_QUICK = inputs.EvaluationConfig(bootstrap=400, permutations=20, draws=1)


def _prepare(task, known=True):
  data = fakes.dataset(task, people=40, known=known)
  splits = fakes.splits(data, by_person=known)
  logits = fakes.logits(data, splits, 1)
  return inputs.prepare({'unlearned': logits}, data, splits, _QUICK)


@pytest.mark.parametrize('task', [fakes.CLASSES, fakes.ATTRIBUTES])
def test_values_are_those_of_the_plain_functions(task):
  prepared = _prepare(task)
  model = prepared.unlearned
  got = utility.estimates(prepared, model)
  for split in utility.SPLITS:
    expected = accuracy.accuracy(
        task, model.logits[split], prepared.parts[split].labels).value
    assert got[f'accuracy_{split}'].value == expected
  assert set(got) == set(utility.nulls(prepared))


def test_metrics_of_each_kind_of_task():
  names = [m.name for m in utility.metrics(fakes.ATTRIBUTES, _QUICK)]
  assert names[4:] == [
      'exact_match_test', 'balanced_accuracy_test/x',
      'balanced_accuracy_test/y', 'balanced_accuracy_test/z']
  assert [m.name for m in utility.metrics(fakes.CLASSES, _QUICK)][4:] == [
      'top2_accuracy_test']
  two = tasks.Task('multiclass', ('a', 'b'))
  assert len(utility.metrics(two, _QUICK)) == 4


def test_selection_data_decide_nothing():
  margins = {m.name: m.margin for m in utility.metrics(fakes.CLASSES, _QUICK)}
  assert margins['accuracy_val'] is None
  assert margins['accuracy_test'] == _QUICK.accuracy_margin


def test_interval_without_people_is_wilson_s():
  prepared = _prepare(fakes.CLASSES, known=False)
  got = utility.estimates(prepared, prepared.unlearned)['accuracy_test']
  n = len(prepared.parts['test'])
  cell = got.cell()
  np.testing.assert_allclose(
      (cell.low, cell.high), stats.wilson(round(got.value * n), n))


def test_interval_with_people_is_their_bootstrap():
  prepared = _prepare(fakes.CLASSES)
  got = utility.estimates(prepared, prepared.unlearned)['accuracy_test']
  assert got.interval is None
  part = prepared.parts['test']
  right = (prepared.unlearned.logits['test'].argmax(-1) == part.labels)
  by_hand = prepared.bootstrap(
      lambda weights: weights @ right / weights.sum(1), 'test')
  np.testing.assert_allclose(got.replicates, by_hand)


def test_a_split_that_was_not_run_says_so():
  prepared = _prepare(fakes.CLASSES)
  model = dataclasses.replace(prepared.unlearned, logits={})
  got = utility.estimates(prepared, model)['accuracy_val']
  assert got.reason == 'no logits on val'


def test_nulls_are_constant_guesses():
  prepared = _prepare(fakes.CLASSES)
  counts = np.bincount(prepared.parts['test'].labels)
  nulls = utility.nulls(prepared)
  assert nulls['accuracy_test'].value == counts.max() / counts.sum()
  assert nulls['top2_accuracy_test'].value == (
      np.sort(counts)[-2:].sum() / counts.sum())
  assert utility.nulls(_prepare(fakes.ATTRIBUTES))[
      'balanced_accuracy_test/x'].value == .5
