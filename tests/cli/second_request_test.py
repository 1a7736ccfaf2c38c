"""A request, its images deleted as the documents say, and another request."""

import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.cli import (
  audit,
  check,
  evaluate,
  exit_codes,
  prepare,
  references,
  report,
  train,
  unlearn,
)
from dlfd_jax.utils import runs
from tests import grids
from tests.cli import runs_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('shared_compilations')]
PEOPLE, EACH, SIZE = 24, 3, 8
NAMES = [f'Ann {k:02d}' for k in range(PEOPLE)]
BRIEF = ['--method=finetune', '--epochs=1', '--batch_size=16']


class Source:
  """Images of people in one layout, which loses people.

  Attributes:
    flags: of the data.
    folder: where all lies.
    kind: of the layout.
  """

  def __init__(self, folder: pathlib.Path, kind: str):
    self.folder, self.kind = folder, kind
    rng = np.random.default_rng(0)
    self._images = {
        f'{"dark" if j else "light"}/{name}/{j}.png': rng.integers(
            0, 128, (SIZE, SIZE, 3)).astype(np.uint8) + np.uint8(90 * (j > 0))
        for name in NAMES for j in range(EACH)}
    for path, image in self._images.items():
      (folder / path).parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(image).save(folder / path)
    size = f'--image_size={SIZE}'
    if kind == 'tree':
      self.flags = ['--data=tree', f'--root={folder}', size,
                    '--identity_pattern=(Ann [0-9]+)/']
      return
    rows = [f'{path},{path.split("/")[1]},{path.split("/")[0]}\n'
            for path in self._images]
    self.manifest = folder.parent / 'faces.csv'
    self.manifest.write_text('path,identity,shade\n' + ''.join(rows))
    self.flags = [f'--data={self.manifest}', f'--root={folder}',
                  '--labels=shade', size]
    if kind != 'manifest':
      self.write()

  def write(self):
    """The npz or the shards, of what is left."""
    left = [path for path in self._images if (self.folder / path).is_file()]
    if self.kind == 'npz':
      np.savez(self.folder / 'a.npz', sample_id=np.array(left),
               images=np.stack([self._images[path] for path in left]),
               identity=np.array([path.split('/')[1] for path in left]),
               shade=np.array([path[0] == 'd' for path in left], np.int32))
      self.flags = [f'--data={self.folder / "a.npz"}', '--labels=shade',
                    f'--image_size={SIZE}']
    else:
      lines = self.manifest.read_text().splitlines(keepends=True)
      self.manifest.write_text(lines[0] + ''.join(
          line for line in lines[1:] if line.split(',')[0] in left))
      place = self.folder / f'shards{len(left)}'
      assert prepare.main([
          f'--data={self.manifest}', f'--root={self.folder}', '--labels=shade',
          f'--image_size={SIZE}', '--shards=1', f'--out={place}']) == 0
      self.flags = [f'--data={place}']

  def delete(self, *names: str):
    """Deletes all images of some people, or single ones by path."""
    for path in self._images:
      if path in names or path.split('/')[1] in names:
        (self.folder / path).unlink()
    if self.kind in ('npz', 'shards'):
      self.write()


def _people(run, part):
  return list(dict.fromkeys(
      name.split('/')[1] for name in np.load(run / runs.SPLITS)[part].tolist()))


def _first(folder, kind, judge=False):
  """A source, an original and a first request, whose people are deleted."""
  (folder / 'images').mkdir()
  source = Source(folder / 'images', kind)
  assert train.main([
      '--preset=demo', *source.flags, *runs_of.NETWORK, *runs_of.RECIPE,
      '--on=all', f'--workdir={folder / "original"}']) == 0
  gone = _people(folder / 'original', 'train')[:2]
  also = _people(folder / 'original', 'val')[:1]
  (folder / 'one.txt').write_text('\n'.join([*gone, *also]))
  assert unlearn.main([
      f'--original={folder / "original"}', *BRIEF,
      f'--forget_identities={folder / "one.txt"}', '--request_id=R-1',
      f'--workdir={folder / "first"}']) == 0
  if judge:
    assert evaluate.main([
        f'--original={folder / "original"}', '--bootstrap=20',
        f'--unlearned={folder / "first"}',
        f'--workdir={folder / "evaluation"}']) in exit_codes.DONE
  source.delete(*(gone[:1] if judge else gone), *also)
  shutil.rmtree(folder / 'original')
  later = _people(folder / 'first', 'retain')[:2]
  # Whoever was forgotten already is known; nobody was ever called Bob.
  (folder / 'two.txt').write_text('\n'.join(
      [*later, gone[0], also[0], 'Bob 07']))
  return source, gone, later


def _second(folder, source):
  return unlearn.main([
      f'--original={folder / "first"}', *BRIEF, *source.flags,
      f'--forget_identities={folder / "two.txt"}', '--missing=record',
      '--request_id=R-2', f'--workdir={folder / "second"}'])


@pytest.fixture(scope='module')
def manifest(tmp_path_factory, shared_compilations):
  """Two requests on a manifest; of two people of the first one is deleted."""
  folder = tmp_path_factory.mktemp('manifest')
  source, gone, later = _first(folder, 'manifest', judge=True)
  source.flags = []  # the run knows them
  assert _second(folder, source) == 0
  return folder, source, gone, later


@pytest.mark.parametrize('kind', grids.some(['tree', 'npz', 'shards'], 3))
def test_every_source_may_lose_who_was_forgotten(tmp_path, kind, capsys):
  source, gone, later = _first(tmp_path, kind)
  capsys.readouterr()
  assert _second(tmp_path, source) == 0
  assert (' 6 of these images are no longer in the data. Names: '
          f'{", ".join(gone)}.') in capsys.readouterr().out
  assert _people(tmp_path / 'second', 'forget') == later


def test_every_command_takes_the_second_request(manifest, tmp_path, capsys):
  folder, _, gone, later = manifest
  flags = [f'--original={folder / "first"}', '--repeats=0',
           f'--forget_identities={folder / "two.txt"}']
  assert check.main([*flags, f'--workdir={tmp_path / "check"}']) == 2
  assert 'in line 5 of' in capsys.readouterr().err
  assert check.main([*flags, '--missing=record',
                     f'--workdir={tmp_path / "check"}']) == 0
  assert "is done for them. Names: 'Bob 07'." in capsys.readouterr().out
  assert audit.main([
      f'--model={folder / "second"}', *flags[2:], '--missing=record',
      '--bootstrap=20',
      f'--workdir={tmp_path / "audit"}']) in exit_codes.DONE
  assert references.main([
      f'--original={folder / "first"}', f'--unlearned={folder / "second"}',
      '--n=1', '--repeats=0', f'--workdir={tmp_path / "references"}']) == 0
  assert evaluate.main([
      f'--original={folder / "first"}', f'--unlearned={folder / "second"}',
      f'--references={tmp_path / "references"}', '--bootstrap=20',
      f'--workdir={tmp_path / "evaluation"}']) in exit_codes.DONE
  assert report.main([f'--evaluation={tmp_path / "evaluation"}']) == 0
  page = (tmp_path / 'evaluation' / 'report.html').read_text()
  assert 'Names that are not in the data' in page and 'Bob 07' not in page
  assert 'Nothing can be computed of 1 person' in page
  assert '<dd>R-2</dd>' in page and '1 (R-1)' in page
  result = runs.read_json(tmp_path / 'evaluation' / runs.RESULT)
  assert result['verification']['unverified'] == []
  assert result['request']['earlier_people'] == len(gone)
  assert result['request']['earlier_images'] == len(gone) * EACH
  assert result['request']['not_found'] == ['Bob 07']
  people = result['earlier']['people']
  assert [one['person'] for one in people] == gone
  assert {(one['request'], one['id']) for one in people} == {(1, 'R-1')}
  assert [one['there'] for one in people] == [0, EACH]
  # Judged before the images were deleted; said once, without names.
  assert all(one['judged']['attack']['value'] is not None for one in people)
  said, of_one = result['earlier']['sentences']
  assert 'Nothing can be computed of 1 person' in said
  assert of_one.startswith(
      'On 1 person of earlier requests (R-1) the attack AUC is')
  assert result['earlier']['visible_again'] is None
  assert said in result['notes'] and gone[0] not in said
  list_ = runs.read_json(folder / 'second' / runs.RESULT)['forgotten']
  assert [one['id'] for one in list_] == ['R-1', 'R-1', 'R-2', 'R-2']
  assert [one['request'] for one in list_] == [1, 1, 2, 2]
  judged = runs.read_json(folder / 'second' / 'judged.json')
  assert set(judged['people']) == {*later, gone[1]}


def test_nobody_else_may_be_missing(manifest, tmp_path, capsys):
  folder, source, gone, _ = manifest
  stays = np.load(folder / 'second' / runs.SPLITS)['retain'].tolist()[0]
  hidden = source.folder / stays
  hidden.rename(tmp_path / 'kept')
  try:
    for main, flags in (
        (check, ['--forget_people=1', f'--original={folder / "first"}']),
        (unlearn, ['--forget_people=1', f'--original={folder / "first"}']),
        (evaluate, [f'--original={folder / "first"}',
                    f'--unlearned={folder / "second"}'])):
      assert main.main([*flags, f'--workdir={tmp_path / "new"}']) == 2
      assert stays in capsys.readouterr().err
      assert not (tmp_path / 'new').exists()
  finally:
    (tmp_path / 'kept').rename(hidden)
