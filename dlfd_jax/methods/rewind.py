"""Rewind: runs another method and goes back to the epoch that forgot enough.

The candidates are the original and the state after every epoch. The reference
e* is the error of the *final* model on val, its rows weighted to the labels of
forget: what a model answers on people it never saw, if their labels are
distributed alike. Returned is the candidate whose error on forget is nearest to
e*. Reads val beside what the method reads; cost: the method's, and a pass over
forget per candidate and one over val.

Source: SCRUB+R's rewinding, Kurmanji et al. (2023), arXiv:2302.09880. Ours: any
method; never test as the reference; of equals the later state.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlfd_jax import loop
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.methods import base, live, neggrad_plus, scrub
from dlfd_jax.metrics import accuracy, per_example, ranks
from dlfd_jax.models import Variables
from dlfd_jax.utils import validate

MEASURES = ('error', 'loss')
NO_LABEL = ('forget and val share no label to rewind by, so the last state is '
            'returned')
_EQUAL = 1e-9  # errors are ratios of counts, apart by more or equal


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewindConfig(base.Wrapper):
  """Rewinding of a method.

  Attributes:
    method: config of the method; its ``selection`` has no effect.
    every: steps between the states to go back to; None = an epoch.
    measure: ``'error'``: 1 - accuracy (mean over known attributes if
      multilabel); ``'loss'``: mean cross-entropy, finer where errors are few.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'Rewind'

  method: base.MethodConfig = neggrad_plus.NegGradPlusConfig()
  every: int | None = dataclasses.field(
      default=None, metadata={'flag': 'rewind_every'})
  measure: str = dataclasses.field(
      default='error', metadata={'flag': 'rewind_measure'})

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.every is not None:
      validate.integer('every', self.every)
    validate.one_of('measure', self.measure, MEASURES)

  def plan(self, setting: base.Setting) -> base.Plan:
    """The method's plan, measured after every epoch, with another choice."""
    plan = self.method.plan(setting)
    num_steps = plan.length(self.method)
    if self.every is not None or not plan.check_at:
      every = self.every or max(num_steps // self.method.epochs, 1)
      plan = dataclasses.replace(
          plan, check_at=frozenset(range(every, num_steps, every)))
    steps = (plan.check_at | {0}) - {num_steps}
    keys = keys_of(setting.problem.dataset, setting.problem.splits)
    errors = None if keys is None else Errors(setting, keys, self.measure)
    return dataclasses.replace(
        plan, control=lambda monitor: Rewinder(monitor, errors, steps))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScrubRConfig(RewindConfig):
  """SCRUB+R: SCRUB, rewound."""

  title = 'SCRUB+R'

  method: base.MethodConfig = scrub.ScrubConfig()


def keys_of(dataset: dataset_lib.Dataset,
            splits: splits_lib.Splits) -> np.ndarray | None:
  """Labels that errors on forget and val compare by; None if none is shared."""
  return live.common_keys(dataset, *(
      live.labelled(dataset, rows) for rows in (
          splits.forget, splits.unseen('val'))))


class Errors:
  """Errors on forget, and on val with the labels of forget.

  Labels that forget or val lacks are left out on both sides.

  Args:
    setting: of the run.
    keys: from :func:`keys_of`.
    measure: one of ``MEASURES``.
  """

  def __init__(self, setting: base.Setting, keys: np.ndarray, measure: str):
    problem = setting.problem
    self._task, self._measure = problem.task, measure
    self._labels = problem.dataset.labels
    self._predictor = setting.predictor
    forget, val = (live.labelled(problem.dataset, rows) for rows in (
        problem.splits.forget, problem.splits.unseen('val')))
    shared = np.intersect1d(keys[forget], keys[val])
    self._forget, self._val = (
        rows[np.isin(keys[rows], shared)] for rows in (forget, val))
    matched, other = ranks.matching_weights(
        keys[self._forget], keys[self._val])
    # matched_i = min(n, m) / n, other_j = min(n, m) / m: their ratio is n / m.
    of_label = dict(zip(keys[self._forget], matched, strict=True))
    self._weights = np.array([
        weight / of_label[key]
        for key, weight in zip(keys[self._val], other, strict=True)])
    self.left_out = len(forget) - len(self._forget)

  def on_forget(self, variables: Variables) -> float:
    """Mean error on forget."""
    return float(self._rows(variables, self._forget).mean())

  def on_held_out(self, variables: Variables) -> float:
    """Mean error on val, each label weighted as in forget."""
    return float(np.average(
        self._rows(variables, self._val), weights=self._weights))

  def _rows(self, variables: Variables, rows: np.ndarray) -> Any:
    logits = self._predictor(variables, rows).logits
    if not np.isfinite(logits).all():
      return np.full(len(rows), np.inf)
    labels = self._labels[rows]
    if self._measure == 'loss':
      return per_example.loss(self._task, logits, labels)
    counts = accuracy.accuracy(self._task, logits, labels)
    return 1 - counts.hits.sum(1) / counts.tries.sum(1)


class Rewinder:
  """The method's own controller, with another final choice.

  Without ``errors`` there is nothing to choose by, and the last state is
  returned.
  """

  def __init__(self, inner: base.MethodController, errors: Errors | None,
               steps: frozenset[int]):
    self._inner, self._errors, self._steps = inner, errors, steps
    self._findings: dict[str, Any] = {}

  def measure(self, variables: Variables) -> loop.Metrics:
    return self._inner.measure(variables)

  def phase(self, metrics: loop.Metrics) -> str | None:
    return self._inner.phase(metrics)

  def keep(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """The original and the states after an epoch."""
    if self._errors is None:
      return []
    return [i for i, metrics in enumerate(candidates)
            if metrics['step'] in self._steps]

  def choose(self, kept: Sequence[base.Kept],
             last: Variables) -> tuple[int | None, str]:
    """The state with the forget error nearest to the reference."""
    if self._errors is None:
      return None, NO_LABEL
    reference = self._errors.on_held_out(last)
    errors = [self._errors.on_forget(variables) for _, variables in kept]
    errors.append(self._errors.on_forget(last))
    self._findings = {
        'rewind_steps': [metrics['step'] for metrics, _ in kept],
        'rewind_forget_errors': [_or_none(error) for error in errors],
        'rewind_reference': _or_none(reference),
        'rewind_forget_images_left_out': self._errors.left_out}
    chosen = nearest(errors, reference)
    return None if chosen == len(kept) else chosen, (
        f'its error on forget, {errors[chosen]:.3f}, is nearest to the final '
        f"model's on val with the labels of forget, {reference:.3f}")

  def findings(self, chosen: loop.Metrics | None) -> dict[str, Any]:
    """The method's, and the errors of all candidates, the last state's last."""
    return {**self._inner.findings(chosen), **self._findings}


def nearest(errors: Sequence[float], reference: float) -> int:
  """Position of the error nearest to ``reference``; of equals the last."""
  gaps = [abs(error - reference) if math.isfinite(error) else math.inf
          for error in errors]
  least = min(gaps) + _EQUAL
  return max(i for i, gap in enumerate(gaps) if gap <= least)


def _or_none(value: float) -> float | None:
  return value if math.isfinite(value) else None
