"""Paths in stored files: absolute, or relative to the folder of the file.

So a command finds the same files from wherever it is typed, and a project that
is moved as a whole finds its own. A path that a user typed as an absolute one
stays that, and so does a URL of an object store. Earlier versions stored
relative paths as they were typed, and nobody knows in which folder; files of
this version say that theirs are not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from dlfd_jax.utils import storage

KEY = 'paths'
HERE = 'relative to this folder'
# In the config of a run; a source may be a name as well as a file.
OF_CONFIG = ('data.source', 'data.root', 'original_path', 'config.retrained')
_FILES = ('.npz', '.csv', '.json')


def stored(path: str | os.PathLike, folder: str | os.PathLike) -> str:
  """A path of this process as a file in ``folder`` holds it."""
  path = os.fspath(path)
  url = storage.url_of(path)
  if url is not None or os.path.isabs(os.path.expanduser(path)):
    return url or path
  if storage.url_of(folder) is not None:  # no path leads from there to here
    return os.path.abspath(path)
  return os.path.relpath(path, os.path.realpath(folder))


def found(path: str, folder: str | os.PathLike) -> str:
  """The path for this process that a file in ``folder`` holds."""
  return str(storage.local(_found(path, folder)))


def _found(path: str, folder: str | os.PathLike) -> str:
  """The same; of an object store nothing is read yet."""
  if storage.is_url(path):
    return str(storage.place(path))
  if os.path.isabs(os.path.expanduser(path)):
    return path
  if storage.url_of(folder) is not None:
    return os.path.normpath(os.path.join(folder, path))
  return os.path.relpath(os.path.join(os.path.realpath(folder), path))


def config_stored(config: Mapping[str, Any],
                  folder: str | os.PathLike) -> dict[str, Any]:
  """The config of a run with its paths as its folder holds them."""
  return {**_changed(config, lambda path: stored(path, folder)), KEY: HERE}


def config_found(config: Mapping[str, Any],
                 folder: str | os.PathLike) -> dict[str, Any]:
  """A stored config with paths for this process."""
  if config.get(KEY) != HERE:  # an earlier version
    return dict(config)
  return _changed(config, lambda path: _found(path, folder))


def _changed(config: Mapping[str, Any],
             change: Callable[[str], str]) -> dict[str, Any]:
  def value_of(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
      return {key: value_of(f'{name}.{key}', inner)
              for key, inner in value.items()}
    return change(value) if _is_path(name, value) else value

  return {name: value_of(name, value) for name, value in config.items()}


def is_missing(name: str, value: Any) -> bool:
  """Whether a field of a config is a path at which there is nothing."""
  return _is_path(name, value) and not storage.local(
      os.path.expanduser(value)).exists()


def _is_path(name: str, value: Any) -> bool:
  return name in OF_CONFIG and isinstance(value, str) and (
      name != 'data.source' or value.lower().endswith(_FILES))
