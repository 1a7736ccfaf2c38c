"""The search: its objective, its budget, its files."""

import numpy as np
import pytest

from dlfd_jax import presets
from dlfd_jax.utils import runs
from experiments.paper import sweep


def test_the_score_of_separable_losses_is_the_accuracy_alone():
  forget, val = np.zeros(50), np.ones(50)  # all members known: FS = 1
  found = sweep.score(.6, forget, val)
  assert found['auc'] == 1
  assert found['score'] == pytest.approx(.3, abs=.02)


def test_over_forgetting_costs_its_part_beside_the_forgetting_score():
  forget, val = np.ones(50), np.zeros(50)
  under = sweep.score(.6, val, forget)
  over = sweep.score(.6, forget, val)
  assert over['auc'] == 0
  assert over['score'] == pytest.approx(under['score'] - .5, abs=.02)


def test_equal_losses_score_half_of_accuracy_and_one():
  rng = np.random.default_rng(0)
  found = sweep.score(.6, rng.normal(size=4000), rng.normal(size=4000))
  assert found['score'] == pytest.approx(.8, abs=.04)


@pytest.mark.parametrize('times, more', [
    ([], True), ([1000], True), ([1000, 1], False), ([1, 1], True),
    ([40, 40, 40], False), ([1] * 8, False)])
def test_trials_end_by_their_number_or_by_time_but_two_always_run(times, more):
  tried = [{'time_s': time} for time in times]
  assert sweep.wants_more(tried, 8, 100) == more


def test_a_method_that_went_on_has_a_budget_of_its_own():
  def made(command, cap_s):
    return {'command': command, 'trials': 8, 'cap_s': cap_s}

  file = sweep.merge({}, {'kind': 'tuned'}, made('all', 9.), 'cf_k', {'n': 1})
  file = sweep.merge(file, {'kind': 'tuned'}, made('all', 9.), 'dlfd', {'n': 2})
  assert file == {'kind': 'tuned', **made('all', 9.),
                  'methods': {'cf_k': {'n': 1}, 'dlfd': {'n': 2}}}
  file = sweep.merge(file, {'kind': 'other'}, made('on', 30.), 'cf_k', {'n': 3})
  assert file['kind'] == 'tuned'
  assert file['command'] == 'all' and file['cap_s'] == 9.
  assert file['methods'] == {'dlfd': {'n': 2}, 'cf_k': {
      'n': 3, 'command': 'on', 'cap_s': 30.}}


@pytest.mark.slow
def test_a_search_is_resumed_and_its_values_make_a_preset(
    tmp_path, capsys, shared_compilations):
  out = tmp_path / 'out'
  out.mkdir()
  line = ['--tasks=demo', '--people=12', '--images_per_person=4',
          '--architecture=tests.models.own_nets:Own', '--image_size=16',
          '--epochs=1', '--devices=1',
          '--methods=neggrad', '--trials=2', f'--workdir={tmp_path / "runs"}',
          f'--out={out}']
  assert sweep.main(line) == 0
  first = runs.read_json(out / 'demo.json')
  found = first['methods']['neggrad']
  assert found['trials'] == 2
  assert found['score'] == max(t['score'] for t in found['tried'])
  tuned = presets.with_values(
      presets.STARTS['demo'], {'neggrad': found['values']})
  rate = tuned.methods['neggrad'].optimizer.learning_rate
  assert rate == found['values']['optimizer.learning_rate']
  assert sweep.main([*line[:-3], '--trials=3', *line[-2:]]) == 0
  again = runs.read_json(out / 'demo.json')['methods']['neggrad']
  assert again['tried'][:2] == found['tried'] and again['trials'] == 3
  capsys.readouterr()


@pytest.mark.parametrize('flags, sentence', [
    (['--methods=nothing'], 'Expected --methods of'),
    (['--tasks=nothing'], 'Expected --tasks of'),
    (['--data=a.npz,b.npz'], 'Expected --data to name 1 sources'),
    (['--out=nowhere'], 'Expected the folder nowhere of --out')])
def test_a_wrong_flag_is_one_sentence(flags, sentence, tmp_path, capsys):
  folder = tmp_path / 'w'
  assert sweep.main(
      [f'--workdir={folder}', f'--out={tmp_path}', *flags]) == 2
  assert sentence in capsys.readouterr().err
  assert not folder.exists()
