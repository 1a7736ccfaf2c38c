"""Drawn faces: a data set of people that needs no download.

Each person has a fixed geometry, skin and hair; age, emotion, pose, light, wall
and camera noise change from picture to picture, and a share of the labels is
wrong. Same arguments, same bytes, on every platform.

To see them: ``python -m experiments.publish.sample_sheet``.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.faces import drawing, look as look_lib, people as people_lib

TASKS = {
    'age': tasks.Task(tasks.MULTICLASS, people_lib.AGE_GROUPS),
    'emotion': tasks.Task(tasks.MULTICLASS, people_lib.EMOTIONS),
    'gender': tasks.Task(tasks.MULTICLASS, ('female', 'male')),
    'attributes': tasks.Task(tasks.MULTILABEL, ('male', 'young', 'smile')),
}
DEFAULT_TASK = 'emotion'
SMALLEST, LARGEST = 16, 512  # pixels
_CHUNK_PIXELS = 2**14  # of the pictures drawn together, to stay in the cache


def synthetic_faces(*, people: int = 200, images_per_person: int = 8,
                    size: int = 32, task: str = DEFAULT_TASK,
                    seed: int = 0, label_noise: float = 0.1,
                    age_spread: float = 1.5) -> dataset_lib.Dataset:
  """A data set of drawn faces.

  Args:
    people: number of persons, at least 1; the first of a larger set are those
      of a smaller one.
    images_per_person: pictures of each, at least 1.
    size: side of a picture in pixels, 16 to 512; it changes the drawing's
      resolution alone.
    task: ``'age'`` (8 groups), ``'emotion'`` (7), ``'gender'`` (2) or
      ``'attributes'`` (male, young = up to 30 years, smile).
    seed: in [0, 2^64).
    label_noise: probability of each label to be wrong, in [0, 1): another
      class, all equally likely, or the opposite of an attribute.
    age_spread: how far a picture's age may lie from the middle of the person's
      ages, in age groups, 0 to 8; as in a family album.

  Returns:
    Pictures in the order of persons; ``identity`` counts persons from 0 and
    ``sample_id`` is like ``'p0012_03'``. The columns ``age_group``,
    ``emotion``, ``gender`` (1 male), ``young`` and ``smile`` hold the truth,
    ``wrong_label`` is 1 where a label was changed.

  Raises:
    ValueError: if an argument is out of its range.
  """
  _check(people, images_per_person, size, task, seed, label_noise, age_spread)
  persons = people_lib.draw_people(people, seed)
  moments = people_lib.draw_moments(
      persons, images_per_person, seed, age_spread)
  identity = np.repeat(np.arange(people, dtype=np.int32), images_per_person)
  rows = {name: value[identity] for name, value in persons.items()}
  images = _photograph(look_lib.make_look(rows, moments), size, seed)
  age_group = np.floor(moments['age_scale'])
  columns = {
      'age_group': age_group, 'emotion': moments['emotion'],
      'gender': rows['male'], 'young': age_group < people_lib.YOUNG_GROUPS,
      'smile': moments['smile']}
  columns = {name: value.astype(np.int32) for name, value in columns.items()}
  truth = _labels(task, columns)
  labels = _with_noise(truth, TASKS[task], label_noise, seed)
  wrong = (labels != truth).reshape(len(labels), -1).any(-1)
  columns['wrong_label'] = wrong.astype(np.int32)
  number = np.tile(np.arange(images_per_person), people)
  return dataset_lib.Dataset(
      images=images, labels=labels, identity=identity,
      sample_id=np.array(
          [f'p{i:04d}_{k:02d}' for i, k in zip(identity, number)]),
      task=TASKS[task], columns=columns, name=f'synthetic faces ({task})')


def _check(people, images_per_person, size, task, seed, label_noise,
           age_spread):
  if task not in TASKS:
    raise ValueError(f'Expected a task of {sorted(TASKS)}, got {task!r}.')
  for name, value, low, high in (
      ('people', people, 1, 2**24), ('seed', seed, 0, 2**64 - 1),
      ('images_per_person', images_per_person, 1, 2**16),
      ('size', size, SMALLEST, LARGEST)):
    if not isinstance(value, int | np.integer) or not low <= value <= high:
      raise ValueError(
          f'Expected {name} to be a whole number in [{low}, {high}], got '
          f'{value!r}.')
  if not 0 <= label_noise < 1:
    raise ValueError(f'Expected label_noise in [0, 1), got {label_noise!r}.')
  if not 0 <= age_spread <= 8:
    raise ValueError(f'Expected age_spread in [0, 8], got {age_spread!r}.')


def _labels(task, columns):
  """The true labels, int32 ``[n]`` or ``[n, 3]``."""
  if task == 'attributes':
    return np.stack([columns['gender'], columns['young'], columns['smile']], 1)
  return columns['age_group' if task == 'age' else task]


def _with_noise(labels, task, rate, seed):
  """Labels of which each is wrong with probability ``rate``."""
  source = people_lib.generator(seed, people_lib.LABEL_NOISE)
  draws = people_lib.uniform(source, (*labels.shape, 2))
  classes = 2 if task.is_multilabel else task.num_outputs
  step = 1 + np.floor(draws[..., 1] * (classes - 1)).astype(np.int32)
  return np.where(draws[..., 0] < rate, (labels + step) % classes, labels)


def _photograph(look, size, seed):
  """Draws all pictures, chunk by chunk, and adds the camera's noise."""
  count = look['scale'].shape[-1]
  chunk = max(1, _CHUNK_PIXELS // size**2)
  images = np.empty((count, size, size, 3), np.uint8)
  source = people_lib.generator(seed, people_lib.PIXEL_NOISE)
  for start in range(0, count, chunk):
    part = {name: value[..., start:start + chunk]
            for name, value in look.items()}
    planes = drawing.draw_faces(part, size)
    # The sum of a word's two halves is triangular, here of deviation 1.
    words = source.random_raw(3 * planes[0].size).reshape(-1, 3, size, size)
    halves = (words & np.uint64(0xFFFFFFFF)) + (words >> np.uint64(32))
    grain = halves.astype(np.float32) * np.float32(2.0**-32) - 1
    grain *= np.float32(2.4494897) * part['noise'][:, None, None, None]
    for channel, plane in enumerate(planes):
      plane = plane + grain[:, channel]
      levels = np.floor(np.clip(plane, 0, 1) * 255 + np.float32(0.5))
      images[start:start + chunk, :, :, channel] = levels.astype(np.uint8)
  return images
