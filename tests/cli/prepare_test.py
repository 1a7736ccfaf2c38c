"""Commands on shards give what they give on the images in memory."""

import dataclasses
import json
import signal
import time

import numpy as np
import pytest
from PIL import Image

from dlfd_jax import checkpoint
from dlfd_jax.cli import commands
from dlfd_jax.data import shards, sources
from dlfd_jax.utils import runs
from tests import processes, tiny
from tests.cli import runs_of


@pytest.fixture(scope='module')
def prepared(tmp_path_factory, faces):
  out = tmp_path_factory.mktemp('prepared') / 'shards'
  assert commands.main([
      'prepare', f'--data={faces}', '--labels=shade', '--shards=3',
      f'--image_size={runs_of.SIZE}', f'--out={out}']) == 0
  return out


def test_prepare_says_what_it_wrote(prepared, faces, capsys):
  flags = ['prepare', f'--data={faces}', '--labels=shade', '--shards=3',
           f'--image_size={runs_of.SIZE}', f'--out={prepared}']
  assert commands.main([*flags, '--json']) == 0
  found = json.loads(capsys.readouterr().out)
  assert found['images'] == runs_of.PEOPLE * runs_of.EACH
  assert found['bytes'] == sum(
      p.stat().st_size for p in prepared.glob('[is]*[zd]') if p.is_file())
  before = runs_of.tree(prepared)
  assert commands.main([*flags[:3], '--shards=4', *flags[4:]]) == 2
  assert 'shards was 3, is now 4' in capsys.readouterr().err
  assert commands.main(['train', f'--data={prepared}', '--labels=shade',
                        f'--workdir={prepared}/run']) == 2
  assert 'Expected no --labels with --data=' in capsys.readouterr().err
  assert runs_of.tree(prepared) == before


@pytest.mark.parametrize('files', ['csv', 'tree'])
def test_files_are_read_when_they_are_written(tmp_path, files, capsys):
  rng = np.random.default_rng(0)
  for k in range(8):
    place = tmp_path / 'photos' / 'ab'[k % 2]
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).save(
        place / f'{k // 2}_{k}.png')
  rows = [f'{"ab"[k % 2]}/{k // 2}_{k}.png,{k // 2},{k % 2}' for k in range(8)]
  (tmp_path / 'photos.csv').write_text('\n'.join(
      ['path,identity,smile', *rows]))
  source = {'csv': [f'--data={tmp_path}/photos.csv', '--labels=smile',
                    f'--root={tmp_path}/photos'],
            'tree': ['--data=tree', f'--root={tmp_path}/photos',
                     '--identity_pattern=(\\d+)_']}[files]
  flags = ['prepare', *source, '--shards=2', '--image_size=6']
  assert commands.main([*flags, f'--out={tmp_path}/out']) == 0
  found = shards.load_shards(tmp_path / 'out' / shards.MANIFEST)
  assert len(found) == 8 and len(found.people_in(np.arange(8))) == 4
  (tmp_path / 'photos' / 'a' / '1_2.png').write_bytes(b'no image')
  capsys.readouterr()
  assert commands.main([*flags, f'--out={tmp_path}/other']) == 2
  said = capsys.readouterr().err
  assert said.count('\n') == 1 or 'error: ' in said.splitlines()[-1]
  assert 'Expected a readable image' in said and '1_2.png' in said
  assert not (tmp_path / 'other' / shards.MANIFEST).exists()


@pytest.mark.parametrize('older', [False, True])
def test_a_corrected_table_is_not_answered_by_the_old_shards(
    tmp_path, capsys, older):
  (tmp_path / 'photos').mkdir()
  for k in range(8):
    Image.new('RGB', (9, 9), (k, 200, 9)).save(tmp_path / 'photos' / f'{k}.png')
  manifest, out = tmp_path / 'faces.csv', tmp_path / 'out'

  def write(family=0, part='val'):
    manifest.write_text('\n'.join([
        'path,identity,smile,family,split', *(
            f'photos/{k}.png,{k // 2},{k % 2},{k // 4 + family},'
            f'{part if k < 2 else "train"}' for k in range(8))]))

  write()
  flags = ['prepare', f'--data={manifest}', '--labels=smile', '--shards=2',
           '--image_size=6', f'--out={out}']
  assert commands.main(flags) == 0
  if older:  # its config had no hash of the table
    config = json.loads((out / runs.CONFIG).read_text())
    del config['table']
    (out / runs.CONFIG).write_text(json.dumps(config))
  assert commands.main(flags) == 0
  before = runs_of.tree(out)
  capsys.readouterr()
  assert commands.main([*flags, '--split_column=ignore']) == 2
  assert 'table differs' in capsys.readouterr().err
  for corrected in ({'family': 1}, {'part': 'test'}):
    write(**corrected)
    assert commands.main(flags) == 2
    assert 'table differs' in capsys.readouterr().err
  assert runs_of.tree(out) == before


@pytest.mark.slow
def test_train_unlearn_evaluate_and_check_give_the_same(
    tmp_path, faces, prepared, original):
  results = {}
  for name, data in (('memory', None), ('shards', prepared)):
    place = tmp_path / name
    place.mkdir()
    given = [] if data is None else [f'--data={data}']
    trained = original if data is None else place / 'original'
    if data is not None:
      assert commands.main([
          'train', '--preset=demo', *given, *runs_of.NETWORK, *runs_of.RECIPE,
          '--on=all', f'--workdir={trained}']) == 0
    again = ['--batch_size=16', '--epochs=1']
    for command, flags in {
        'unlearn': [f'--original={trained}', '--forget_people=3', *again,
                    '--method=dlfd', '--perturb_steps=1', '--trial=false'],
        'evaluate': [f'--original={trained}',
                     f'--unlearned={place / "unlearn"}', '--bootstrap=20'],
        'check': [f'--original={trained}', '--forget_people=3', '--repeats=0'],
        'audit': [f'--model={place / "unlearn"}',
                  f'--splits={place / "unlearn" / runs.SPLITS}',
                  '--bootstrap=20']}.items():
      assert commands.main([
          command, *flags, f'--workdir={place / command}']) == 0
    read = lambda run: runs.read_json(run / runs.RESULT)  # noqa: B023
    results[name] = {
        'original': read(trained)['weights'],
        'unlearned': read(place / 'unlearn')['weights'],
        'metrics': read(place / 'evaluate')['metrics'],
        'copies': read(place / 'check')['request'],
        'audit': read(place / 'audit')['metrics']}
  assert results['memory'] == results['shards']


def test_a_run_on_a_table_goes_on_with_its_shards():
  table = sources.DataOptions(
      source='faces.csv', labels=('age',), image_size=16, split_column='part',
      class_names=('a', 'b'), same_classes=True, negative=-1,
      split_codes=(('x', 'train'),))
  for source in ('shards/shards.json', 'tree', 'faces.npz', 'other.csv'):
    found = sources.for_source(table, source)
    assert found.labels == ('age',)
    assert (found.split_column is None) == (source in (
        'shards/shards.json', 'tree'))
    # Nothing that nobody typed is refused there.
    dataclasses.replace(found, source=source, **(
        {'labels': ()} if source == 'tree' else {}))
  with pytest.raises(ValueError, match='same_classes for .csv or tree only, g'):
    dataclasses.replace(table, source='faces.npz')


@pytest.mark.slow
def test_two_processes_are_killed_and_one_ends_what_one_does(
    tmp_path, faces, prepared):
  recipe = ['--on=all', '--batch_size=16', '--epochs=20', '--optimizer=sgd',
            '--architecture=tests.tiny:TinyNet', '--checkpoint_seconds=0']
  workdir, address = tmp_path / 'two', processes.address()
  both = [processes.start(
      'experiments.train', '--preset=demo', f'--data={prepared}', *recipe,
      f'--workdir={workdir}', '--num_processes=2', f'--coordinator={address}',
      f'--process_id={i}') for i in range(2)]
  saved = workdir / runs.CHECKPOINTS / 'loop'
  steps = lambda: [int(p.name) for p in saved.glob('[0-9]*')
                   if p.name.isdigit()]
  end = time.monotonic() + processes.PATIENCE_S
  while time.monotonic() < end and all(p.poll() is None for p in both) and (
      max(steps(), default=0) < 40):
    time.sleep(.02)
  alive = [p.poll() is None for p in both]
  for process in both:
    process.send_signal(signal.SIGKILL)
  said = processes.ended(both)
  assert alive == [True, True] and 40 <= max(steps()) < 80, said
  for data, name in (([f'--data={prepared}'], 'two'),
                     (runs_of.data_flags(faces), 'one')):
    assert commands.main(['train', '--preset=demo', *data, *recipe,
                          f'--workdir={tmp_path / name}']) == 0
  one, two = (checkpoint.load_model(
      tmp_path / name / runs.CHECKPOINTS / 'model') for name in ('one', 'two'))
  assert tiny.largest_difference(one.variables, two.variables) < 1e-4
