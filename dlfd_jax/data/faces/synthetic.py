"""Drawn faces: a data set of people that needs no download.

Each person has a fixed geometry, skin and hair; age, emotion, pose, light, wall
and camera noise change from picture to picture, and a share of the labels is
wrong. Same arguments, same bytes, on every platform and in every version: all
random numbers are raw words of NumPy's Philox generator, one key per seed and
purpose. The people of a small set are the first people of a larger one.

To see them: ``python -m experiments.publish.sample_sheet``.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.faces import drawing, look as look_lib
from dlfd_jax.data.faces.look import Values
from dlfd_jax.utils import validate

AGE_GROUPS = ('0-6', '7-12', '13-19', '20-30', '31-45', '46-55', '56-66',
              '67-80')
EMOTIONS = ('surprise', 'fear', 'disgust', 'happiness', 'sadness', 'anger',
            'neutral')
SURPRISE, HAPPINESS = EMOTIONS.index('surprise'), EMOTIONS.index('happiness')
YOUNG_GROUPS = 4  # the first groups, up to 30 years

# Purposes of random numbers; each has a generator of its own.
PEOPLE, MOMENTS, LABEL_NOISE, PIXEL_NOISE = range(4)

# Inherited traits, each standard normal, and by how much a man's mean lies
# above 0 and a woman's below it. The two overlap in every trait.
TRAITS = {
    'face_width': 0.25, 'face_height': 0.2, 'jaw': 0.7, 'chin': 0.4,
    'eye_distance': 0.0, 'eye_size': -0.4, 'eye_slant': 0.0, 'eye_height': 0.0,
    'brow_height': -0.5, 'brow_thickness': 0.8, 'brow_arch': -0.4,
    'nose_length': 0.25, 'nose_width': 0.4, 'mouth_width': 0.2,
    'mouth_height': 0.0, 'lip_fullness': -0.6, 'mouth_rest': -0.1,
    'ear_size': 0.3, 'skin_tone': 0.0, 'skin_hue': 0.0, 'hair_tone': 0.1,
    'hair_red': 0.0, 'hair_volume': -0.3, 'hair_length': -1.3,
    'hair_fringe': -0.2, 'hair_part': 0.0, 'hair_strands': 0.0,
    'hairline': 0.3, 'iris': 0.0, 'freckles': 0.0, 'mole_x': 0.0,
    'mole_y': 0.0, 'mole_size': 0.0, 'ageing': 0.0, 'wrinkling': 0.0,
    'greying': 0.0, 'balding': 0.9, 'beard': 0.5, 'make_up': -0.8,
    'glasses': 0.0,
}

# What a face does in each emotion (a row of _ACTIONS_OF), at full strength.
ACTIONS = (
    'corners',  # corners of the mouth up
    'open',  # mouth open
    'wide',  # mouth wide
    'raise',  # brows up
    'tilt',  # inner ends of the brows up
    'eyes',  # eyes open
    'teeth',  # teeth shown
    'wrinkle',  # nose wrinkled
    'sneer',  # upper lip raised
    'cheeks',  # cheeks raised
)
_ACTIONS_OF = np.array([
    [0.0, 0.95, -0.45, 1.0, 0.1, 1.0, 0.0, 0.0, 0.0, 0.0],
    [-0.4, 0.5, 0.35, 0.6, 0.75, 0.8, 0.7, 0.0, 0.1, 0.0],
    [-0.5, 0.2, -0.1, -0.45, -0.3, -0.5, 0.4, 1.0, 1.0, 0.35],
    [1.0, 0.4, 0.55, 0.1, 0.0, -0.3, 0.9, 0.0, 0.0, 1.0],
    [-0.9, 0.0, -0.2, 0.0, 1.0, -0.4, 0.0, 0.0, 0.0, 0.0],
    [-0.4, 0.15, 0.1, -0.75, -1.0, 0.15, 0.5, 0.4, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
])
_EMOTION_EDGES = np.cumsum([1, 1, 1, 2, 1, 1]) / 8  # happiness twice as often

# What changes from picture to picture, each uniform in [-1, 1).
CIRCUMSTANCES = (
    'scale', 'roll', 'shift_x', 'shift_y', 'yaw', 'pitch', 'gaze', 'light_x',
    'light_y', 'light_power', 'warmth', 'exposure', 'contrast', 'blur',
    'noise', 'hair_day', 'beard_day', 'glasses_day', 'make_up_day',
    'look_age', 'cloth_r', 'cloth_g', 'cloth_b', 'collar', 'wall_r', 'wall_g',
    'wall_b', 'other_r', 'other_g', 'other_b', 'wall_x', 'wall_y', 'wall_edge',
    'spot_x', 'spot_y', 'spot_size', 'spot_light', 'stripes', 'phase')

TASKS = {
    'age': tasks.Task(tasks.MULTICLASS, AGE_GROUPS),
    'emotion': tasks.Task(tasks.MULTICLASS, EMOTIONS),
    'gender': tasks.Task(tasks.MULTICLASS, ('female', 'male')),
    'attributes': tasks.Task(tasks.MULTILABEL, ('male', 'young', 'smile')),
}
DEFAULT_TASK = 'emotion'
SMALLEST, LARGEST = 16, 512  # pixels
_CHUNK_PIXELS = 2**14  # of the pictures drawn together, to stay in the cache


def generator(seed: int, purpose: int) -> np.random.Philox:
  """A counter-based generator for one purpose of one seed."""
  return np.random.Philox(key=np.array([seed, purpose], np.uint64))


def uniform(source: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
  """float64 in [0, 1) with 53 random bits."""
  words = source.random_raw(int(np.prod(shape))).reshape(shape)
  return (words >> np.uint64(11)) * 2.0**-53


def draw_people(people: int, seed: int) -> Values:
  """All that stays the same in every picture of a person.

  Args:
    people: how many.
    seed: in [0, 2^64).

  Returns:
    By name, float64 ``[people]``: ``male`` (0 or 1), ``age_scale`` (the middle
    of the person's ages, in [0, 8): age group and the way through it) and every
    trait of :data:`TRAITS`, in standard deviations.
  """
  draws = uniform(generator(seed, PEOPLE), (people, 2 + 4 * len(TRAITS)))
  male = (draws[:, 0] < 0.5).astype(np.float64)
  values = {'male': male, 'age_scale': len(AGE_GROUPS) * draws[:, 1]}
  # Four uniforms make a nearly standard normal number, within 3.5.
  four = draws[:, 2:].reshape(people, len(TRAITS), 4)
  total = four[..., 0] + four[..., 1] + four[..., 2] + four[..., 3]
  normals = (total - 2.0) * 1.7320508075688772
  for k, (name, shift) in enumerate(TRAITS.items()):
    values[name] = normals[:, k] + shift * (2 * male - 1)
  return values


def draw_moments(persons: Values, images_per_person: int, seed: int,
                 age_spread: float) -> Values:
  """The pictures of each person: age, emotion and circumstances.

  Args:
    persons: of :func:`draw_people`.
    images_per_person: pictures of each.
    seed: in [0, 2^64).
    age_spread: largest distance of a picture's age from the person's middle
      age, in age groups.

  Returns:
    By name, float64 ``[people * images_per_person]``, a person's pictures
    together: ``age_scale`` in [0, 8), ``emotion``, ``smile`` (0 or 1), every
    action of :data:`ACTIONS` and everything of :data:`CIRCUMSTANCES`.
  """
  people = len(persons['male'])
  count = people * images_per_person
  number = 4 + len(ACTIONS) + len(CIRCUMSTANCES)
  draws = uniform(generator(seed, MOMENTS), (count, number))
  age = (np.repeat(persons['age_scale'], images_per_person)
         + age_spread * (2 * draws[:, 0] - 1))
  top = len(AGE_GROUPS)
  age = np.abs(age)  # reflected at both ends
  age = np.where(age > top, 2 * top - age, age)
  age = np.minimum(age, np.nextafter(top, 0))
  emotion = np.searchsorted(_EMOTION_EDGES, draws[:, 1], side='right')
  strength = 0.7 + 0.6 * draws[:, 2]
  grin = (emotion == SURPRISE) & (draws[:, 3] < 0.4)  # a happy surprise
  smile = ((emotion == HAPPINESS) | grin).astype(np.float64)
  values = {'age_scale': age, 'emotion': emotion, 'smile': smile}
  rest = 2 * draws[:, 4:] - 1
  for k, name in enumerate(ACTIONS):
    values[name] = strength * _ACTIONS_OF[emotion, k] + 0.25 * rest[:, k]
  values['corners'] = values['corners'] + 0.7 * strength * grin
  values['cheeks'] = values['cheeks'] + 0.7 * strength * grin
  for k, name in enumerate(CIRCUMSTANCES):
    values[name] = rest[:, len(ACTIONS) + k]
  return values


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
  validate.number('label_noise', label_noise, 0, 1, ends='[)')
  validate.number('age_spread', age_spread, 0, 8)
  persons = draw_people(people, seed)
  moments = draw_moments(
      persons, images_per_person, seed, age_spread)
  identity = np.repeat(np.arange(people, dtype=np.int32), images_per_person)
  rows = {name: value[identity] for name, value in persons.items()}
  images = _photograph(look_lib.make_look(rows, moments), size, seed)
  age_group = np.floor(moments['age_scale'])
  columns = {
      'age_group': age_group, 'emotion': moments['emotion'],
      'gender': rows['male'], 'young': age_group < YOUNG_GROUPS,
      'smile': moments['smile']}
  columns = {name: value.astype(np.int32) for name, value in columns.items()}
  if task == 'attributes':
    truth = np.stack(
        [columns['gender'], columns['young'], columns['smile']], 1)
  else:
    truth = columns['age_group' if task == 'age' else task]
  labels = _with_noise(truth, TASKS[task], label_noise, seed)
  wrong = (labels != truth).reshape(len(labels), -1).any(-1)
  columns['wrong_label'] = wrong.astype(np.int32)
  number = np.tile(np.arange(images_per_person), people)
  return dataset_lib.Dataset(
      images=images, labels=labels, identity=identity,
      sample_id=np.array(
          [f'p{i:04d}_{k:02d}' for i, k in zip(identity, number)]),
      task=TASKS[task], columns=columns, name=f'synthetic faces ({task})')


def _with_noise(labels: np.ndarray, task: tasks.Task, rate: float,
                seed: int) -> np.ndarray:
  """Labels of which each is wrong with probability ``rate``."""
  source = generator(seed, LABEL_NOISE)
  draws = uniform(source, (*labels.shape, 2))
  classes = 2 if task.is_multilabel else task.num_outputs
  step = 1 + np.floor(draws[..., 1] * (classes - 1)).astype(np.int32)
  return np.where(draws[..., 0] < rate, (labels + step) % classes, labels)


def _photograph(look: look_lib.Look, size: int, seed: int) -> np.ndarray:
  """Draws all pictures, chunk by chunk, and adds the camera's noise."""
  count = look['scale'].shape[-1]
  chunk = max(1, _CHUNK_PIXELS // size**2)
  images = np.empty((count, size, size, 3), np.uint8)
  source = generator(seed, PIXEL_NOISE)
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
