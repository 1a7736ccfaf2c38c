"""What is wrong with a source is one sentence that names file and row."""

import re

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.data import sources, splits
from dlfd_jax.data.tfds import celeb_a, mucac
from tests.data.tfds import layouts

SIZE = 16


def said(options, words):
  """Reading, or taking the split, ends with one sentence that says this."""
  with pytest.raises((ValueError, FileNotFoundError)) as error:
    splits.partition_from_column(sources.load(options))
  text = str(error.value)
  assert text.startswith('Expected ') and '\n' not in text
  assert re.search(words, text), text


def replace(path, old, new):
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))


def spoil(path):
  """Cuts an image short."""
  whole = path.read_bytes()
  path.write_bytes(whole[:len(whole) // 2])


def draw(path, seed):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.random.default_rng(seed).integers(
      0, 256, (SIZE, SIZE, 3), np.uint8)).save(path)


PARTS = ('train', 'train', 'val', 'test')


def manifest(root):
  for k in range(4):
    draw(root / f'{k}.png', k)
  (root / 'faces.csv').write_text('path,identity,smile,split\n' + ''.join(
      f'{k}.png,{k},{k % 2},{part}\n' for k, part in enumerate(PARTS)))
  return sources.DataOptions(
      source=str(root / 'faces.csv'), labels=('smile',), image_size=SIZE,
      multilabel=True)


@pytest.mark.parametrize('old, new, words', [
    ('smile', 'laugh', "a column 'smile' in .*faces.csv, got path, identity"),
    ('3.png,', 'gone.png,', 'file in line 5 of faces.csv, got no .*gone.png'),
    ('3.png,', '2.png,', 'line 4 of faces.csv and in line 5 of faces.csv'),
    ('3,1', '3,2', "-1 .unknown. in 'smile', got 2 in line 5 of faces.csv"),
    ('val', 'valid', "got 'valid' for '2.png' .line 4 of faces.csv."),
    ('val', 'test', "one image in val, got 0 among the 4 of 'faces', whose "
     'split says test, train'),
    ('3,1', '0,1', "identity 0: '3.png' .line 5 of faces.csv. in test, "
     "'0.png' .line 2 of faces.csv. in train"),
])
def test_a_broken_manifest(tmp_path, old, new, words):
  options = manifest(tmp_path)
  replace(tmp_path / 'faces.csv', old, new)
  said(options, words)


def test_an_unreadable_image_of_a_manifest(tmp_path):
  options = manifest(tmp_path)
  spoil(tmp_path / '2.png')
  said(options, "line 4 of faces.csv, got '2.png': it is no image, or is dam")


def tree(root):
  for k, name in enumerate(('train/a/1.png', 'train/b/2.png', 'val/a/3.png',
                            'val/b/4.png', 'test/a/5.png')):
    draw(root / name, k)
  return sources.DataOptions(
      source='tree', root=str(root), image_size=SIZE,
      identity_pattern=r'(\d)\.png')


def test_a_broken_tree(tmp_path):
  options = tree(tmp_path)
  draw(tmp_path / 'test/b/1.png', 9)
  said(options, "identity 1: 'test/b/1.png' in test, 'train/a/1.png' in train")
  spoil(tmp_path / 'test/b/1.png')
  said(options, 'readable image in test/b/1.png of ')
  (tmp_path / 'test/b/1.png').unlink()
  said(options, 'one image in .*test/b, got none')
  for name in ('test/b', 'test/a'):
    for path in (tmp_path / name).iterdir():
      path.unlink()
    (tmp_path / name).rmdir()
  said(options, 'one image in test, got 0 among the 4 of .*says train, val')


def npz(root, **changes):
  rng = np.random.default_rng(0)
  arrays = {
      'images': rng.integers(0, 256, (4, SIZE, SIZE, 3), np.uint8),
      'identity': np.arange(4), 'smile': np.array([0, 1, 0, 1]),
      'split': np.array(PARTS), **changes}
  np.savez(root / 'faces.npz', **arrays)
  return sources.DataOptions(
      source=str(root / 'faces.npz'), labels=('smile',), multilabel=True)


@pytest.mark.parametrize('changes, words', [
    ({'smile': np.array([0, 1, 7, 1])},
     "in 'smile', got 7 in row 2 of faces.npz"),
    ({'identity': np.array([0, 1, 2, -3])},
     '>= -1 in row 3 of faces.npz, got -3'),
    ({'identity': np.array([0, 1, 2, 0])},
     "'faces_00003' .row 3 of faces.npz. in test, 'faces_00000' .row 0"),
    ({'sample_id': np.array(['a', 'b', 'c', 'b'])},
     "got 'b' in row 1 of faces.npz and in row 3 of faces.npz"),
    ({'split': np.array(['train', 'train', 'val', 'best'])},
     "got 'best' for 'faces_00003' .row 3 of faces.npz"),
    ({'split': np.array(['train', 'train', 'val', 'val'])},
     "one image in test, got 0 among the 4 of 'faces'"),
    ({'split': np.array(['train'])}, r'split in faces.npz to be \[4\]'),
])
def test_a_broken_npz(tmp_path, changes, words):
  said(npz(tmp_path, **changes), words)


def official(name, label, **options):
  return lambda root: sources.DataOptions(
      source=name, root=str(root), labels=(label,), image_size=SIZE, **options)


def nobody_in_test(root):
  """Moves MUCAC's persons below 190 to its last part."""
  path = root / mucac.FOLDER / mucac.PERSONS
  path.write_text(re.sub(
      r'jpg (0|189)\n', 'jpg 5000\n', path.read_text()))


@pytest.mark.parametrize('draw_it, options, change, words', [
    (layouts.mucac_download, official('mucac', 'smile'),
     lambda root: replace(root / mucac.FOLDER / mucac.PERSONS, '.jpg 6216',
                          '.jpg 6217'),
     'identity below 6217 in line 1 of .*CelebA-HQ-identity.txt, got 6217'),
    (layouts.mucac_download, official('mucac', 'smile'),
     nobody_in_test,
     'one image of test in mucac from .*delete .*tensorflow_datasets/mucac/'),
    (layouts.celeb_a_download, official('celeb_a', 'smile'),
     lambda root: spoil(root / 'img_align_celeba/000007.jpg'),
     'at .*img_align_celeba/000007.jpg for line 7 of .*list_eval_partition.t'),
    (layouts.celeb_a_download, official('celeb_a', 'smile'),
     lambda root: replace(root / celeb_a.FILES['list_eval_partition'],
                          '000004.jpg', '000003.jpg'),
     "'000003.jpg' in line 3 of .*partition.txt and in line 4 of"),
    (layouts.celeb_a_download, official('celeb_a', 'smile'),
     lambda root: (root / celeb_a.FILES['list_eval_partition']).write_text(''),
     'one image in .*list_eval_partition.txt, got none'),
    (layouts.rafdb_download, official('rafdb', 'emotion'),
     lambda root: spoil(
         root / 'DATASET/train/2/train_00001_aligned.jpg'),
     'at .*train/2/train_00001_aligned.jpg for the file train/2/train_00001'),
], ids=['person', 'split', 'image', 'twice', 'empty', 'image of a folder'])
def test_a_broken_download(tmp_path, draw_it, options, change, words):
  draw_it(tmp_path)
  change(tmp_path)
  said(options(tmp_path), words)
  # Nothing is taken for finished, and the whole download is read later.
  assert not list(tmp_path.glob('tensorflow_datasets/**/pixels*'))
