"""Where a program's result goes: ``--out``, checked before the work begins."""

from __future__ import annotations

import pathlib

from absl import flags

from dlfd_jax.cli import command


def out_of(values: flags.FlagValues) -> pathlib.Path:
  """``--out``, without the ending of its files; its folder must be there.

  Raises:
    FileNotFoundError: if it is not.
  """
  out = pathlib.Path(command.required(values, 'out'))
  if not out.parent.is_dir():
    raise FileNotFoundError(f'Expected the folder {out.parent} of --out.')
  return out


def out_if_given(values: flags.FlagValues) -> pathlib.Path | None:
  """The same of a flag that may be absent."""
  return out_of(values) if command.value(values, 'out') else None
