"""Files of weights: what is read exactly, and what is weighed before."""

import json
import os
import resource
import signal
import struct

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from dlfd_jax.models import weight_files
from dlfd_jax.utils import files
from tests.bad_cases import hostile

torch = pytest.importorskip('torch', reason='needs the extra torch')
VALUES = [-2., -.5, 0., .25, 1.5, 3.]
# Kinds of numbers that hold these values, by their name in each library.
EXACT = {'float64': 'F64', 'float32': 'F32', 'float16': 'F16',
         'bfloat16': 'BF16', 'float8_e4m3fn': 'F8_E4M3',
         'float8_e5m2': 'F8_E5M2', 'float8_e4m3fnuz': 'F8_E4M3FNUZ',
         'float8_e5m2fnuz': 'F8_E5M2FNUZ'}


def _read(tmp_path, tensor):
  torch.save({'w': tensor}, tmp_path / 'w.pth')
  return weight_files.read(tmp_path / 'w.pth').tensors['w']


@pytest.mark.parametrize('kind', EXACT)
def test_every_kind_of_real_number_is_read_exactly(kind, tmp_path):
  tensor = torch.tensor(VALUES).to(getattr(torch, kind))
  np.testing.assert_array_equal(_read(tmp_path, tensor), VALUES)
  content = tensor.view(torch.uint8).numpy().tobytes()
  header = json.dumps({'w': {
      'dtype': EXACT[kind], 'shape': [6], 'data_offsets': [0, len(content)]}})
  (tmp_path / 'w.safetensors').write_bytes(
      struct.pack('<Q', len(header)) + header.encode() + content)
  found = weight_files.read(tmp_path / 'w.safetensors').tensors['w']
  np.testing.assert_array_equal(found.astype(np.float32), VALUES)


def test_safetensors_are_those_of_the_library(tmp_path):
  generator = np.random.default_rng(0)
  state = {kind: generator.integers(0, 100, (2, 3)).astype(kind) for kind in (
      'uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64',
      'float16', 'float32', 'float64', 'bool', 'complex64')}
  state['bfloat16'] = np.asarray(jnp.ones((2, 3), jnp.bfloat16))
  state |= {'none': np.zeros((0, 3)), 'scalar': np.array(3.)}
  safetensors.numpy.save_file(state, tmp_path / 'w.safetensors')
  found = weight_files.read(tmp_path / 'w.safetensors').tensors
  assert set(found) == set(state)
  for name, value in state.items():
    np.testing.assert_array_equal(found[name], value)
    assert found[name].dtype == value.dtype


def test_views_are_read_as_what_they_show(tmp_path):
  base = torch.arange(12.).reshape(3, 4)
  for view in (base.t(), base[1:, ::2], base[0].expand(2, 4),
               torch._neg_view(base), torch.complex(base, -base).conj().imag,
               torch.nn.Parameter(base)):
    np.testing.assert_array_equal(
        _read(tmp_path, view), view.detach().resolve_neg().numpy())


def test_a_dictionary_in_itself_and_in_a_thousand_places(tmp_path):
  inner = {'w': torch.zeros(3)}
  held = {f'k{i}': inner for i in range(1000)}
  for _ in range(2):
    held = {f'k{i}': held for i in range(1000)}
  held['self'] = held
  signal.alarm(60)  # a visit of every path would take years
  try:
    torch.save(held, tmp_path / 'w.pth')
    assert set(weight_files.read(tmp_path / 'w.pth').tensors) == {'w'}
  finally:
    signal.alarm(0)


def test_what_a_file_claims_is_not_allocated(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  for edit in (hostile.rebuilt((3 * 10**9,), (0,)),
               hostile.rebuilt((10**9,), (1,), 10**9)):
    edit()
    with pytest.raises(ValueError, match='Expected'):
      weight_files.read('weights.pth')
  grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
  assert grown < 500_000, f'{grown} kB'


def test_a_file_larger_than_the_memory_is_not_read(tmp_path):
  for name in ('w.pth', 'w.safetensors'):
    with open(tmp_path / name, 'wb') as file:
      os.truncate(file.fileno(), 2**42)  # of holes alone
    with pytest.raises(ValueError, match='to fit into the memory'):
      weight_files.read(tmp_path / name)


def test_the_free_memory_is_a_number_of_bytes():
  assert 2**24 < files.memory_bytes() < 2**50
