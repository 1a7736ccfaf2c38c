"""MUFAC: official layout and roles, the clean split."""

import collections
import json
import shutil
import sys

import numpy as np
import pytest

from dlfd_jax.data import split_columns
from dlfd_jax.data.loaders import images
from dlfd_jax.data.tfds import index, load, mufac
from tests.data.tfds import layouts


@pytest.fixture
def download(tmp_path, monkeypatch):
  monkeypatch.setattr(mufac, 'FORGET_ROWS', 3)
  return layouts.mufac_download(tmp_path)


def read(root, source='mufac', image_size=16, **options):
  return load.load(source, root=root, labels=['age_class'],
                   image_size=image_size, **options)


def rows_of(dataset):
  return {str(name).split('/')[1]: k
          for k, name in enumerate(dataset.sample_id)}


def test_the_official_roles_are_the_split(download):
  dataset = read(download.parent)
  found = split_columns.partition_from_column(dataset)
  assert {k: len(v) for k, v in found.parts.items()} == {
      'retain': 3, 'forget': 3, 'val': 2, 'test': 2}
  assert sorted(dataset.sample_id[found.forget]) == [
      'train_images/F0001_AGE_D_18_c1.jpg',
      'train_images/F0001_AGE_D_18_c2.jpg',
      'train_images/F0001_AGE_M_45_e1.jpg']
  assert found.by_person
  assert 'tensorflow' not in sys.modules


def test_the_official_sizes(tmp_path):
  folder = tmp_path / mufac.FOLDER
  folder.mkdir()
  counts = {'train': (1, 10025, 35), 'val': (801, 1539, 31),
            'test': (851, 1504, 31)}
  for part, (first, count, each) in counts.items():
    (folder / f'custom_{part}_dataset.csv').write_text('\n'.join([
        layouts.HEADER, *(
            f'F{first + k // each:04d},D,c,F{first + k // each:04d}_AGE_D_18_'
            f'c{k % each + 1}.jpg' for k in range(count))]) + '\n')
  rows = mufac.builder(tmp_path, None).rows(tmp_path)
  part = np.array([row.part for row in rows])
  table = index.Index(
      sample_id=np.array([row.sample_id for row in rows]),
      name=np.array([row.person for row in rows]), part=part,
      identity=np.zeros(len(rows)), position=np.arange(len(rows)), columns={})
  split = mufac.roles(table, 'official')
  assert collections.Counter(split.tolist()) == {
      'retain': 8525, 'forget': 1500, 'val': 1539, 'test': 1504}
  assert (split[part == 'train'][:1500] == 'forget').all()
  assert {row.values['family'] for row in rows if row.part == 'val'} == set(
      range(801, 851))


def test_labels_people_and_columns_are_those_of_the_tables(download):
  dataset = read(download)  # the unpacked folder itself may be named
  rows = rows_of(dataset)
  sister = rows['F0002_AGE_S2_5_a1.jpg']
  assert dataset.labels[rows['F0001_AGE_M_45_e1.jpg']] == 4
  assert dataset.task.names[4] == '31-45'
  assert {name: column[sister] for name, column in dataset.columns.items()} == {
      'family': 2, 'role': 4, 'role_number': 2, 'age': 5}
  same = [rows['F0001_AGE_D_18_c1.jpg'], rows['F0001_AGE_D_18_c2.jpg']]
  assert len(set(dataset.identity[same])) == 1
  assert len(np.unique(dataset.identity)) == 8
  assert dataset.people[dataset.identity[same[0]]] == 'F0001_D'


def test_pixels_equal_the_files_and_stay_on_disk(download):
  dataset = read(download.parent)
  assert isinstance(dataset.images, np.memmap)
  for k, name in enumerate(dataset.sample_id):
    np.testing.assert_array_equal(
        dataset.images[k], images.read_image(download / str(name), (16, 16)))
  shutil.rmtree(download)  # prepared data are read without it
  assert read(download.parent).fingerprint() == dataset.fingerprint()


def test_clean_drops_copies_everywhere_and_reports_both(download):
  root = download
  for copy in ('train_images/F0002_AGE_S2_8_b1.jpg',  # retain
               'train_images/F0001_AGE_D_18_c2.jpg',  # forget itself
               'test_images/F0851_AGE_D_3_a1.jpg'):
    shutil.copy(root / 'train_images/F0001_AGE_D_18_c1.jpg', root / copy)
  raw, clean = read(root), read(root, 'mufac/clean')
  assert len(raw) == 10
  assert sorted(set(raw.sample_id) - set(clean.sample_id)) == [
      'test_images/F0851_AGE_D_3_a1.jpg',
      'train_images/F0001_AGE_D_18_c2.jpg',
      'train_images/F0002_AGE_S2_8_b1.jpg']
  path, = root.glob('tensorflow_datasets/mufac/px16/1.0.0/*clean.json')
  report = json.loads(path.read_text())
  assert report['raw']['images'] == {
      'retain': 3, 'forget': 3, 'val': 2, 'test': 2}
  assert report['clean']['images'] == {
      'retain': 2, 'forget': 2, 'val': 2, 'test': 1}
  assert report['raw']['exact']['forget-retain'] == 2
  assert not any(report['clean']['exact'].values())
  assert read(root, 'mufac/clean').fingerprint() == clean.fingerprint()
