"""MUCAC: official layout, the named forget sets."""

import collections

import numpy as np
import pytest

from dlfd_jax.data import split_columns
from dlfd_jax.data.loaders import images
from dlfd_jax.data.tfds import load, mucac
from tests.data.tfds import layouts


@pytest.fixture
def download(tmp_path):
  return layouts.mucac_download(tmp_path)


def read(root, source='mucac', labels=('gender', 'young', 'smile'), **options):
  return load.load(
      source, root=root, labels=labels, image_size=16, **options)


def people(dataset, part):
  return sorted(dataset.identity[dataset.split == part].tolist())


def test_both_forget_sets_by_name(download):
  dataset = read(download.parent)
  assert people(dataset, 'forget') == [190, 190, 1249]
  assert people(dataset, 'retain') == [1250, 1970, 4854]
  assert people(dataset, 'test') == [0, 189]
  assert people(dataset, 'val') == [4855, 6216]
  assert split_columns.partition_from_column(dataset).by_person
  other = read(download, 'mucac/gli')
  assert people(other, 'forget') == [1970, 4854]
  assert people(other, 'retain') == [190, 190, 1249, 1250]


def test_images_are_sorted_by_file_id_and_labelled(download):
  dataset = read(download)
  train = [str(name) for name in dataset.sample_id
           if name in [f'{k}.jpg' for k in range(2, 8)]]
  assert train == [f'{k}.jpg' for k in range(2, 8)]
  for name, labels, person in zip(
      dataset.sample_id, dataset.labels, dataset.identity):
    k = int(str(name).split('.')[0])
    assert labels.tolist() == [int(k % 2), int(k < 5), int(k % 3 > 0)]
    assert person == layouts.MUCAC_PEOPLE[k]
  assert len(dataset.columns) == 37 and 'Bald' in dataset.columns


def test_one_label_is_a_multiclass_task(download):
  dataset = read(download, labels=['Male'])
  assert dataset.task.names == ('female', 'male')
  assert set(dataset.labels) == {0, 1}


@pytest.mark.parametrize('variant, forget, retain', [
    ('benchmark', 10135, 15798), ('gli', 10548, 15385)])
def test_the_official_sizes(variant, forget, retain):
  """25,933 = 10,135 + 15,798; the published 15,711 is of a run short of 100."""
  images = {range(190): 2065, range(190, 1250): 10135,
            range(1250, 1970): 25933 - 10135 - 10548, range(1970, 4855): 10548,
            range(4855, 6217): 2002}
  index = np.concatenate([
      np.resize(np.array(people), count) for people, count in images.items()])
  assert len(index) == 30000 and len(np.unique(index)) == 6217
  found = mucac.roles_of_people(index, variant)
  assert collections.Counter(found.tolist()) == {
      'test': 2065, 'val': 2002, 'forget': forget, 'retain': retain}


def test_clean_halves_the_unseen_by_person():
  index = np.repeat(np.arange(6217), 2)
  raw = mucac.roles_of_people(index, 'benchmark')
  clean = mucac.roles_of_people(index, 'clean')
  for part in ('retain', 'forget'):
    np.testing.assert_array_equal(raw == part, clean == part)
  test, val = (set(index[clean == part]) for part in ('test', 'val'))
  assert not test & val and len(test) == len(val) == (190 + 1362) / 2
  assert len([i for i in test if i < 190]) == 95
  gli = mucac.roles_of_people(index, 'gli_clean')
  assert (gli == 'forget').sum() == 2 * (4855 - 1970)


def test_people_takes_whole_persons_of_every_role(download):
  dataset = read(download, people=5)
  assert len(np.unique(dataset.identity)) == 5
  assert {str(part) for part in dataset.split} == {
      'retain', 'forget', 'val', 'test'}
  assert dataset.images.shape[0] == len(dataset)
  whole = read(download)
  rows = [whole.sample_id.tolist().index(name) for name in dataset.sample_id]
  np.testing.assert_array_equal(whole.images[rows], dataset.images)
  with pytest.raises(ValueError, match=r'people in \[1, 9\].*got 10'):
    read(download, people=10)


def test_large_images_are_resized_once_when_prepared(tmp_path):
  root = layouts.mucac_download(tmp_path, size=(64, 48))
  dataset = read(tmp_path)
  for k, name in enumerate(dataset.sample_id):
    np.testing.assert_array_equal(dataset.images[k], images.read_image(
        root / mucac.IMAGES / str(name), (16, 16)))
