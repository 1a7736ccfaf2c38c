"""Text for people within the width of their terminal: help in two columns.

Only the standard library is imported: ``dlfd --help`` comes before the rest.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable

_LEAST, _MOST = 40, 100  # columns; longer lines are hard to read
_BESIDE = 24  # columns of a name that its text stands beside


def width() -> int:
  """Columns of text on this terminal; 80 where there is none."""
  return min(max(shutil.get_terminal_size().columns, _LEAST), _MOST)


def entry(name: str, text: str, columns: int, beside: int = _BESIDE) -> str:
  """A name and what it means beside it; below it if the name is long.

  Example:
    >>> print(entry('--seed=N', 'of everything random', 40, 12))
      --seed=N  of everything random
  """
  beside = min(beside, columns // 3)
  lines = _wrapped(text, columns - beside)
  head = _wrapped(name, columns - 2)
  if len(head) > 1 or len(head[0]) + 4 > beside:
    lines = ['', *lines]
  first = f'  {head[-1]}'.ljust(beside) + lines[0]
  return '\n'.join([*(f'  {line}' for line in head[:-1]), first.rstrip(), *(
      ' ' * beside + line for line in lines[1:])])


def entries(named: Iterable[tuple[str, str]], columns: int) -> str:
  """Entries whose texts stand below each other, beside the longest name."""
  named = list(named)
  beside = 4 + max(len(name) for name, _ in named)
  return '\n'.join(entry(name, text, columns, beside) for name, text in named)


def prose(text: str, columns: int) -> str:
  r"""Paragraphs, lists and commands of a docstring, broken anew.

  A line that is not indented belongs to a paragraph. One that is indented by
  two begins an item of a list, if two spaces follow its first word, or else a
  command; lines that are indented further go on with it.

  Example:
    >>> print(prose('''One line
    ... and one.
    ...
    ...   dlfd train --on=all \\
    ...       --workdir=runs/original''', 28))
    One line and one.
    <BLANKLINE>
      dlfd train --on=all \
          --workdir=runs/original
  """
  blocks: list[list[str]] = []
  for line in text.strip('\n').split('\n'):
    indent = len(line) - len(line.lstrip())
    last = blocks[-1][-1] if blocks else ''
    if last and line and (indent > 2 or not (indent or last[0] == ' ')):
      blocks[-1].append(line)
    else:
      blocks.append([line])
  return '\n'.join(_block(block, columns) for block in blocks)


def _block(lines: list[str], columns: int) -> str:
  text = ' '.join(line.rstrip('\\').strip() for line in lines)
  item = re.match(r'  (\S+)  +(?=\S)', lines[0])
  if item:
    return entry(item[1], text[len(item[0]) - 2:], columns, len(item[0]))
  if lines[0][:1] != ' ':
    return '\n'.join(_wrapped(text, columns))
  words = textwrap.wrap(text, columns - 8, break_on_hyphens=False,
                        break_long_words=False)  # a command can be pasted
  return ' \\\n'.join(
      f'  {"    " * (i > 0)}{line}' for i, line in enumerate(words))


def _wrapped(text: str, columns: int) -> list[str]:
  return textwrap.wrap(text, max(columns, 8), break_on_hyphens=False) or ['']
