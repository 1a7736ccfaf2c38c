"""RAF-DB: faces with 7 basic emotions (Li, Deng and Du, 2017)."""

from __future__ import annotations

import pathlib
import random

import numpy as np

from dlfd_jax.data.tfds import base, index as index_lib

FOLDER = 'DATASET'
EMOTIONS = ('surprise', 'fear', 'disgust', 'happiness', 'sadness', 'anger',
            'neutral')
CLASS_NAMES = {'emotion': EMOTIONS}
SEED = 42
_SUFFIXES = ('.jpg', '.jpeg', '.png')

INSTRUCTIONS = (
    'RAF-DB is downloaded by hand: ask for it at '
    'http://www.whdeng.cn/RAF/model1.html, under its terms, and sort the '
    f'aligned images so that the folder of your choice holds {FOLDER}/train/1 '
    f'to {FOLDER}/train/7 and {FOLDER}/test/1 to {FOLDER}/test/7 (1 surprise, '
    '2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral); then name '
    'your folder with --root.')


class RafDb(base.FaceBuilder):
  """RAF-DB: 15,339 face images with one of 7 basic emotions.

  ``emotion`` counts the official classes 1 to 7 from 0. Persons are unknown.
  The files are kept in colour; read they are grey, as the authors' are.
  """

  MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
  HOMEPAGE = 'http://www.whdeng.cn/RAF/model1.html'
  COLUMNS = ('emotion',)

  def rows(self, root: pathlib.Path) -> list[base.Row]:
    folder = base.subfolder(root, FOLDER, 'train', INSTRUCTIONS)
    return [*_rows(folder, 'train'), *_rows(folder, 'test')]


def _rows(folder: pathlib.Path, part: str) -> list[base.Row]:
  """The images of one part, sorted by class, then by file name."""
  if not (folder / part).is_dir():
    raise FileNotFoundError(
        f'Expected the folder {folder / part}, found none. {INSTRUCTIONS}')
  rows = []
  numbers = [str(k + 1) for k in range(len(EMOTIONS))]
  for place in sorted(p for p in (folder / part).iterdir() if p.is_dir()):
    if place.name not in numbers:
      raise ValueError(
          f'Expected folders 1 to {len(EMOTIONS)} in {folder / part}, got '
          f'{place.name!r}.')
    for path in sorted(place.iterdir()):
      if path.suffix.lower() in _SUFFIXES:
        name = f'{part}/{place.name}/{path.name}'
        rows.append(base.Row(
            sample_id=name, path=path, part=part, person='',
            values={'emotion': int(place.name) - 1},
            where=f'the file {name} of {folder}'))
  classes = {row.values['emotion'] for row in rows}
  for k, number in enumerate(numbers):
    if k not in classes:
      raise ValueError('Expected at least one image in '
                       f'{folder / part / number}, got none.')
  return rows


builder = RafDb.prepared_in


def roles(index: index_lib.Index, variant: str) -> np.ndarray:
  """Cuts train as the authors do: a tenth val, of the rest 70 % retain.

  The positions of the class-sorted list are shuffled by Python's ``random``
  with seed 42, which gives the same order in every version.
  """
  del variant
  split = index.part.astype('U6')
  train = np.flatnonzero(index.part == 'train')
  order = list(range(len(train)))
  random.Random(SEED).shuffle(order)
  cut = int(0.1 * len(order))
  rest = order[cut:]
  kept = int(0.7 * len(rest))
  for name, some in (('val', order[:cut]), ('retain', rest[:kept]),
                     ('forget', rest[kept:])):
    split[train[some]] = name
  return split
