"""What the tests of hidden reads notice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import parallel
from tests import reads


def _closed_over():
  table = jnp.arange(3)
  return jax.jit(lambda i: table[i])(jnp.int32(1))


@pytest.mark.parametrize('read', [
    lambda: float(jnp.float32(1)), lambda: bool(jnp.arange(2)[0]),
    lambda: jnp.int32(1).item(), lambda: jnp.arange(2).tolist(),
    lambda: np.asarray(jnp.arange(2)), lambda: np.array(jnp.arange(2)),
    lambda: [x for x in jnp.arange(2)] and int(jnp.arange(2)[1]),
    _closed_over])
def test_a_hidden_read_is_noticed(read):
  with reads.by_fetch_alone(), pytest.raises(AssertionError, match='by fetch'):
    read()
  read()


def test_fetching_is_allowed():
  with reads.by_fetch_alone():
    tree = {'a': jnp.arange(3), 'b': np.arange(2), 'c': 1.0}
    assert parallel.fetch_scalars(jnp.float32(2)) == 2
    assert parallel.fetch(tree)['a'].tolist() == [0, 1, 2]
    assert len(parallel.digest(tree)) == 32
