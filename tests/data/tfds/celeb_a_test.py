"""CelebA through the builder of tfds: mocked data, and official files."""

import io
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from dlfd_jax.data.tfds import celeb_a, index, load, mucac
from tests.data.tfds import layouts


def read(root, labels=('gender', 'young', 'smile'), **options):
  return load.load('celeb_a', root=root, labels=labels, image_size=24,
                   **options)


class Encoded:
  """Mocked examples with encoded images, which tfds needs TensorFlow for."""

  def __init__(self, source):
    self._source = source

  def __len__(self):
    return len(self._source)

  def __getitem__(self, k):
    buffer = io.BytesIO()
    Image.fromarray(self._source[k]['image']).save(buffer, 'png')
    return {**self._source[k], 'image': buffer.getvalue()}


def test_mocked_data_give_table_and_pixels(tmp_path, monkeypatch):
  with tfds.testing.mock_data(
      num_examples=5, policy=tfds.testing.MockPolicy.USE_CODE):
    builder = celeb_a.builder(tmp_path, 24)
    source = Encoded(builder.as_data_source(split='train'))
    monkeypatch.setattr(index, '_sources', lambda builder: {'train': source})
    table = index.read_table(builder, tmp_path, celeb_a.describe)
    pixels = index.read_pixels(builder, tmp_path, table, (24, 24), 'all')
  assert table.sample_id.tolist() == [f'train/{k:06d}' for k in range(5)]
  assert (table.identity >= 0).all() and len(table.columns) == 40
  assert set(mucac.RENAMED.values()) <= set(table.columns)
  assert all(set(c.tolist()) <= {0, 1} for c in table.columns.values())
  assert pixels.shape == (5, 24, 24, 3) and pixels.std() > 0
  assert 'tensorflow' not in sys.modules


@pytest.fixture
def few(monkeypatch):
  """Roles for 20 people: 4 test, 12 train of whom 4 are forgotten, 4 val."""
  monkeypatch.setattr(mucac, 'PEOPLE', 20)
  monkeypatch.setattr(mucac, 'TEST_END', 4)
  monkeypatch.setattr(mucac, 'TRAIN_END', 16)
  monkeypatch.setattr(mucac, 'FORGET', {'benchmark': (4, 8)})


def test_official_files_of_the_user_are_used(tmp_path, few):
  layouts.celeb_a_download(tmp_path)
  dataset = read(tmp_path)
  assert len(dataset) == 40 and dataset.images.shape[1:] == (24, 24, 3)
  assert dataset.task.names == ('gender', 'young', 'smile')
  people, counts = np.unique(dataset.identity, return_counts=True)
  assert people.tolist() == list(range(1, 21)) and set(counts) == {2}
  for person, labels in zip(dataset.identity, dataset.labels):
    assert labels.tolist() == [person % 2, person % 5 != 1, person < 4]
  for part, first, last in (('test', 1, 4), ('forget', 5, 8),
                            ('retain', 9, 16), ('val', 17, 20)):
    assert set(dataset.identity[dataset.split == part].tolist()) == set(
        range(first, last + 1))
  again = read(tmp_path, labels=['Young'], people=10)
  assert len(again) == 20 and again.task.names == ('not young', 'young')


def test_a_folder_without_files_is_left_to_tfds(tmp_path, monkeypatch):
  def asked(self, *, file_format, **options):
    raise ConnectionError(f'{self.name} as {file_format}')

  monkeypatch.setattr(
      tfds.core.DatasetBuilder, 'download_and_prepare', asked)
  with pytest.raises(ValueError, match='the files of celeb_a in .*, or a '
                     'network .* ConnectionError: celeb_a as array_record'):
    read(tmp_path)
