"""What is wrong with a download is one sentence that names file and row.

The mistakes in manifests, trees and npz files are those of ``bad_cases``.
"""

import functools
import re
import shutil

import pytest

from dlfd_jax.data.tfds import celeb_a, load, mucac, mufac
from tests.data.tfds import layouts


def change(name, edit):
  return lambda root: edit(root / name)


def replace(name, old, new):
  def edit(path):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))

  return change(name, edit)


def write(name, content):
  return change(name, lambda path: path.write_bytes(content))


def cut(name):
  """Cuts an image short."""
  return change(name, lambda path: path.write_bytes(path.read_bytes()[:200]))


def remove(name):
  return change(name, lambda path: (
      shutil.rmtree(path) if path.is_dir() else path.unlink()))


def nobody_in_test(path):
  path.write_text(re.sub(r'jpg (0|189)\n', 'jpg 5000\n', path.read_text()))


PERSONS = f'{mucac.FOLDER}/{mucac.PERSONS}'
ATTRIBUTES = f'{mucac.FOLDER}/{mucac.ATTRIBUTES}'
IMAGE = f'{mucac.FOLDER}/{mucac.IMAGES}/7.jpg'
TRAIN, VAL, TEST = (f'{mufac.FOLDER}/custom_{part}_dataset.csv'
                    for part in ('train', 'val', 'test'))
FACE = f'{mufac.FOLDER}/test_images/F0851_AGE_D_3_a1.jpg'
PARTS = celeb_a.FILES['list_eval_partition']
IDENTITY = celeb_a.FILES['identity_celeba']
MARKS = celeb_a.FILES['landmarks_celeba']
FORTY = celeb_a.FILES['list_attr_celeba']

DOWNLOADS = {
    'mucac': ('smile', layouts.mucac_download),
    'mufac': ('age_class', layouts.mufac_download),
    'celeb_a': ('smile', functools.partial(
        layouts.celeb_a_download, people=4)),
    'rafdb': ('emotion', layouts.rafdb_download),
}
BROKEN = {
    'mucac': [
        (replace(PERSONS, '3.jpg 190', '3.jpg x'),
         "identity in line 7 .*got 'x'"),
        (replace(PERSONS, '3.jpg 190', '3.jpg'),
         '2 values in line 7 of .*identity'),
        (replace(PERSONS, '3.jpg', '4.jpg'),
         'every path once, got .4.jpg. in line 6'),
        (replace(PERSONS, '3.jpg', 'c.jpg'),
         'a file such as 12.jpg in line 7'),
        (replace(PERSONS, '3.jpg', '77.jpg'),
         "'77.jpg' of line 7 .* in CelebA-HQ-a"),
        (replace(PERSONS, '.jpg 6216', '.jpg 6217'),
         'identity below 6217 in line 1 of .*-identity.txt, got 6217'),
        (change(PERSONS, nobody_in_test),
         'one image of test in mucac from .*delete .*tensorflow_datasets/muca'),
        (replace(ATTRIBUTES, 'Young', 'Old'),
         "a column 'Young' .*attribute.txt"),
        (replace(ATTRIBUTES, '2.jpg -1', '2.jpg 3'),
         "1 or -1 for 5_o_Clock_Shadow in line 5 of .*attribute.txt, got '3'"),
        (remove(ATTRIBUTES), 'attribute.txt in .* MUCAC is'),
        (remove(IMAGE), 'line 3 of .*identity.*7.jpg'),
        (write(IMAGE, b''), '7.jpg for line 3 of .*identity.txt')],
    'mufac': [
        (replace(TRAIN, 'age_class', 'age'),
         "a column 'age_class' .*custom_train_data"),
        (replace(VAL, 'F,f,', 'F,k,'), 'letters abcdefgh for age_class in '
         "line 2 of .*custom_val_.*got 'k'"),
        (replace(TRAIN, ',F0001_AGE_D_18_c2', ',F0001_AGE_D_18_c1'),
         "every path once, got 'train_images/F0001_AGE_D_18_c1.jpg' in line 2 "
         '.* and in line 3 of .*custom_train'),
        (replace(TEST, 'F0851,GM', 'F0801,F'), "'F0801_F' of val in line 2 of "
         '.*custom_val.* and of test in line 2 of'),
        (replace(TRAIN, 'F0001,M,e', ',M,e'),
         'a value for family_id in line 4 of'),
        (replace(TEST, 'F0851_AGE_GM', '../../x'),
         'a path inside test_images in line 2'),
        (replace(VAL, 'F0801,F,f,F0801_AGE_F_50_f1.jpg', 'F0801'),
         '4 values in line 2'),
        (write(VAL, f'{layouts.HEADER}\n'.encode()),
         'one image in .*custom_val.*got 1 rows'),
        (lambda root: None, 'one image of retain in mufac from'),
        (cut(FACE), 'readable image at .*a1.jpg for line 3'),
        (remove(FACE), 'line 3 of .*custom_test.*a1.jp')],
    'celeb_a': [
        (replace(IDENTITY, '000003.jpg', '000004.jpg'),
         'every path once, got .000004.jpg. in line 3'),
        (replace(IDENTITY, '000003.jpg 2', '000003.jpg a'),
         'identity in line 3'),
        (replace(PARTS, '000003.jpg 0', '000003.jpg 5'),
         'part 0, 1 or 2 in line 3 of .*partition'),
        (write(PARTS, b''), 'one image in .*partition.txt, got none'),
        (replace(FORTY, '000003.jpg -1', '000003.jpg 0'),
         '1 or -1 for 5_o_Clock_Shadow in line 5 of .*attr'),
        (replace(FORTY, 'Young', 'Old'), "a column 'Young' in .*attr"),
        (replace(MARKS, '000003.jpg', '900000.jpg'),
         'landmarks of .000003.jpg., which is in line 3 of .*partition'),
        (remove(IDENTITY), 'identity_CelebA.*CelebA is use'),
        (remove('img_align_celeba/000002.jpg'),
         'line 2 of .*partition.*000002'),
        (cut('img_align_celeba/000007.jpg'),
         'at .*img_align_celeba/000007.jpg for line 7 of .*partition')],
    'rafdb': [
        (lambda root: layouts.draw(root / 'DATASET/train/8/a.jpg', 1),
         "folders 1 to 7 in .*train, got '8'"),
        (remove('DATASET/test/7/test_00000_aligned.jpg'),
         'image in .*test/7, got none'),
        (remove('DATASET/test/1'), 'image in .*test/1, got none'),
        (remove('DATASET/test'), 'folder .*test, found none. RAF'),
        (lambda root: [cut(f'DATASET/train/{k}/train_00001_aligned.jpg')(root)
                       for k in (2, 5)],
         'at .*train/2/train_00001.* is damaged; at .*train/5/train_00001'),
        (cut('DATASET/train/2/train_00001_aligned.jpg'),
         'at .*train/2/train_00001_aligned.jpg for the file train/2/train_0')],
}


@pytest.mark.parametrize('name, spoil, words', [
    (name, spoil, words) for name, rows in BROKEN.items()
    for spoil, words in rows])
def test_a_broken_download(tmp_path, name, spoil, words):
  label, download = DOWNLOADS[name]
  download(tmp_path)
  spoil(tmp_path)
  with pytest.raises((ValueError, FileNotFoundError)) as error:
    load.load(name, root=tmp_path, labels=[label], image_size=16)
  text = str(error.value)
  assert text.startswith('Expected ') and '\n' not in text
  assert re.search(words, text), text
  # Nothing is taken for finished, and the whole download is read later.
  assert not list(tmp_path.glob('tensorflow_datasets/**/pixels*'))
