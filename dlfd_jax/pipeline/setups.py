"""Whether weights from elsewhere are used as they were trained.

Another normalisation, order of channels or classes, or size of the images
raises no error: the network answers, and is wrong. So some images whose answers
are known are shown to it, training images where the split is known. Two things
stop an import:

* *Chance*: the answers are right no more often than the same answers dealt to
  the images at random (a permutation test, p > .01). That holds for a network
  that always gives the commonest class, too, and not for one that was trained
  to find a rare class and is right less often than that.
* *Another set-up fits*: where more than a tenth is wrong, the usual set-ups are
  tried, and one leaves at most half of the errors, by a sign test on the same
  images (p <= .01 after Bonferroni's correction for the number tried).
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, stats

from dlfd_jax import checkpoint, loop, models, tasks
from dlfd_jax.data import dataset as dataset_lib, sources
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.metrics import accuracy, per_example
from dlfd_jax.pipeline import chain_checks, class_order, job
from dlfd_jax.utils import plugins

RGB = 'rgb'
CHANNEL_ORDERS = (RGB, 'bgr')
_LEVEL = .01  # of both tests
_FINE = .9  # share right that leaves nothing to explain
_DEALS = 999
_FEWEST, _EACH, _MOST = 128, 8, 1024  # images: at least, a class, at most
_AT_ONCE = 64
_ROUNDS = 2  # a second one finds where normalisation and size are both wrong
_SIDES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 256)
_LONGEST_LIST = 20  # classes that a sentence names
_IMAGENET = models.ModelConfig(outputs=1)
_NORMALISATIONS = (
    (_IMAGENET.mean, _IMAGENET.std),
    ((.5,) * 3, (.5,) * 3),  # -1 to 1
    ((0.,) * 3, (1.,) * 3),  # 0 to 1
    ((0.,) * 3, (1 / 255,) * 3),  # 0 to 255
    (_IMAGENET.mean, (1 / 255,) * 3))  # 0 to 255 less the mean, as in Caffe


@dataclasses.dataclass(frozen=True)
class _Setup:
  """How images come into a network.

  Attributes:
    mean: of the network's first, second and third channel, pixel units.
    std: likewise.
    channel_order: of the network.
    image_size: (height, width).
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  channel_order: str
  image_size: tuple[int, int]

  def flags(self, given: _Setup) -> list[str]:
    """Those that make this of what is given."""
    found = []
    if (self.mean, self.std) != (given.mean, given.std):
      found += [f'--{name}={",".join(f"{x:.6g}" for x in values)}'
                for name, values in (('mean', self.mean), ('std', self.std))]
    if self.channel_order != given.channel_order:
      found.append(f'--channel_order={self.channel_order}')
    if self.image_size != given.image_size:
      found.append(f'--image_size={self.image_size[0]}')
    return found


@dataclasses.dataclass(frozen=True)
class _Try:
  """A set-up, the order of its outputs, and which images it has right.

  Attributes:
    setup: of the images.
    order: names of the outputs, or what they are sorted by; '' = as given.
    right: in [0, 1], ``[n]``.
  """

  setup: _Setup
  order: str
  right: np.ndarray

  @property
  def value(self) -> float:
    return float(self.right.mean())


def check(saved: checkpoint.SavedModel, dataset: dataset_lib.Dataset,
          where: str, rows: np.ndarray | None = None,
          channel_order: str = RGB, look: bool = True,
          hooks: Sequence[loop.Hook] = ()
          ) -> tuple[chain_checks.Findings, list[str]]:
  """Whether a model answers, and no usual set-up answers much better.

  Args:
    saved: as it was imported.
    dataset: with the labels that it was trained for.
    where: the weights are from, for the messages.
    rows: of the head, each class's, as the weights have them; None = in order.
    channel_order: that was given.
    look: for a set-up that fits better, and not only whether this one answers.
    hooks: told of the search.

  Returns:
    A difference if not, and sentences on what was seen.
  """
  some, what = _some(dataset)
  trials = _Trials(saved, dataset, some, rows, channel_order)
  if not len(some):
    return chain_checks.Findings(), [
        'no image has a known label: not tried out']
  logits = trials.logits(trials.given)
  now = trials.as_given(logits)
  chance, p, least = _by_chance(dataset, logits, some)
  near = p > _LEVEL >= least
  if now.value >= _FINE and not near:
    return chain_checks.Findings(), []
  got = f'an accuracy of {now.value:.2f} on {len(some)} {what}'
  expected = f'Expected the set-up that {where} was trained in, got {got}'
  luck = f', where chance is {chance:.2f}' if near else ''
  if not look:
    return chain_checks.Findings((f'{expected}{luck}.',) if near else ()), []
  best = trials.search(now, hooks)
  flags = ' '.join([*best.setup.flags(trials.given), *(
      [f'--head_classes={best.order}'] if best.order else [])])
  if trials.fits(best, now):
    return chain_checks.Findings((
        f'{expected}{luck}: with {flags} it is {best.value:.2f}.',)), []
  others = (f'{trials.count} others were tried (normalisations, RGB and BGR, '
            f'{_SIDES[0]} to {_SIDES[-1]} pixels, orders of the classes)')
  if near:
    return chain_checks.Findings((
        f'{expected}{luck}; {others}, and none fits'
        + (f', the best, {flags}, with {best.value:.2f}' if flags else '')
        + '. Labels, network or weights may be others than you think.',)), []
  return chain_checks.Findings(), [
      f'{got}; {others}, and none is much better' if p <= _LEVEL else
      f'{got}: too few to tell a wrong set-up from a right one']


def _some(dataset: dataset_lib.Dataset) -> tuple[np.ndarray, str]:
  """Rows to try, those of training where they are known, and their name."""
  known = per_example.has_label(dataset.task, dataset.labels)
  learned = np.zeros(len(dataset), bool)
  if dataset.split is not None:
    learned = np.isin(dataset.split, ('train', 'retain', 'forget')) & known
  rows = np.flatnonzero(learned if learned.any() else known)
  count = min(_MOST, _FEWEST + _EACH * dataset.task.num_outputs)
  return (np.random.default_rng(0).permutation(rows)[:count],
          'training images' if learned.any() else 'images')


def _right(task: tasks.Task, logits: np.ndarray,
           labels: np.ndarray) -> np.ndarray:
  counts = accuracy.accuracy(task, logits, labels)
  return counts.hits.sum(1) / counts.tries.sum(1)


def _by_chance(dataset: dataset_lib.Dataset, logits: np.ndarray,
               some: np.ndarray) -> tuple[float, float, float]:
  """What the same answers would have right, dealt to the images at random.

  Returns:
    Their mean accuracy, the share of deals that are as good as the true one,
    and the least that this share could be, if all were right.
  """
  labels, own = dataset.labels[some], np.arange(len(some))
  if dataset.task.is_multilabel:
    yes = (logits > 0).astype(float)
    hits = yes @ (labels == 1).T + (1 - yes) @ (labels == 0).T
    right = hits / (labels != tasks.UNKNOWN).sum(1)
  else:
    right = (logits.argmax(1)[:, None] == labels).astype(float)
  generator = np.random.default_rng(0)  # right: answer by image
  dealt = np.array([right[generator.permutation(own), own].mean()
                    for _ in range(_DEALS)])
  _, counts = np.unique(labels, axis=0, return_counts=True)
  ways = math.lgamma(len(some) + 1) - sum(math.lgamma(c + 1) for c in counts)
  as_good = (dealt >= right[own, own].mean() - 1e-9).sum()
  return (float(right.mean()), float(1 + as_good) / (1 + _DEALS),
          math.exp(-ways))


class _Trials:
  """Runs one network in many set-ups on the same images.

  Attributes:
    given: the set-up of the import.
    count: set-ups tried besides, each order of the classes another.
  """

  def __init__(self, saved: checkpoint.SavedModel,
               dataset: dataset_lib.Dataset, some: np.ndarray,
               rows: np.ndarray | None, channel_order: str):
    self._saved, self._dataset, self._some = saved, dataset, some
    turn = 1 if channel_order == RGB else -1
    config = saved.config
    self.given = _Setup(config.mean[::turn], config.std[::turn], channel_order,
                        dataset.image_size)
    self.count = 0
    self._columns = None if rows is None else np.argsort(rows)
    self._images = {dataset.image_size: np.asarray(dataset.images[some])}
    model = models.build(config)
    self._run = jax.jit(lambda variables, images: cast(Any, model).apply(
        variables, images, train=False).logits)

  def logits(self, setup: _Setup) -> np.ndarray:
    """``[n, outputs]`` of a set-up, outputs as the model has them now."""
    images = self._at(setup.image_size).astype(np.float32) / 255
    if setup.channel_order != RGB:
      images = images[..., ::-1]
    images = (images - np.array(setup.mean, np.float32)) / np.array(
        setup.std, np.float32)
    # What the model, whose kernel was turned, will see as this.
    if self.given.channel_order != RGB:
      images = images[..., ::-1]
    config = self._saved.config
    images = images * np.array(config.std, np.float32) + np.array(
        config.mean, np.float32)
    places = np.resize(np.arange(len(images)), (
        -(-len(images) // _AT_ONCE), _AT_ONCE))
    found = [np.asarray(self._run(self._saved.variables, jnp.asarray(images[p]))
                        ) for p in places]
    return np.concatenate(found)[:len(images)]

  def as_given(self, logits: np.ndarray) -> _Try:
    """The set-up of the import, from its logits."""
    return _Try(self.given, '', self._right(logits))

  def search(self, now: _Try, hooks: Sequence[loop.Hook]) -> _Try:
    """The set-up that has most right; the first of several.

    Sizes, each of which is compiled, are tried where nothing else fits.
    """
    best = now
    with job.shown(hooks, 'try other set-ups', '') as tick:
      for _ in range(_ROUNDS):
        start = best.setup
        for around in (self._normalised(start), self._sized(start)):
          setups = list(dict.fromkeys(around))
          for k, setup in enumerate(setups):
            for found in self._tries(setup, self.logits(setup)):
              self.count += 1
              if found.value > best.value:
                best = found
            tick(k + 1, len(setups))
          if best.value >= _FINE and self.fits(best, now):
            return best
        if best.setup == start:
          break
    return best

  def fits(self, found: _Try, now: _Try) -> bool:
    """Whether it leaves half of the errors at most, and not by luck."""
    better = int((found.right > now.right).sum())
    worse = int((found.right < now.right).sum())
    return 1 - found.value <= (1 - now.value) / 2 and stats.binomtest(
        better, max(better + worse, 1), .5, alternative='greater'
    ).pvalue <= _LEVEL / max(self.count, 1)

  def _normalised(self, setup: _Setup) -> Iterator[_Setup]:
    """A set-up, then with the usual normalisations and orders of channels."""
    yield setup
    pixels = self._images[self.given.image_size].reshape(-1, 3) / 255
    own = (tuple(pixels.mean(0).round(3).tolist()),
           tuple(np.maximum(pixels.std(0).round(3), 1e-3).tolist()))
    for channel_order in CHANNEL_ORDERS:
      for mean, std in (*_NORMALISATIONS, own):
        for turn in (1, -1)[:CHANNEL_ORDERS.index(channel_order) + 1]:
          yield dataclasses.replace(
              setup, mean=mean[::turn], std=std[::turn],
              channel_order=channel_order)

  def _sized(self, setup: _Setup) -> Iterator[_Setup]:
    for side in _SIDES:
      if (side, side) != setup.image_size:
        yield dataclasses.replace(setup, image_size=(side, side))

  def _tries(self, setup: _Setup, logits: np.ndarray) -> Iterator[_Try]:
    """A set-up with the outputs as given, in usual orders, and matched."""
    task, config = self._dataset.task, self._saved.config
    yield _Try(setup, '', self._right(logits))
    if plugins.is_spec(config.architecture):
      return  # its outputs are not put into another order
    if self._columns is not None:
      logits = logits[:, self._columns]  # as the weights have them
    for about, names in class_order.usual(task.names).items():
      rows = class_order.rows_of(task.names, names, about)
      yield _Try(setup, _listed(names, f'FILE of the classes {about}'),
                 self._right(logits[:, rows]))
    matched = _matched(task, logits, self._dataset.labels[self._some])
    if matched is not None:
      rows, right = matched
      names = class_order.short(task.names)
      yield _Try(setup, _listed(
          [names[i] for i in np.argsort(rows)], 'FILE in another order'), right)

  def _right(self, logits: np.ndarray) -> np.ndarray:
    return _right(self._dataset.task, logits, self._dataset.labels[self._some])

  def _at(self, size: tuple[int, int]) -> np.ndarray:
    """The images at a size, from their files where it can read these."""
    if size not in self._images:
      self._images[size] = _read(self._dataset, self._some, size)
    return self._images[size]


def _listed(names: Sequence[str], otherwise: str) -> str:
  return shlex.quote(','.join(names)) if len(
      names) <= _LONGEST_LIST else otherwise


def _matched(task: tasks.Task, logits: np.ndarray, labels: np.ndarray
             ) -> tuple[np.ndarray, np.ndarray] | None:
  """The order of the outputs in which most answers are right.

  Returns:
    The output of each class or attribute; and the share right of each image in
    the order that is best on the other half of the images, ``[n]``. None where
    a half lacks a class.
  """
  halves = (slice(0, None, 2), slice(1, None, 2))
  if task.is_multilabel:
    yes, known = (logits > 0) * 2. - 1, labels != tasks.UNKNOWN
    true = np.where(known, labels * 2. - 1, 0)
  elif any(len(np.unique(labels[half])) < task.num_outputs for half in halves):
    return None
  else:
    one = np.eye(task.num_outputs)
    yes, true = one[logits.argmax(1)], one[labels]

  def best(rows: slice) -> np.ndarray:
    return cast(np.ndarray, optimize.linear_sum_assignment(
        true[rows].T @ yes[rows], maximize=True)[1])

  right = np.zeros(len(labels))
  for half, other in (halves, halves[::-1]):
    right[half] = _right(task, logits[half][:, best(other)], labels[half])
  return best(slice(None)), right


def _read(dataset: dataset_lib.Dataset, some: np.ndarray,
          size: tuple[int, int]) -> np.ndarray:
  """Images at another size: from their files, else from what is in memory."""
  options = dataset.options
  if isinstance(options, sources.DataOptions) and (
      options.source == sources.TREE
      or options.source.lower().endswith(('.csv', '.npz'))):
    stored = options.source.lower().endswith('.npz')
    found = sources.load(dataclasses.replace(
        options, image_size=None if stored else size[0]), in_memory=False)
    places = {name: i for i, name in enumerate(found.sample_id.tolist())}
    rows = [places.get(name, -1) for name in dataset.sample_id[some].tolist()]
    if min(rows) >= 0:
      return images_lib.resize_array(
          np.asarray(found.images[np.array(rows)]), size)
  return images_lib.resize_array(np.asarray(dataset.images[some]), size)
