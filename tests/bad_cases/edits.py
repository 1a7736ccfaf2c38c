"""Ways to spoil a file, as functions without arguments."""

from __future__ import annotations

import functools
import json
import operator
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

Edit = Callable[[], Any]


def both(*edits: Edit) -> Edit:
  """All of them, in order."""
  return lambda: [edit() for edit in edits]


def replace(path: str, old: str, new: str) -> Edit:
  """Replaces the first of a text that has to be there."""
  def edit():
    text = pathlib.Path(path).read_text('utf-8')
    assert old in text, (path, old)
    pathlib.Path(path).write_text(text.replace(old, new, 1), 'utf-8')
  return edit


def write(path: str, content: str | bytes) -> Edit:
  """Writes a file, whatever was there."""
  data = content if isinstance(content, bytes) else content.encode()

  def edit():
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_bytes(data)
  return edit


def twin(name: str) -> Edit:
  """Lists person01, one of whose images is another name's."""
  return both(
      replace('photos/faces.csv', '03.png,person01', f'03.png,{name}'),
      write('twin.txt', 'person01\n'))


def remove(path: str) -> Edit:
  """Removes a file."""
  return lambda: pathlib.Path(path).unlink()


def rename(path: str, new: str) -> Edit:
  return lambda: os.rename(path, new)


def link(path: str, target: str) -> Edit:
  """A symbolic link in place of whatever was there."""
  def edit():
    pathlib.Path(path).unlink(missing_ok=True)
    os.symlink(target, path)
  return edit


def cut(path: str, share: float = .5) -> Edit:
  """Leaves the first part of a file, as a full disk does."""
  def edit():
    whole = pathlib.Path(path).read_bytes()
    pathlib.Path(path).write_bytes(whole[:int(len(whole) * share)])
  return edit


def flip(path: str) -> Edit:
  """Alters bytes in the middle of a file, as a bad disk does."""
  def edit():
    data = bytearray(pathlib.Path(path).read_bytes())
    half = len(data) // 2
    data[half:half + 64] = bytes(255 - byte for byte in data[half:half + 64])
    pathlib.Path(path).write_bytes(bytes(data))
  return edit


def arrays(path: str, without: tuple[str, ...] = (), **changes: Any) -> Edit:
  """Replaces arrays of an npz file; a function gets the old array."""
  def edit():
    with np.load(path) as file:
      held = {name: file[name] for name in file.files}
    for name in without:
      del held[name]
    for name, value in changes.items():
      held[name] = value(held[name]) if callable(value) else value
    np.savez(path, **held)
  return edit


def fields(path: str, name: str, value: Any = ...) -> Edit:
  """Replaces a field of a JSON file, or removes it; ``a.b`` leads into a."""
  def edit():
    tree = json.loads(pathlib.Path(path).read_text('utf-8'))
    *way, last = name.split('.')
    at = functools.reduce(operator.getitem, way, tree)
    at[last] = value
    if value is ...:
      del at[last]
    pathlib.Path(path).write_text(json.dumps(tree), 'utf-8')
  return edit


def png(width: int, height: int, depth: int = 8, colour: int = 2,
        rows: bytes = b'') -> bytes:
  """A PNG whose header claims a size, whatever pixels follow."""
  def chunk(kind, data):
    return (len(data).to_bytes(4, 'big') + kind + data
            + zlib.crc32(kind + data).to_bytes(4, 'big'))

  header = (width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
            + bytes([depth, colour, 0, 0, 0]))
  return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header)
          + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))
