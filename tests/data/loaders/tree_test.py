"""Folders of images, one a class."""

import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.data import split_columns
from dlfd_jax.data.loaders import tree

PAGE = (pathlib.Path(__file__).parents[3] / 'docs' / 'data-formats.md'
        ).read_text('utf-8')


def draw(root, *names):
  for k, name in enumerate(names):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(k).integers(
        0, 256, (8, 8, 3), dtype=np.uint8)).save(root / name)
  return root


FACES = ('happy/ann_1.png', 'happy/bob_1.png', 'sad/ann_2.png', 'sad/x/eve.png')


def read(root, **options):
  return tree.load_tree(root, image_size=8, **options)


def test_classes_are_folders_and_persons_unknown(tmp_path):
  draw(tmp_path / 'faces', *FACES)
  (tmp_path / 'faces/happy/.hidden.png').write_text('x')
  (tmp_path / 'faces/happy/notes.txt').write_text('x')
  dataset = read(tmp_path / 'faces')
  assert dataset.sample_id.tolist() == list(FACES)
  assert dataset.labels.tolist() == [0, 0, 1, 1]
  assert dataset.task.names == ('happy', 'sad') and dataset.name == 'faces'
  assert dataset.identity.tolist() == [-1] * 4 and dataset.split is None
  np.testing.assert_array_equal(
      dataset.images[2], Image.open(tmp_path / 'faces' / FACES[2]))


def test_linked_folders_below_a_class_are_counted_and_not_read(tmp_path):
  root, away = draw(tmp_path / 'faces', *FACES), tmp_path / 'away'
  draw(away, 'zoe/1.png')
  (root / 'happy/zoe').symlink_to(away / 'zoe')
  (root / 'sad/x/zoe').symlink_to(away / 'zoe')
  (root / 'sad/x/round').symlink_to(root / 'sad')
  (root / 'sad/.hidden').symlink_to(away / 'zoe')
  dataset = read(root)
  assert dataset.sample_id.tolist() == list(FACES)
  assert dataset.notes == (
      'Files and folders in faces that were not read: 2 zoe/ (a link), '
      '1 .hidden/, 1 round/ (a link).',)
  (root / 'glad').mkdir()
  (root / 'glad/ann').symlink_to(away / 'zoe')
  with pytest.raises(ValueError, match=(
      r'at least one image in .*glad, got none but 1 ann/ \(a')):
    read(root)
  (root / 'glad/ann').unlink()
  (root / 'glad').rmdir()
  draw(root, 'train/a/1.png', 'train/b/1.png', 'val/a/2.png', 'val/b/2.png')
  for name in ('happy', 'sad'):
    shutil.rmtree(root / name)
  draw(root / '.more', 'a/3.png', 'b/3.png')
  (root / 'test').symlink_to(root / '.more')  # parts and classes may be links
  assert len(read(root)) == 6
  (root / 'test').unlink()
  (root / 'test').symlink_to(root / 'val')
  with pytest.raises(ValueError, match=(
      r"same file as 'test/a/2.png' in test and, by a link, as 'val/a/2.png'")):
    read(root)


@pytest.mark.parametrize('path, pattern, person', re.findall(
    r'^\| `([^`]*)` \| `([^`]*)` \| `([^`]*)` \|', PAGE, re.M))
def test_the_patterns_of_the_page_find_its_persons(
    path, pattern, person, tmp_path):
  other = 'bob' if person.isalpha() else '9'
  draw(tmp_path, *(each.replace('train', part) for face in (
      path, path.replace(person, other)) for each in (
          face, face.replace('happy', 'sad')) for part in (
              'train', 'val', 'test')))
  dataset = read(tmp_path, identity_pattern=pattern,
                 class_names=('happy', 'sad'))
  found = dataset.identity[dataset.sample_id.tolist().index(path)]
  named = dataset.people.get(int(found), str(found))
  assert named.lstrip('0') == person.lstrip('0')
  assert len(set(dataset.identity.tolist())) == 2


def test_a_pattern_finds_the_persons(tmp_path):
  draw(tmp_path, *FACES)
  pattern = r'([a-z]+)[_.][^/]*$'
  dataset = read(tmp_path, identity_pattern=pattern)
  assert dataset.identity.tolist() == [0, 1, 0, 2]
  assert dataset.people == {0: 'ann', 1: 'bob', 2: 'eve'}
  assert dataset.notes == (
      f"{pattern} finds the persons 'ann' in 'happy/ann_1.png', 'bob' in "
      "'happy/bob_1.png', 'ann' in 'sad/ann_2.png', 'eve' in 'sad/x/eve.png'.",)
  with pytest.raises(ValueError, match="none in 'sad/x/eve.png'"):
    read(tmp_path, identity_pattern=r'(\w+)_\d')


@pytest.mark.parametrize('pattern, people', [
    (r'(\d+)', {7: 4, 9: 4}), (r'(\d+)_', {7: 4, 9: 4}),
    (r'/(\d+)_', {7: 4, 9: 4}), (r'^(\d+)', {7: 4, 9: 4}),
    (r'(?<=/)(\d+)_', {7: 4, 9: 4}), (r'^[^/]*/[^/]*/(\d+)', {7: 4, 9: 4}),
    (r'_(\d)\.', {0: 4, 1: 4}), (r'class_\d/(\d+)', {7: 4, 9: 4}),
    ('(class)', "a person by the pattern '.class.' in every path below"),
    (r'/(class_\d)/', 'below the folder of its class, got none in '
     "'train/class_0/7_0.png'"),
    (r'(png)', "several persons in each class .* got 'png' alone in all 6 "
               "images of 'class_0', such as test/class_0/0.png, ")])
def test_a_pattern_looks_below_the_folder_of_the_class(
    tmp_path, pattern, people):
  draw(tmp_path, *(f'train/class_{c}/{person}_{k}.png' for c in (0, 1)
                   for person in (7, 9) for k in (0, 1)))
  if pattern == '(png)':
    draw(tmp_path, *(f'{part}/class_{c}/0.png' for c in (0, 1)
                     for part in ('val', 'test')))
  if isinstance(people, str):
    with pytest.raises(ValueError, match=people):
      read(tmp_path, identity_pattern=pattern)
  else:
    identity = read(tmp_path, identity_pattern=pattern).identity
    persons, counts = np.unique(identity, return_counts=True)
    assert dict(zip(persons.tolist(), counts.tolist())) == people


def test_numbered_classes_are_in_the_order_of_numbers(tmp_path):
  draw(tmp_path, '10/a.png', '2/b.png', '1/c.png')
  dataset = read(tmp_path)
  assert dataset.task.names == ('1', '2', '10')
  assert dict(zip(dataset.sample_id.tolist(), dataset.labels.tolist())) == {
      '10/a.png': 2, '2/b.png': 1, '1/c.png': 0}


def test_parts_above_the_classes_are_the_split(tmp_path):
  draw(tmp_path, 'train/a/1.png', 'train/b/2.png', 'val/a/3.png',
       'test/b/4.png')
  parts = split_columns.partition_from_column(read(tmp_path)).parts
  assert {name: len(rows) for name, rows in parts.items()} == {
      'train': 2, 'val': 1, 'test': 1}
  draw(tmp_path, 'val/a/1.png')
  with pytest.raises(ValueError, match='val to share no person with train'):
    split_columns.partition_from_column(
        read(tmp_path, identity_pattern=r'(\d)'))
