"""MUFAC: Korean families, 8 age classes (Choi and Na, 2023)."""

from __future__ import annotations

import pathlib
import re

import numpy as np

from dlfd_jax.data.loaders import table
from dlfd_jax.data.tfds import base, index as index_lib

FOLDER = 'custom_korean_family_dataset_resolution_128'
AGE_LETTERS = 'abcdefgh'
CLASS_NAMES = {'age_class': (
    '0-6', '7-12', '13-19', '20-30', '31-45', '46-55', '56-66', '67-80')}
FORGET_ROWS = 1500
ROLES = ('GF', 'GM', 'F', 'M', 'S', 'D')
_NAME = re.compile(r'F\d+_AGE_([A-Z]+)(\d*)_(\d{1,3})_[a-z]\d+\.\w+')
_NEEDED = ('family_id', 'person_id', 'age_class', 'image_path')

INSTRUCTIONS = (
    'MUFAC is downloaded by hand: ask for it as '
    'https://github.com/ndb796/MachineUnlearning describes, under its terms, '
    f'and unpack it, so that the folder of your choice holds {FOLDER}/ with '
    'custom_train_dataset.csv, custom_val_dataset.csv, '
    'custom_test_dataset.csv, train_images/, val_images/ and test_images/; '
    'then name your folder with --root.')


class Mufac(base.FaceBuilder):
  """MUFAC: 13,068 face images of Korean families, with age classes.

  ``age_class`` counts the official letters a to h from 0. ``family`` is the
  number in the family's name. ``role``, ``role_number`` and ``age`` come from
  the file's name (``F0001_AGE_S2_18_d1.jpg``: S, 2, 18); -1 where it says
  nothing. A person is a family and a ``person_id``.
  """

  MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
  HOMEPAGE = 'https://github.com/ndb796/MachineUnlearning'
  COLUMNS = ('age_class', 'family', 'role', 'role_number', 'age')

  def rows(self, root: pathlib.Path) -> list[base.Row]:
    folder = base.subfolder(
        root, FOLDER, 'custom_train_dataset.csv', INSTRUCTIONS)
    return [
        _row(folder, part, line) for part in base.PARTS
        for line in table.read_csv(
            folder / f'custom_{part}_dataset.csv', _NEEDED).rows()]


def _row(folder: pathlib.Path, part: str, line: table.Line) -> base.Row:
  values = line.values
  for name in _NEEDED:
    if not values[name]:
      raise ValueError(
          f'Expected a value for {name} in {line.where}, got a blank.')
  letter, family = values['age_class'], values['family_id']
  if len(letter) != 1 or letter not in AGE_LETTERS:
    raise ValueError(
        f'Expected one of the letters {AGE_LETTERS} for age_class in '
        f'{line.where}, got {letter!r}.')
  path = pathlib.PurePosixPath(values['image_path'])
  if path.is_absolute() or '..' in path.parts:
    raise ValueError(
        f'Expected a path inside {part}_images in {line.where}, got '
        f'{str(path)!r}.')
  person = values['person_id']
  if not person.startswith(family):
    person = f'{family}_{person}'
  digits = re.sub(r'\D', '', family)[:9]
  return base.Row(
      sample_id=f'{part}_images/{path}',
      path=folder / f'{part}_images' / path, part=part, person=person,
      values={'age_class': AGE_LETTERS.index(letter),
              'family': int(digits) if digits else -1,
              **_from_name(path.name)},
      where=line.where)


def _from_name(name: str) -> dict[str, int]:
  match = _NAME.fullmatch(name)
  if match is None:
    return {'role': -1, 'role_number': -1, 'age': -1}
  role, number, age = match.groups()
  return {'role': ROLES.index(role) if role in ROLES else -1,
          'role_number': int(number or 1), 'age': int(age)}


builder = Mufac.prepared_in


def roles(index: index_lib.Index, variant: str) -> np.ndarray:
  """The first 1,500 rows of train are forget, the others retain.

  Both variants start from these; ``clean`` then drops duplicates.
  """
  del variant
  split = index.part.astype('U6')
  train = np.flatnonzero(index.part == 'train')
  split[train] = 'retain'
  split[train[:FORGET_ROWS]] = 'forget'
  return split
