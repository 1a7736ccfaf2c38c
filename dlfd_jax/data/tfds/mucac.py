"""MUCAC: CelebA-HQ with persons and attributes (Choi and Na, 2023).

Its forget sets, which CelebA takes over, are ranges of persons: ``benchmark``
and ``gli`` forget different ones. In both, ``test`` are the first persons and
``val`` the last, who have far fewer images each; ``clean`` and ``gli_clean``
pool these two and halve them by person.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import numpy as np

from dlfd_jax.data.loaders import table
from dlfd_jax.data.tfds import base, index as index_lib
from dlfd_jax.utils import rng

FOLDER = 'CelebAMask-HQ'
IMAGES = 'CelebA-HQ-img'
PERSONS, ATTRIBUTES = 'CelebA-HQ-identity.txt', 'CelebA-HQ-attribute.txt'
PEOPLE = 6217
TEST_END, TRAIN_END = 190, 4855  # of the persons in order
FORGET = {'benchmark': (190, 1250), 'gli': (1970, 4855)}
_SEED = 0
# Our names of the three labels of the paper's tasks.
RENAMED = {'Male': 'gender', 'Smiling': 'smile', 'Young': 'young'}
# As the official files call and order them.
NAMES = (
    '5_o_Clock_Shadow', 'Arched_Eyebrows', 'Attractive', 'Bags_Under_Eyes',
    'Bald', 'Bangs', 'Big_Lips', 'Big_Nose', 'Black_Hair', 'Blond_Hair',
    'Blurry', 'Brown_Hair', 'Bushy_Eyebrows', 'Chubby', 'Double_Chin',
    'Eyeglasses', 'Goatee', 'Gray_Hair', 'Heavy_Makeup', 'High_Cheekbones',
    'Male', 'Mouth_Slightly_Open', 'Mustache', 'Narrow_Eyes', 'No_Beard',
    'Oval_Face', 'Pale_Skin', 'Pointy_Nose', 'Receding_Hairline', 'Rosy_Cheeks',
    'Sideburns', 'Smiling', 'Straight_Hair', 'Wavy_Hair', 'Wearing_Earrings',
    'Wearing_Hat', 'Wearing_Lipstick', 'Wearing_Necklace', 'Wearing_Necktie',
    'Young',
)
CLASS_NAMES = {'gender': ('female', 'male'), 'smile': ('no smile', 'smile'),
               'young': ('not young', 'young')}

INSTRUCTIONS = (
    'MUCAC is downloaded by hand: get CelebAMask-HQ as '
    'https://github.com/switchablenorms/CelebAMask-HQ describes and the two '
    'tables from https://github.com/ndb796/CelebA-HQ-Face-Identity-and-'
    'Attributes-Recognition-PyTorch, under their terms, so that the folder of '
    f'your choice holds {FOLDER}/{IMAGES}/ with 0.jpg to 29999.jpg, and '
    f'{PERSONS} and {ATTRIBUTES} in {FOLDER}/ or beside it; then name your '
    'folder with --root.')


class Mucac(base.FaceBuilder):
  """MUCAC: 30,000 face images of 6,217 celebrities with 40 attributes.

  ``gender`` (1 male), ``smile`` and ``young`` are the official Male, Smiling
  and Young; the others keep their names. All are 0 or 1.
  """

  MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
  HOMEPAGE = 'https://github.com/ndb796/MachineUnlearning'
  COLUMNS = tuple(RENAMED.get(name, name) for name in NAMES)

  def rows(self, root: pathlib.Path) -> list[base.Row]:
    folder = base.subfolder(root, FOLDER, IMAGES, INSTRUCTIONS)
    persons = table.read_words(
        _table(folder, PERSONS), ('file', 'identity')).by('file')
    attributes = table.read_words(
        _table(folder, ATTRIBUTES), needed=NAMES).by('file')
    numbers = {file: _file_id(line) for file, line in persons.items()}
    return [_row(folder, file, persons[file], attributes)
            for file in sorted(numbers, key=lambda file: numbers[file])]


def _table(folder: pathlib.Path, name: str) -> pathlib.Path:
  for path in (folder / name, folder.parent / name):
    if path.is_file():
      return path
  raise FileNotFoundError(
      f'Expected {name} in {folder} or in {folder.parent}, found none. '
      f'{INSTRUCTIONS}')


def _file_id(line: table.Line) -> int:
  stem, _, suffix = line.values['file'].rpartition('.')
  if not (stem.isascii() and stem.isdigit() and suffix):
    raise ValueError(
        f'Expected a file such as 12.jpg in {line.where}, got '
        f'{line.values["file"]!r}.')
  return int(stem)


def _row(folder: pathlib.Path, file: str, line: table.Line,
         attributes: Mapping[str, table.Line]) -> base.Row:
  if file not in attributes:
    raise ValueError(
        f'Expected {file!r} of {line.where} in {ATTRIBUTES}, found it not.')
  person = base.number(line, 'identity')
  if person >= PEOPLE:
    raise ValueError(f'Expected an identity below {PEOPLE} in {line.where}, '
                     f'got {person}.')
  return base.Row(
      sample_id=file, path=folder / IMAGES / file,
      part=_part_of(person), person=str(person),
      values={RENAMED.get(name, name): base.attribute(attributes[file], name)
              for name in NAMES},
      where=line.where)


builder = Mucac.prepared_in


def roles(index: index_lib.Index, variant: str) -> np.ndarray:
  """The part of each image, see :func:`roles_of_people`."""
  return roles_of_people(index.identity, variant)


def _part_of(person: int) -> str:
  if person < TEST_END:
    return 'test'
  return 'train' if person < TRAIN_END else 'val'


def roles_of_people(index: np.ndarray, variant: str) -> np.ndarray:
  """The part of each image.

  Args:
    index: int ``[n]``, the index of each image's person, in [0, 6217).
    variant: ``'benchmark'``, ``'gli'``, ``'clean'`` (forgets as benchmark) or
      ``'gli_clean'``.

  Returns:
    Text ``[n]``: ``retain``, ``forget``, ``val`` or ``test``.
  """
  forget = FORGET['gli' if variant.startswith('gli') else 'benchmark']
  split = np.array([_part_of(i) for i in index.tolist()], dtype='U6')
  split[split == 'train'] = 'retain'
  split[(index >= forget[0]) & (index < forget[1])] = 'forget'
  if not variant.endswith('clean'):
    return split
  generator = rng.generator(_SEED, 'halves of the unseen')
  first = []
  for part in ('test', 'val'):  # each halved, so that both look alike
    people = generator.permutation(np.unique(index[split == part]))
    first.append(people[:(len(people) + 1) // 2])
  unseen = (split == 'test') | (split == 'val')
  split[unseen] = 'val'
  split[unseen & np.isin(index, np.concatenate(first))] = 'test'
  return split
