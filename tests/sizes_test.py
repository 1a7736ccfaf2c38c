"""Parts of one to five images: every method, the evaluation, what is said.

The rows of all cases are those of one data set and its model, so that the
cases share their compiled programs.
"""

import dataclasses
import itertools

import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import (
  outputs as outputs_lib,
  recovery,
  registry,
  run,
)
from dlfd_jax.methods import live
from dlfd_jax.metrics import forgetting, stats
from dlfd_jax.pipeline import weakenings
from tests import grids
from tests.evaluation import fakes
from tests.methods import problems

SIZES = range(1, 6)
PARTS = {'retain': 0, 'forget': 20, 'val': 44, 'test': 68}  # where they begin
PEOPLE = ('each', 'one', 'unknown')
LABELS = ('mixed', 'one', 'absent')  # classes: of forget, val and test
KINDS = ('multiclass', 'multilabel')
NEED_MORE = ('margin_matching', 'regun', 'rum')
QUICK = run.EvaluationConfig(bootstrap=20, draws=1, permutations=20)


@dataclasses.dataclass(frozen=True)
class Case:
  method: str = 'dlfd'
  retain: int = 5
  forget: int = 1
  val: int = 5
  test: int = 5
  people: str = 'each'
  labels: str = 'mixed'
  kind: str = 'multiclass'

  def problem(self):
    model, data, variables = problems.memorised(self.kind)
    rows = {name: start + np.arange(getattr(self, name))
            for name, start in PARTS.items()}
    identity = np.arange(len(data), dtype=np.int32)
    if self.people == 'one':
      identity = np.digitize(identity, list(PARTS.values())).astype(np.int32)
    if self.people == 'unknown':
      identity[:] = -1
    labels = data.labels.copy()
    if self.labels != 'mixed':
      for name in ('forget', 'val', 'test'):
        labels[rows[name]] = int(
            self.labels == 'absent' and name == 'forget')
    data = dataclasses.replace(data, identity=identity, labels=labels)
    splits = splits_lib.Splits(**rows, by_person=self.people != 'unknown')
    return methods.Problem(model, variables, data, splits)


FACTORS = {'method': sorted(methods.METHODS), **dict.fromkeys(PARTS, SIZES),
           'people': PEOPLE, 'labels': LABELS, 'kind': KINDS}


def pairwise(factors):
  """Few cases in which every two values of two factors meet, greedily."""
  names = list(factors)

  def pairs(case):
    return set(itertools.combinations(case.items(), 2))

  open_pairs = {
      ((a, x), (b, y)) for a, b in itertools.combinations(names, 2)
      for x in factors[a] for y in factors[b]}
  cases = []
  rng = np.random.default_rng(0)
  while open_pairs:
    (a, x), (b, y) = min(open_pairs, key=repr)
    drawn = [{name: x if name == a else y if name == b else
              values[rng.integers(len(values))]
              for name, values in factors.items()} for _ in range(60)]
    best = max(drawn, key=lambda case: len(pairs(case) & open_pairs))
    open_pairs -= pairs(best)
    cases.append(Case(**best))
  return cases


def unlearn(case):
  """Runs a case and checks what holds of every one."""
  problem = case.problem()
  try:
    out = methods.unlearn(
        problem, problems.short(methods.METHODS[case.method]()),
        devices=problems.devices(1))
  except ValueError as error:  # too few for groups, or to be set aside
    assert case.method in NEED_MORE
    assert str(error).startswith('Expected at least'), error
    return None
  assert out.stop in ('finished', 'stop rule')
  assert all(np.isfinite(leaf).all() for leaf in problems.leaves(out.selected))
  rule, found = live.choose_rule(problem.dataset, problem.splits), out.findings
  if rule.kind != live.BALANCED:
    assert found['steering'] == rule.kind
    assert found['steering_reason'] == rule.because
    assert rule.because in weakenings.weakenings(
        problem.dataset, problem.splits)
  if min(case.forget, case.val) < stats.ENOUGH or case.people == 'one':
    assert rule.kind in (live.RANK, live.PASSES)
  if rule.kind == live.PASSES:
    assert out.selected_step == out.steps and 'last state' in out.reason
    assert {figures['forgetting_score'] for figures in out.history} == {None}
  return out


def evaluate(case):
  """Tiers 0 and 1 on logits at random; says what ``weakenings`` foretold."""
  problem = case.problem()
  data, splits = problem.dataset, problem.splits
  names = ('original', 'unlearned', 'retrained_0', 'retrained_1')
  logits = dict(zip(names, (fakes.logits(data, splits, seed, forget=forget)
                            for seed, forget in enumerate((9, 0, 0, 0)))))
  rng = np.random.default_rng(0)
  features = {name: {split: rng.normal(size=(len(rows), 4))
                     for split, rows in splits.parts.items()}
              for name in (*names, 'random')}
  found = run.evaluate(
      {'original': logits['original'], 'unlearned': logits['unlearned'],
       'retrained': [logits[name] for name in names[2:]]}, data, splits, QUICK,
      tier=1, references=run.References(
          features=features, random_logits=[logits['retrained_1']['forget']],
          relearned={name: [forgetting.RelearnTime(2 + i)] * 2
                     for i, name in enumerate(names)}))
  said = '\n'.join(weakenings.weakenings(data, splits))
  assert any(note.startswith('No intervals on') for note in found['notes']) is (
      'evaluate gives no intervals on' in said)
  assert recovery.NOT_RUN not in said  # evaluate may well run it
  people = {name: 1 if case.people == 'one' else getattr(case, name)
            for name in PARTS}
  people['unseen'] = people['test']
  for verdict, sides in outputs_lib.VERDICT_SIDES.items():
    few = any(people[side] < stats.ENOUGH for side in sides)
    assert (found['verdicts'][verdict]['verdict'] == stats.TOO_FEW) is few
    assert (f'evaluate on {verdict}: {stats.TOO_FEW}' in said) is few
  for record in found['metrics']:
    check_record(case, people, record, said)
  return found


def check_record(case, people, record, said):
  metric = registry.find(record['metric'])
  sides = metric.sides or (record['split'],)
  few = any(getattr(case, {'unseen': 'test'}.get(side, side), 9) < stats.ENOUGH
            for side in sides)
  # Relearning resamples seeds; the gaps of retrained models are their range.
  models = ('original', 'unlearned', 'retrained')[:2 + (
      metric.form != registry.GAP)]
  if few and metric.sample is None:
    assert [record[model]['low'] for model in models] == [None] * len(models), (
        record['metric'])
  if any(people.get(side, 9) < stats.ENOUGH for side in sides):
    assert record['verdict'] in (None, stats.TOO_FEW), record['metric']
    assert record['p_value'] is record['power'] is None
  reason = record['unlearned']['reason']
  if reason not in (None, *weakenings.NOT_OF_SPLITS):
    assert reason in said and metric.label in said, record['metric']


@pytest.mark.parametrize('case', [
    Case(retain=1, val=1, test=1), Case(val=1, labels='absent'),
    Case('rewind', labels='absent')])
def test_small_parts_run_and_are_judged_with_care(case):
  unlearn(case)
  evaluate(case)


@pytest.mark.parametrize('case', grids.some(pairwise(FACTORS), 64), ids=repr)
def test_every_two_sizes_methods_and_kinds_of_data_together(case):
  unlearn(case)
  evaluate(case)


def every(*names):
  """All cases of some factors."""
  return [Case(**dict(zip(names, values))) for values in itertools.product(
      *map(FACTORS.get, names))]


@pytest.mark.long
@pytest.mark.parametrize('method', sorted(methods.METHODS))
def test_every_size_with_every_method(method):
  for case in every('retain', 'forget', 'val'):
    unlearn(dataclasses.replace(case, method=method))


@pytest.mark.long
@pytest.mark.parametrize('people', PEOPLE)
def test_every_size_in_the_evaluation(people):
  for case in every('retain', 'forget', 'test'):  # val has an accuracy alone
    evaluate(dataclasses.replace(case, people=people))
