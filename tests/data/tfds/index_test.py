"""Preparing: broken off, begun again; tables and pixels written whole."""

import sys

import numpy as np
import pytest
from tensorflow_datasets.core import shuffle

from dlfd_jax.data.loaders import images
from dlfd_jax.data.tfds import base, index, load, mucac
from tests.data.tfds import layouts


def read(root, **options):
  return load.load(
      'mucac', root=root, labels=['smile'], image_size=16, **options)


def test_a_split_too_large_for_memory_needs_no_tensorflow(
    tmp_path, monkeypatch):
  layouts.mucac_download(tmp_path / 'one')
  layouts.mucac_download(tmp_path / 'two')
  usual = read(tmp_path / 'one')
  monkeypatch.setattr(shuffle, 'MAX_MEM_BUFFER_SIZE', 100)  # bytes, not 1 GB
  large = read(tmp_path / 'two')
  np.testing.assert_array_equal(usual.sample_id, large.sample_id)
  np.testing.assert_array_equal(usual.images, large.images)
  assert 'tensorflow' not in sys.modules


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
def test_a_broken_preparation_is_begun_again(tmp_path, monkeypatch, error):
  layouts.mucac_download(tmp_path)
  whole, seen = base.encoded, []

  def breaks(*arguments):
    seen.append(arguments)
    if len(seen) == 4:
      raise error
    return whole(*arguments)

  monkeypatch.setattr(base, 'encoded', breaks)
  with pytest.raises(error):
    read(tmp_path)
  builder = mucac.builder(tmp_path, 16)
  assert not index.data_dir(tmp_path).joinpath(
      'mucac/px16/1.0.0').exists() and str(builder.data_dir).endswith('1.0.0')
  assert len(read(tmp_path)) == 10
  assert len(seen) == 4 + 10


def test_a_killed_preparation_is_not_taken_for_finished(tmp_path):
  layouts.mucac_download(tmp_path)
  folder = tmp_path / 'tensorflow_datasets/mucac/px16/incomplete.AB12_1.0.0'
  folder.mkdir(parents=True)
  (folder / 'mucac-train.array_record-00000-of-00001').write_bytes(b'half')
  assert len(read(tmp_path)) == 10


def test_broken_pixels_are_written_again(tmp_path, monkeypatch):
  layouts.mucac_download(tmp_path)

  def stop(done, total):
    if done == 3:
      raise KeyboardInterrupt
    assert total == 10

  with pytest.raises(KeyboardInterrupt):
    read(tmp_path, progress=stop)
  folder = tmp_path / 'tensorflow_datasets/mucac/px16/1.0.0'
  assert not list(folder.glob('*pixels*'))
  calls = []
  dataset = read(tmp_path, progress=lambda *at: calls.append(at))
  assert calls[-1] == (10, 10)
  monkeypatch.setattr(images, 'read_image', None)  # all is there
  assert read(tmp_path).fingerprint() == dataset.fingerprint()


def test_pixels_of_another_table_are_refused(tmp_path):
  layouts.mucac_download(tmp_path)
  read(tmp_path)
  path, = tmp_path.glob('tensorflow_datasets/mucac/px16/1.0.0/pixels_*')
  np.save(path, np.zeros((3, 16, 16, 3), np.uint8))
  with pytest.raises(ValueError, match=r'\[10, 16, 16, 3\] pixels in .*delete'):
    read(tmp_path)


def test_small_files_are_kept_byte_by_byte(tmp_path):
  root = layouts.mucac_download(tmp_path)
  builder = mucac.builder(tmp_path, 16)
  index.prepare(builder, tmp_path)
  source = index._sources(builder)['test']
  for k in range(len(source)):
    name = source[k]['sample_id'].decode()
    assert source[k]['image'] == (root / mucac.IMAGES / name).read_bytes()


def test_the_builder_serves_tfds_alone(tmp_path):
  layouts.mucac_download(tmp_path)
  builder = mucac.builder(tmp_path, 16)
  index.prepare(builder, tmp_path)
  source = builder.as_data_source(split='train')
  assert len(source) == 6 and source[0]['image'].shape == (16, 16, 3)
  assert int(source[0]['identity']) == 190 and int(source[0]['smile']) == 1
