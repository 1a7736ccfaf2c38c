"""Deletion requests as they are asked: whom or what to forget.

A request names persons, families, images, classes or sub-classes, or asks for
people or images drawn at random. Who is meant is looked up in the data set
alone, by ``request_names.py``; ``resolution.py`` says what that leaves.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from dlfd_jax.data import (
  spelling,
)
from dlfd_jax.utils import files, storage, validate

KINDS = ('identities', 'families', 'sample_ids', 'classes', 'subclasses',
         'people', 'fraction', 'images', 'image_fraction')
DRAWN = ('people', 'fraction', 'images', 'image_fraction')
MISSING = ('refuse', 'record')


@dataclasses.dataclass(frozen=True)
class ForgetRequest:
  """What to forget: exactly one of the first nine, or people and images.

  Attributes:
    identities: the persons; all their training images go. Names where the
      source of the data has names, else integers >= 0, which may be texts.
      Beside names an integer is a person's number in ``Dataset.identity``.
    families: values of the data's column ``family``; as persons.
    sample_ids: the images; a person's other images stay. Alone, or beside
      identities or families.
    classes: names of the task's classes, or attributes with a value, such as
      ``smile:1``; their training images go, those of val and test stay, to
      measure on (``Splits.of_classes``).
    subclasses: values of a column that is no label, such as
      ``coarse_label:fish`` or ``age:30``, likewise: a class of another grain
      than the task's.
    people: number of persons drawn at random from ``train``, at least 1.
    fraction: share of the persons of ``train`` drawn at random, in (0, 1), at
      least one person. Where no person of ``train`` is known, it is the share
      of the images.
    images: number of images drawn at random from ``train``, at least 1. Of a
      person with several some may go and some stay.
    image_fraction: share of the images of ``train`` likewise, in (0, 1).
    seed: integer >= 0, of the four random forms.
    same_person: what to do where a person or family of the request has a twin
      in the data whose name differs only by ``spelling.DIFFERENCES``: forget
      both (True), or only the one that is named (False); None refuses the
      request.
    missing: what to do with names that are not in the data: ``'refuse'`` the
      request, or ``'record'`` them and go on with the others, if there are any.
    places: where each text entry stands, such as ``line 3 of people.txt``. An
      entry that has a place and begins with ``#`` is a comment, unless it is a
      known name or sample id, or an error of a spreadsheet.

  Raises:
    ValueError: if none or several are given, or one is empty or out of range.
  """

  identities: Sequence[int | str] | None = None
  families: Sequence[int | str] | None = None
  sample_ids: Sequence[str] | None = None
  classes: Sequence[str] | None = None
  subclasses: Sequence[str] | None = None
  people: int | None = None
  fraction: float | None = None
  images: int | None = None
  image_fraction: float | None = None
  seed: int = 0
  same_person: bool | None = None
  missing: str = 'refuse'
  places: Mapping[str, str] = dataclasses.field(
      default_factory=dict, compare=False, repr=False)

  def __post_init__(self) -> None:
    kinds = [name for name in KINDS if getattr(self, name) is not None]
    if len(kinds) != 1 and not is_pair(kinds):
      raise ValueError(
          f'Expected exactly one of {", ".join(KINDS)} in a request, or '
          'sample_ids beside identities or families, got '
          f'{" and ".join(kinds) or "none"}.')
    for name in ('identities', 'families', 'sample_ids', 'classes',
                 'subclasses'):
      entries = getattr(self, name)
      if entries is None:
        continue
      if isinstance(entries, str) or not isinstance(
          entries, (Sequence, np.ndarray)):
        raise ValueError(
            f'Expected a sequence of {name.replace("_", " ")}, got '
            f'{validate.shown(entries)}.')
      numbers = name in ('identities', 'families')
      for value in entries if numbers else ():
        if isinstance(value, str):
          continue  # looked up in the data set by `resolve_request`
        if not validate.is_integer(value) or value < 0:
          raise ValueError(
              f'Expected {name} to be names or integers >= 0, got {value!r}.')
        validate.integer(f'every entry of {name}', value, 0)
      object.__setattr__(
          self, name, tuple(entries if numbers else map(str, entries)))
      if not getattr(self, name):
        raise ValueError(
            f'Expected at least one entry in {name}, got an empty request.')
    for name in ('people', 'images'):
      if getattr(self, name) is not None:
        validate.integer(name, getattr(self, name))
    for name in ('fraction', 'image_fraction'):
      if getattr(self, name) is not None:
        validate.number(name, getattr(self, name), 0, 1, ends='()')
    validate.integer('seed', self.seed, 0)
    validate.one_of('missing', self.missing, MISSING)
    if self.same_person is not None:
      validate.boolean('same_person', self.same_person)


def is_pair(kinds: Collection[str]) -> bool:
  """Whether two kinds of request add up to one: people and single images."""
  return len(kinds) == 2 and 'sample_ids' in kinds and bool(
      {'identities', 'families'} & set(kinds))


def read_entries(path: str | os.PathLike) -> dict[str, str]:
  """Reads persons, families or sample ids from a text file, one a line.

  Which lines are comments is known only beside the data: see
  ``resolution.resolve_request``. Lines with nothing visible are skipped.

  Args:
    path: a UTF-8 text file.

  Returns:
    The place of each line as written, in the file's order, each once: the
    entries and the ``places`` of a :class:`ForgetRequest`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if the file is no text, or has no entry.
  """
  path = storage.local(path)
  text = files.read_text(path, 'a text file')
  entries: dict[str, str] = {}
  for number, line in enumerate(text.split('\n'), start=1):
    if spelling.clean(line):
      entries.setdefault(line, f'line {number} of {path}')
  if not entries:
    raise ValueError(f'Expected at least one entry in {path}, got none.')
  return entries
