"""Tables 1 to 3 from their flags to their files."""

import dataclasses

import pytest
from absl import flags

from dlfd_jax import methods, presets
from dlfd_jax.evaluation import own_metrics, registry
from dlfd_jax.utils import configs, runs
from experiments.paper import grid, study, table1, table2, table3
from experiments.publish import leaderboard
from tests import tiny


def _task(preset='demo'):
  return study.Task(preset, preset, presets.STARTS[preset])


def test_table_1_has_every_method_and_some_of_them_restored():
  assert set(table1.METHODS) - {'restore_finetune', 'restore_eu_k', 'restore_ct'
                                } == set(methods.METHODS) - {'restore'}
  assert set(table1.PAPER) <= set(table1.METHODS)


def test_the_best_on_val_and_those_of_the_paper_run_on_all_seeds():
  searches = {name: {'score': score} for name, score in (
      ('ct', .1), ('dlfd', -.9), ('msg', .3), ('ssd', .2))}
  assert table1.keep(searches, 2) == ['dlfd', 'msg', 'ssd']
  assert table1.keep(searches, 0) == ['dlfd']
  assert table1.keep(searches, 1, own=['ct']) == ['ct', 'dlfd', 'msg']


@pytest.mark.parametrize('label', table1.RULES)
def test_the_other_rule_changes_the_rule_alone(label):
  config = presets.STARTS['demo'].methods[label]
  row = table1.Row(label, label, 'T', config)
  other = table1.other_rule(row)
  assert other.rule and other.title == 'T, `best`'
  assert configs.replace(other.config, {table1.RULES[label]: 'one_se'}) == (
      config)


def test_table_3_changes_one_thing_a_row():
  ours = presets.STARTS['fgnet_age'].methods['dlfd']
  found = table3.variants(ours)
  assert found['dlfd'][1] == ours
  for label, (_, config) in found.items():
    changed = [f.name for f in dataclasses.fields(config)
               if getattr(config, f.name) != getattr(ours, f.name)]
    two = label in ('loss_off', 'passes_slow')
    assert len(changed) == (0 if label == 'dlfd' else 1 + two), (label, changed)


@pytest.mark.parametrize('preset', ['demo', 'fgnet_age'])
def test_the_ramp_row_is_the_other_way(preset):
  ours = presets.STARTS[preset].methods['dlfd']
  _, other = table3.variants(ours)['ramp']
  ramped = ours.ce_weight_start != ours.ce_weight_end
  assert (other.ce_weight_start != other.ce_weight_end) != ramped


def test_the_row_without_moved_images_trains_as_dlfd_does():
  row, longer = table3.rows_of(_task())[-2:]
  ours = presets.STARTS['demo'].methods['dlfd']
  assert row.method == 'finetune'
  assert (row.config.epochs, row.config.optimizer, row.config.augment) == (
      ours.epochs, ours.optimizer, ours.augment)
  assert longer.config == dataclasses.replace(
      row.config, epochs=3 * ours.epochs)


def test_another_architecture_has_its_own_folder():
  task = _task()
  assert table2.on(task, 'resnet18') is task


_TINY = ['--tasks=demo', '--people=12', '--images_per_person=4',
         '--architecture=tests.models.own_nets:Own', '--image_size=16',
         '--epochs=1', '--devices=1', '--bootstrap=20']


@pytest.mark.long
def test_a_table_is_searched_judged_and_resumed(
    tmp_path, capsys, shared_compilations):
  line = [*_TINY, f'--workdir={tmp_path / "runs"}', '--people=40',
          '--methods=neggrad,restore_finetune', f'--out={tmp_path / "t"}',
          '--seeds=2', '--trials=2', '--best=0']
  assert table1.main(line) == 0
  first = runs.read_json(tmp_path / 't.json')
  assert [(c['model'], c['seed']) for c in first['cells']] == [
      ('original', 0), ('retrained', 0), ('neggrad', 0),
      ('restore_finetune', 0), ('original', 1), ('retrained', 1),
      ('neggrad', 1)]
  for cell in first['cells']:
    assert 0 <= cell['metrics']['gap']['value'] <= 1
    assert cell['metrics']['lira_auc_two_sided']['value'] is not None
    assert cell['time_share'] > 0
  assert [len(c['references']) for c in first['cells']
          if c['model'] == 'retrained'] == [4, 4]
  assert len(first['cells'][1]['scores']) == 4
  assert all(-2 <= score <= 1 for score in first['cells'][1]['scores'])
  (search,) = first['searches'].values()
  assert {of['trials'] for of in search.values()} == {2}
  assert 'Partial' not in (tmp_path / 't.md').read_text()
  stamps = {p: p.stat().st_mtime_ns
            for p in (tmp_path / 'runs').rglob('result.json')}
  assert table1.main(line) == 0  # nothing is run again
  assert runs.read_json(tmp_path / 't.json')['cells'] == first['cells']
  assert stamps == {p: p.stat().st_mtime_ns
                    for p in (tmp_path / 'runs').rglob('result.json')}
  leaderboard.find([str(tmp_path / 't.json')])  # the schema that it states
  capsys.readouterr()


@pytest.mark.long
def test_a_grid_is_resumed_cell_by_cell(tmp_path, shared_compilations):
  values = flags.FlagValues()
  study.define(values, ['demo'])
  values(['program', *_TINY[:-1]])
  (task,) = study.tasks_of(values)
  one = study.open_study(
      task, 0, tmp_path, devices=tiny.devices(), hooks=[], command='x')
  rows = grid.methods_of(task, ['neggrad', 'cf_k'])
  own = own_metrics.load([registry.Metric(
      name='mine', label='Mine', split='test', direction='up',
      value=lambda inputs, model: len(model.logits['test']))])
  first = grid.run_study(one, rows, 20, probes=True, references=1, own=own)
  for cell in first:
    assert cell['metrics']['mine']['value'] == len(one.splits.test)
  assert [cell['model'] for cell in first] == [
      'original', 'retrained', 'null', 'neggrad', 'cf_k']
  assert 0 <= first[3]['metrics']['probe_label_test']['value'] <= 1
  stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('result.json')}
  assert grid.run_study(
      one, rows, 20, probes=True, references=1, own=own) == first
  assert stamps == {p: p.stat().st_mtime_ns
                    for p in tmp_path.rglob('result.json')}
  cost = runs.read_json(next(tmp_path.rglob('costs/cf_k-*.json')))
  assert set(cost) == {
      'train', 'check', 'prepare', 'choose', 'stages', 'finetune'}
  assert all(seconds > 0 for seconds in cost.values())
  for path in stamps:
    if 'evaluation' in str(path):
      assert (path.parent / 'features.npz').is_file()
      # One reference serves all rows.
      assert len(runs.read_json(path)['models']['retrained']) == 2


@pytest.mark.parametrize('main, flags, sentence', [
    (table1.main, ['--methods=nothing'], 'Expected a method of'),
    (table1.main, ['--methods=a.py:Mine,finetune,b.py:Mine'],
     'whose classes differ in name, got a.py:Mine and b.py:Mine'),
    (table2.main, ['--methods=dlfd,b.py:dlfd'], 'got dlfd and b.py:dlfd'),
    (table2.main, ['--architectures=nothing'], 'Expected --architectures of'),
    (table2.main, ['--architecture=resnet18'], 'not --architecture'),
    (table3.main, ['--tasks='], 'Expected --tasks of')])
def test_a_wrong_flag_is_one_sentence(main, flags, sentence, tmp_path, capsys):
  folder = tmp_path / 'w'
  assert main([f'--workdir={folder}', f'--out={tmp_path / "t"}', *flags]) == 2
  assert sentence in capsys.readouterr().err
  assert not folder.exists()
