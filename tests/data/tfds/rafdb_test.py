"""RAF-DB: official layout, the authors' shuffle."""

import collections
import random

import numpy as np

from dlfd_jax.data import split_columns
from dlfd_jax.data.loaders import images
from dlfd_jax.data.tfds import index as index_lib, load, rafdb
from tests.data.tfds import layouts


def read(root):
  return load.load('rafdb', root=root, labels=['emotion'], image_size=16)


def test_emotions_and_roles(tmp_path):
  layouts.rafdb_download(tmp_path)
  dataset = read(tmp_path)
  assert len(dataset) == 28 and (dataset.identity == -1).all()
  assert dataset.task.names == rafdb.EMOTIONS
  for name, label in zip(dataset.sample_id, dataset.labels):
    assert label + 1 == int(str(name).split('/')[1])
  found = split_columns.partition_from_column(dataset)
  assert {k: len(v) for k, v in found.parts.items()} == {
      'retain': 13, 'forget': 6, 'val': 2, 'test': 7}
  assert not found.by_person


def test_images_are_read_grey(tmp_path):
  root = layouts.rafdb_download(tmp_path)
  dataset = read(tmp_path)
  colours = np.stack([images.read_image(root / str(name), (16, 16))
                      for name in dataset.sample_id]).astype(float)
  assert colours.std(-1).max() > 10
  assert (dataset.images == dataset.images[..., :1]).all()
  luma = colours @ [.299, .587, .114]  # ITU-R BT.601
  np.testing.assert_allclose(dataset.images[..., 0], luma, atol=1)


def test_the_official_sizes_and_the_shuffle_of_python():
  n = 12271
  index = index_lib.Index(
      sample_id=np.arange(n).astype(str), name=np.full(n, ''),
      identity=np.full(n, -1), part=np.full(n, 'train'),
      position=np.arange(n), columns={})
  found = rafdb.roles(index, 'official')
  assert collections.Counter(found.tolist()) == {
      'val': 1227, 'retain': 7730, 'forget': 3314}
  random.seed(42)
  order = list(range(n))
  random.shuffle(order)
  assert set(found[order[:1227]]) == {'val'}
  assert set(found[order[1227:1227 + 7730]]) == {'retain'}
