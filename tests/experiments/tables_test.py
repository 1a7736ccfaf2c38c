"""Tables 1 to 3 from their flags to their files."""

import dataclasses
import pathlib

import pytest

from dlfd_jax import methods, presets
from dlfd_jax.utils import runs
from experiments.paper import study, table1, table2, table3


def _task(preset='demo'):
  return study.Task(preset, preset, presets.STARTS[preset])


def test_table_1_has_every_method_but_the_bare_wrapper():
  rows = table1.rows_of(_task(), table1.METHODS)
  assert {row.method for row in rows} == set(methods.METHODS) - {
      'restore', 'rewind'}


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


@pytest.mark.slow
def test_a_table_is_resumed_cell_by_cell(
    tmp_path, capsys, shared_compilations):
  line = [*_TINY, f'--workdir={tmp_path / "runs"}', '--methods=neggrad,cf_k',
          f'--out={tmp_path / "t"}', '--seeds=1', '--probes',
          '--references=1']
  assert table1.main(line) == 0
  first = runs.read_json(tmp_path / 't.json')
  names = [(c['model'], c['seed']) for c in first['cells']]
  assert names == [(m, 0) for m in (
      'original', 'retrained', 'null', 'neggrad', 'cf_k')]
  probe = first['cells'][3]['metrics']['probe_label_test']['value']
  assert 0 <= probe <= 1
  stamps = {p: p.stat().st_mtime_ns
            for p in (tmp_path / 'runs').rglob('result.json')}
  assert table1.main(line) == 0  # nothing is run again
  assert runs.read_json(tmp_path / 't.json')['cells'] == first['cells']
  assert stamps == {p: p.stat().st_mtime_ns
                    for p in (tmp_path / 'runs').rglob('result.json')}
  cost = runs.read_json(next((tmp_path / 'runs').rglob('costs/cf_k-*.json')))
  assert set(cost) == {'train', 'check', 'prepare', 'choose', 'finetune'}
  assert all(seconds > 0 for seconds in cost.values())
  evaluated = [p for p in stamps if 'evaluation' in str(p)]
  assert all((pathlib.Path(p).parent / 'features.npz').is_file()
             for p in evaluated)
  for path in evaluated:  # one reference serves all rows
    assert len(runs.read_json(path)['models']['retrained']) == 2
  capsys.readouterr()


@pytest.mark.parametrize('main, flags, sentence', [
    (table1.main, ['--methods=nothing'], 'Expected a method of'),
    (table2.main, ['--architectures=nothing'], 'Expected --architectures of'),
    (table2.main, ['--architecture=resnet18'], 'not --architecture'),
    (table3.main, ['--tasks='], 'Expected --tasks of')])
def test_a_wrong_flag_is_one_sentence(main, flags, sentence, tmp_path, capsys):
  folder = tmp_path / 'w'
  assert main([f'--workdir={folder}', f'--out={tmp_path / "t"}', *flags]) == 2
  assert sentence in capsys.readouterr().err
  assert not folder.exists()
