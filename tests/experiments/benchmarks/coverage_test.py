"""Intervals hold about as often as they say, in a few cells."""

import pytest

from experiments.benchmarks import coverage


def test_two_people_have_no_interval(monkeypatch):
  monkeypatch.setattr(coverage, '_FEW', 1)
  rows = [*coverage.single_rows(1, (2,)), *coverage.difference_rows(1, (2,))]
  assert len(rows) > 20
  assert all(row['coverage'] is None for row in rows)


@pytest.mark.long
@pytest.mark.parametrize('people, least', [(5, .88), (13, .90)])
def test_intervals_of_one_model(people, least):
  for row in coverage.single_rows(150, (people,)):
    if row['metric'] != coverage.WITHHELD and row['coverage'] is not None:
      assert row['coverage'] >= least, row


def test_differences_hold_with_and_without_seed_noise():
  for row in coverage.difference_rows(40, (13,)):
    if row['retrained'] > 1:
      assert row['coverage'] >= .85, row


def test_differences_of_voters_hold_0(monkeypatch):
  monkeypatch.setattr(coverage, '_VOTERS', ((13,), (5,)))
  rows = list(coverage.voter_rows(2))
  assert {row['metric'] for row in rows} >= {
      'gap_accuracy_test', 'reference_attack_two_sided', 'rmia_auc'}
  assert all(row['coverage'] is not None for row in rows)


@pytest.mark.parametrize('trace', [0.0, 1.0])
def test_figures_of_shadow_models_see_a_trace(trace):
  found = coverage._collect(
      lambda rng: coverage.by_shadows(rng, 30, trace), 1, 5)
  u_lira, = found['u_lira_auc', 'figure']
  away, = found['u_lira_auc', 'difference to its null']
  assert (u_lira.value > .8) == bool(trace)
  assert (away.low > 0) == bool(trace)


@pytest.mark.parametrize('leak', coverage.LEAKS)
def test_truths_are_those_of_many_people(leak):
  found = coverage._collect(  # of one large sample
      lambda rng: coverage.one_model(rng, 400, 4, leak), 1, 5)
  for name, truth in coverage.truths(leak, 4, 5000).items():
    assert found[name][0].value == pytest.approx(truth, abs=.05), name
