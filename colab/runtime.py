"""Makes a notebook's session fit for this checkout: called by its first cell.

Runs before anything is installed, so it imports only what every kernel has.
"""

from __future__ import annotations

import configparser
import glob
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata

from packaging import requirements

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PIP = (sys.executable, '-m', 'pip')
_SHOWN = ('jax', 'flax', 'numpy')
# Loaded before pip replaced them: they stay the old ones until a restart.
_stale: set[str] = set()


class SessionError(RuntimeError):
  """What a session cannot go on with: shown without a traceback."""

  def _render_traceback_(self) -> list[str]:  # IPython asks for it
    return [str(self)]


def prepare() -> None:
  """Installs what ``setup.cfg`` requires and this session lacks.

  Raises:
    SessionError: if pip fails, or the session has to be restarted.
  """
  needed = required()
  lacking = unmet(needed, _versions(needed))
  if lacking:
    _install(lacking, _versions(needed))
  if _stale:
    raise SessionError(
        'Restart the session (menu Runtime, Restart session), then run all '
        'cells again: nothing will be installed a second time. Loaded before '
        f'they were replaced: {", ".join(sorted(_stale))}.')
  now = _versions(needed)
  print('Ready:', ', '.join(f'{name} {now[name]}' for name in _SHOWN) + '.')


def required() -> list[requirements.Requirement]:
  """What ``setup.cfg`` requires."""
  config = configparser.ConfigParser()
  config.read(_ROOT / 'setup.cfg', 'utf-8')
  lines = config['options']['install_requires'].split('\n')
  return [requirements.Requirement(line) for line in lines if line]


def unmet(needed: Iterable[requirements.Requirement],
          versions: Mapping[str, str | None]
          ) -> list[requirements.Requirement]:
  """The requirements that are not met.

  Args:
    needed: all of them.
    versions: what is installed, by the names of ``needed``; None = nothing.
  """
  return [one for one in needed if (found := versions[one.name]) is None
          or not one.specifier.contains(found, prereleases=True)]


def wanted(lacking: Iterable[requirements.Requirement],
           versions: Mapping[str, str | None], accelerator: str) -> list[str]:
  """What pip is asked for.

  Args:
    lacking: the requirements that are not met.
    versions: what is installed, by name; None = nothing.
    accelerator: name of the extra with the jax of this runtime; empty = CPU.

  Returns:
    This checkout, and the NumPy that is installed if it will do: much of what
    Colab has beside it was compiled for that one.
  """
  checkout = f'{_ROOT}[{accelerator}]' if accelerator else str(_ROOT)
  asked = ['--editable', checkout]
  numpy = versions['numpy']
  if numpy and 'numpy' not in [one.name for one in lacking]:
    asked.append(f'numpy=={numpy}')
  return asked


def orphans(installed: Iterable[tuple[str, str]]) -> list[str]:
  """CUDA plugins of another jax, for which this one prints a traceback.

  Colab has them without a GPU, too, where nothing replaces them.

  Args:
    installed: name and version of every package.
  """
  versions = {name.lower().replace('_', '-'): version.split('.')[:2]
              for name, version in installed}
  return sorted(name for name, version in versions.items()
                if name.startswith('jax-cuda') and version != versions['jax'])


def _install(lacking: list[requirements.Requirement],
             versions: Mapping[str, str | None]) -> None:
  changes = ', '.join(
      f'{one.name} {versions[one.name] or ""}'.strip() for one in lacking)
  print(f'Installing or upgrading (some minutes): {changes}.', flush=True)
  before = loaded_files()
  done = subprocess.run(
      [*_PIP, 'install', '--quiet', '--disable-pip-version-check',
       *wanted(lacking, versions, _accelerator())],
      capture_output=True, text=True, check=False)
  if done.returncode:
    raise SessionError(f'{done.stderr}\npip could not install what dlfd_jax '
                       'needs; its reasons stand above.')
  importlib.invalidate_caches()
  if old := orphans((one.name, one.version)
                    for one in metadata.distributions()):
    subprocess.run([*_PIP, 'uninstall', '--quiet', '--yes', *old],
                   capture_output=True, check=True)
  _stale.update(replaced(before, loaded_files()))


def loaded_files() -> dict[str, tuple[int, ...] | None]:
  """What lies where loaded modules came from, by name; None = nothing."""
  files = {name: getattr(module, '__file__', None)
           for name, module in list(sys.modules.items())}
  return {name: _identity(path) for name, path in files.items() if path}


def replaced(before: Mapping[str, object], after: Mapping[str, object]
             ) -> set[str]:
  """Packages of which a loaded module's file is another one than before."""
  return {name.partition('.')[0] for name, file in before.items()
          if after.get(name) != file}


def _identity(path: str) -> tuple[int, ...] | None:
  try:
    found = os.stat(path)
  except OSError:
    return None
  return found.st_ino, found.st_mtime_ns, found.st_size


def _versions(needed: Iterable[requirements.Requirement]
              ) -> dict[str, str | None]:
  found: dict[str, str | None] = {}
  for one in needed:
    try:
      found[one.name] = metadata.version(one.name)
    except metadata.PackageNotFoundError:
      found[one.name] = None
  return found


def _accelerator() -> str:
  if shutil.which('nvidia-smi'):
    return 'cuda12'
  on_tpu = glob.glob('/dev/accel*') or glob.glob('/dev/vfio/[0-9]*')
  return 'tpu' if on_tpu else ''
