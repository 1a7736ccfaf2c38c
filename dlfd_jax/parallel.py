"""The devices: the only file that says pmap, and the only reader of arrays.

A step is written without any word of devices, ``step(state, constants, batch,
*, axis_name=None) -> (state, metrics)``. :class:`Devices` places a state on
every device once, splits a host batch over them and runs the step there. State
is replicated and unstacked: a checkpoint looks alike on 1 and on 8 devices.

Of several processes each holds the state on its own devices and splits its own
rows; a step runs on the devices of all. Outside of steps every array is local,
so that no process waits for another where nobody expects it.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dlfd_jax.utils import hosts, memo

AXIS = 'batch'
IMAGE_BYTES = 2 * 1024**3
StepFn = Callable[..., tuple[Any, Any]]


class Devices:
  """The devices that a run uses.

  Args:
    devices: the devices, as many of every process; all by default.
    image_bytes: the largest data set that is kept on each of them; larger ones
      are streamed.

  Raises:
    ValueError: if ``devices`` is empty, or not as many of every process.
  """

  def __init__(self, devices: Sequence[jax.Device] | None = None,
               image_bytes: int = IMAGE_BYTES):
    self.image_bytes = image_bytes
    self.devices = sorted(
        jax.devices() if devices is None else devices,
        key=lambda device: device.process_index)
    if not self.devices:
      raise ValueError('Expected at least one device, got none.')
    self.count, self.platform = len(self.devices), self.devices[0].platform
    self._processes = hosts.count()
    of_each = [sum(device.process_index == i for device in self.devices)
               for i in range(self._processes)]
    if len(set(of_each)) > 1:
      raise ValueError(
          f'Expected as many devices of every process, got {of_each}.')
    self._local = [device for device in self.devices
                   if device.process_index == jax.process_index()]
    self._checked: collections.deque[Any] = collections.deque(maxlen=4)
    mesh = Mesh(np.asarray(self._local), (AXIS,))
    self._everywhere = NamedSharding(mesh, PartitionSpec())
    self._split = NamedSharding(mesh, PartitionSpec(AXIS))
    # All-reduce steps that are dispatched ahead can starve each other on a CPU
    # that plays several devices.
    self._block = self.count > 1 and self.platform == 'cpu'

  def place(self, tree: Any) -> Any:
    """A copy of ``tree`` on every device; donating it harms no other array.

    Each process does this for its own devices, from its own ``tree``.
    """
    return jax.device_put(jax.tree.map(jnp.copy, tree), self._everywhere)

  def share(self, tree: Any) -> Any:
    """``tree`` on every device, to be read only: what lies there stays."""
    return jax.device_put(tree, self._everywhere)

  def each(self, tree: Any) -> list[Any]:
    """A shared tree as each local device holds it, without a copy."""
    return [jax.tree.map(lambda array, here=device: next(
        shard.data for shard in array.addressable_shards
        if shard.device == here), tree) for device in self._local]

  def check_batch_size(self, size: int, name: str = 'a batch size') -> None:
    """Raises ValueError if a batch of ``size`` rows cannot be split evenly."""
    if size < 1 or size % self.count:
      raise ValueError(
          f'Expected {name} divisible by the {self.count} devices, got {size}.')

  def split(self, batch: Any) -> Any:
    """Host arrays ``[n, ...]`` as ``[devices, n / devices, ...]`` on them.

    Of several processes each gives its own rows and gets those of its devices.
    """
    def one(array: Any) -> np.ndarray:
      array = np.asarray(array)
      self.check_batch_size(len(array) * self._processes)
      local = len(self._local)
      return array.reshape(local, len(array) // local, *array.shape[1:])
    return jax.device_put(jax.tree.map(one, batch), self._split)

  def compile(self, step: StepFn) -> StepFn:
    """``run(state, constants, batch)`` on every device, the state donated.

    Args:
      step: pure ``(state, constants, batch, *, axis_name)`` to a state and
        metrics; both must be the same on every device (reduced inside). What
        was compiled for a step serves again when the same function comes.

    Returns:
      A function of a placed state, placed ``constants`` and a host batch. With
      several processes it raises ValueError, in each of them, if the state or
      the constants of its first call differ between them: pmap would not
      notice.
    """
    return functools.wraps(step)(
        self._runner(_mapped_step(step, tuple(self.devices))))

  def compile_map(self, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function(variables, constants, batch)`` row by row, nothing donated.

    The outputs keep a leading device axis; :func:`fetch_rows` removes it.
    """
    return self._runner(_mapped_rows(
        function, tuple(self.devices), self._processes == 1))

  def temporary_bytes(self, function: Callable[..., Any], variables: Any,
                      constants: Any, batch: Any) -> int:
    """What a program of :meth:`compile_map` needs beside its arguments.

    Args:
      function: mapped row by row.
      variables: placed, as for the program, like ``constants``.
      constants: of every device.
      batch: of the host.

    Returns:
      Bytes that XLA sets aside on one device for temporary arrays.
    """
    mapped = _mapped_rows(function, tuple(self.devices), self._processes == 1)
    compiled = mapped.lower(  # type: ignore[attr-defined]  # pmap's
        variables, constants, self.split(batch)).compile()
    return int(compiled.memory_analysis().temp_size_in_bytes)

  def step_flops(self, step: StepFn, state: Any, constants: Any,
                 batch: Any) -> float | None:
    """Floating-point operations of a compiled step, on all devices together.

    XLA's own count of the program, which the step then runs: called first,
    nothing is compiled twice.

    Args:
      step: as given to :meth:`compile`.
      state: placed, like ``constants``; only shapes are read.
      constants: of every device.
      batch: of the host.

    Returns:
      The count; None where XLA keeps none.
    """
    mapped = _mapped_step(step, tuple(self.devices))
    costs = mapped.lower(  # type: ignore[attr-defined]  # pmap's
        state, constants, self.split(batch)).compile().cost_analysis()
    flops = (costs or {}).get('flops')
    return None if flops is None else float(flops) * self.count

  def peak_bytes(self) -> int | None:
    """Most memory of one local device in use so far; None where none counts it.

    A CPU has no memory of its own: the host's is ``utils.runs.peak_bytes``.
    """
    counted = [(device.memory_stats() or {}).get('peak_bytes_in_use')
               for device in self._local]
    known = [int(peak) for peak in counted if peak is not None]
    return max(known) if len(known) == len(counted) else None

  def _runner(self, mapped: Callable[..., Any]) -> Callable[..., Any]:
    def run(state: Any, constants: Any, batch: Any) -> Any:
      # Of several processes: compares constants that were not seen before.
      if self._processes > 1 and not any(
          seen is constants for seen in self._checked):
        hosts.check_same(digest(constants), 'constants')
        hosts.check_same(digest(state), 'state')
        self._checked.append(constants)
      out = mapped(state, constants, self.split(batch))
      return jax.block_until_ready(out) if self._block else out

    return run


@memo.one_for_equal
def _mapped_step(step: StepFn, devices: tuple[jax.Device, ...]) -> StepFn:
  return jax.pmap(
      functools.partial(step, axis_name=AXIS), axis_name=AXIS, devices=devices,
      in_axes=(None, None, 0), out_axes=(None, None), donate_argnums=(0,))


@memo.one_for_equal
def _mapped_rows(function: Callable[..., Any], devices: tuple[jax.Device, ...],
                 alone: bool) -> Callable[..., Any]:
  def everywhere(*arguments: Any) -> Any:  # the rows of all processes, in each
    return jax.tree.map(
        lambda a: jax.lax.all_gather(a, AXIS), function(*arguments))

  return jax.pmap(
      function if alone else everywhere, axis_name=AXIS, devices=devices,
      in_axes=(None, None, 0), out_axes=0 if alone else None)


def digest(tree: Any) -> bytes:
  """SHA-256 of the names, shapes, types and values of all arrays."""
  found = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    value = fetch(_plain(leaf))
    name = f'{jax.tree_util.keystr(path)} {value.dtype} {value.shape}'
    found.update(name.encode())
    found.update(np.ascontiguousarray(value).tobytes())
  return found.digest()


def _is_key(leaf: Any) -> bool:
  return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(
      leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
  """The numbers of a typed key; anything else as it is."""
  return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def fetch(tree: Any) -> Any:
  """Device arrays to NumPy arrays on the host; waits for them."""
  return jax.tree.map(np.asarray, jax.device_get(tree))


def to_store(tree: Any) -> Any:
  """Arrays as what is written to disk: NumPy's, of typed keys the numbers."""
  return fetch(jax.tree.map(_plain, tree))


def from_store(tree: Any, like: Any) -> Any:
  """Arrays read as :func:`to_store` gave them, placed like ``like``."""
  def one(stored: Any, other: Any) -> Any:
    if _is_key(other):
      stored = jax.random.wrap_key_data(
          stored, impl=jax.random.key_impl(other))
    return jax.device_put(stored, other.sharding) if isinstance(
        other, jax.Array) else stored

  return jax.tree.map(one, tree, like)


def fetch_scalars(tree: Any) -> Any:
  """A scalar or a tree of them on the device to Python floats, in one read."""
  return jax.tree.map(float, fetch(tree))


@contextlib.contextmanager
def no_hidden_copies() -> Iterator[None]:
  """Refuses arrays that would move to or from a device unasked.

  On a CPU only those to it are noticed. With several processes nothing is
  refused: there pmap itself wraps arrays anew, which would count.
  """
  if hosts.count() > 1:
    yield
    return
  with (jax.transfer_guard_host_to_device('disallow'),
        jax.transfer_guard_device_to_host('disallow')):
    yield


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
