"""Any data are a task; a forget set of their own is used, else one is drawn."""

import dataclasses
import pathlib

import numpy as np
import pytest
from absl import flags
from PIL import Image

from dlfd_jax.cli import commands
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.pipeline import job
from experiments.paper import study, table1
from tests.cli import runs_of
from tests.data import examples


def _task(*given):
  values = flags.FlagValues()
  study.define(values, ['demo'])
  values(['program', *given])
  task, = study.tasks_of(values)
  return task


def test_where_the_data_lie_names_no_task():
  task = _task('--tasks=mufac_age', '--data=mufac', '--root=downloads/mufac')
  assert task.name == task.preset_name == 'mufac_age'
  assert task.preset.data.root == 'downloads/mufac'
  assert _task('--tasks=mufac_age', '--width=8', '--root=x').name == (
      'mufac_age-width_8')


def _npz(folder):
  return [f'--data={runs_of.write_data(folder)}', '--labels=shade']


def _photos(folder):
  rows = ['path,identity,smile']
  for k in range(12):
    path = folder / 'photos' / 'ab'[k % 2] / f'{k // 2}_{k}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (9, 9), (20 * k, 0, 0)).save(path)
    rows.append(f'{path.relative_to(folder)},{k // 2},{k % 2}')
  (folder / 'photos.csv').write_text('\n'.join(rows))


def _csv(folder):
  _photos(folder)
  return [f'--data={folder}/photos.csv', '--labels=smile']


def _tree(folder):
  _photos(folder)
  return ['--data=tree', f'--root={folder}/photos',
          r'--identity_pattern=(\d+)_']


def _shards(folder):
  assert commands.main(['prepare', *_npz(folder), '--shards=2',
                        '--image_size=8', f'--out={folder}/shards']) == 0
  return [f'--data={folder}/shards']


@pytest.mark.parametrize('write', [_npz, _csv, _tree, _shards])
def test_any_data_are_a_task_of_their_name(write, tmp_path):
  given = write(tmp_path)
  size = [] if write is _shards else ['--image_size=8']
  task = _task(*given, *size, '--name=mine')
  assert (task.name, task.preset_name) == ('mine', 'demo')
  data = job.load_data(task.preset.data)
  assert data.image_size == (8, 8) and len(data.task.names) == 2
  assert data.has_identities
  # Without a name they are not taken for the preset's drawn faces.
  stem = pathlib.Path(task.preset.data.source).stem
  assert _task(*given, *size).name.startswith(
      f'demo-{"shards" if write is _shards else stem}')


def test_a_preset_in_a_file_is_a_task(tmp_path):
  data = runs_of.write_data(tmp_path)
  file = tmp_path / 'badges.yaml'
  file.write_text(f'start: lfw_gender\ndata: {{data: {data}, labels: shade, '
                  'image_size: 8}\nnetwork: {width: 4}\n'
                  'methods: {dlfd: {epochs: 7}}\n')
  task = _task(f'--tasks={file}')
  assert (task.name, task.preset_name) == ('badges', 'badges')
  assert task.preset.network.width == 4
  assert task.preset.methods['dlfd'].epochs == 7
  assert job.load_data(task.preset.data).image_size == (8, 8)
  assert _task(f'--tasks={file}', '--name=mine').name == 'mine'
  with pytest.raises(FileNotFoundError):
    _task(f'--tasks={tmp_path}/none.yaml')
  other = tmp_path / 'demo.yaml'
  other.write_text(file.read_text())
  with pytest.raises(ValueError, match="not that of a preset, got 'demo'"):
    _task(f'--tasks={other}')


@pytest.mark.parametrize('given, sentence', [
    (['--labels=shade', '--name=a,b'], 'Expected --name to name 1 tasks'),
    (['--labels=shade', '--name=../up'], 'Expected --name, or the name of a'),
    (['--labels=shade', '--name=mufac_age'], 'not that of a preset'),
    (['--labels=shade', '--root=here'], 'Expected no --root with'),
    ([], 'Expected the names of the label columns')])
def test_what_is_no_task_is_one_sentence(given, sentence, tmp_path, capsys):
  data = runs_of.write_data(tmp_path)
  before = runs_of.tree(tmp_path)
  assert table1.main([f'--data={data}', *given, f'--out={tmp_path}/t',
                      f'--workdir={tmp_path}/runs']) == 2
  assert sentence in capsys.readouterr().err
  assert runs_of.tree(tmp_path) == before


@pytest.mark.parametrize('given, drawn', [
    ([], True), (['--tasks=demo'], False), (['--people=20'], False)])
def test_who_forgot_the_data_of_a_table_is_told(given, drawn, tmp_path, capsys):
  assert table1.main(['--labels=smile', '--name=mine', *given,
                      f'--out={tmp_path}/t', f'--workdir={tmp_path}/runs']) == 2
  said = capsys.readouterr().err.strip()
  assert "got 'smile'." in said
  assert said.endswith('--data is missing, so the faces are drawn.') == drawn


def test_images_of_nobody_known_are_split_one_by_one_when_asked():
  data = examples.random_dataset(np.full(40, -1, np.int32))
  with pytest.raises(ValueError, match='Expected a known person'):
    study._parts(data, 0, 0.15)
  _, splits, notes = study._parts(data, 0, 0.15, 'image')
  assert len(splits.forget) == round(.15 * (40 - 8 - 6))
  assert 'No person is known' in ' '.join(notes)


def _with_split(words):
  data = examples.random_dataset(np.repeat(np.arange(20), 2))
  return dataclasses.replace(data, split=np.repeat(np.array(words), 2))


def test_an_official_forget_set_is_forgotten():
  words = ['retain'] * 8 + ['forget'] * 4 + ['val'] * 4 + ['test'] * 4
  data = _with_split(words)
  partition, splits, _ = study._parts(data, 0, 0.15)
  assert splits.forget.tolist() == list(range(16, 24))
  assert partition.train.tolist() == list(range(24))


def test_people_are_drawn_where_nobody_is_named():
  for data in (_with_split(['train'] * 12 + ['val'] * 4 + ['test'] * 4),
               examples.random_dataset(np.repeat(np.arange(20), 2))):
    partition, splits, _ = study._parts(data, 0, 0.25)
    assert isinstance(partition, splits_lib.Partition)
    assert len(splits.forget) == 2 * round(0.25 * len(partition.train) / 2)
