"""Data sets from npz files."""

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data.loaders import npz

N = 6


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
  data = npz.load_npz(tmp_path / 'a.npz', labels='gender', name='faces')
  np.testing.assert_array_equal(
      data.images, np.broadcast_to(images, (N, 4, 5, 3)))
  assert data.name == 'faces' and data.image_size == (4, 5)


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


@pytest.mark.parametrize('changes, message', [
    ({'images': None}, 'an array images in a.npz, got identity, gender'),
    ({'images': np.zeros((N, 8, 8))}, r'uint8 .*, got float64 \[6, 8, 8\]'),
    ({'images': np.zeros((N, 8, 8, 4), np.uint8)}, r'uint8 \[6, 8, 8, 4\]'),
    ({'images': np.zeros((0, 8, 8), np.uint8)}, r'uint8 \[0, 8, 8\]'),
    ({'gender': None}, "an array 'gender' in a.npz, got images, identity"),
    ({'gender': np.zeros(N)}, r'gender in a.npz to be integers \[6\], got flo'),
    ({'gender': np.zeros(4, int)}, r'integers \[6\], got int64 \[4\]'),
    ({'gender': np.array([0, 0, -1, 1, 1, 1])},
     "in 'gender', got -1 in row 2 of a.npz"),
    ({'identity': np.zeros(N)}, 'identity in a.npz to be a vector of int'),
    ({'identity': np.zeros(3, int)},
     r'identity in a.npz to be \[6\], got \[3\]'),
    ({'identity': np.full(N, -2)}, 'identity >= -1 in row 0 of a.npz, got -2'),
    ({'age': np.full(N, 2**40)}, 'age in a.npz within the range of int32'),
    ({'sample_id': np.array(['a'] * N)},
     "distinct .* got 'a' in row 0 of a.npz and in row 1 of a.npz"),
])
def test_wrong_files_are_refused(tmp_path, changes, message):
  _write(tmp_path / 'a.npz', **changes)
  with pytest.raises(ValueError, match=message):
    npz.load_npz(tmp_path / 'a.npz', labels='gender')


def test_other_files_are_refused(tmp_path):
  path = tmp_path / 'a.npz'
  with pytest.raises(FileNotFoundError, match='npz file, got no file at'):
    npz.load_npz(path, labels='gender')
  _write(path, note=np.array([{'an': 'object'}], dtype=object))
  with pytest.raises(ValueError, match='got pickled objects in note.npy'):
    npz.load_npz(path, labels='gender')
  _write(path)
  with pytest.raises(ValueError, match='image_size to be a number of pixels'):
    npz.load_npz(path, labels='gender', image_size=-3)
  np.savez_compressed(path, images=np.arange(9000) % 251)
  whole = path.read_bytes()
  for content in (b'text', whole[:100] + b'x' * 40 + whole[140:]):
    path.write_bytes(content)
    with pytest.raises(ValueError, match='plain arrays, got something else'):
      npz.load_npz(path, labels='gender')
