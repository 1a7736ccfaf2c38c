"""Data sets from npz files."""

import pathlib
import re

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data.loaders import npz

N = 6
PAGE = (pathlib.Path(__file__).parents[3] / 'docs' / 'data-formats.md'
        ).read_text('utf-8')


def _write(path, **changes):
  generator = np.random.default_rng(0)
  arrays = {
      'images': generator.integers(0, 256, (N, 8, 8), dtype=np.uint8),
      'identity': np.array([0, 0, 1, 1, 2, 2]),
      'gender': np.array([0, 0, 1, 1, 0, 0], np.int8),
      'smile': np.array([0, 1, 0, 1, 0, 1], np.int8),
      'age': np.array([4, 8, 30, 34, 60, 61], np.int16),
      'age_class': np.array([0, 1, 2, 3, 4, 5], np.int8),
      **changes,
  }
  np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
  return arrays


def test_the_file_of_the_page_is_read(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  block, = re.findall(r'```python\n(.*?)```', PAGE, re.S)
  exec(block, {})  # noqa: S102
  data = npz.load_npz('mine.npz', labels='smile')
  assert (len(data), data.task.names) == (120, ('smile 0', 'smile 1'))
  assert len(set(data.identity.tolist())) == 30


def test_grey_images_become_three_equal_channels(tmp_path):
  path = tmp_path / 'faces.npz'
  arrays = _write(path)
  data = npz.load_npz(path, labels='gender')
  np.testing.assert_array_equal(
      data.images, np.stack([arrays['images']] * 3, axis=-1))
  assert data.name == 'faces'
  assert data.sample_id[5] == 'faces_00005'
  assert data.split is None
  np.testing.assert_array_equal(data.identity, arrays['identity'])


@pytest.mark.parametrize('channels', [1, 3])
def test_images_may_have_channels(tmp_path, channels):
  images = np.random.default_rng(0).integers(
      0, 256, (N, 4, 5, channels), dtype=np.uint8)
  _write(tmp_path / 'a.npz', images=images)
  data = npz.load_npz(tmp_path / 'a.npz', labels='gender')
  np.testing.assert_array_equal(
      data.images, np.broadcast_to(images, (N, 4, 5, 3)))
  assert data.name == 'a' and data.image_size == (4, 5)


def test_one_label_is_multiclass_and_the_rest_are_columns(tmp_path):
  _write(tmp_path / 'a.npz', note=np.array(['text'] * N), scores=np.zeros(N),
         version=np.array(3))
  data = npz.load_npz(
      tmp_path / 'a.npz', labels='gender', names=('female', 'male'))
  assert data.task == tasks.Task('multiclass', ('female', 'male'))
  assert set(data.columns) == {'smile', 'age', 'age_class'}
  assert data.columns['age'].dtype == np.int32


def test_merged_and_cut_labels_keep_their_columns(tmp_path):
  _write(tmp_path / 'a.npz')
  data = npz.load_npz(tmp_path / 'a.npz', labels='age_class', merge_from=4)
  np.testing.assert_array_equal(data.labels, [0, 1, 2, 3, 4, 4])
  np.testing.assert_array_equal(data.columns['age_class'], np.arange(6))
  data = npz.load_npz(tmp_path / 'a.npz', labels=('gender', 'age', 'smile'),
                      thresholds={'age': 30})
  assert data.task == tasks.Task('multilabel', ('gender', 'age', 'smile'))
  np.testing.assert_array_equal(data.labels[:, 1], [0, 0, 1, 1, 1, 1])


def test_images_are_resized_once_on_loading(tmp_path):
  arrays = _write(tmp_path / 'a.npz')
  data = npz.load_npz(tmp_path / 'a.npz', labels='gender', image_size=4)
  expected = arrays['images'].reshape(N, 4, 2, 4, 2).mean((2, 4))
  np.testing.assert_allclose(data.images[..., 0], expected, atol=1.01)
  assert data.notes == (
      'Images of a.npz are 8 x 8 px and are resized to 4 x 4 (--image_size).',)
  for size in (None, 8):
    assert not npz.load_npz(
        tmp_path / 'a.npz', labels='gender', image_size=size).notes


def test_persons_ids_and_split_are_those_of_the_file(tmp_path):
  _write(tmp_path / 'a.npz', identity=None)
  data = npz.load_npz(tmp_path / 'a.npz', labels='gender')
  np.testing.assert_array_equal(data.identity, -1)
  ids = np.array([f'x{i}' for i in range(N)])
  split = np.array(['train'] * 4 + ['val', 'test'])
  _write(tmp_path / 'a.npz', sample_id=ids, split=split)
  data = npz.load_npz(tmp_path / 'a.npz', labels='gender')
  np.testing.assert_array_equal(data.sample_id, ids)
  np.testing.assert_array_equal(data.split, split)


def test_bytes_are_texts(tmp_path):
  names = np.array(['Ann', 'Bob', 'Ann', '', 'Bob', 'Zoe'])
  _write(tmp_path / 'a.npz', identity=names.astype('S'))
  data = npz.load_npz(tmp_path / 'a.npz', labels='gender')
  assert data.named(np.arange(N)) == [name or None for name in names.tolist()]
  _write(tmp_path / 'a.npz', identity=np.array(['Zoë'.encode()] * N))
  with pytest.raises(ValueError, match='identity in a.npz to be text, got '):
    npz.load_npz(tmp_path / 'a.npz', labels='gender')


@pytest.mark.parametrize('key', ['identity', 'sample_id', 'split'])
def test_records_are_no_column(key, tmp_path):
  path = tmp_path / 'faces.npz'
  np.savez(path, images=np.full((2, 8, 8, 3), 99, np.uint8), age=np.arange(2),
           **{key: np.zeros(2, 'i4,f4')})
  with pytest.raises(ValueError, match=f'{key} in faces.npz to be text or num'):
    npz.load_npz(path, labels=('age',))
