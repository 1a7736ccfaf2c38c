"""The devices: the only file that says pmap, and the only reader of arrays.

A step is written without any word of devices, ``step(state, frozen, batch, *,
axis_name=None) -> (state, metrics)``. :class:`Devices` places a state on every
local device once, splits a host batch over them and runs the step there. State
is replicated and unstacked: a checkpoint looks alike on 1 and on 8 devices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec

AXIS = 'batch'
StepFn = Callable[..., tuple[Any, Any]]


class Devices:
  """The local devices that a run uses.

  Args:
    devices: the devices; all local ones by default.

  Raises:
    ValueError: if ``devices`` is empty.
  """

  def __init__(self, devices: Sequence[jax.Device] | None = None):
    self.devices = list(jax.local_devices() if devices is None else devices)
    if not self.devices:
      raise ValueError('Expected at least one device, got none.')
    mesh = Mesh(np.asarray(self.devices), (AXIS,))
    self._everywhere = NamedSharding(mesh, PartitionSpec())
    self._split = NamedSharding(mesh, PartitionSpec(AXIS))
    # All-reduce steps that are dispatched ahead can starve each other on a CPU
    # that plays several devices.
    self._block = len(self.devices) > 1 and self.platform == 'cpu'

  @property
  def count(self) -> int:
    return len(self.devices)

  @property
  def platform(self) -> str:
    return self.devices[0].platform

  def place(self, tree: Any) -> Any:
    """A copy of ``tree`` on every device; donating it harms no other array."""
    return jax.device_put(jax.tree.map(jnp.copy, tree), self._everywhere)

  def share(self, tree: Any) -> Any:
    """``tree`` on every device, to be read only: what lies there stays."""
    return jax.device_put(tree, self._everywhere)

  def check_batch_size(self, size: int) -> None:
    """Raises ValueError if a batch of ``size`` rows cannot be split evenly."""
    if size < 1 or size % self.count:
      raise ValueError(
          f'Expected a batch size divisible by the {self.count} devices, got '
          f'{size}.')

  def split(self, batch: Any) -> Any:
    """Host arrays ``[n, ...]`` as ``[devices, n / devices, ...]`` on them."""
    def one(array):
      array = np.asarray(array)
      self.check_batch_size(len(array))
      shape = (self.count, len(array) // self.count, *array.shape[1:])
      return array.reshape(shape)
    return jax.device_put(jax.tree.map(one, batch), self._split)

  def compile(self, step: StepFn) -> StepFn:
    """``step`` on every device: ``run(state, frozen, batch)``, state donated.

    Args:
      step: pure ``(state, frozen, batch, *, axis_name) -> (state, metrics)``;
        both outputs must be the same on every device (reduced inside).

    Returns:
      A function of a placed state, a placed ``frozen`` and a host batch.
    """
    mapped = jax.pmap(
        functools.partial(step, axis_name=AXIS), axis_name=AXIS,
        devices=self.devices, in_axes=(None, None, 0), out_axes=(None, None),
        donate_argnums=(0,))

    @functools.wraps(step)
    def run(state, frozen, batch):
      out = mapped(state, frozen, self.split(batch))
      return jax.block_until_ready(out) if self._block else out

    return run

  def compile_map(self, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function(variables, frozen, batch)`` row by row, nothing donated.

    The outputs keep a leading device axis; :func:`fetch_rows` removes it.
    """
    mapped = jax.pmap(
        function, axis_name=AXIS, devices=self.devices,
        in_axes=(None, None, 0), out_axes=0)

    def run(variables, frozen, batch):
      out = mapped(variables, frozen, self.split(batch))
      return jax.block_until_ready(out) if self._block else out

    return run


def fetch(tree: Any) -> Any:
  """Device arrays to NumPy arrays on the host; waits for them."""
  return jax.tree.map(np.asarray, jax.device_get(tree))


def fetch_scalars(tree: dict[str, Any]) -> dict[str, float]:
  """A dict of scalars on the device to Python floats."""
  return {name: float(value) for name, value in fetch(tree).items()}


def fetch_scalar(value: Any) -> float:
  """One scalar on the device to a Python float."""
  return float(fetch(value))


def fetch_rows(tree: Any) -> Any:
  """Outputs of ``compile_map`` to host arrays ``[n, ...]`` in batch order."""
  return jax.tree.map(
      lambda a: a.reshape(-1, *a.shape[2:]), fetch(tree))


def inner_unroll(length: int) -> int:
  """How far to unroll a short loop of input gradients inside a step.

  On CPU a convolution's gradient inside a loop body is 1.7 to 5 times slower
  than outside, so the loop is unrolled there; elsewhere it stays a loop, which
  compiles faster.
  """
  return max(length, 1) if jax.default_backend() == 'cpu' else 1


def gather_rows(x: jax.Array, axis_name: str | None) -> jax.Array:
  """Rows of all devices, ``[n, ...]`` to ``[devices * n, ...]``.

  Under pmap its gradient is ``devices`` times too large when every device then
  computes the same function of the result: divide that function by
  :func:`axis_size`.
  """
  if axis_name is None:
    return x
  return jax.lax.all_gather(x, axis_name, tiled=True)


def axis_size(axis_name: str | None) -> int:
  """Number of devices on the axis; 1 without one."""
  return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def sum_over_devices(tree: Any, axis_name: str | None) -> Any:
  """Sum over the device axis; the tree itself without one."""
  return tree if axis_name is None else jax.lax.psum(tree, axis_name)
