"""RUM: scores, groups, and the stages that forget one group after the other."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from dlfd_jax import checkpoint, methods, training as train
from dlfd_jax.methods import finetune, random_labels, rum, run as run_lib
from dlfd_jax.report import answers
from dlfd_jax.utils import runs
from tests.methods import problems, steps

FAST = train.OptimizerConfig(learning_rate=0.02)
ALIKE = {'batch_size': 8, 'check_every': 1, 'optimizer': FAST}


def config(**fields):
  """Nothing; one epoch on retain, 3 steps; one with wrong labels, 4 steps."""
  return rum.RumConfig(**{
      'medium': finetune.FinetuneConfig(epochs=1, **ALIKE),
      'high': random_labels.RandomLabelsConfig(epochs=1, **ALIKE), **fields})


def with_people(problem, people):
  """The problem with these persons on its forget images."""
  identity = problem.dataset.identity.copy()
  identity[problem.splits.forget] = people
  return dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, identity=identity))


def run(method, problem=None, **options):
  return methods.unlearn(problem or problems.flat(), method,
                         devices=problems.devices(), **options)


def give(monkeypatch, problem, variables, **fields):
  """Lets every folder hold these variables."""
  monkeypatch.setattr(checkpoint, 'load_model', lambda folder: (
      checkpoint.SavedModel(**{
          'variables': variables, 'config': None, 'task': problem.task,
          'image_size': problem.dataset.image_size, **fields})))


def test_images_are_cut_by_rank_and_ties_by_their_order():
  scores = np.array([5., 1, 1, 1, 9, -3, 2])
  assert rum.cut(scores, np.arange(7), 3).tolist() == [2, 0, 1, 1, 2, 0, 1]
  assert rum.cut(np.zeros(3), np.arange(3), 3).tolist() == [0, 1, 2]
  assert np.bincount(rum.cut(scores, np.arange(7), 2)).tolist() in (
      [3, 4], [4, 3])


def test_what_has_no_label_is_remembered_least():
  assert rum.cut(
      np.array([-7., np.nan, 3]), np.arange(3), 3).tolist() == [1, 0, 2]


def test_people_stay_whole_and_every_group_has_one():
  rng = np.random.default_rng(0)
  for _ in range(200):
    n = int(rng.integers(3, 30))
    units = np.unique(rng.integers(0, rng.integers(3, 12), n),
                      return_inverse=True)[1]
    if units.max() < 2:
      continue
    scores = rng.normal(size=n)
    group = rum.cut(scores, units, 3)
    of_unit = [set(group[units == unit]) for unit in range(units.max() + 1)]
    assert all(len(found) == 1 for found in of_unit)
    assert set(group) == {0, 1, 2}
    means = np.bincount(units, scores) / np.bincount(units)
    first, second, third = (
        means[[k in found for found in of_unit]] for k in range(3))
    assert first.max() <= second.min() and second.max() <= third.min()


def test_a_persons_place_is_the_mean_of_known_images():
  scores = np.array([0., 9, np.nan, 1, 1, 2, 8])
  units = np.array([0, 0, 1, 1, 2, 3, 3])
  # Means 4.5, 1, 1, 5; equal ones in the order of units; 2, 1, 2, 2 images.
  assert rum.cut(scores, units, 3).tolist() == [1, 1, 0, 0, 1, 2, 2]


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_scores_by_hand(kind, monkeypatch):
  problem = problems.flat(kind)
  rows, labels = problem.splits.forget, problem.dataset.labels
  if kind == 'multilabel':
    labels[rows[3]] = -1
  other = dict(problem.original)
  other['params'] = {
      name: {key: leaf * np.float32(.5) for key, leaf in layer.items()}
      for name, layer in problem.original['params'].items()}
  give(monkeypatch, problem, other)
  setting = problems.setting(problem)

  def answers(variables):
    logits = np.float64(problem.model.apply(
        variables, problems.pixels(problem.dataset, rows), train=False).logits)
    if kind == 'multilabel':
      on = 1 / (1 + np.exp(-logits))
      return np.stack([1 - on, on], -1)
    e = np.exp(logits)
    return (e / e.sum(1, keepdims=True))[:, None]  # [n, 1, classes]

  p, q = answers(problem.original), answers(other)
  each = (p * np.log(p / q) + q * np.log(q / p)).sum(-1).mean(1) / 2
  y = labels[rows].reshape(len(rows), -1)
  right = -np.log(np.take_along_axis(
      p, np.maximum(y, 0)[..., None], -1))[..., 0]
  losses = (right * (y >= 0)).sum(1) / np.maximum((y >= 0).sum(1), 1)
  unknown = (y < 0).all(1)
  assert unknown.sum() == (kind == 'multilabel')
  for options, wanted in (
      (config(), losses),
      (config(proxy='heldout', retrained='other'), each)):
    np.testing.assert_allclose(
        options.scores(setting), np.where(unknown, np.nan, wanted), rtol=1e-4)


def group_rows(problem, options):
  return options.groups(problem, options.scores(problems.setting(problem)))


def test_each_group_is_forgotten_from_the_result_of_the_one_before():
  problem, options = problems.flat(), config()
  groups, out = group_rows(problem, options), run(config())
  assert out.stop == 'finished' and out.steps == 3 + 4
  splits = dataclasses.replace(problem.splits, forget=groups['medium'])
  first = run(options.medium, dataclasses.replace(problem, splits=splits))
  second = run(options.high, dataclasses.replace(
      problem, splits=dataclasses.replace(splits, forget=groups['high']),
      original=first.selected))
  assert problems.same(second.last, out.last)
  assert problems.same(second.selected, out.selected)
  assert out.history == first.history + [
      {**figures, 'step': figures['step'] + 3} for figures in second.history]
  stages = out.findings['stages']
  assert [(s['group'], s['method'], s['steps']) for s in stages] == [
      ('medium', 'Fine-tuning', 3), ('high', 'Random labels', 4)]
  assert stages[1]['original_mia_auc'] == second.history[0]['mia_auc']


def test_the_findings_are_of_all_of_forget():
  problem, options = problems.flat(), config()
  found = run(options).findings
  whole = run(options.medium).findings
  assert found['attack_sizes'] == whole['attack_sizes']
  assert found['original_mia_auc'] == whole['original_mia_auc']
  groups = group_rows(problem, options)
  assert {name: (of['images'], of['method'])
          for name, of in found['groups'].items()} == {
              'low': (8, 'nothing'), 'medium': (8, 'Fine-tuning'),
              'high': (8, 'Random labels')}
  assert sorted(np.concatenate(list(groups.values()))) == (
      problem.splits.forget.tolist())
  scores = [of['mean_score'] for of in found['groups'].values()]
  assert scores == sorted(scores)
  met = [stage['select_threshold_met'] for stage in found['stages']]
  # Whoever is left as they were is judged by no stage.
  assert found['select_threshold_met'] is (None if all(met) else False)
  every = run(dataclasses.replace(options, low=options.medium)).findings
  met = [stage['select_threshold_met'] for stage in every['stages']]
  assert len(met) == 3 and every['select_threshold_met'] == all(met)
  said = answers.before_after({
      'findings': {**found, 'attack_blind_to_original': False},
      'history': [{'step': 7, 'mia_auc': .123}], 'selected_step': 7})
  assert f'-> {found["mia_auc"]:.3f} (a guess: 0.5)' in said


def test_a_stage_whose_attack_is_blind_makes_the_run_blind():
  out = run(config())
  stages = [dataclasses.replace(out, findings=more | {
      'select_threshold_met': True}) for more in (
          {}, {'attack_blind_to_original': True})]
  found = run_lib._joined(stages, config(), {}).findings
  assert found['attack_blind_to_original'] and found['select_threshold_met']
  assert 'cannot tell' in answers.of_run({'findings': found})[0].because
  assert 'attack_blind_to_original' not in run_lib._joined(
      stages[:1], config(), {}).findings


def test_it_says_whose_images_are_torn_apart_and_by_person_none_are():
  people = np.repeat(np.arange(200, 208), 3)
  problem = with_people(problems.flat(), people)
  torn = run(config(), problem).findings
  groups = group_rows(problem, config())
  of_person = [set() for _ in range(8)]
  for name, rows in groups.items():
    for row in rows:
      of_person[problem.dataset.identity[row] - 200].add(name)
  count = sum(len(found) > 1 for found in of_person)
  assert torn['people_in_several_groups'] == count > 0
  assert f'{count} of 8 people' in torn['grouping']
  whole = run(config(by='person'), problem).findings
  assert whole['people_in_several_groups'] == 0 and 'grouping' not in whole
  assert sum(of['people'] for of in whole['groups'].values()) == 8


@pytest.mark.parametrize('pending', [False, True])
def test_groups_that_wait_are_trained_on_only_if_asked(pending):
  problem = problems.flat()
  options = config(pending=pending, low=finetune.FinetuneConfig(**ALIKE))
  setting = problems.setting(problem)
  groups = group_rows(problem, options)
  waiting = [['medium', 'high'], ['high'], []]
  for stage, later in zip(options.stages, waiting, strict=True):
    splits = stage.setting_of(setting).problem.splits
    expected = [problem.splits.retain, *(
        groups[name] for name in later if pending)]
    assert set(splits.retain) == set(np.concatenate(expected))


@pytest.mark.parametrize('where', [2, 3, 5])  # in each group, and between
def test_it_goes_on_in_the_group_where_it_was_stopped(where, tmp_path):
  def stop(event):
    if event['event'] == 'tick' and event['step'] == where:
      os.kill(os.getpid(), signal.SIGTERM)

  whole, taken = run(config()), []
  for hooks in ([stop], [taken.append]):
    saver = checkpoint.LoopCheckpoints(tmp_path)
    log = runs.MetricsLog(tmp_path / runs.METRICS)
    found = run(config(), checkpoints=saver, hooks=hooks, log=log)
    saver.close()
  ticks = [e['step'] for e in taken if e['event'] == 'tick']
  assert ticks == list(range(where + 1, 8))
  assert problems.same(whole.selected, found.selected)
  assert (whole.history, whole.findings) == (found.history, found.findings)


def test_labels_of_one_group_alone_are_changed():
  """A method that rewrites labels of forget sees its own group there."""
  problem = problems.flat()
  options = config(low=None, medium=None, high=random_labels.RandomLabelsConfig(
      batch_size=8, epochs=1, optimizer=steps.PLAIN))
  stage, = options.stages
  plan = stage.plan(stage.setting_of(problems.setting(problem)))
  rows = np.concatenate([
      plan.batches.batch(step).index for step in range(plan.length(
          options.high))])
  assert set(rows) == {*problem.splits.retain, *group_rows(
      problem, options)['high']}


def test_fewer_people_or_images_than_groups_are_refused():
  problem = problems.flat(forget=2)
  with pytest.raises(ValueError, match='at least 3 images to forget.*got 2'):
    run(config(), problem)
  two = with_people(problems.flat(), np.resize([200, 201], 24))
  with pytest.raises(ValueError, match='at least 3 people to forget.*got 2'):
    run(config(by='person'), two)


def test_a_retrained_model_that_is_none_is_refused(monkeypatch, tmp_path):
  problem = problems.flat()
  options = config(proxy='heldout', retrained=str(tmp_path / 'no'))
  with pytest.raises(FileNotFoundError, match='Expected a saved model'):
    run(options, problem)
  give(monkeypatch, problem, problem.original, task=problems.task(outputs=4))
  with pytest.raises(ValueError, match='retrained model of the same task'):
    run(options, problem)
  give(monkeypatch, problem, {**problem.original, 'batch_stats': {}})
  with pytest.raises(ValueError, match='of the retrained model to be'):
    run(options, problem)


@pytest.mark.parametrize('fields, match', [
    ({'medium': None, 'high': None}, 'at least one group of RUM, got nothing'),
    ({'high': rum.RumConfig()}, 'runs no other in RumConfig, got RumConfig'),
    ({'proxy': 'age'}, "proxy in .*got 'age'"),
    ({'by': 'class'}, "by in .*got 'class'"),
    ({'pending': 1}, 'pending to be True or False, got 1'),
    ({'proxy': 'heldout'}, "with the proxy 'heldout' and with no other"),
    ({'retrained': 'there'}, "got 'there' with 'loss'")])
def test_bad_fields_are_refused(fields, match):
  with pytest.raises(ValueError, match=match):
    rum.RumConfig(**fields)
