"""Archives that claim what they do not hold, or more than a machine holds."""

import io
import zipfile

import numpy as np
import pytest

from dlfd_jax.utils import files


@pytest.mark.parametrize('shape, claim', [
    ((2**40,), 'claims 1099511627776'), ((3, 4), 'claims 12')])
def test_a_header_that_lies_is_not_believed(tmp_path, shape, claim):
  held = io.BytesIO()
  np.lib.format.write_array_header_1_0(held, {
      'descr': '|u1', 'fortran_order': False, 'shape': shape})
  with zipfile.ZipFile(tmp_path / 'x.npz', 'w') as archive:
    archive.writestr('images.npy', held.getvalue() + b'123')
  with pytest.raises(ValueError, match=f'got 3 bytes where .* {claim}'):
    files.read_arrays(tmp_path / 'x.npz')


def test_what_no_memory_holds_is_not_unpacked(tmp_path, monkeypatch):
  np.savez_compressed(tmp_path / 'x.npz', images=np.zeros(10_000, np.uint8))
  monkeypatch.setattr(files, 'memory_bytes', lambda: 5_000)
  with pytest.raises(ValueError, match='to fit into the memory of'):
    files.read_arrays(tmp_path / 'x.npz')


def test_where_an_object_lies_in_memory_is_not_told():
  with pytest.raises(ValueError) as caught, files.reading('Expected a file'):
    raise TypeError(f'bad node: {object()}')
  assert str(caught.value) == 'Expected a file (bad node: <object>).'
