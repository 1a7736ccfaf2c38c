"""The figures of a run for TensorBoard, beside metrics.jsonl; optional."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

from absl import flags

from dlfd_jax import loop
from dlfd_jax.cli import command
from dlfd_jax.utils import hosts, storage

FOLDER = 'tensorboard'
_NO_FIGURES = ('step', 'num_steps')


def define(values: flags.FlagValues) -> None:
  """The flag ``--tensorboard``."""
  flags.DEFINE_boolean(
      'tensorboard', False, f'write the figures to <workdir>/{FOLDER}, too; '
      'needs the extra tensorboard', flag_values=values)


@contextlib.contextmanager
def hooks(values: flags.FlagValues, workdir: str | os.PathLike
          ) -> Iterator[list[loop.Hook]]:
  """Hooks of a loop: none, or one that writes the numbers of every event.

  A run that goes on writes on; steps after its last checkpoint are replaced.

  Raises:
    ValueError: if it is asked for and the extra is not installed.
  """
  if not command.value(values, 'tensorboard') or not hosts.is_first():
    yield []
    return
  try:
    import tensorboardX
  except ImportError as error:
    raise ValueError(
        'Expected tensorboardX for --tensorboard: install the extra '
        'dlfd_jax[tensorboard].') from error
  writers: list[tensorboardX.SummaryWriter] = []

  def write(event):
    numbers = {
        name: value for name, value in event.items()
        if isinstance(value, (int, float)) and name not in _NO_FIGURES}
    if event['event'] == 'tick' or not numbers:
      return
    if not writers:  # the folder is made with the first figures
      writers.append(tensorboardX.SummaryWriter(
          str(pathlib.Path(workdir, FOLDER)), purge_step=event['step']))
    for name, value in numbers.items():
      writers[0].add_scalar(f'{event["event"]}/{name}', value, event['step'])
    writers[0].flush()
    storage.push_later(pathlib.Path(workdir, FOLDER))

  try:
    yield [write]
  finally:
    for writer in writers:
      writer.close()
