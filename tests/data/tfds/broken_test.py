"""What is wrong with a download is one sentence that names file and row.

The mistakes in manifests, trees and npz files are those of ``bad_cases``.
"""

import re

import pytest

from dlfd_jax.data import sources, splits
from dlfd_jax.data.tfds import celeb_a, mucac
from tests.data.tfds import layouts


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


def official(name, label, **options):
  return lambda root: sources.DataOptions(
      source=name, root=str(root), labels=(label,), image_size=16, **options)


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
