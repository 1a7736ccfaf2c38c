r"""Executes the notebooks of colab/ and keeps what they show.

  python -m experiments.publish.notebooks --out=docs/results/notebooks

Each runs in a kernel of its own, without its first cell (the installed versions
stay), from the folder it lies in; its outputs are written back into it, and the
seconds of each to ``--out``. With --quick the settings are small and nothing is
written back: for tests. Needs the extra ``notebooks``.
"""

from __future__ import annotations

import os
import pathlib
import re
import sys
import time
from typing import Any

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.pipeline import job
from dlfd_jax.utils import runs
from experiments.publish import programs

FOLDER = pathlib.Path(__file__).resolve().parents[2] / 'colab'
NAMES = ('quickstart', 'your_own_data', 'compare_methods', 'multi_device_tpu')
_SETTINGS = '# Settings\n'
_OWN = "architecture = 'tests.models.own_nets:Own'"
_QUICK = {
    'quickstart': f'people, epochs, passes = 40, 1, 1\n{_OWN}',
    'your_own_data': 'people, epochs, passes = 40, 1, 1',
    'compare_methods': (
        "methods = ['dlfd', 'finetune']\n"
        f'people, epochs = 40, 1\n{_OWN}'),
    'multi_device_tpu': 'batch_size, repeats, counts = 16, 1, (1, 2)'}
_CELL_S = 1800
_CONTROL = re.compile(r'\x1b\[[?;\d]*[A-Za-z]')  # of a terminal


def execute(name: str, more: str = '') -> tuple[Any, float]:
  """Runs a notebook.

  Args:
    name: of the file in colab/, without its ending.
    more: lines that are added to the cell of settings.

  Returns:
    The notebook with its outputs (cells as in the file) and the seconds.

  Raises:
    ValueError: if it has no cell of settings.
  """
  import nbclient
  import nbformat

  notebook = nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)
  code = [cell for cell in notebook.cells if cell.cell_type == 'code']
  install, *rest = code
  settings = [cell for cell in rest if cell.source.startswith(_SETTINGS)]
  if len(settings) != 1:
    raise ValueError(
        f'Expected one cell of settings in {name}.ipynb, got {len(settings)}.')
  kept = {cell.id: cell.source for cell in (install, settings[0])}
  install.source = ''
  settings[0].source += '\n' + more
  started = time.perf_counter()
  nbclient.NotebookClient(
      notebook, timeout=_CELL_S, resources={'metadata': {'path': str(FOLDER)}}
  ).execute()
  seconds = time.perf_counter() - started
  for cell in notebook.cells:
    cell.source = kept.get(cell.id, cell.source)
    cell.metadata = nbformat.NotebookNode()
    if cell.cell_type == 'code':
      cell.outputs = _merged(cell.outputs)
  return notebook, seconds


def _merged(outputs):
  """Pieces of a stream together, as text without colours and older bars."""
  found = []
  for output in outputs:
    if (output.output_type == 'stream' and found
        and found[-1].output_type == 'stream'
        and found[-1].name == output.name):
      found[-1].text += output.text
    else:
      found.append(output)
  for output in found:
    if output.output_type == 'stream':
      output.text = '\n'.join(
          line.rpartition('\r')[2].rstrip() for line in _CONTROL.sub(
              '', output.text.replace('\r\n', '\n')).split('\n'))
  return found


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_list(
      'notebooks', list(NAMES), 'which ones', flag_values=values)
  flags.DEFINE_boolean(
      'quick', False, 'small settings; nothing is written back',
      flag_values=values)
  flags.DEFINE_string(
      'workdir', None, 'where quick notebooks put their files',
      flag_values=values)
  flags.DEFINE_string(
      'out', None, 'where the seconds go, without the ending',
      flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> None:
  import nbformat

  out = programs.out_if_given(values)
  quick = command.value(values, 'quick')
  found = {}
  for name in command.required(values, 'notebooks'):
    if name not in NAMES:
      raise ValueError(f'Expected --notebooks of {NAMES}, got {name!r}.')
    more = ''
    if quick:
      place = pathlib.Path(command.required(values, 'workdir'), name)
      more = f'{_QUICK[name]}\nworkdir = {str(place.resolve())!r}'
    notebook, seconds = execute(name, more)
    path = FOLDER / f'{name}.ipynb'
    if not quick:
      runs.write_text(path, nbformat.writes(notebook) + '\n')
    found[name] = {'seconds': round(seconds, 1), 'bytes': path.stat().st_size,
                   'cells': len(notebook.cells)}
    print(f'{name}: {seconds:.0f} s')
  if out:
    result = {
        'kind': 'notebooks', 'command': line, 'quick': quick,
        'versions': runs.versions(), 'device': job.device_name(),
        'cores': os.cpu_count(), 'notebooks': found}
    programs.write(out, result, markdown(result))


def markdown(result: dict[str, Any]) -> str:
  """A row for each notebook."""
  return '\n'.join([
      '# Notebooks', '', '| notebook | seconds | kB | cells |',
      '|---|---:|---:|---:|', *(
          f'| {name} | {one["seconds"]:.0f} | {one["bytes"] / 1e3:.0f} | '
          f'{one["cells"]} |' for name, one in result['notebooks'].items()),
      '', f'Command: `{result["command"]}`, on {result["device"]}, '
      f'{result["cores"]} cores, jax {result["versions"]["jax"]}.', ''])


COMMAND = command.Command(
    'publish.notebooks', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
