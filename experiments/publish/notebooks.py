r"""Executes the notebooks of colab/ and keeps what they show.

  python -m experiments.publish.notebooks --out=docs/results/notebooks

Each runs in a kernel of its own from the folder it lies in; its outputs are
written back into it, and its seconds to ``--out``, beside those of the others
that are there.

With --colab=ENV/bin/python they run as after a click in Colab: alone in an
empty folder, with the packages of a copy of that environment, which the first
cell upgrades, and a clone of the last commit here. Beforehand the first cell is
tried where jax is already loaded: it asks for a restart, and goes on after it.

Before all else the address of the repository, ``url`` in ``setup.cfg``, is
written into first cells, badges and README; --noexecute leaves it at that. With
--quick the settings are small and nothing is written: for tests. Needs the
extra ``notebooks``.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.pipeline import job
from dlfd_jax.utils import runs
from experiments.publish import colab_session, programs

FOLDER = colab_session.ROOT / 'colab'
NAMES = ('quickstart', 'your_own_data', 'compare_methods', 'multi_device_tpu')
_OF_THIS_MACHINE = ('Note: switching to ', 'slow_operation_alarm')
_SETTINGS = '# Settings\n'
_OWN = "architecture = 'tests.models.own_nets:Own'"
_QUICK = {
    'quickstart': f'people, epochs = 40, 1\n{_OWN}',
    'your_own_data': (  # whose model is at chance after one epoch
        "method, people, epochs = 'ssd', 40, 1\nimport functools, dlfd_jax\n"
        'dlfd_jax.import_weights = functools.partial(\n'
        '    dlfd_jax.import_weights, allow_unverified=True)'),
    'compare_methods': (
        "methods = ['dlfd', 'finetune']\n"
        f'people, epochs = 40, 1\n{_OWN}'),
    'multi_device_tpu': 'batch_size, repeats, counts = 16, 1, (1, 2)'}


def execute(name: str, session: colab_session.Session, more: str = ''
            ) -> tuple[Any, float]:
  """Runs a notebook.

  Args:
    name: of the file in colab/, without its ending.
    session: where.
    more: lines that are added to the cell of settings.

  Returns:
    The notebook with its outputs (cells as in the file) and the seconds.

  Raises:
    ValueError: if it has no cell of settings.
  """
  import nbformat

  notebook = nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)
  settings = [cell for cell in notebook.cells
              if cell.source.startswith(_SETTINGS)]
  if len(settings) != 1:
    raise ValueError(
        f'Expected one cell of settings in {name}.ipynb, got {len(settings)}.')
  kept = settings[0].source
  settings[0].source += f'\n{more}' if more else ''
  started = time.perf_counter()
  session.execute(notebook)
  seconds = time.perf_counter() - started
  settings[0].source = kept
  for cell in notebook.cells:
    cell.metadata = nbformat.NotebookNode()
    if cell.cell_type == 'code':
      cell.outputs = _merged(cell.outputs)
  return notebook, seconds


def write_address() -> None:
  """Writes the address to where it is needed beside ``setup.cfg``."""
  url = colab_session.address()
  for path in (colab_session.ROOT / 'README.md',
               *(FOLDER / f'{name}.ipynb' for name in NAMES)):
    runs.write_text(path, colab_session.addressed(
        path.read_text('utf-8'), url))


def _merged(outputs):
  """Pieces of a stream together, as text without colours and older bars.

  What git says of a clone of no branch, and XLA of a busy machine, is left out:
  a reader on Colab meets neither.
  """
  found = []
  for output in outputs:
    if (output.output_type == 'stream' and found
        and found[-1].output_type == 'stream'
        and found[-1].name == output.name):
      found[-1].text += output.text
    else:
      found.append(output)
  found = [output for output in found if output.output_type != 'stream'
           or not any(words in output.text for words in _OF_THIS_MACHINE)]
  for output in found:
    if output.output_type == 'stream':
      output.text = colab_session.plain(output.text)
  return found


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_list(
      'notebooks', list(NAMES), 'which ones', flag_values=values)
  flags.DEFINE_string(
      'colab', None, 'interpreter of an environment like that of Colab',
      flag_values=values)
  flags.DEFINE_boolean(
      'execute', True, 'run them; if not, only write the address',
      flag_values=values)
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
  names = command.required(values, 'notebooks')
  for name in names:
    if name not in NAMES:
      raise ValueError(f'Expected --notebooks of {NAMES}, got {name!r}.')
  if not quick:
    write_address()
  if not command.value(values, 'execute'):
    return
  python = command.value(values, 'colab')
  found, colab = {}, {}
  if python:
    colab['restart'] = colab_session.with_jax_loaded(pathlib.Path(python))
    print(*colab['restart'], sep='\n', flush=True)
    line = line.replace(python, 'ENV/bin/python')
  with _session(python) as session:
    if python:
      colab['preinstalled'] = session.versions()
    for name in names:
      more = ''
      if quick:
        place = os.path.abspath(command.required(values, 'workdir'))
        more = f'{_QUICK[name]}\nworkdir = pathlib.Path({place!r}, {name!r})'
      notebook, seconds = execute(name, session, more)
      path = FOLDER / f'{name}.ipynb'
      if not quick:
        runs.write_text(path, nbformat.writes(notebook) + '\n')
      first = next(one for one in notebook.cells if one.cell_type == 'code')
      found[name] = {'seconds': round(seconds, 1), 'bytes': path.stat().st_size,
                     'cells': len(notebook.cells), 'command': line,
                     'first_cell': colab_session.said(first)}
      print(f'{name}: {seconds:.0f} s', flush=True)
    if python:
      colab['installed'] = session.versions()
  if out:
    known = out.with_name(f'{out.name}.json')
    earlier = runs.read_json(known) if known.exists() else {}
    result = {
        'kind': 'notebooks', 'versions': runs.versions(),
        'device': job.device_name(), 'cores': os.cpu_count(),
        'notebooks': {**earlier.get('notebooks', {}), **found},
        'colab': colab or earlier.get('colab')}
    programs.write(out, result, markdown(result))


@contextlib.contextmanager
def _session(python: str | None) -> Iterator[colab_session.Session]:
  if python:
    with colab_session.opened(pathlib.Path(python)) as session:
      yield session
  else:
    yield colab_session.Session(FOLDER)


def markdown(result: dict[str, Any]) -> str:
  """A row for each notebook, and what an emulated click found."""
  lines = [
      '# Notebooks', '',
      '| notebook | seconds | kB | cells | by |', '|---|---:|---:|---:|---|', *(
          f'| {name} | {one["seconds"]:.0f} | {one["bytes"] / 1e3:.0f} | '
          f'{one["cells"]} | `{one["command"]}` |'
          for name, one in result['notebooks'].items()), '',
      f'On {result["device"]}, {result["cores"]} cores, beside other work. '
      'What the first cell said:', '', '```', *(
          f'{name}: {one["first_cell"]}'
          for name, one in result['notebooks'].items()), '```']
  if colab := result['colab']:
    lines += ['', '## As after a click in Colab', '', _ABOUT, '',
              '| | preinstalled | after the first cell |', '|---|---|---|', *(
                  f'| {name} | {old} | {colab["installed"][name]} |'
                  for name, old in colab['preinstalled'].items()),
              '', 'What the first cell said where `import jax` had been run '
              'before, and once more after a restart:', '', '```',
              *colab['restart'], '```']
  return '\n'.join([*lines, ''])


_ABOUT = (
    'Not run on Colab itself. With `--colab` an environment on this machine '
    'has the main versions that are preinstalled there; each notebook lies '
    'alone in an empty folder, and its first cell, as it stands, clones the '
    'code, installs what is lacking and goes on. Seconds include that: only '
    'the first notebook of a command has to install.')


COMMAND = command.Command(
    'publish.notebooks', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
