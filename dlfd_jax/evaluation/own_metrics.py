"""Metrics of a user's own: entries like those of the registry, from a file.

They are computed, printed and compared as the others are, and have no vote.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.utils import plugins

KEY = 'own_metrics'  # of a result and of its config
_NAME = re.compile(r'[a-z]\w{0,99}')
_FORMS = (registry.SINGLE, registry.GAP, registry.SLOT)


@dataclasses.dataclass(frozen=True)
class _Value:
  """A user's function as a value of the registry."""

  metric: registry.Metric  # as it was written

  def __call__(self, inputs: inputs_lib.Inputs, model: inputs_lib.Model,
               *references: Any) -> Estimate:
    metric = self.metric
    for split in (metric.split, *metric.sides):
      if split not in model.logits:
        return Estimate.missing(inputs.no_logits(str(split)))
    try:
      found = metric.value(inputs, model, *references)
    # Whatever a user's function raises.
    except Exception as error:
      raise ValueError(
          f'Expected the metric {metric.name} to be computed, got '
          f'{type(error).__name__}: {str(error).rstrip(".")}.') from error
    if isinstance(found, Estimate):
      return found
    if np.ndim(found) or not isinstance(found, (int, float, np.number)):
      raise ValueError(f'Expected the metric {metric.name} to give a number or '
                       f'an Estimate, got {type(found).__name__}.')
    return (Estimate(float(found)) if math.isfinite(found) else
            Estimate.missing(f'it was {found}'))


def load(given: Sequence[str | registry.Metric]
         ) -> tuple[registry.Metric, ...]:
  """The entries that texts name, ready to be computed.

  Args:
    given: ``file.py:NAME`` or ``package.module:NAME``, or the entries
      themselves.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if one is no entry, or not one that a user can add.
  """
  found = [_load(each) for each in given]
  for metric in found:
    if [other.name for other in found].count(metric.name) > 1:
      raise ValueError(
          f'Expected own metrics of different names, got {metric.name} twice.')
  return tuple(dataclasses.replace(metric, value=_Value(metric))
               for metric in found)


def _load(given: str | registry.Metric) -> registry.Metric:
  where = given if isinstance(given, str) else 'own metrics'
  metric = (plugins.load_object(given, 'metric') if isinstance(given, str)
            else given)
  if not isinstance(metric, registry.Metric):
    raise ValueError(f'Expected a registry.Metric in {where}, got '
                     f'{type(metric).__name__}.')
  names = {each.name for each in registry.METRICS}
  problem = (
      f'a name of small letters, digits and _, got {metric.name!r}'
      if not _NAME.fullmatch(metric.name) else
      f'a name that no other metric has, got {metric.name!r}'
      if metric.name in names else
      f'a form of {", ".join(_FORMS)}, got {metric.form!r}'
      if metric.form not in _FORMS else
      f'a split of {", ".join(splits_lib.SPLITS_PARTS)}, got {metric.split!r}'
      if metric.split not in splits_lib.SPLITS_PARTS else
      'no votes: verdicts are of the metrics that were tried for them'
      if metric.votes else
      'no members: one entry for each' if metric.members else
      f'a tier from 0 to 3, got {metric.tier!r}'
      if metric.tier not in range(4) else
      'a margin of the settings, or none, got '
      f'{metric.margin!r}' if metric.margin and metric.margin_in(
          inputs_lib.EvaluationConfig(), inputs_lib.ReferenceConfig()) is None
      else None)
  if problem:
    raise ValueError(f'Expected of the metric in {where} {problem}.')
  return metric


def identity(metrics: Sequence[registry.Metric]) -> dict[str, str | None]:
  """What decides their values, by name: the hash of the file of each.

  None of a function whose file is not known.
  """
  return {metric.name: _hash(metric) for metric in metrics}


def mark(metrics: Sequence[registry.Metric]) -> str:
  """Ends the name of a file that holds them; nothing without any."""
  text = json.dumps(identity(metrics), sort_keys=True)
  return f'-{hashlib.sha256(text.encode()).hexdigest()[:8]}' * bool(metrics)


def _hash(metric: registry.Metric) -> str | None:
  function = metric.value
  while not inspect.isfunction(function):
    inner = (function.metric.value if isinstance(function, _Value)
             else getattr(function, 'func', None))
    if inner is None:
      return None
    function = inner
  return plugins.file_hash(function)


def described(metrics: Sequence[registry.Metric]
              ) -> dict[str, dict[str, str | None]]:
  """What a reader of a result needs, who may not have their file."""
  return {metric.name: {
      'label': metric.label, 'short': metric.short or metric.label,
      'sha256': sha256} for metric, sha256 in zip(
          metrics, identity(metrics).values())}


def label(result: Mapping[str, Any], name: str) -> str:
  """A metric's display name, own ones as the result says."""
  own = (result.get(KEY) or {}).get(name)
  return str(own['label']) if own else registry.label(name)


def names(result: Mapping[str, Any], tiers: range) -> list[str]:
  """The own metrics in a result that are of these tiers."""
  own = result.get(KEY) or {}
  return [record['metric'] for record in result.get('metrics') or ()
          if record['metric'] in own and (record.get('tier') or 0) in tiers]
