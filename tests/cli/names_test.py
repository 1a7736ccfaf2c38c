"""Whom a list of names means, through the commands that read it."""

import csv
import unicodedata

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.cli import check, train, unlearn
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')
EACH, SIZE = 3, 12
# Of the twins 'Ann' and 'ann' each has pictures; so has nobody, as 'NA'.
NAMES = ['Ren\u00e9 01', 'Ann', 'ann', 'Person A', 'Person A #2', '#anon17',
         'NA', *(f'Somebody {k}' for k in range(20))]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A manifest whose third picture of everybody decomposes the accents."""
  root = tmp_path_factory.mktemp('names')
  generator = np.random.default_rng(0)
  with open(root / 'faces.csv', 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(['path', 'identity', 'shade', 'split'])
    for i, name in enumerate(NAMES):
      part = 'train' if i < 15 else 'val' if i < 21 else 'test'
      for k in range(EACH):
        path = f'{i}_{k} #.png'
        Image.fromarray(generator.integers(
            0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(root / path)
        writer.writerow([path, unicodedata.normalize(
            'NFD' if k == 2 else 'NFC', name), i % 2, part])
  return root


def _flags(root, text, workdir, *flags, kind='identities'):
  (root / 'list.txt').write_text(text, encoding='utf-8')
  return [f'--data={root / "faces.csv"}', '--labels=shade',
          f'--image_size={SIZE}', f'--forget_{kind}={root / "list.txt"}',
          f'--workdir={workdir}', *flags]


def _check(root, text, workdir, *flags, **kind):
  return check.main([*_flags(root, text, workdir, *flags, **kind),
                     *runs_of.NETWORK, '--repeats=0'])


@pytest.mark.parametrize('text, flags, people', [
    ('Ren\u00e9 01\n', [], ['Ren\u00e9 01']),
    ('Rene\u0301  01\u200b\r\n', [], ['Ren\u00e9 01']),
    ('Person A #2\n', [], ['Person A #2']),
    ('# May\n#anon17\nPerson A', [], ['#anon17', 'Person A']),
    ('Ann\n', ['--same_person'], ['Ann', 'ann']),
    ('ann\n', ['--different_people'], ['ann']),
    ('ann\nAnn\n', [], ['Ann', 'ann'])])
def test_a_check_lists_exactly_those_who_are_named(
    tmp_path, place, text, flags, people, capsys):
  assert _check(place, text, tmp_path / 'check', *flags) == 0
  result = runs.read_json(tmp_path / 'check' / runs.RESULT)
  assert result['request']['images_by_person'] == dict.fromkeys(people, EACH)
  twins, = [note for note in result['data_notes'] if "'Ann' and 'ann'" in note]
  unknown, = [note for note in result['data_notes'] if "('NA' in 3)" in note]
  said = [note for note in result['notes'] if flags and flags[0] in note]
  assert len(said) == len(flags)
  out = capsys.readouterr().out
  assert all(note in out for note in (twins, unknown, *said))


def test_a_check_of_one_picture_with_a_number_sign(tmp_path, place):
  assert _check(place, '3_0 #.png\n', tmp_path / 'check',
                kind='sample_ids') == 0
  result = runs.read_json(tmp_path / 'check' / runs.RESULT)
  assert result['request']['samples_by_person'] == {'Person A': ['3_0 #.png']}


@pytest.mark.parametrize('text, sentence', [
    ('Person A #3\n', "got 'Person A #3'; a comment is a line of its own"),
    ('#Anon17\n', "got '#Anon17'; the data have '#anon17'"),
    ('NA\n', "got 'NA', which stands for an unknown person"),
    ('Ann\n', "Expected --same_person or --different_people: 'Ann' in line 1")])
def test_what_is_not_plain_stops_every_command(
    tmp_path, place, original, text, sentence, capsys):
  codes = [_check(place, text, tmp_path / 'out'), unlearn.main([
      f'--original={original}', '--method=finetune',
      *_flags(place, text, tmp_path / 'out')])]
  assert codes == [2, 2] and not (tmp_path / 'out').exists()
  assert capsys.readouterr().err.count(sentence) == 2


def test_many_misspelt_names_are_all_said_with_the_nearest(
    tmp_path, place, capsys):
  wrong = [f'Somebodyy {k}' for k in range(20)]
  assert _check(place, '\n'.join(wrong), tmp_path / 'out') == 2
  said = capsys.readouterr().err
  assert '[...]' not in said and len(said.splitlines()) == 1
  assert all(repr(name) in said for name in wrong)
  assert said.count('nearest name is') == 20


@pytest.fixture(scope='module')
def original(place, shared_compilations):
  folder = place / 'original'
  assert train.main([
      f'--data={place / "faces.csv"}', '--labels=shade',
      f'--image_size={SIZE}', *runs_of.NETWORK, *runs_of.RECIPE,
      f'--workdir={folder}']) == 0
  return folder


def test_twins_are_said_by_train_and_settled_by_unlearn(
    tmp_path, place, original, capsys):
  notes = runs.read_json(original / runs.RESULT)['data_notes']
  assert any("'Ann' and 'ann'" in note for note in notes)
  for flag, images in (('--same_person', 2 * EACH),
                       ('--different_people', EACH)):
    workdir = tmp_path / flag.strip('-')
    assert unlearn.main([
        f'--original={original}', '--method=finetune', '--epochs=1',
        '--batch_size=16', *_flags(place, 'Ann\n', workdir, flag)]) == 0
    result = runs.read_json(workdir / runs.RESULT)
    assert result['forget_images'] == images
    assert flag in ' '.join(result['notes'])
    out = capsys.readouterr().out
    assert flag in out and "'Ann' and 'ann'" in out
