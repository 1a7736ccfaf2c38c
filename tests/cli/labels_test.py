"""What labels and parts mean, through check and train."""

import json

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.cli import check, train, unlearn
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')
SIZE, N = 12, 40
PARTS = ['0'] * 24 + ['1'] * 8 + ['2'] * 8


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  root = tmp_path_factory.mktemp('labels')
  generator = np.random.default_rng(0)
  for i in range(N):
    for path in (root / f'{i}.png',
                 root / 'tree' / ('Train', 'valid', 'TEST')[int(PARTS[i])]
                 / f'bin {(1, 2, 10)[i % 3]}' / f'{i}.png'):
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(generator.integers(
          0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
  (root / 'tree/Train/bin 1/notes.txt').write_text('x')
  (root / 'people.txt').write_text('0\n')
  (root / 'm.csv').write_text('path,identity,Male,age,partition\n' + '\n'.join(
      f'{i}.png,{i // 2},{2 * (i % 2) - 1},{i % 4}.0,{part}'
      for i, part in enumerate(PARTS)))
  return root


def _train(place, workdir, *flags):
  return train.main([
      f'--image_size={SIZE}', *runs_of.NETWORK, *runs_of.RECIPE,
      f'--workdir={workdir}', *flags])


def _csv(place, labels):
  return f'--data={place / "m.csv"}', f'--labels={labels}'


@pytest.mark.parametrize(('labels', 'flags', 'sentence'), [
    ('age', [], 'say --split_column=partition, or --split_column=ignore'),
    ('Male', ['--split_column=partition'], 'say --negative=-1 if -1 means no'),
    ('Male', ['--split_column=partition', '--multilabel=true'],
     'say --negative=-1 if -1 means no'),
    ('age', ['--split_column=Partition'], "got 'Partition' among path, "),
    ('age', ['--split_column=partition', '--split_codes=0:train,1:val'],
     "got '2': say by --split_codes")])
def test_train_and_check_stop_at_the_same_sentence(
    tmp_path, place, labels, flags, sentence, capsys):
  codes = [_train(place, tmp_path / 'out', *_csv(place, labels), *flags),
           check.main([*_csv(place, labels), f'--image_size={SIZE}', *flags,
                       f'--forget_identities={place / "people.txt"}',
                       '--repeats=0', f'--workdir={tmp_path / "out"}'])]
  assert codes == [2, 2] and not (tmp_path / 'out').exists()
  assert capsys.readouterr().err.count(sentence) == 2


@pytest.mark.slow
def test_a_named_split_and_merged_floats_reach_the_model(
    tmp_path, place, capsys):
  flags = ['--split_column=partition', '--merge_from=2',
           '--class_names=a,b,c,d']
  assert _train(place, tmp_path / 'o', *_csv(place, 'age'), *flags) == 0
  note = "The split is column 'partition': 0 is train, 1 is val, 2 is test."
  result = runs.read_json(tmp_path / 'o' / runs.RESULT)
  assert result['data_notes'] == [note] and result['images'] == 24
  assert note in capsys.readouterr().out
  card, = (tmp_path / 'o' / runs.CHECKPOINTS / 'model').glob('*.json')
  assert json.loads(card.read_text())['task']['names'] == ['a', 'b', 'c+']
  assert unlearn.main([  # its data are read by its config
      f'--original={tmp_path / "o"}', '--method=finetune', '--epochs=1',
      '--batch_size=16', f'--forget_identities={place / "people.txt"}',
      f'--workdir={tmp_path / "u"}']) == 0
  assert note in capsys.readouterr().out
  result = runs.read_json(tmp_path / 'u' / runs.RESULT)
  assert result['data_notes'] == [note] and result['forget_images'] == 2


def test_a_drawn_split_is_said(tmp_path, place, capsys):
  flags = [*_csv(place, 'Male'), '--split_column=ignore', '--negative=-1']
  assert _train(place, tmp_path / 'o', *flags, '--split_seed=3') == 0
  note = ('drawn with seed 3 by person, test_fraction 0.2 and val_fraction '
          '0.15')
  used = runs.read_json(tmp_path / 'o' / runs.RESULT)['used']
  assert used['split']['from'] == note
  assert check.main([
      *flags, f'--image_size={SIZE}', '--repeats=0',
      f'--forget_identities={place / "people.txt"}',
      f'--workdir={tmp_path / "c"}']) == 0
  out = capsys.readouterr().out
  assert note in out and 'No split column: train draws one' in out
  assert 'train draws one' in ' '.join(
      runs.read_json(tmp_path / 'c' / runs.RESULT)['data_notes'])


def test_parts_and_skipped_files_of_a_tree(tmp_path, place, capsys):
  assert _train(place, tmp_path / 'o', '--data=tree',
                f'--root={place / "tree"}') == 0
  result = runs.read_json(tmp_path / 'o' / runs.RESULT)
  assert result['images'] == 24
  assert result['data_notes'] == [
      'Files and folders in tree that were not read: 1 .txt.']
  assert result['data_notes'][0] in capsys.readouterr().out
