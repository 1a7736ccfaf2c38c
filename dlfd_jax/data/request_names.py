"""Who or what the names of a request mean in a data set.

Nothing is guessed: a name is the one of the data or, once both are in one
spelling, the same; a name that has a twin, or none, is a question to the user.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  people as people_lib,
  requests,
  spelling,
)
from dlfd_jax.utils import rng, text as text_lib, validate

_MOST_NAMED = 20  # unknown entries in one message
# What stands between columns or pages, and in no name of the data.
_COLUMNS = re.compile('[\t\v\f\x1c-\x1f]')
_ALIKE = 0.75  # share of letters that a misspelt name has in common at least


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

  request: requests.ForgetRequest
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
    persons = _numbers(look, 'identities', dataset.people, dataset.identity)
    found.append(_images_with(
        dataset, dataset.identity, persons, 'persons', look, dataset.called))
  if request.families is not None:
    family = people_lib.FAMILY
    if family not in dataset.columns:
      raise ValueError(f'Expected {dataset.name!r} to have a column {family!r}'
                       f', got {sorted(dataset.columns)}.')
    names = dataset.column_names.get(family, {})
    families = _numbers(look, 'families', names, dataset.columns[family])
    found.append(_images_with(
        dataset, dataset.columns[family], families, 'families', look,
        lambda code: names.get(code, str(code))))
  if request.sample_ids is not None:
    found.append(np.array(_numbers(
        look, 'sample_ids', dict(enumerate(dataset.sample_id.tolist())),
        np.array([], np.int64)), np.int64))
  if found:
    return np.unique(np.concatenate(found))
  if request.classes is not None or request.subclasses is not None:
    return np.intersect1d(train, images_of_classes(dataset, train, look))
  return _draw(dataset, train, request, look.notes)


def images_of_classes(dataset: dataset_lib.Dataset, train: np.ndarray,
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


def _numbers(look: Lookup, kind: str, names: Mapping[int, str],
             there: np.ndarray) -> list[int]:
  """The numbers of the persons, families or images that a request lists.

  Args:
    look: the request: its numbers stay as they are, its texts are looked up;
      receives a sentence for each name with a twin, one for comments that
      would be names, and unknown names.
    kind: ``'identities'``, ``'families'`` or ``'sample_ids'``.
    names: by number, where the source of the data has names: texts are then
      names. Where it has none they are numbers.
    there: the numbers in the data.

  Raises:
    ValueError: if a text is no known name, or no integer >= 0, or has a twin
      and the request does not say whether that is the same person.
  """
  what = {'identities': 'identity', 'families': 'family',
          'sample_ids': 'sample id'}[kind]
  request, known = look.request, _Names(names)
  codes: list[int] = []
  named: dict[str, str] = {}  # each name, and the entry that means it
  unknown: list[str] = []
  comments: list[str] = []
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
    elif not look.is_gone(kind, entry):
      (comments if _is_comment(request, known, entry) else unknown).append(
          entry)
  if not look.lets(unknown, bool(codes or named)):
    wanted = f'a known {what}' if names else f'an integer {what} >= 0'
    shown = [(validate.shorten(repr(entry), 200), _place(request, entry),
              known.hint(entry)) for entry in unknown[:_MOST_NAMED]]
    more = len(unknown) - len(shown)
    entry, place, hint = shown[0]
    file = place.partition(' of ')[2]  # is said once
    raise ValueError(
        f'Expected {wanted}{place}, got {entry}{hint}'
        + ''.join(f'; also unknown: {other}{at.removesuffix(f" of {file}")}'
                  f'{near}' for other, at, near in shown[1:])
        + (f'; and {more} more' if more else '') + '.')
  if not codes and not named:
    if look.before:
      return []
    raise ValueError(f'Expected at least one {what} in the request, got '
                     'comments alone.')
  if comments:
    _check_comments(
        look, known, comments, what, set() if names else set(
            map(str, np.unique(there[there >= 0]).tolist())))
  if kind != 'sample_ids':
    codes += _twins(request, known, named, what, look.notes)
  return codes + [known.numbers[name] for name in named]


def _check_comments(look: Lookup, known: _Names, comments: Sequence[str],
                    what: str, numbers: Collection[str]) -> None:
  """Says which comments would be names, and refuses those that may be.

  Args:
    look: receives the sentence.
    known: the names of the data.
    comments: lines that begin with ``#``.
    what: they would name.
    numbers: of the data, where these have no names.
  """
  bare = {entry: spelling.clean(entry).lstrip('# ') for entry in comments}
  like = [entry for entry, rest in bare.items() if known.find(rest) is not None
          or (rest.lstrip('0') or rest[:1]) in numbers]
  for entry in like:
    # A name may be commented out; a number with its sign is written like that.
    if re.fullmatch('#[0-9]+', spelling.clean(entry)):
      raise ValueError(
          f'Expected to be told who is meant{_place(look.request, entry)}, got '
          f'{entry!r} where there is the {what} {bare[entry]}: write '
          f'{bare[entry]} if it is that one, or a space after the # of a '
          'comment.')
  if like:
    look.notes.append(text_lib.naming(
        f'{text_lib.counted(len(like), "comment")} of the list would be '
        f'{"a name" if len(like) == 1 else "names"} without the #: nobody is '
        'forgotten by that.', validate.listed(map(validate.shown, like))))


def _is_comment(request: requests.ForgetRequest, known: _Names,
                entry: str) -> bool:
  """Whether a line that is no name of the data is a comment."""
  # A second byte-order mark is left by what joins files.
  if not entry.lstrip('\ufeff').startswith('#') or (
      entry not in request.places):
    return False
  # #N/A is somebody whom a spreadsheet did not find; a line of # is a line.
  if entry.strip('#') and spelling.is_missing(spelling.clean(entry)):
    return False
  return not known.has_like(_COLUMNS.split(entry.strip())[0])


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


def _twins(request: requests.ForgetRequest, known: _Names,
           named: Mapping[str, str], what: str, notes: list[str]) -> list[int]:
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


def _place(request: requests.ForgetRequest, entry: str) -> str:
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
          request: requests.ForgetRequest, notes: list[str]) -> np.ndarray:
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
