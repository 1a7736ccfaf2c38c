"""Any bytes, rows and requests: a checked data set, or one sentence."""

import csv
import io
import json
import pathlib
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  requests,
  resolution,
  split_columns,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.data.loaders import folder, images, npz
from dlfd_jax.models import weight_files
from dlfd_jax.utils import files, records, validate
from tests import tiny
from tests.properties import said

TEXTS = st.one_of(
    st.sampled_from(['0', '1', '2', '-1', '', '007', '99999999999', 'Ann',
                     '<b>', 'a|b', '"', '../x', '/etc/passwd', 'train', 'test',
                     'val', '0.png', '1.png', 'é', '\0', 'a\nb']),
    st.text(max_size=4))


@pytest.fixture(scope='module')
def place():
  """A folder with two images."""
  with tempfile.TemporaryDirectory() as path:
    for k in range(2):
      Image.fromarray(np.full((4, 4, 3), 99 * k, np.uint8)).save(
          pathlib.Path(path, f'{k}.png'))
    yield pathlib.Path(path)


def _entries(path):
  return {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}


def _kept(function, path, content, *arguments, **options):
  """The outcome of reading a file of that content; nothing else changes."""
  path.write_bytes(content)
  before = _entries(path.parent)
  found = said.outcome(function, path, *arguments, **options)
  assert _entries(path.parent) == before
  path.unlink()
  return found


def _mutated(draw, whole):
  """A file with some bytes altered, cut or inserted."""
  data = bytearray(whole)
  for _ in range(draw(st.integers(0, 4))):
    at = draw(st.integers(0, max(len(data) - 1, 0)))
    how = draw(st.sampled_from(['alter', 'cut', 'insert']))
    if how == 'alter' and data:
      data[at] = draw(st.integers(0, 255))
    elif how == 'cut':
      del data[at:at + draw(st.integers(1, 40))]
    else:
      data[at:at] = draw(st.binary(max_size=6))
  return bytes(data)


def _encoded(kind):
  held = io.BytesIO()
  Image.fromarray(np.random.default_rng(0).integers(
      0, 256, (9, 7, 3), np.uint8)).save(held, kind)
  return held.getvalue()


@pytest.mark.parametrize(
    'kind', ['PNG', 'JPEG', 'GIF', 'BMP', 'TIFF', 'PPM', 'WEBP', 'JPEG2000'])
@given(data=st.data())
def test_any_image_file_is_read_or_refused(kind, data):
  content = _mutated(data.draw, _encoded(kind))
  try:
    found = images.read_image(io.BytesIO(content), (4, 5))
  except ValueError as error:  # the loaders say where, and what was expected
    assert '\n' not in str(error) and str(error)
  else:
    assert found.shape == (4, 5, 3) and found.dtype == np.uint8


def test_of_several_frames_the_first_is_read():
  held = io.BytesIO()
  frames = [Image.new('RGB', (4, 4), (shade,) * 3) for shade in (0, 255)]
  frames[0].save(held, 'GIF', save_all=True, append_images=frames[1:])
  assert images.read_image(held, (4, 4)).max() == 0


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), max_size=4),
       st.sampled_from(['path,identity,y,split', 'path,identity,y,age',
                        'y,path,identity,split', 'a,b,c,d']),
       st.sampled_from(['\n', '\r\n']), st.booleans(), st.booleans())
@settings(max_examples=80)
def test_any_rows_of_a_manifest(place, rows, header, ending, mark, multilabel):
  held = io.StringIO()
  writer = csv.writer(held, lineterminator=ending)
  writer.writerow(header.split(','))
  writer.writerows(rows)
  text = ('\ufeff' if mark else '') + held.getvalue()
  data, sentence = _kept(
      folder.load_folder, place / 'm.csv', text.encode('utf-8', 'replace'),
      labels='y', image_size=4, multilabel=multilabel)
  if sentence is None:
    assert 1 <= len(data) <= len(rows)
    assert set(data.sample_id) <= {'0.png', '1.png'}
    said.outcome(split_columns.partition_from_column, data)


@given(st.binary(max_size=60))
def test_any_bytes_as_a_manifest_a_list_or_json(place, content):
  for function, options in (
      (folder.load_folder, {'labels': 'y', 'image_size': 4}),
      (requests.read_entries, {}), (records.read, {}),
      (files.read_arrays, {})):
    _kept(function, place / 'file', content, **options)
  for ending in ('.safetensors', '.pth'):
    _kept(weight_files.read, place / f'file{ending}', content)


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.text(max_size=3), inner, max_size=3)), max_leaves=5))
def test_any_json_is_an_object_or_refused(place, value):
  found, sentence = _kept(
      records.read, place / 'file', json.dumps(value).encode(),
      schema=dict[str, Any])
  plain = said.is_plain(value) and isinstance(value, dict)
  assert (sentence is None) == plain and (not plain or found == value)


NPZ = {'images': np.full((3, 4, 4, 3), 99, np.uint8), 'y': np.array([0, 1, 1]),
       'identity': np.arange(3), 'sample_id': np.array(['a', 'b', 'c']),
       'split': np.array(['train', 'val', 'test'])}


@given(st.data())
@settings(max_examples=60)
def test_any_arrays_of_an_npz(place, data):
  arrays = dict(NPZ)
  for name in data.draw(st.sets(st.sampled_from(sorted(NPZ)), max_size=2)):
    arrays[name] = data.draw(hnp.arrays(
        data.draw(st.sampled_from(['u1', 'i4', 'i8', 'u8', 'f4', 'U3', 'S2',
                                   'b1', 'M8[s]', 'i4,f4'])),
        data.draw(st.one_of(st.just(NPZ[name].shape), hnp.array_shapes(
            min_dims=0, max_dims=4, min_side=0, max_side=4)))))
  held = io.BytesIO()
  np.savez(held, **arrays)
  found, sentence = _kept(
      npz.load_npz, place / 'x.npz', held.getvalue(), labels='y',
      multilabel=data.draw(st.booleans()))
  if sentence is None:
    assert found.labels.dtype == np.int32 and len(found) == len(
        arrays['images'])


@given(st.data())
@settings(max_examples=40)
def test_a_damaged_npz_is_refused_or_the_same(place, data):
  held = io.BytesIO()
  np.savez(held, **NPZ)
  found, sentence = _kept(
      files.read_arrays, place / 'x.npz', _mutated(data.draw, held.getvalue()))
  if sentence is None:  # where the damage did not matter
    for name in found:
      assert found[name].dtype.kind != 'O'


DATA = tiny.dataset()
POSITIONS = st.one_of(
    st.lists(st.integers(-1, 25), max_size=8),
    st.lists(st.integers(0, 23), min_size=1, max_size=8, unique=True),
    st.just([.5]), st.just([[1]]), st.just('ab'), st.none())


@given(POSITIONS, POSITIONS, POSITIONS)
@settings(max_examples=60)
def test_any_positions_are_parts_or_refused(train, val, test):
  def make():
    parts = splits_lib.Partition(train, val, test)
    splits_lib.check_splits(DATA, parts)
    return parts

  parts, sentence = said.outcome(make)
  if sentence is None:
    together = np.concatenate(list(parts.parts.values()))
    assert len(set(together)) == len(together) <= len(DATA)
    assert 0 <= together.min() <= together.max() < len(DATA)
    with tempfile.TemporaryDirectory() as scratch:
      split_files.save_splits(f'{scratch}/s.npz', DATA, parts)
      again = split_files.load_splits(f'{scratch}/s.npz', DATA)
    for name, rows in parts.parts.items():
      np.testing.assert_array_equal(again.parts[name], rows)


@given(st.sampled_from([*requests.KINDS, 'seed']), said.ANYTHING)
@settings(max_examples=80)
def test_any_request_is_resolved_or_refused(kind, value):
  partition = splits_lib.Partition(np.arange(14), np.arange(14, 19),
                                   np.arange(19, 24))
  wish = {'people': 2, 'seed': value} if kind == 'seed' else {kind: value}
  found, sentence = said.outcome(lambda: resolution.resolve_request(
      DATA, partition, requests.ForgetRequest(**wish)))
  if sentence is None:
    cut, notes = found
    np.testing.assert_array_equal(cut.train, partition.train)
    assert not set(cut.forget) & set(cut.retain)
    assert all(isinstance(note, str) for note in notes)


@given(st.sampled_from(['images', 'labels', 'identity', 'sample_id', 'split',
                        'columns', 'task']), st.one_of(
    said.ANYTHING, hnp.arrays(st.sampled_from(['u1', 'i4', 'i8', 'f4', 'U3']),
                              hnp.array_shapes(min_side=0, max_side=4))))
@settings(max_examples=80)
def test_any_array_in_a_data_set(name, value):
  fields = {key: getattr(DATA, key) for key in (
      'images', 'labels', 'identity', 'sample_id', 'task', 'split')}
  data, sentence = said.outcome(
      dataset_lib.Dataset, **{**fields, name: value})
  assert sentence is not None or len(data.fingerprint()) == 64


@given(said.ANYTHING)
def test_sizes_of_images(value):
  size, sentence = said.outcome(images.as_size, value)
  assert sentence is not None or all(validate.is_integer(x) for x in size)


@given(hnp.arrays(np.int32, st.integers(0, 5)), st.one_of(
    st.none(), st.integers(-2, 5)), st.booleans())
def test_any_column_makes_labels_or_is_refused(column, merge_from, multilabel):
  found, sentence = said.outcome(
      labels_lib.make_labels, {'y': column}, 'y', merge_from=merge_from,
      multilabel=multilabel)
  if sentence is None:
    values, task = found
    assert values.dtype == np.int32 and values.max() < max(task.num_outputs, 2)
