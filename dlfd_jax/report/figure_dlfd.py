"""What DLFD does to images, and what it gains over other methods.

The steps are the picture of figure 3 of Choi and Na (2024), arXiv:2409.14747.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from dlfd_jax.report import drawing

MOST_COLUMNS = 6  # steps shown, the clean images among them
_SCALES = (1, 2, 5)  # times a power of ten
_AGAINST = {
    'finetune': ('minus fine-tuning', drawing.ORANGE, 'v', -.12),
    'best': ('minus the best other', drawing.BLACK, 'D', .12)}


def magnification(difference: np.ndarray) -> float:
  """The largest of 1, 2, 5, 10, 20 ... that keeps a difference in +- 0.5.

  Example:
    >>> magnification(np.array([-.02, .01])), magnification(np.zeros(2))
    (20.0, 1.0)
  """
  largest = float(np.abs(difference).max(initial=0.0))
  if largest <= 0:
    return 1.0
  room = .5 / largest * (1 + 1e-6)
  power = 10.0**math.floor(math.log10(room))
  return float(max(power * max(s for s in _SCALES if s * power <= room), 1.0))


def shown_steps(steps: int, most: int = MOST_COLUMNS) -> list[int]:
  """Which of steps 0 ... K stand in the picture, both ends among them.

  Example:
    >>> shown_steps(3), shown_steps(20, 5)
    ([0, 1, 2, 3], [0, 5, 10, 15, 20])
  """
  count = min(steps + 1, most)
  return sorted({round(i) for i in np.linspace(0, steps, count)})


def plane(features: np.ndarray, forget: np.ndarray
          ) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
  """Features in the plane of the clean and the forget batch's PCA.

  Args:
    features: ``[K + 1, n, d]``, the clean batch first.
    forget: ``[m, d]``.

  Returns:
    ``[K + 1, n, 2]``, ``[m, 2]`` and the shares of variance of both axes.
  """
  from sklearn import decomposition
  fitted = decomposition.PCA(2, svd_solver='full').fit(
      np.concatenate([features[0], forget]))
  shares = fitted.explained_variance_ratio_
  flat = fitted.transform(features.reshape(-1, features.shape[-1]))
  return (flat.reshape(*features.shape[:2], 2), fitted.transform(forget),
          (float(shares[0]), float(shares[1])))


def draw_steps(images: np.ndarray, features: np.ndarray, forget: np.ndarray,
               distance: Sequence[float], cross_entropy: Sequence[float], *,
               faces: Sequence[int], format: str = 'svg') -> bytes:
  """Images by step, their difference, their features' path, and both losses.

  Args:
    images: ``[K + 1, n, h, w, 3]`` in [0, 1].
    features: unit rows ``[K + 1, n, d]``.
    forget: unit rows ``[m, d]``.
    distance: transport distance by step ``[K + 1]``.
    cross_entropy: of the batch by step, nats ``[K + 1]``.
    faces: which of the n images are shown.
    format: ``svg`` or ``png``.

  Returns:
    The picture.

  Raises:
    ValueError: if no face is to be shown, lengths differ, or no such format.
  """
  steps = len(images) - 1
  if not len(faces) or max(faces) >= images.shape[1] or steps < 1 or not (
      len(features) == len(distance) == len(cross_entropy) == steps + 1):
    raise ValueError(
        f'Expected faces below {images.shape[1]} and values of {steps + 1} '
        f'steps, got {list(faces)} and {len(distance)}.')
  columns = shown_steps(steps)
  difference = (images[-1] - images[0])[list(faces)]
  factor = magnification(difference)
  with drawing.new_figure(
      10.2, max(1.05 * len(faces) + .5, 4.4),
      'Images that DLFD perturbs away from the forget set') as figure:
    halves: Any = figure.subfigures(
        1, 2, width_ratios=[len(columns) + 1, 4.6])
    left, right = halves
    _pictures(left, images, difference, factor, faces, columns)
    path, numbers = right.subplots(2, 1, height_ratios=[1.7, 1])
    _path(path, features, forget, faces)
    _curves(numbers, distance, cross_entropy)
    return drawing.to_bytes(figure, format)


def _pictures(figure: Any, images: np.ndarray, difference: np.ndarray,
              factor: float, faces: Sequence[int],
              columns: Sequence[int]) -> None:
  axes = figure.subplots(
      len(faces), len(columns) + 1, squeeze=False,
      gridspec_kw={'wspace': .02, 'hspace': .02})
  for row, face in enumerate(faces):
    for column, step in enumerate(columns):
      axes[row, column].imshow(np.clip(images[step, face], 0, 1))
    axes[row, -1].imshow(np.clip(.5 + factor * difference[row], 0, 1))
    axes[row, 0].set_ylabel(f'face {row + 1}', fontsize=8)
  for column, step in enumerate(columns):
    axes[0, column].set_title(
        'clean' if step == 0 else f'step {step}', fontsize=8)
  axes[0, -1].set_title(f'change × {factor:g}', fontsize=8)
  for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)


def _path(axis: Any, features: np.ndarray, forget: np.ndarray,
          faces: Sequence[int]) -> None:
  path, others, shares = plane(features, forget)
  axis.scatter(*others.T, s=16, color=drawing.FORGET, marker='x', linewidths=1,
               label='forget batch')
  axis.scatter(*path[0].T, s=10, color=drawing.UNSEEN, label='retain, clean')
  axis.scatter(*path[-1].T, s=10, color=drawing.BLUE, marker='^',
               label='retain, perturbed')
  for row, face in enumerate(faces):
    axis.plot(*path[:, face].T, color=drawing.BLACK, linewidth=1,
              marker='.', markersize=3)
    axis.annotate(str(row + 1), path[-1, face], xytext=(3, 3),
                  textcoords='offset points', fontsize=8, fontweight='bold')
  axis.set(title='Their features',
           xlabel=f'PC 1 of unit features ({100 * shares[0]:.0f} %)',
           ylabel=f'PC 2 ({100 * shares[1]:.0f} %)')
  axis.legend(fontsize=7, loc='best', handletextpad=.2)


def _curves(axis: Any, distance: Sequence[float],
            cross_entropy: Sequence[float]) -> None:
  steps = range(len(distance))
  axis.plot(steps, distance, color=drawing.BLUE, marker='o', markersize=4)
  axis.set_ylabel('transport distance', color=drawing.BLUE)
  axis.set_xlabel('step (whole batch)')
  axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  other = axis.twinx()
  other.plot(steps, cross_entropy, color=drawing.VERMILION, marker='s',
             markersize=4, linestyle='--')
  other.set_ylabel('cross-entropy, nats', color=drawing.VERMILION)
  other.spines['right'].set_visible(True)
  other.grid(False)
  for each in (axis, other):  # from 0 on, so that a small change looks small
    low, high = each.get_ylim()
    each.set_ylim(min(low, 0), high)


@dataclasses.dataclass(frozen=True)
class Gain:
  """DLFD minus another method on one task.

  Attributes:
    task: its name.
    classes: of the task.
    against: ``'finetune'`` or ``'best'``.
    rival: title of the other method.
    values: difference of each seed.
  """

  task: str
  classes: int
  against: str
  rival: str
  values: tuple[float, ...]

  @property
  def mean(self) -> float:
    return float(np.mean(self.values))

  @property
  def deviation(self) -> float:
    """Standard deviation over seeds; 0 of one seed."""
    return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0


def draw_complexity(gains: Sequence[Gain], *, format: str = 'svg') -> bytes:
  """DLFD's gain in NoMUS by the number of classes.

  Args:
    gains: at least one.
    format: ``svg`` or ``png``.

  Returns:
    The picture: mean and standard deviation over seeds, each seed a dot.

  Raises:
    ValueError: if there is no gain, or no such format.
  """
  if not gains:
    raise ValueError('Expected a task with DLFD and another row, got none.')
  places = _places(gains)
  apart = len({gain.against for gain in gains}) > 1
  with drawing.new_figure(7.2, 4.0) as figure:
    axis = figure.subplots()
    for against, (label, color, marker, shift) in _AGAINST.items():
      chosen = [gain for gain in gains if gain.against == against]
      if not chosen:
        continue
      x = np.array([places[gain.task] + shift * apart for gain in chosen])
      for place, gain in zip(x, chosen):
        axis.scatter(np.full(len(gain.values), place), gain.values, s=9,
                     color=color, alpha=.5, linewidths=0, zorder=2)
      axis.errorbar(
          x, [gain.mean for gain in chosen],
          yerr=[gain.deviation for gain in chosen], fmt=marker, color=color,
          markeredgecolor=drawing.EDGE, markersize=7, capsize=3,
          linewidth=1.1, label=f'DLFD {label}', zorder=3)
    axis.axhline(0, color=drawing.NULL, linewidth=1)
    names = {gain.task: gain.classes for gain in gains}
    order = sorted(names, key=places.__getitem__)
    alone = len(set(names.values())) == len(names)
    axis.xaxis.set_major_locator(ticker.FixedLocator(
        [places[name] for name in order]))
    axis.set_xticklabels([
        f'{names[name]}' if alone else f'{names[name]}\n{name}'
        for name in order], rotation=0 if alone or len(order) < 5 else 20)
    axis.set_xlim(min(places.values()) - .6, max(places.values()) + .6)
    # Tasks named age-2, age-4, ... differ in classes alone: say `age` once.
    shared = os.path.commonprefix(order) if alone else ''
    shared = (shared.rpartition('-')[0] or shared).strip('-_ ')
    axis.set(title='Gain of DLFD by the complexity of the task',
             xlabel='number of classes or label vectors'
             + (f' of {shared}' if shared else '' if alone else ' and task')
             + '\ndots: seeds; bars: one standard deviation over them',
             ylabel='NoMUS of DLFD minus the other')
    figure.legend(loc='outside lower center', ncols=2)
    return drawing.to_bytes(figure, format)


def _places(gains: Sequence[Gain]) -> dict[str, float]:
  """Position of each task: its classes, with a gap where they are equal."""
  tasks = {gain.task: gain.classes for gain in gains}
  places = {}
  for classes in sorted(set(tasks.values())):
    alike = [task for task, count in tasks.items() if count == classes]
    for i, task in enumerate(alike):
      places[task] = classes + .9 * (i - (len(alike) - 1) / 2) / max(
          len(alike), 1)
  return places
