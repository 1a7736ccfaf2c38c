"""What programs share: ``--out``, and a result with its facts and its page."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs
from dlfd_jax.pipeline import job
from dlfd_jax.utils import runs, writes

Result = dict[str, Any]


def define(values: flags.FlagValues, **described: tuple[Any, ...]) -> None:
  """Declares flags, each as ``name=(default, about)`` or with a lower bound.

  Their type is the default's: bool, int, float, list of text, otherwise text.
  """
  for name, (default, about, *least) in described.items():
    bound = {'lower_bound': least[0]} if least else {}
    _KINDS.get(type(default), flags.DEFINE_string)(
        name, default, about, flag_values=values, **bound)


_KINDS: dict[type, Callable[..., Any]] = {
    bool: flags.DEFINE_boolean, int: flags.DEFINE_integer,
    float: flags.DEFINE_float, list: flags.DEFINE_list}
OUT = (None, 'where the files go, without their ending')  # see out_of


def check_folder(folder: pathlib.Path) -> None:
  """Raises FileNotFoundError unless the folder of ``--out`` is there."""
  if not folder.is_dir():
    raise FileNotFoundError(f'Expected the folder {folder} of --out, found '
                            'none: create it first.')


def out_of(values: flags.FlagValues) -> pathlib.Path:
  """``--out``, looked at before the work begins.

  Raises:
    FileExistsError: if a file is there that is not ours.
    FileNotFoundError: if its folder is not there.
    ValueError: if the flag is not given.
  """
  out = pathlib.Path(command.required(values, 'out'))
  check_folder(out.parent)
  writes.check_ours(f'{out}.json')
  return out


def out_if_given(values: flags.FlagValues) -> pathlib.Path | None:
  """The same of a flag that may be absent."""
  return out_of(values) if command.value(values, 'out') else None


def facts(kind: str, line: str) -> Result:
  """What every result says of its origin."""
  return {'kind': kind, 'command': line, 'versions': runs.versions(),
          'device': job.device_name(), 'cores': os.cpu_count()}


def made_by(result: Result) -> str:
  """The last line of a page: the command and where it ran."""
  return (f'Command: `{result["command"]}`, on {result["device"]}, jax '
          f'{result["versions"]["jax"]}.')


def write(out: pathlib.Path | None, result: Result, page: str,
          **more: str | bytes) -> None:
  """Prints the page; writes it and the result where ``--out`` is given.

  Args:
    out: the files without their ending.
    result: as JSON.
    page: as Markdown.
    **more: other files by their ending.

  Raises:
    FileExistsError: if a file is there that is not ours.
  """
  print(page)
  if out is not None:
    runs.publish(f'{out}.json', result, {
        f'{out.name}.{ending}': content
        for ending, content in {'md': page, **more}.items()})


def program(name: str, about: str, described: dict[str, tuple[Any, ...]],
            measure: Callable[[flags.FlagValues], Result],
            markdown: Callable[[Result], str], *, kind: str | None = None,
            required: bool = True, package: str = 'experiments',
            runs_models: bool = False,
            verdict: Callable[[Result], None] | None = None
            ) -> command.Command:
  """A command that measures something and writes it as JSON and Markdown.

  Args:
    name: of the module below ``package``, as the user types it.
    about: for ``--help``.
    described: its flags beside ``--out``, see :func:`define`.
    measure: the fields of the result beside its :func:`facts`.
    markdown: the page of a result.
    kind: of the result; default the last part of ``name``.
    required: whether ``--out`` must be given.
    package: where the module lies.
    runs_models: whether it has the flags of every run that computes.
    verdict: looks at the finished result; may raise.
  """
  def define_all(values):
    define(values, out=OUT, **described)
    if runs_models:
      inputs.define_run(values)

  def execute(values, line):
    out = out_of(values) if required else out_if_given(values)
    result = {**facts(kind or name.rpartition('.')[2], line), **measure(values)}
    write(out, result, markdown(result))
    if verdict is not None:
      verdict(result)

  return command.Command(name, about, define_all, execute, package=package)


def between(text: str, marks: tuple[str, str], table: str) -> str:
  """A page with a table between its two marks.

  Raises:
    ValueError: if a mark is absent.
  """
  before, start, rest = text.partition(marks[0])
  _, end, after = rest.partition(marks[1])
  if not start or not end:
    raise ValueError(
        f'Expected the marks {marks[0].strip()} and {marks[1].strip()}.')
  return f'{before}{start}{table}{end}{after}'
