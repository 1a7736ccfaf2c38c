"""What penultimate features tell of label and person, drawn in two ways.

:func:`draw` shows them in two dimensions, one panel a model. Each model has a
feature space of its own, so each is projected by itself: distances and
directions compare within a panel, not between panels.

:func:`draw_collapse` shows how well a linear probe reads label and person from
them. Correlation collapse (figure 1 of Choi and Na 2024, arXiv:2409.14747)
happens when an unlearning method erases the direction of the label together
with that of the person: the model then moves down and left, not down alone.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import drawing

PROJECTIONS = ('pca', 'tsne')
MOST_GROUPS = 8
_PERPLEXITY = 30.0
_PAPER: Any = {'facecolor': 'white', 'linewidth': 0, 'pad': 1}


@dataclasses.dataclass(frozen=True)
class Panel:
  """One model.

  Attributes:
    name: decides its look.
    title: for readers.
    points: its features in two dimensions ``[n, 2]``, see :func:`project`.
    axes: names of the two dimensions.
    cells: the numbers under the panel by metric, see ``feature_numbers``.
  """

  name: str
  title: str
  points: np.ndarray
  axes: tuple[str, str]
  cells: Mapping[str, Estimate]


def project(features: np.ndarray, method: str, seed: int = 0
            ) -> tuple[np.ndarray, tuple[str, str]]:
  """One model's features by PCA or t-SNE.

  Args:
    features: ``[n, d]``, finite, n at least 4, d at least 2.
    method: ``'pca'`` or ``'tsne'`` (started from PCA, perplexity 30 or a
      quarter of the images).
    seed: of t-SNE.

  Returns:
    Points ``[n, 2]`` and the names of the two axes.

  Raises:
    ValueError: if there is no such method or the features are too few.

  Reference: van der Maaten and Hinton (2008).
  """
  if method not in PROJECTIONS:
    raise ValueError(f'Expected projection in {PROJECTIONS}, got {method!r}.')
  features = np.asarray(features, np.float64)
  if features.ndim != 2 or len(features) < 4 or features.shape[1] < 2:
    raise ValueError(
        'Expected features of at least 4 images in 2 dimensions, got '
        f'{list(features.shape)}.')
  if not np.isfinite(features).all():
    raise ValueError('Expected finite features, got others.')
  if np.ptp(features, axis=0).max() == 0:
    return np.zeros((len(features), 2)), ('constant', 'constant')
  if method == 'pca':
    from sklearn import decomposition
    pca = decomposition.PCA(2, svd_solver='full').fit(features)
    shares = pca.explained_variance_ratio_
    return pca.transform(features), (
        f'PC 1 ({100 * shares[0]:.0f} % of variance)',
        f'PC 2 ({100 * shares[1]:.0f} %)')
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', RuntimeWarning)  # of a constant feature
    from sklearn import manifold
    points = manifold.TSNE(
        2, init='pca', perplexity=min(_PERPLEXITY, (len(features) - 1) / 4),
        random_state=seed).fit_transform(features)
  return points, ('t-SNE 1 (no unit)', 't-SNE 2 (no unit)')


def groups_of(labels: np.ndarray, names: Sequence[str],
              multilabel: bool) -> tuple[np.ndarray, list[str]]:
  """A group per image, and the groups' names.

  Args:
    labels: ``[n]`` or ``[n, a]``, -1 unknown.
    names: of the classes, or of the attributes.
    multilabel: each vector of attributes is a group.

  Returns:
    int ``[n]`` and at most 8 names; what is left over is ``other``.

  Example:
    >>> groups_of(np.array([[1, 0], [0, 0], [1, 0]]), ['male', 'young'], True)
    (array([1, 0, 1]), ['none', 'male'])
  """
  labels = np.asarray(labels).reshape(len(labels), -1)
  vectors, place = np.unique(labels, axis=0, return_inverse=True)
  place = place.reshape(-1)
  titles = [_name(vector, names, multilabel) for vector in vectors]
  if len(titles) <= MOST_GROUPS:
    return place, titles
  counts = np.bincount(place)
  kept = np.sort(np.argsort(-counts, kind='stable')[:MOST_GROUPS - 1])
  new = np.full(len(titles), len(kept))
  new[kept] = np.arange(len(kept))
  return new[place], [*(titles[i] for i in kept), 'other']


def _name(vector: np.ndarray, names: Sequence[str], multilabel: bool) -> str:
  if not multilabel:
    return 'unknown' if vector[0] < 0 else names[int(vector[0])]
  parts = [name if value == 1 else f'{name}?'
           for name, value in zip(names, vector) if value != 0]
  return ', '.join(parts) or 'none'


def sample(n: int, limit: int, seed: int) -> np.ndarray:
  """Sorted rows of a random subsample of at most ``limit`` of ``n``."""
  if n <= limit:
    return np.arange(n)
  return np.sort(np.random.default_rng(seed).choice(n, limit, replace=False))


def draw(panels: Sequence[Panel], groups: np.ndarray, names: Sequence[str], *,
         title: str, colors: Sequence[str] = drawing.COLORS,
         format: str = 'svg') -> bytes:
  """Points in two dimensions, coloured by group.

  Args:
    panels: the models in the order of the panels.
    groups: int group of each point ``[n]``, the same for all panels.
    names: of the groups; each has its colour and its marker.
    title: of the figure.
    colors: of the groups.
    format: ``svg`` or ``png``.

  Returns:
    The picture; under each panel what probes and the silhouette say.

  Raises:
    ValueError: if there is no panel, a panel has other points than groups, or
      no such format.
  """
  rows, columns = drawing.grid_shape(len(panels))
  for panel in panels:
    if panel.points.shape != (len(groups), 2):
      raise ValueError(
          f'Expected {len(groups)} points in two dimensions of {panel.name}, '
          f'got {list(panel.points.shape)}.')
  looks = drawing.styles([panel.name for panel in panels])
  size = float(np.clip(4e3 / max(len(groups), 1), 5, 22))
  order = np.random.default_rng(0).permutation(len(groups))
  with drawing.new_figure(
      max(2.5 * columns, 6.4), 2.75 * rows + .8, title) as figure:
    for axis, panel in zip(drawing.grid(figure, len(panels)), panels):
      for group, _ in enumerate(names):
        chosen = order[groups[order] == group]
        axis.scatter(
            *panel.points[chosen].T, s=size, color=colors[group % len(colors)],
            marker=drawing.MARKERS[group % len(drawing.MARKERS)], alpha=.75,
            linewidths=.25, edgecolors=drawing.EDGE, rasterized=True)
      axis.set(xticks=[], yticks=[])
      axis.set_xlabel(f'{panel.axes[0]}\n{caption(panel.cells)}',
                      fontsize=8)
      axis.set_ylabel(panel.axes[1], fontsize=8)
      drawing.heading(axis, panel.title, looks[panel.name])
    handles = [
        figure.axes[0].scatter(
            [], [], s=28, color=colors[i % len(colors)], linewidths=.4,
            marker=drawing.MARKERS[i % len(drawing.MARKERS)],
            edgecolors=drawing.EDGE) for i in range(len(names))]
    figure.legend(handles, names, loc='outside lower left',
                  ncols=min(len(names), 2 * columns))
    return drawing.to_bytes(figure, format)


def caption(cells: Mapping[str, Estimate]) -> str:
  """The numbers under a panel.

  Example:
    >>> print(caption({'probe_label_test': Estimate(.5),
    ...                'silhouette_test': Estimate(.25)}))
    label probe 0.50
    silhouette 0.25
  """
  return '\n'.join(
      f'{registry.short_label(name)} {drawing.interval_text(cell)}'
      for name, cell in cells.items())


@dataclasses.dataclass(frozen=True)
class Probes:
  """One model: name, title, two probes' accuracies and silhouette on test."""

  name: str
  title: str
  label: Estimate
  person: Estimate
  silhouette: Estimate = Estimate.missing('not measured')


def draw_collapse(points: Sequence[Probes], chance: tuple[float, float], *,
                  format: str = 'svg') -> bytes:
  """Probe accuracy of the label against that of the person.

  Args:
    points: the models; one that lacks a number is left out.
    chance: accuracy of a guess, of the label and of the person.
    format: ``svg`` or ``png``.

  Returns:
    The picture, with an arrow from original to each other model.

  Raises:
    ValueError: if no point has both numbers, or no such format.
  """
  shown = [p for p in points if None not in (p.label.value, p.person.value)]
  if not shown:
    raise ValueError(
        'Expected a model with a label probe and a person probe, got none.')
  looks = drawing.styles([point.name for point in shown])
  start = next((p for p in shown if p.name == 'original'), None)
  with drawing.new_figure(8.2, 4.3) as figure:
    axis = figure.subplots()
    for point in shown:
      look = looks[point.name]
      numbers = ' / '.join(
          '-' if cell.value is None else f'{cell.value:.2f}'
          for cell in (point.label, point.person, point.silhouette))
      if start is not None and point is not start:
        axis.annotate(
            '', (point.label.value, point.person.value),
            (start.label.value, start.person.value), zorder=1,
            arrowprops={'arrowstyle': '->', 'color': look.color,
                        'linewidth': 1.1, 'shrinkA': 5, 'shrinkB': 5})
      axis.errorbar(
          [point.label.value], [point.person.value],  # type: ignore[arg-type]
          xerr=drawing.error_bar(point.label),
          yerr=drawing.error_bar(point.person), zorder=3, fmt=look.marker,
          color=look.color, markerfacecolor=look.face,
          markeredgecolor=look.edge, markersize=9, elinewidth=.8, capsize=2,
          label=f'{point.title}: {numbers}')
    for guess, line in zip(chance, (axis.axvline, axis.axhline)):
      line(guess, color=drawing.NULL, linestyle=':', linewidth=1)
    axis.annotate(
        'collapse: both fall', (.03, .03), xycoords='axes fraction',
        color='#444444', fontsize=8, bbox=_PAPER)
    axis.annotate(
        'the label stays,\nthe person is lost', (.97, .03), ha='right',
        xycoords='axes fraction', color='#444444', fontsize=8, bbox=_PAPER)
    axis.margins(.12)
    axis.set(title='What features still tell on test',
             xlabel='accuracy of a linear probe for the label '
                    '(dotted: a guess)',
             ylabel='accuracy of a linear probe for the person')
    figure.legend(loc='outside right upper',
                  title='label / person / silhouette by class')
    return drawing.to_bytes(figure, format)
