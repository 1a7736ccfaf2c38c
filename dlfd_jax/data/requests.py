"""Deletion requests: whom or what to forget, and what that leaves.

A request names persons, families, images, classes or sub-classes, or asks for
people or images drawn at random. ``resolve_request`` turns it and a
``Partition`` into checked ``Splits``; names are looked up in the data set
alone.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  people as people_lib,
  spelling,
  splits as splits_lib,
)
from dlfd_jax.utils import files, rng, storage, text as text_lib, validate

KINDS = ('identities', 'families', 'sample_ids', 'classes', 'subclasses',
         'people', 'fraction', 'images', 'image_fraction')
DRAWN = ('people', 'fraction', 'images', 'image_fraction')
MISSING = ('refuse', 'record')
MOST_LISTED = 1000
_MOST_NAMED = 20  # unknown entries in one message
# What stands between columns or pages, and in no name of the data.
_COLUMNS = re.compile('[\t\v\f\x1c-\x1f]')
_ALIKE = 0.75  # share of letters that a misspelt name has in common at least


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
      known name or sample id.

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
  :func:`resolve_request`. Lines with nothing visible are skipped.

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


def resolve_request(
    dataset: dataset_lib.Dataset, partition: splits_lib.Partition,
    request: ForgetRequest, earlier: np.ndarray | None = None,
) -> tuple[splits_lib.Splits, list[str]]:
  """Cuts ``train`` into retain and forget as a request asks.

  An entry means the person, family or image of exactly that name, else the one
  whose name is the same once both are in one spelling (``spelling.clean``);
  else, if it begins with ``#`` and was read from a file, it is a comment; else
  it is refused.

  Only training images can be forgotten. Images of ``val`` and ``test`` that the
  request names, or that show a person whom it names, are left out of the
  evaluation, and a note says how many.

  Args:
    dataset: the data.
    partition: what the original was trained on, and what it never saw. Persons
      of the request may be in several of its parts, no others.
    request: what to forget.
    earlier: positions that earlier requests made the original forget, none of
      them in the partition.

  Returns:
    The checked splits and notes for the reader of the result, one sentence
    each; no note for a clean request by person.

  Raises:
    ValueError: if a person or image is not in the data, a name has a twin and
      ``same_person`` does not say what that means, no training image would be
      forgotten, nothing would be left to retain, watch or test on, or
      ``check_splits`` objects to what is left.
  """
  resolved = resolve(dataset, partition.parts, request, earlier)
  splits = resolved.splits()
  return splits, resolved.notes() + splits_lib.splits_notes(dataset, splits)


@dataclasses.dataclass(frozen=True, eq=False)
class ResolvedRequest:
  """A request on one data set and one split: the rows behind every count of it.

  Attributes:
    dataset: the images.
    retain: training images that stay.
    forget: training images to be forgotten.
    others: ``val`` and ``test`` without what the request names; empty where
      nobody knows them.
    by_person: as of ``Splits``, like the next two.
    earlier: what earlier requests made the original forget.
    left_out: what the request names beyond forget; None = not recorded.
    said: sentences on how its names were read.
    classes: as of ``Splits``, like all others.
    of_classes: rows of val and test.
    gone: people by sample id of images that are no longer in the data.
    left_out_of_earlier: people by sample id.
    not_found: names of the request that the data do not have.
  """

  dataset: dataset_lib.Dataset
  retain: np.ndarray
  forget: np.ndarray
  others: Mapping[str, np.ndarray]
  by_person: bool
  earlier: np.ndarray
  left_out: Mapping[str, np.ndarray] | None
  said: tuple[str, ...] = ()
  classes: tuple[str, ...] = ()
  of_classes: np.ndarray = dataclasses.field(
      default_factory=lambda: np.array([], np.int64))
  gone: Mapping[str, str] = dataclasses.field(default_factory=dict)
  left_out_of_earlier: Mapping[str, str] = dataclasses.field(
      default_factory=dict)
  not_found: tuple[str, ...] = ()

  @classmethod
  def of(cls, dataset: dataset_lib.Dataset,
         splits: splits_lib.Splits) -> ResolvedRequest:
    """The request that became some splits."""
    return cls(dataset, splits.retain, splits.forget,
               {'val': splits.val, 'test': splits.test}, splits.by_person,
               splits.earlier, splits.left_out, (), splits.classes,
               splits.of_classes, splits.gone, splits.left_out_of_earlier,
               splits.not_found)

  @property
  def parts(self) -> dict[str, np.ndarray]:
    """Rows by part, as of ``Splits``."""
    return {'retain': self.retain, 'forget': self.forget, **self.others}

  def splits(self) -> splits_lib.Splits:
    """What unlearning works on.

    Raises:
      ValueError: if nothing would be left to watch or test on, or
        ``check_splits`` objects to what is left.
    """
    for name, rows in self.others.items():
      if not len(rows):
        raise ValueError(
            f'Expected images left in {name} after the request, got none: all '
            f'{len((self.left_out or {})[name])} are to be forgotten.')
    splits = splits_lib.Splits(
        self.retain, self.forget, **self.others, by_person=self.by_person,
        earlier=self.earlier, left_out=self.left_out, classes=self.classes,
        of_classes=self.of_classes, gone=self.gone,
        left_out_of_earlier=self.left_out_of_earlier,
        not_found=self.not_found)
    splits_lib.check_splits(self.dataset, splits)
    return splits

  def counts(self) -> dict[str, Any]:
    """Every number of the request, in JSON values; None = not known."""
    data = self.dataset
    people, stay = data.people_in(self.forget), data.people_in(self.retain)
    trained = len(np.union1d(people, stay))
    return {
        'images': len(self.forget), 'people': len(people),
        'images_of_nobody_known': int((data.identity[self.forget] < 0).sum()),
        'share_of_images': len(self.forget) / (
            len(self.forget) + len(self.retain)),
        'share_of_people': len(people) / trained if trained else None,
        'retain_images': len(self.retain), 'retain_people': len(stay),
        'left_out': None if self.left_out is None else {
            name: len(self.left_out.get(name, ()))
            for name in splits_lib.LEFT_OUT},
        'earlier_images': len(self.earlier) + len(self.gone),
        'earlier_people': len({
            *map(data.called, data.people_in(self.earlier)),
            *filter(None, self.gone.values())}),
        **({'earlier_gone': len(self.gone)} if self.gone else {}),
        **({'not_found': list(self.not_found)} if self.not_found else {}),
        'by_person': bool(self.by_person),
        **({'classes': list(self.classes)} if self.classes else {})}

  def notes(self) -> list[str]:
    """What a reader must know of names, and of images that are left out."""
    left_out = self.counts()['left_out'] or {}
    notes = list(self.said)
    for name, count in left_out.items():
      if count:
        words = _ONE if count == 1 else _MANY
        notes.append(f'{text_lib.counted(count, "image")} '
                     f'{_LEFT_OUT[name].format(name, **words)}')
    return notes


_ONE = {'are': 'is', 'were': 'was', 'they': 'it', 'them': 'it'}
_MANY = {word: word for word in _ONE}
_LEFT_OUT = {
    **dict.fromkeys(
        ('val', 'test'), 'to be forgotten {are} in {0}, which the original was '
        'not trained on: {they} {are} left out of the evaluation.'),
    'earlier': 'of the request {were} forgotten by an earlier one: nothing '
               'more is to be done for {them}.',
    'elsewhere': 'to be forgotten {are} in none of train, val and test: '
                 'nothing is to be done for {them}.'}


def resolve(dataset: dataset_lib.Dataset, parts: Mapping[str, np.ndarray],
            request: ForgetRequest, earlier: np.ndarray | None = None,
            gone: Mapping[str, str] | None = None) -> ResolvedRequest:
  """Looks a request up, as :func:`resolve_request` does.

  Args:
    dataset: the data.
    parts: positions of ``train``, ``val`` and ``test``, or ``train`` alone.
    request: what to forget.
    earlier: as of ``resolve_request``.
    gone: people by sample id of images that earlier requests named, too: a name
      of these is known, though it may be no longer in the data.

  Raises:
    ValueError: if a name is not in the data or has a twin, or no training image
      would be forgotten or left.
  """
  splits_lib.check_positions(dataset, parts)
  gone = gone or {}
  look = Lookup(request, frozenset(gone), frozenset(gone.values()))
  train = parts['train']
  named = images_of(dataset, train, look)
  inside = np.isin(train, named)
  if not inside.any():
    raise ValueError(
        'Expected at least one training image to forget, got none: the '
        f'{text_lib.counted(len(named), "image")} of the request '
        f'{text_lib.are(len(named))} not in train'
        + (', as earlier requests forgot '
           f'{"it" if len(named) == 1 else "them"}.' if len(named) and
           earlier is not None and np.isin(named, earlier).all() else '.')
        + ''.join(f' {sentence}' for sentence in look.sentences()))
  if inside.all():
    raise ValueError(
        'Expected training images left to retain, got none: the request '
        f'forgets all {len(train)}.')
  earlier = np.array([], np.int64) if earlier is None else earlier
  others = {name: part for name, part in parts.items() if name != 'train'}
  left_out = {name: np.intersect1d(part, named)
              for name, part in (*others.items(), ('earlier', earlier))}
  left_out['elsewhere'] = np.setdiff1d(
      named, np.concatenate([*parts.values(), earlier]))
  retain, forget = train[~inside], train[inside]
  others = {name: np.setdiff1d(part, named) for name, part in others.items()}
  classes, of_classes = splits_lib.whole_classes(
      dataset, retain, forget, others.values())
  if request.classes is not None or request.subclasses is not None:
    asked = dict.fromkeys(request.classes or request.subclasses or ())
    classes = tuple(one for one in asked if one not in look.not_found)
    of_classes = _of_classes(dataset, train, Lookup(request))
  unseen = np.concatenate([np.array([], np.int64), *others.values()])
  return ResolvedRequest(
      dataset, retain, forget, others,
      splits_lib.retain_forget_by_person(dataset, retain, forget), earlier,
      left_out, tuple(look.sentences()), classes,
      np.intersect1d(of_classes, unseen), not_found=tuple(look.not_found))


def resolve_next(dataset: dataset_lib.Dataset, start: splits_lib.Start,
                 request: ForgetRequest) -> ResolvedRequest:
  """A request after other ones.

  Args:
    dataset: the data.
    start: what they left.
    request: what to forget.

  Raises:
    ValueError: as ``resolve``.
  """
  found = dataclasses.replace(
      resolve(dataset, start.parts, request, start.earlier,
              {**start.gone, **start.left_out_of_earlier}),
      gone=start.gone, left_out_of_earlier=start.left_out_of_earlier)
  if not start.of_classes.size:
    return found
  return dataclasses.replace(found, said=(*found.said, (
      f'{start.of_classes.size} images of val and test show what an earlier '
      f'request forgot whole ({", ".join(start.classes)}): they are left out '
      'of the evaluation.')))


@dataclasses.dataclass(frozen=True, eq=False)
class Lookup:
  """A request while its names are looked up.

  Attributes:
    request: what to forget.
    gone_ids: images of earlier requests that are no longer in the data.
    gone_people: who is in them.
    notes: receives sentences: names that ``same_person`` decided on, or that
      no person is known.
    not_found: receives names that are nowhere.
    before: receives names that earlier requests forgot, and whose images are no
      longer there.
  """

  request: ForgetRequest
  gone_ids: frozenset[str] = frozenset()
  gone_people: frozenset[str] = frozenset()
  notes: list[str] = dataclasses.field(default_factory=list)
  not_found: list[str] = dataclasses.field(default_factory=list)
  before: list[str] = dataclasses.field(default_factory=list)

  def is_gone(self, kind: str, name: str) -> bool:
    """Whether a name is known, of what is no longer in the data."""
    known = {'identities': self.gone_people, 'sample_ids': self.gone_ids}.get(
        kind, frozenset())
    if name in known or spelling.clean(name) in known - {''}:
      self.before.append(name)
      return True
    return False

  def lets(self, missing: Sequence[str], found: bool) -> bool:
    """Whether to go on without some names; those are then recorded.

    Args:
      missing: the names.
      found: whether there are others, or earlier requests knew some.
    """
    if missing and (not found or self.request.missing != 'record'):
      return False
    self.not_found.extend(missing)
    return True

  def sentences(self) -> list[str]:
    """All that a reader must know of the names."""
    said = list(self.notes)
    for names, what in (
        (self.not_found, 'not in the data, and recorded as --missing=record '
                         'says: nothing is done for'),
        (self.before, 'forgotten by earlier requests, their images no longer '
                      'in the data: nothing more is to be done for')):
      if names:
        said.append(text_lib.naming(
            f'{len(names)} of the request '
            f'{text_lib.are(len(names))} {what} them.',
            validate.listed(map(validate.shown, names))))
    return said


def images_of(dataset: dataset_lib.Dataset, train: np.ndarray,
              look: Lookup) -> np.ndarray:
  """Every image in the data that a request names, wherever it is.

  Args:
    dataset: the data.
    train: positions that classes, people or images are drawn from.
    look: the request.

  Returns:
    Sorted positions.

  Raises:
    ValueError: if a person, family, image or class is not in the data, a name
      has a twin and ``same_person`` is None, or too many are drawn.
  """
  request = look.request
  found = []
  if request.identities is not None:
    persons = _numbers(look, 'identities', dataset.people)
    found.append(_images_with(
        dataset, dataset.identity, persons, 'persons', look, dataset.called))
  if request.families is not None:
    family = people_lib.FAMILY
    if family not in dataset.columns:
      raise ValueError(f'Expected {dataset.name!r} to have a column {family!r}'
                       f', got {sorted(dataset.columns)}.')
    names = dataset.column_names.get(family, {})
    families = _numbers(look, 'families', names)
    found.append(_images_with(
        dataset, dataset.columns[family], families, 'families', look,
        lambda code: names.get(code, str(code))))
  if request.sample_ids is not None:
    found.append(np.array(_numbers(look, 'sample_ids', dict(
        enumerate(dataset.sample_id.tolist()))), np.int64))
  if found:
    return np.unique(np.concatenate(found))
  if request.classes is not None or request.subclasses is not None:
    return np.intersect1d(train, _of_classes(dataset, train, look))
  return _draw(dataset, train, request, look.notes)


def _of_classes(dataset: dataset_lib.Dataset, train: np.ndarray,
                look: Lookup) -> np.ndarray:
  """Every image in the data of a class, sub-class or attribute's value.

  Args:
    dataset: the data.
    train: positions of the training images.
    look: the request, by class or sub-class; a sentence where a value is not
      known of some of these images.

  Raises:
    ValueError: if the task has no such class or attribute, the data no such
      column, or no image that value.
  """
  task, request = dataset.task, look.request
  if request.classes is not None and not task.is_multilabel:
    unknown = sorted(set(request.classes) - set(task.names))
    known = set(request.classes) & set(task.names)
    if not look.lets(unknown, bool(known)):
      raise ValueError(
          f'Expected classes of {validate.listed(task.names)}, got {unknown}.')
    return np.flatnonzero(np.isin(
        dataset.labels, [task.names.index(name) for name in known]))
  columns: Mapping[str, np.ndarray] = dataset.columns
  what = 'a column of the data that is no label'
  if request.classes is not None:
    columns, what = dict(zip(task.names, dataset.labels.T)), 'an attribute'
  found = []
  missing: dict[str, str] = {}
  for entry in request.classes or request.subclasses or ():
    column = max((name for name in columns if entry.startswith(f'{name}:')),
                 key=len, default=None)
    if column is None:
      raise ValueError(
          f'Expected {what} and its value, such as NAME:1, with NAME one of '
          f'{validate.listed(sorted(columns)) or "none"}, got '
          f'{validate.shown(entry)}.')
    value = entry.removeprefix(f'{column}:')
    names = dataset.column_names.get(column, {})
    numbers = {name: number for number, name in names.items()} or {
        str(number): number for number in np.unique(columns[column]).tolist()
        if number >= 0}
    rows = np.flatnonzero(columns[column] == numbers.get(value, -1))
    if value not in numbers or not len(rows):
      missing[entry] = (f'Expected a value of {column!r}, one of '
                        f'{validate.listed(numbers)}, got '
                        f'{validate.shown(value)}.')
      continue
    found.append(rows)
    twins = [twin for twin in spelling.Lookalikes(numbers).of(value)
             if f'{column}:{twin}' not in (request.subclasses or ())]
    if twins:
      look.notes.append(text_lib.naming(
          'Values that differ from a listed one only by '
          f'{spelling.DIFFERENCES} are not forgotten with it.',
          people_lib.listed([entry, *twins])))
    not_known = int((columns[column][train] < 0).sum())
    note = f'{column!r} is not known of {not_known} training images: they stay.'
    if not_known and note not in look.notes:
      look.notes.append(note)
  if not look.lets(list(missing), bool(found)):
    raise ValueError(next(iter(missing.values())))
  return np.unique(np.concatenate(found))


def _numbers(look: Lookup, kind: str, names: Mapping[int, str]) -> list[int]:
  """The numbers of the persons, families or images that a request lists.

  Args:
    look: the request: its numbers stay as they are, its texts are looked up;
      receives a sentence for each name with a twin, and unknown names.
    kind: ``'identities'``, ``'families'`` or ``'sample_ids'``.
    names: by number, where the source of the data has names: texts are then
      names. Where it has none they are numbers.

  Raises:
    ValueError: if a text is no known name, or no integer >= 0, or has a twin
      and the request does not say whether that is the same person.
  """
  what = {'identities': 'identity', 'families': 'family',
          'sample_ids': 'sample id'}[kind]
  request, known = look.request, _Names(names)
  codes: list[int] = []
  named: dict[str, str] = {}  # each name, and the entry that means it
  unknown = []
  for entry in getattr(request, kind):
    if not isinstance(entry, str):
      _check_number(entry, known, names, what)
      codes.append(entry)
    elif (name := known.find(entry)) is not None:
      named.setdefault(name, entry)
    elif not names and re.fullmatch('[0-9]{1,40}', spelling.clean(entry)):
      number = int(spelling.clean(entry))
      validate.integer(f'every entry of {kind}', number, 0)
      codes.append(number)
    elif not look.is_gone(kind, entry) and not (
        entry.startswith('#') and entry in request.places
        and not known.has_like(_COLUMNS.split(entry.strip())[0])):
      unknown.append(entry)
  if not look.lets(unknown, bool(codes or named)):
    wanted = f'a known {what}' if names else f'an integer {what} >= 0'
    shown = [(validate.shorten(repr(entry), 200), _place(request, entry),
              known.hint(entry)) for entry in unknown[:_MOST_NAMED]]
    more = len(unknown) - len(shown)
    entry, place, hint = shown[0]
    raise ValueError(
        f'Expected {wanted}{place}, got {entry}{hint}'
        + ''.join(f'; also unknown: {"".join(one)}' for one in shown[1:])
        + (f'; and {more} more' if more else '') + '.')
  if not codes and not named:
    if look.before:
      return []
    raise ValueError(f'Expected at least one {what} in the request, got '
                     'comments alone.')
  if kind != 'sample_ids':
    codes += _twins(request, known, named, what, look.notes)
  return codes + [known.numbers[name] for name in named]


def _check_number(number: int, known: _Names, names: Mapping[int, str],
                  what: str) -> None:
  """Raises ValueError if a number may mean the one who is called like it."""
  called = [name for name in (*known.like(str(number)), str(number))
            if name in known.numbers and name != names.get(number)]
  if called:
    raise ValueError(
        f'Expected names, as the data name every {what}, got the number '
        f'{number}: {people_lib.listed(called[:5])} is called like it, and '
        f'number {number} is '
        f'{validate.shown(names[number]) if number in names else "nobody"}.')


# What messages call a column of people.
_CALLED = {'identity': 'person', 'family': 'family'}


def _twins(request: ForgetRequest, known: _Names, named: Mapping[str, str],
           what: str, notes: list[str]) -> list[int]:
  """The numbers of those who are alike to somebody named, if they go too."""
  codes = []
  for name, entry in named.items():
    others = [other for other in known.like(name) if other not in named]
    if not others:
      continue
    twins = people_lib.listed(others)
    if request.same_person is None:
      raise ValueError(
          f'Expected --same_person or --different_people: {entry!r}'
          f'{_place(request, entry)} names {what} {name!r}, and the data also '
          f'have {twins}, which differs only by {spelling.DIFFERENCES}. '
          '--same_person forgets all of them, '
          f'--different_people {name!r} alone.')
    if request.same_person:
      codes += [known.numbers[other] for other in others]
      notes.append(text_lib.naming(
          'Names that are spelt like a listed one were taken for the same '
          f'{_CALLED[what]}, and forgotten too, as --same_person says.',
          people_lib.listed([name, *others])))
    else:
      notes.append(text_lib.naming(
          'Names that are spelt like a listed one were taken for another '
          f'{_CALLED[what]} and stay, as --different_people says.',
          people_lib.listed([name, *others])))
  return codes


def _place(request: ForgetRequest, entry: str) -> str:
  return f' in {request.places[entry]}' if entry in request.places else ''


class _Names:
  """Looks up names as a user may write them.

  Attributes:
    numbers: by name.
  """

  def __init__(self, names: Mapping[int, str]):
    self.numbers = {name: number for number, name in names.items()}

  @functools.cached_property
  def _spelled(self) -> dict[str, list[str]]:
    spelled: dict[str, list[str]] = {}
    for name in self.numbers:
      spelled.setdefault(spelling.clean(name), []).append(name)
    return spelled

  @functools.cached_property
  def _lookalikes(self) -> spelling.Lookalikes:
    return spelling.Lookalikes(self.numbers)

  def find(self, entry: str) -> str | None:
    """The name that an entry means; None if there is none, or no single one."""
    if entry in self.numbers:
      return entry
    if _COLUMNS.search(entry.strip()):
      return None
    names = self._spelled.get(spelling.clean(entry), [])
    return names[0] if len(names) == 1 else None

  def like(self, entry: str) -> list[str]:
    """The other names that may mean the same, sorted."""
    return self._lookalikes.of(entry)

  def has_like(self, entry: str) -> bool:
    """Whether an entry is a name, or may be."""
    return self.find(entry) is not None or bool(self.like(entry))

  def hint(self, entry: str) -> str:
    """What may have been meant by an entry that is unknown."""
    before = re.split(r'\s#', entry)[0]
    if _COLUMNS.search(entry.strip()):
      return '; a line holds one name, and no further columns'
    if self.like(entry):
      return f'; the data have {people_lib.listed(self.like(entry)[:5])}'
    if spelling.is_missing(spelling.clean(entry)):
      return (', which stands for an unknown person; name the images by '
              '--forget_sample_ids')
    if before != entry and (not before or self.find(before) is not None):
      return '; a comment is a line of its own that begins with #'
    near = difflib.get_close_matches(
        entry, self.numbers, n=1, cutoff=_ALIKE) if len(entry) > 3 else ()
    return f' (the nearest name is {near[0]!r})' if near else ''


def _images_with(dataset: dataset_lib.Dataset, column: np.ndarray,
                 values: Sequence[int], what: str, look: Lookup,
                 called: Callable[[int], str]) -> np.ndarray:
  """Images whose value in a column is one of ``values``."""
  wanted = np.unique(np.asarray(values, np.int64))
  there = np.isin(wanted, column)
  kind = 'identities' if what == 'persons' else 'families'
  absent = [value for value in wanted[~there].tolist()
            if not look.is_gone(kind, called(value))]
  if not look.lets([called(value) for value in absent], bool(there.any())):
    some = ', '.join(map(called, absent[:5])) + (
        f' and {len(absent) - 5} more' if len(absent) > 5 else '')
    raise ValueError(
        f'Expected {what} of {dataset.name!r}, got {some} that are not in the '
        'data.')
  return np.flatnonzero(np.isin(column, wanted))


def _draw(dataset: dataset_lib.Dataset, train: np.ndarray,
          request: ForgetRequest, notes: list[str]) -> np.ndarray:
  """Images, or those of people (where none is known, images) from train."""
  identity = dataset.identity[train]
  people = np.unique(identity[identity >= 0])
  generator = rng.generator(request.seed, 'forget')
  count, share = request.images, request.image_fraction
  if count is not None or share is not None:
    count = count or max(1, round((share or 0.0) * len(train)))
    if count >= len(train):
      raise ValueError(
          f'Expected fewer images to forget than the {len(train)} in train, '
          f'got {count}.')
    return np.sort(generator.choice(train, count, replace=False))
  if not people.size:
    if request.people is not None:
      raise ValueError(
          f'Expected known persons to draw {request.people} people from, got '
          f'identity -1 in all {len(identity)} training images; give a '
          'fraction or sample ids.')
    notes.append(
        'No person is known: the fraction to forget is one of images.')
    assert request.fraction is not None  # `people` is refused above
    count = max(1, round(request.fraction * len(identity)))
    return np.sort(generator.choice(train, count, replace=False))
  count = (max(1, round(request.fraction * len(people)))
           if request.fraction is not None else request.people or 0)
  if count >= len(people):
    raise ValueError(
        f'Expected fewer people to forget than the {len(people)} known in '
        f'train, got {count}.')
  drawn = generator.choice(people, count, replace=False)
  return np.flatnonzero(np.isin(dataset.identity, drawn))


def people_in_two_parts(dataset: dataset_lib.Dataset,
                        parts: Mapping[str, np.ndarray]
                        ) -> dict[int, list[str]]:
  """People with images in more than one part, and in which."""
  seen: dict[int, list[str]] = {}
  for name, rows in parts.items():
    for person in np.unique(dataset.identity[rows]).tolist():
      if person >= 0:
        seen.setdefault(person, []).append(name)
  return {person: where for person, where in seen.items() if len(where) > 1}


def describe(resolved: ResolvedRequest, copies: Mapping[str, Any],
             twice: Mapping[int, list[str]]) -> dict[str, Any]:
  """What a request touches, in JSON values.

  Args:
    resolved: the request.
    copies: see ``leakage.copies_outside``.
    twice: see :func:`people_in_two_parts`.
  """
  dataset, forget = resolved.dataset, resolved.forget
  called = dataset.called
  by_person = {
      called(person): dataset.sample_id[
          forget[dataset.identity[forget] == person]].tolist()
      for person in np.unique(dataset.identity[forget])}
  return {
      **resolved.counts(),
      'images_by_person': {
          name: len(samples) for name, samples in by_person.items()},
      'samples_by_person': by_person, **copies,
      'people_in_two_parts': {
          called(person): where for person, where in list(
              twice.items())[:MOST_LISTED]},
      'people_in_two_parts_total': len(twice)}
