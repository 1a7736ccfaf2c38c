"""The guard that a GPU has and a CPU lacks: who reads arrays of a device."""

import contextlib
import threading

import jax
import numpy as np
import pytest
from jax._src import array

from dlfd_jax import checkpoint


@contextlib.contextmanager
def by_fetch_alone():
  """Fails where this thread reads a device array, but by ``parallel.fetch``.

  So do ``float(x)``, ``if x``, ``np.asarray(x)`` and arrays that a compiled
  step closes over, whose values the compiler reads. Explicit copies
  (``jax.device_get``) pass, as on a GPU, and so does what writes checkpoints.
  """
  me, allowed = threading.get_ident(), []

  def permitted(call):
    def run(*args, **kwargs):
      allowed.append(call)
      try:
        return call(*args, **kwargs)
      finally:
        allowed.pop()
    return run

  def refuse():
    if not allowed and threading.get_ident() == me:
      raise AssertionError('A device array was read, and not by fetch.')

  def watched(convert):
    def run(*args, **kwargs):
      if args and isinstance(args[0], array.ArrayImpl):
        refuse()
      return convert(*args, **kwargs)
    return run

  value = array.ArrayImpl._value

  def read(self):
    refuse()
    return value.fget(self)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(array.ArrayImpl, '_value', property(read))
    for name in ('asarray', 'array', 'ascontiguousarray'):
      patch.setattr(np, name, watched(getattr(np, name)))
    patch.setattr(jax, 'device_get', permitted(jax.device_get))
    for name in ('save', 'restore'):
      patch.setattr(checkpoint.LoopCheckpoints, name, permitted(
          getattr(checkpoint.LoopCheckpoints, name)))
    yield
