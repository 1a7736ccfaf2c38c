"""Teachers of restore: those without a run, their cost, and the verdict."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from dlfd_jax.methods import base, dlfd, finetune, restore
from dlfd_jax.utils import runs
from experiments.benchmarks import teacher_stages, teachers
from tests.methods import problems, steps


def test_the_student_is_drawn_to_the_mean_of_the_images_class():
  problem = problems.problem()
  pair = problems.batch(problem.splits)
  config = teacher_stages.ClassMeans(
      batch_size=8, batch_norm='frozen', optimizer=steps.PLAIN, weight=2.0)
  setting = base.Setting.of(problem, problems.devices(), method=config)
  plan = config.plan(setting)
  new, _ = steps.take(plan.steps[restore.JOINT], problem, pair, steps.PLAIN,
                      {**plan.constants, 'weight': 2.0})
  labels, unseen = problem.dataset.labels, setting.held_out.rows
  assert set(unseen) < set(problem.splits.val)
  assert not set(unseen) & set(setting.problem.splits.val)
  answers = jax.nn.softmax(steps.logits_of(
      problem, problem.original['params'],
      problems.pixels(problem.dataset, unseen)))
  kept, gone = (side.index for side in (pair.retain, pair.forget))
  means = np.stack([answers[labels[unseen] == y].mean(0) for y in labels[gone]])
  of_kept, of_gone = (
      problems.pixels(problem.dataset, rows) for rows in (kept, gone))

  def loss(params):
    return steps.mean_loss(
        problem, params, of_kept, labels[kept], np.ones(len(kept))
    ) + 2.0 * steps.mean_kl(problem, params, of_gone, np.ones(len(gone)), 1.0,
                            np.log(means))

  expected = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5


@pytest.mark.parametrize('stage, moved', [
    (teacher_stages.Nobody, False), (teacher_stages.Untrained, True)])
def test_nobody_teaches_nothing_and_an_untrained_network_something(
    stage, moved):
  problem = problems.problem()
  pair = problems.batch(problem.splits)
  config = stage(batch_size=8, batch_norm='frozen', optimizer=steps.PLAIN)
  plan = config.plan(problems.setting(problem))
  found, alone = (steps.take(
      restore.make_step(problem.model, problem.task, config), problem, pair,
      steps.PLAIN, {**plan.constants, 'weight': weight})[0]
                  for weight in (config.weight, 0.0))
  assert problems.same(found.params, alone.params) != moved
  fresh = problems.same(plan.constants['teacher'], problem.original)
  assert fresh != moved


def test_passes_count_forward_and_backward():
  ours = dlfd.DLFDConfig(perturb_steps=3)
  assert teachers.passes(ours, dlfd.DISTANCE) == pytest.approx(13 / 3)
  assert teachers.passes(ours, dlfd.FINETUNE) == 1
  assert teachers.passes(
      restore.StageConfig(), restore.JOINT) == pytest.approx(7 / 3)


def test_what_a_run_of_two_stages_took():
  problem = problems.problem(retain=20)
  config = restore.RestoreConfig(
      method=finetune.FinetuneConfig(batch_size=10, epochs=2),
      restore=restore.StageConfig(batch_size=4, epochs=1))
  world = teachers.World(
      None, None, problem.splits, (), None)  # type: ignore
  record = {'time': {  # without the first step of a phase
      'compile_s': {'finetune': 1.0, 'restore': 1.0},
      'phase_steps': {'finetune': 3, 'restore': 4}}}
  assert teachers.spent(world, config, record) == pytest.approx(2 + 7 / 3)


def cells(**gaps):
  return [{'model': name, 'seed': seed, 'passes': 1.0, 'epochs': 1,
           'figures': {**dict.fromkeys(teachers.COLUMNS, .6), 'gap': gap}}
          for name, of in gaps.items() for seed, gap in enumerate(of)] + [{
              'model': 'left_out', 'seed': 0, 'each': [
                  dict.fromkeys(teachers.COLUMNS, .01)]}]


@pytest.mark.parametrize('ours, word, said', [
    ((.1, .2, .3), 'nearer', 'DLFD earns its place over fine-tuning on every'),
    ((.3, .4, .5), 'farther', 'does not earn .* gap is larger than that of'),
    ((.1, .4, .3), 'no difference', 'does not earn .* gap ties with')])
def test_the_verdict_is_that_of_the_paired_interval(ours, word, said):
  found = cells(dlfd=ours, dlfd_again=ours, dlfd_alone=ours,
                finetune=(.2, .3, .41), finetune_short=(.3, .4, .51))
  assert teachers.verdict(
      teachers.paired(found, 'dlfd', 'finetune', 'gap')) == word
  page = teachers.markdown({
      'worlds': [{'world': 'w', 'title': 'W', 'about': 'seeds.', 'seeds': 3,
                  'cells': found, 'missing': [['finetune', 7]]}],
      'command': 'c', 'device': 'cpu', 'versions': {'jax': '1'}})
  assert re.search(said, page)
  assert 'Partial: not run yet are fine-tuning on 1 seed.' in page


@pytest.mark.parametrize('short, again', [
    ((.1, .21, .29), (.1, .2, .3)), ((.3, .4, .51), (.2, .31, .4))])
def test_both_amounts_of_fine_tuning_must_be_farther_and_again(short, again):
  found = cells(dlfd=(.1, .2, .3), dlfd_again=again, finetune=(.2, .3, .41),
                finetune_short=short)
  assert 'does not earn' in teachers.sentence([{'title': 'W', 'cells': found}])
  one = [cell for cell in found if cell['seed'] == 0]
  assert teachers.sentence([{'title': 'W', 'cells': one}]).startswith(
      'Too few seeds')


def test_references_that_seeds_share_count_once():
  found = [{'model': 'left_out', 'seed': seed, 'each': [{'gap': gap}] * 2}
           for seed, gap in enumerate((.1, .1, .4))]
  np.testing.assert_allclose(
      teachers.left_out(found, 'gap'), [.1, .1, .4, .4])


def test_an_attack_is_judged_by_its_distance_to_guessing():
  assert teachers.far('reference_attack_person', .4) == pytest.approx(.1)
  assert teachers.far('gap', .4) == .4


@pytest.mark.long
def test_the_program_runs_what_is_missing_and_shows_what_is_there(
    tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(teachers, 'SMALL', dataclasses.replace(
      teachers.SMALL, people=60))
  monkeypatch.setattr(teachers, 'SMALL_REFERENCES', 3)

  def page(*flags):
    assert teachers.main([
        f'--workdir={tmp_path}/runs', f'--out={tmp_path}/teachers',
        '--worlds=small', '--seeds=1', *flags]) == 0
    return capsys.readouterr().out

  first = page('--teachers=finetune')
  assert '| fine-tuning |' in first and 'Partial' not in first
  cells = {path: path.read_bytes() for path in tmp_path.glob('runs/*/0/*.json')}
  assert {path.stem for path in cells} == {
      'original', 'left_out', 'dlfd_alone', 'finetune'}
  monkeypatch.setattr(teachers.unlearn, 'unlearn', None)  # nothing runs again
  second = page('--teachers=finetune,dlfd', '--norun')
  assert 'Partial: not run yet are DLFD on 1 seed.' in second
  assert cells == {path: path.read_bytes() for path in cells}
  original = runs.read_json(tmp_path / 'runs/small/0/original.json')['figures']
  assert original['mia_auc_matched'] > .7 > original['accuracy_test']
