"""People and images of a report under pseudonyms, and their key.

A pseudonym is a place in the order of hashes of person and request. So it is
the same in every report on one request and another one in the next request's,
and tells nothing of the name or of the place in a list.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dlfd_jax.utils import text

Arrays = Mapping[str, np.ndarray]
KIND = 'report key'
PERSON = 'forget/person'  # what each forget image's person is called


@dataclasses.dataclass(frozen=True)
class Key:
  """Who and what stands behind the pseudonyms of a report.

  Attributes:
    people: pseudonym by the person's number in the data: ``P1`` and so on of
      those to forget, ``R1`` of others.
    images: pseudonym by sample id: ``P1.2`` is the second image of ``P1``,
      ``I1`` one of nobody known, ``O1`` one that is not to be forgotten.
    not_found: ``N1`` and so on by names of the request that the data lack.
    earlier: ``E1`` and so on by names of people of earlier requests.
  """

  people: Mapping[int, str]
  images: Mapping[str, str]
  not_found: Mapping[str, str]
  earlier: Mapping[str, str]

  def as_dict(self, names: Mapping[int, str]) -> dict[str, Any]:
    """The key as JSON; ``names`` of people by number, where they have some."""
    return {
        'kind': KIND, 'schema': 1,
        'people': {pseudonym: names.get(code, str(code))
                   for code, pseudonym in self.people.items()},
        'images': {pseudonym: name
                   for name, pseudonym in self.images.items()},
        'not_found': {pseudonym: name
                      for name, pseudonym in self.not_found.items()},
        'earlier': {pseudonym: name
                    for name, pseudonym in self.earlier.items()}}


def key_path(report: str | os.PathLike) -> pathlib.Path:
  """Where the key to the pseudonyms of a report lies."""
  report = pathlib.Path(report)
  return report.with_name(f'{report.stem}_key.json')


def key_of(result: Mapping[str, Any], arrays: Arrays) -> Key:
  """The pseudonyms of an evaluation.

  Args:
    result: as in ``result.json``.
    arrays: as in ``per_example.npz``, maybe empty.
  """
  salt = str((result.get('request') or {}).get('sha256_of_image_ids'))
  ranked = [entry['person'] for entry in result.get('people') or ()
            if entry['unit'] == 'person']
  ids = [str(name) for name in arrays.get('forget/sample_id', ())]
  owners = np.asarray(arrays.get('forget/identity', np.full(len(ids), -1)))
  asked = _numbered('P', [*ranked, *owners[owners >= 0].tolist()], salt)
  people = asked | _numbered('R', {
      one['person'] for one in (result.get('harm') or {}).get('worst') or ()
  } - set(asked), salt)
  images: dict[str, str] = {}
  counts: dict[str, int] = {}

  def add(name: str, stem: str) -> None:
    if name not in images:
      counts[stem] = counts.get(stem, 0) + 1
      images[name] = f'{stem}{counts[stem]}'

  for name, owner in zip(ids, owners.tolist(), strict=True):
    add(name, f'{asked[owner]}.' if owner in asked else 'I')
  for name in [
      *(one['id'] for one in result.get('request_images') or ()),
      *(str(entry['person']) for entry in result.get('people') or ()
        if entry['unit'] != 'person')]:
    add(name, 'I')
  for pair in _pairs(result):
    add(pair['forget'], 'I')
    add(pair['other'], 'O')
  request = result.get('request') or {}
  return Key(
      people, images, _numbered('N', request.get('not_found') or (), salt),
      _numbered('E', {one['person'] for one in _earlier(result)} - {None},
                salt))


def applied(result: Mapping[str, Any], arrays: Arrays,
            names: Mapping[int, str] | None = None
            ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """An evaluation that calls people and images as its report is to.

  Args:
    result: as in ``result.json``.
    arrays: as in ``per_example.npz``, maybe empty.
    names: of people by number: they are called by these, or by their number,
      and images by their ids; None = by pseudonyms.
  """
  key = key_of(result, arrays)

  def person(code: Any) -> str:
    if names is not None:
      return names.get(code, str(code))
    return key.people.get(code) or image(str(code))

  def image(name: str) -> str:
    return key.images[name] if names is None else name

  changed: dict[str, Any] = {
      'people': [{**entry, 'person': person(entry['person'])}
                 for entry in result.get('people') or ()],
      'request_images': [{**one, 'id': image(one['id'])}
                         for one in result.get('request_images') or ()]}
  if worst := (result.get('harm') or {}).get('worst'):
    changed['harm'] = {**result['harm'], 'worst': [
        {**one, 'person': person(one['person'])} for one in worst]}
  if pairs := _pairs(result):
    changed['data'] = {**result['data'], 'leakage': {
        **result['data']['leakage'], 'forget_pairs': [
            {**pair, 'forget': image(pair['forget']),
             'other': image(pair['other'])} for pair in pairs]}}
  if names is None:
    if key.not_found:
      changed['request'] = {
          **result['request'], 'not_found': list(key.not_found.values())}
    if earlier := _earlier(result):
      changed['earlier'] = {**result['earlier'], 'people': [
          {**one, 'person': key.earlier.get(one['person'])}
          for one in earlier]}
    changed['notes'] = [text.unnamed(note)
                        for note in result.get('notes') or ()]
    if verification := result.get('verification'):
      changed['verification'] = {**verification, **{
          name: [text.unnamed(one) for one in verification.get(name) or ()]
          for name in ('unverified', 'allowed')}}
  called = dict(arrays)
  if 'forget/sample_id' in arrays:
    called['forget/sample_id'] = np.array(
        [image(str(name)) for name in arrays['forget/sample_id']], np.str_)
  if 'forget/identity' in arrays:
    called[PERSON] = np.array(
        [person(code) if code >= 0 else ''
         for code in arrays['forget/identity'].tolist()], np.str_)
  return {**result, **changed}, called


def _earlier(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
  return list((result.get('earlier') or {}).get('people') or ())


def _pairs(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
  leakage = (result.get('data') or {}).get('leakage') or {}
  return list(leakage.get('forget_pairs') or ())


def _numbered(stem: str, codes: Iterable[Any], salt: str) -> dict[Any, str]:
  ordered = sorted(set(codes), key=lambda code: hashlib.sha256(
      f'{salt} {code}'.encode()).digest())
  return {code: f'{stem}{i + 1}' for i, code in enumerate(ordered)}
