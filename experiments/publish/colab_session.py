"""What a notebook meets after a click in Colab, on this machine.

A session there has a Python with its own packages, an empty folder and the
notebook alone. Here a copy of an environment stands for the packages and a bare
clone of the last commit for the repository.
"""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from dlfd_jax.utils import runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What every notebook begins with; only the address is not fixed.
FIRST = """\
# Clones the code where it is missing and installs what it needs: some minutes
# on Colab, nothing where all is there. The address is `url` in setup.cfg.
import os
import pathlib
import subprocess
import sys

ADDRESS = '{}'
for checkout in map(pathlib.Path, ('.', '..', 'dlfd_jax')):
  if (checkout / 'colab' / 'runtime.py').is_file():
    break
else:
  subprocess.run(
      ['git', 'clone', '--quiet', '--depth=1', ADDRESS, checkout], check=True)
os.chdir(checkout)
sys.path.insert(0, os.getcwd())

from colab import runtime

runtime.prepare()"""
_BADGE = re.compile(r'(?<=colab\.research\.google\.com/github/)[^/]+/[^/]+')
_NOBODY = 'OWNER/'  # as long as there is no public address
_CONTROL = re.compile(r'\x1b\[[?;\d]*[A-Za-z]')  # of a terminal
_LISTED = ('jax', 'flax', 'numpy')


def address() -> str:
  """Where the repository is: ``url`` in ``setup.cfg``."""
  config = configparser.ConfigParser()
  config.read(ROOT / 'setup.cfg', 'utf-8')
  return config['metadata']['url']


def addressed(text: str, url: str) -> str:
  """A page or a notebook with that address in its badges and first cell.

  Links of notebooks to files of the repository have it, too: Colab takes
  relative ones for its own pages.

  Args:
    text: of a file.
    url: ``https://github.com/OWNER/NAME``.

  Raises:
    ValueError: if it is another one: Colab opens notebooks of GitHub alone.
  """
  place = re.fullmatch(r'https://github\.com/([\w.-]+/[\w.-]+)', url)
  if not place:
    raise ValueError('Expected url = https://github.com/OWNER/NAME in '
                     f'setup.cfg, got {url!r}.')
  before = _BADGE.findall(text)
  text = _BADGE.sub(place[1], text)
  if not text.startswith('{'):
    return text
  files = '../' if place[1].startswith(_NOBODY) else f'{url}/blob/main/'
  for old in ('../', *(f'https://github.com/{one}/blob/main/'
                       for one in before)):
    text = text.replace(f']({old}', f']({files}')
  notebook = json.loads(text)
  code = (one for one in notebook['cells'] if one['cell_type'] == 'code')
  next(code)['source'] = FIRST.format(url).splitlines(keepends=True)
  return json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'


@dataclasses.dataclass(frozen=True)
class Session:
  """A place to run notebooks.

  Attributes:
    folder: where they are run.
    python: the interpreter; None = this one.
  """

  folder: pathlib.Path
  python: pathlib.Path | None = None

  def execute(self, notebook: Any, timeout: int = 1800) -> None:
    """Runs a notebook in a kernel of its own and keeps outputs in it.

    Args:
      notebook: of nbformat.
      timeout: seconds that a cell may take.

    Raises:
      nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    import nbclient
    from jupyter_client import kernelspec, manager

    client = nbclient.NotebookClient(
        notebook, timeout=timeout,
        resources={'metadata': {'path': str(self.folder)}})
    if self.python:  # set afterwards, as it would not end one that it is given
      client.km = manager.AsyncKernelManager(
          kernel_name='colab',
          kernel_spec_manager=kernelspec.KernelSpecManager(
              kernel_dirs=[str(self.folder.parent / 'kernels')]))
    client.execute()

  def versions(self) -> dict[str, str]:
    """What is installed of packages that matter, and the Python."""
    code = ('import json, platform; from importlib import metadata; '
            'print(json.dumps({"python": platform.python_version(), **{'
            'one.name.lower().replace("_", "-"): one.version '
            'for one in metadata.distributions()}}))')
    found = json.loads(subprocess.run(
        [str(self.python), '-I', '-c', code], check=True, capture_output=True,
        text=True).stdout)
    return {name: found[name] for name in ('python', *_LISTED)
            if name in found}


@contextlib.contextmanager
def opened(python: pathlib.Path) -> Iterator[Session]:
  """A fresh session.

  Args:
    python: of a virtual environment, which is copied and stays as it is.
  """
  with tempfile.TemporaryDirectory() as made:
    place = pathlib.Path(made)
    shutil.copytree(python.parents[1], place / 'env', symlinks=True)
    copy = place / 'env' / 'bin' / python.name
    subprocess.run(['git', 'clone', '--quiet', '--bare', str(ROOT),
                    str(place / 'origin')], check=True)
    (place / 'content').mkdir()
    (place / 'kernels' / 'colab').mkdir(parents=True)
    runs.write_text(place / 'kernels' / 'colab' / 'kernel.json', json.dumps({
        'argv': [str(copy), '-m', 'ipykernel_launcher', '-f',
                 '{connection_file}'],
        'display_name': 'colab', 'language': 'python', 'env': {
            'PYTHONPATH': '', 'GIT_CONFIG_COUNT': '1',
            'GIT_CONFIG_KEY_0': f'url.file://{place}/origin.insteadOf',
            'GIT_CONFIG_VALUE_0': address()}}))
    yield Session(place / 'content', copy)


def with_jax_loaded(python: pathlib.Path) -> list[str]:
  """What the first cell says where jax is loaded, and after a restart.

  Args:
    python: as in :func:`opened`.
  """
  from nbclient import exceptions
  from nbformat import v4

  found = []
  with opened(python) as session:
    for before in ('import jax', ''):
      first = v4.new_code_cell(FIRST.format(address()))
      with contextlib.suppress(exceptions.CellExecutionError):
        session.execute(v4.new_notebook(
            cells=[v4.new_code_cell(before), first]))
      found.append(said(first))
  return found


def said(cell: Any) -> str:
  """A cell's output as text, without colours."""
  return plain(''.join(
      '\n'.join(one['traceback']) if one['output_type'] == 'error'
      else one.get('text', '') for one in cell['outputs'])).strip()


def plain(text: str) -> str:
  """Text of a terminal without colours, each line as it was in the end."""
  return '\n'.join(
      line.rpartition('\r')[2].rstrip() for line in _CONTROL.sub(
          '', text.replace('\r\n', '\n')).split('\n'))
