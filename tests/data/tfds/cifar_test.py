"""CIFAR through the builders of tfds: drawn files in the official formats.

The official archives were not at hand: layout, names and sizes are those that
the builders of tfds read.
"""

import sys
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from dlfd_jax.cli import check
from dlfd_jax.data import (
  requests,
  resolution,
  sources,
  split_columns,
  splits as splits_lib,
)
from dlfd_jax.data.tfds import cifar, load
from tests.data.tfds import layouts

EACH = {'cifar10': 20, 'cifar100': 40}


@pytest.fixture(params=['cifar10', 'cifar100'])
def download(request, tmp_path, monkeypatch):
  """The name of a data set whose files lie in the folder of the test."""
  counts = layouts.cifar_download(tmp_path, request.param, EACH[request.param])
  monkeypatch.setattr(cifar, 'IMAGES', counts)
  return request.param


def read(root, name, labels=('label',), **options):
  return load.load(name, root=root, labels=labels, image_size=32, **options)


def test_official_files_are_read_as_they_are(tmp_path, download):
  data = read(tmp_path, download)
  classes = 10 if download == 'cifar10' else 100
  train, test = (100, 20) if download == 'cifar10' else (200, 40)
  assert len(data) == train + test and data.image_size == (32, 32)
  assert data.task.names == tuple(
      f'{"b" if classes == 10 else "f"} {k}' for k in range(classes))
  assert (data.identity == -1).all() and 'tensorflow' not in sys.modules
  assert (data.images[..., 0] == data.labels[:, None, None]).all()  # red
  folder = tmp_path / (cifar.TEN if classes == 10 else cifar.HUNDRED).folder
  file = folder / ('data_batch_2.bin' if classes == 10 else 'train.bin')
  row = np.fromfile(file, np.uint8).reshape(-1, 3072 + 1 + (classes > 10))[7]
  number = 27 if classes == 10 else 7  # of all training images
  found, = np.flatnonzero(data.sample_id == f'train_{number:05d}')
  np.testing.assert_array_equal(
      data.images[found], row[-3072:].reshape(3, 32, 32).transpose(1, 2, 0))
  assert data.labels[found] == row[-3073]
  again = read(tmp_path, download)
  assert again.fingerprint() == data.fingerprint()


def test_val_is_a_tenth_of_each_class_of_train(tmp_path, download):
  data = read(tmp_path, download)
  parts = split_columns.partition_from_column(data)
  assert isinstance(parts, splits_lib.Partition)
  for part, official in (('train', 'train'), ('val', 'train'),
                         ('test', 'test')):
    assert all(name.startswith(official)
               for name in data.sample_id[parts.parts[part]])
  assert set(np.bincount(data.labels[parts.val])) == {1}


def test_the_fine_classes_are_sub_classes_of_the_coarse_ones(
    tmp_path, monkeypatch):
  monkeypatch.setattr(
      cifar, 'IMAGES', layouts.cifar_download(tmp_path, 'cifar100', 40))
  data = read(tmp_path, 'cifar100', ['coarse_label'])
  assert data.task.names == tuple(f'c {k}' for k in range(20))
  np.testing.assert_array_equal(data.labels, data.columns['label'] // 5)
  splits, _ = resolution.resolve_request(
      data, split_columns.partition_from_column(data),
      requests.ForgetRequest(subclasses=['label:f 7']))
  assert set(data.columns['label'][splits.forget]) == {7}
  assert set(data.columns['label'][splits.of_classes]) == {7}
  assert 1 in data.labels[splits.retain]  # its coarse class stays


def test_a_packed_archive_is_unpacked(tmp_path, download):
  one = cifar.TEN if download == 'cifar10' else cifar.HUNDRED
  plain = read(tmp_path, download).fingerprint()
  other = tmp_path / 'packed'
  other.mkdir()
  with tarfile.open(other / one.archive, 'w:gz') as archive:
    archive.add(tmp_path / one.folder, one.folder)
  assert read(other, download).fingerprint() == plain
  (tmp_path / 'spoilt').mkdir()
  for content in (b'<html>not here</html>',
                  (other / one.archive).read_bytes()[:20_000]):
    (tmp_path / 'spoilt' / one.archive).write_bytes(content)
    with pytest.raises(ValueError, match='an archive that can be unpacked'):
      read(tmp_path / 'spoilt', download)
    assert [path.name for path in (tmp_path / 'spoilt').iterdir()] == [
        one.archive]


def test_a_folder_without_files_is_left_to_tfds(tmp_path, monkeypatch):
  def asked(self, url):
    raise ConnectionError(url)

  monkeypatch.setattr(
      tfds.download.DownloadManager, 'download_and_extract', asked)
  with pytest.raises(ValueError, match='the files of cifar10 in .*, or a '
                     'network .* ConnectionError: .*binary.tar.gz'):
    read(tmp_path, 'cifar10')


def spoil(folder, file, label):
  rows = np.fromfile(folder / file, np.uint8).reshape(-1, 3073)
  rows[3, 0] = label
  rows.tofile(folder / file)


@pytest.mark.parametrize('edit, message', [
    (lambda f: (f / 'data_batch_3.bin').unlink(),
     'data_batch_3.bin, found none. cifar10 is used from the folder that'),
    (lambda f: (f / 'batches.meta.txt').unlink(), 'meta.txt, found none'),
    (lambda f: (f / 'batches.meta.txt').write_text('cat\ndog\n'),
     '10 distinct classes in .*, got 2 lines, 2 of them distinct'),
    (lambda f: (f / 'batches.meta.txt').write_text('cat\n' * 10),
     'got 10 lines, 1 of them distinct'),
    (lambda f: (f / 'test_batch.bin').write_bytes(
        (f / 'test_batch.bin').read_bytes()[:-9]),
     '20 images of 3073 bytes in .*test_batch.bin, got 61451 bytes'),
    (lambda f: spoil(f, 'data_batch_1.bin', 10),
     'label below 10 in .*data_batch_1.bin, got 10')])
def test_spoilt_files_are_refused_and_leave_nothing(
    tmp_path, monkeypatch, edit, message):
  monkeypatch.setattr(
      cifar, 'IMAGES', layouts.cifar_download(tmp_path, 'cifar10', 20))
  edit(tmp_path / cifar.TEN.folder)
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    read(tmp_path, 'cifar10')
  assert [path.name for path in tmp_path.iterdir()] == [cifar.TEN.folder]


def test_nobody_is_known(tmp_path, download):
  with pytest.raises(ValueError, match='no people of .*, where nobody is'):
    read(tmp_path, download, people=3)


def test_a_command_reads_them(tmp_path, download, capsys):
  preset = sources.DataOptions(
      source=download, labels=('label',), image_size=32)
  assert preset.source == download
  assert check.main([
      f'--preset={download}', f'--root={tmp_path}', '--forget_classes='
      f'{"b" if download == "cifar10" else "f"} 3', '--repeats=0',
      '--width=2', f'--workdir={tmp_path / "check"}']) == 0
  said = capsys.readouterr().out
  assert 'Forgotten whole' in said and '3. Accuracies on val and test' in said
