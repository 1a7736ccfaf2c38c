"""Densities of per-image losses: forget against unseen, one panel a model.

The picture of figures 5 and 6 of Choi and Na (2024), arXiv:2409.14747, on a
logarithmic axis: losses of one model span several orders of magnitude.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import ticker

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.metrics import distances as distances_lib
from dlfd_jax.report import drawing

LEAST_LOSS = 1e-6  # nats; smaller losses count as this, as the axis says
_LEAST_BANDWIDTH = .05  # decades
_MARGIN = .8  # decades around the data
_POINTS = 400  # of the axis


@dataclasses.dataclass(frozen=True)
class Panel:
  """One model.

  Attributes:
    name: decides its look, see ``drawing.styles``.
    title: for readers.
    forget: loss of each forget image, nats ``[n]``.
    unseen: loss of each test image, nats ``[m]``.
    auc: the class-matched, signed AUC with its interval.
  """

  name: str
  title: str
  forget: np.ndarray
  unseen: np.ndarray
  auc: Estimate


def decades(losses: np.ndarray) -> np.ndarray:
  """log10 of losses in nats, of at least ``LEAST_LOSS``; float64 ``[n]``.

  A loss that is not finite counts as the largest finite one.

  Raises:
    ValueError: if there is no finite loss, or one is negative.
  """
  losses = np.asarray(losses, np.float64)
  finite = np.isfinite(losses)
  if not finite.any() or losses[finite].min() < 0:
    raise ValueError(
        'Expected finite losses of at least 0 nats, got '
        f'{"none" if not finite.any() else losses[finite].min()}.')
  losses = np.where(finite, losses, losses[finite].max())
  return np.log10(np.maximum(losses, LEAST_LOSS))


def _axis_of(samples: Sequence[np.ndarray]) -> np.ndarray:
  """A common axis of samples in decades, ``[400]`` evenly spaced."""
  low = min(float(sample.min()) for sample in samples)
  high = max(float(sample.max()) for sample in samples)
  return np.linspace(low - _MARGIN, high + _MARGIN, _POINTS)


def density(sample: np.ndarray, axis: np.ndarray) -> np.ndarray:
  """Gaussian kernel density, per decade.

  Args:
    sample: decades ``[n]``.
    axis: where to evaluate it ``[k]``, decades.

  Returns:
    ``[k]``; the bandwidth is Scott's, at least 0.05 decades, so that a sample
    of equal values has a density too.
  """
  sample = np.asarray(sample, np.float64)
  spread = sample.std(ddof=1) if sample.size > 1 else 0.0
  width = max(spread * sample.size**-.2, _LEAST_BANDWIDTH)
  total = np.zeros(len(axis))
  for part in np.array_split(sample, max(sample.size // 4096, 1)):
    total += np.exp(
        -.5 * ((axis[:, None] - part) / width)**2).sum(axis=1)
  return total / (sample.size * width * math.sqrt(2 * math.pi))


def js_distance(p: np.ndarray, q: np.ndarray) -> float:
  """Jensen-Shannon distance of two densities on one even axis, in [0, 1].

  The square root of the divergence in bits: 0 for equal densities, 1 for those
  that share no point.

  Raises:
    ValueError: if a density is zero everywhere.
  """
  if p.sum() <= 0 or q.sum() <= 0:
    raise ValueError('Expected two densities with mass, got one without.')
  nats = float(distances_lib.js_divergence(p / p.sum(), q / q.sum()))
  return math.sqrt(min(max(nats / math.log(2), 0.0), 1.0))


def distances(panels: Sequence[Panel]) -> dict[str, float]:
  """Jensen-Shannon distance of each panel's two densities, by name."""
  return {name: js_distance(*pair) for name, pair in _curves(panels)[1].items()}


def chance_distances(forget: np.ndarray, unseen: np.ndarray,
                     forget_units: np.ndarray, unseen_units: np.ndarray, *,
                     draws: int = 20, seed: int = 0) -> np.ndarray:
  """Distances when people swap sides at random.

  They show how far two samples of one distribution lie apart by chance.

  Args:
    forget: losses in nats ``[n]``.
    unseen: losses in nats ``[m]``.
    forget_units: person of each ``[n]``; a number of its own where unknown.
    unseen_units: person of each ``[m]``, a numbering apart from the other.
    draws: of the swap.
    seed: of the draws.

  Returns:
    ``[draws]``.
  """
  values = np.concatenate([decades(forget), decades(unseen)])
  axis = _axis_of([values])[::2]
  units = np.concatenate([forget_units, unseen_units])
  people, place = np.unique(units, return_inverse=True)
  count = np.unique(forget_units).size
  rng = np.random.default_rng(seed)
  swapped = np.empty(draws)
  for k in range(draws):
    side = np.isin(place, rng.permutation(len(people))[:count])
    swapped[k] = js_distance(
        density(values[side], axis), density(values[~side], axis))
  return swapped


def _curves(panels: Sequence[Panel]
            ) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
  """The common axis, and forget's and unseen's density of each panel."""
  samples = {panel.name: (decades(panel.forget), decades(panel.unseen))
             for panel in panels}
  axis = _axis_of([part for pair in samples.values() for part in pair])
  return axis, {name: (density(forget, axis), density(unseen, axis))
                for name, (forget, unseen) in samples.items()}


def draw(panels: Sequence[Panel], chance: dict[str, float], *,
         title: str = 'Losses of forget and of unseen images',
         format: str = 'svg') -> bytes:
  """Densities of losses on one axis.

  Args:
    panels: the models in the order of the panels, names distinct.
    chance: mean of :func:`chance_distances` by panel.
    title: of the figure.
    format: ``svg`` or ``png``.

  Returns:
    The picture; under each panel the Jensen-Shannon distance and the AUC.

  Raises:
    ValueError: if there is no panel, or no such format.
  """
  rows, columns = drawing.grid_shape(len(panels))
  axis_values, curves = _curves(panels)
  looks = drawing.styles([panel.name for panel in panels])
  top = 1.05 * max(curve.max() for pair in curves.values() for curve in pair)
  with drawing.new_figure(
      max(2.35 * columns, 4.7), 2.3 * rows + .9, title) as figure:
    axes = drawing.grid(figure, len(panels), sharex=True, sharey=True)
    for axis, panel in zip(axes, panels):
      forget, unseen = curves[panel.name]
      axis.fill_between(10**axis_values, unseen, color=drawing.UNSEEN,
                        alpha=.45, linewidth=0, label='unseen (test)')
      axis.plot(10**axis_values, forget, color=drawing.FORGET, linewidth=1.8,
                label='forget')
      axis.set(xscale='log', ylim=(0, top),
               xlim=(10**axis_values[0], 10**axis_values[-1]))
      axis.xaxis.set_major_locator(ticker.LogLocator(100))
      axis.xaxis.set_minor_locator(ticker.NullLocator())
      axis.xaxis.set_major_formatter(ticker.LogFormatterSciNotation())
      axis.set_xlabel(
          f'JS distance {js_distance(forget, unseen):.2f} (chance: '
          f'{chance[panel.name]:.2f})\nAUC {drawing.interval_text(panel.auc)}',
          fontsize=8)
      drawing.heading(axis, panel.title, looks[panel.name])
    figure.supylabel('density per decade', fontsize=9)
    figure.supxlabel(
        'loss in nats, logarithmic; below a millionth counts as a millionth',
        fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(),
                  loc='outside upper right', ncols=2)
    return drawing.to_bytes(figure, format)
