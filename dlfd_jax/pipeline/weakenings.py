"""What small parts of a split cost: said by ``check`` and before a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dlfd_jax import methods
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import (
  against,
  inputs as inputs_lib,
  outputs,
  recovery,
  references as references_lib,
  registry,
)
from dlfd_jax.methods import base, live, rewind
from dlfd_jax.metrics import forgetting, stats

_SAMPLE = 2000  # images of a part that tell what is computed of it
_FEATURES = 4
# What models that answer at random lack: a width, and that they were treated.
NOT_OF_SPLITS = (against.NO_WIDTH, recovery.NOT_RUN)
_MODELS = ('original', 'unlearned', 'retrained_0', 'retrained_1')


def weakenings(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
               config: methods.RunConfig | None = None,
               seed: int = 0) -> list[str]:
  """What later commands will refuse or do otherwise on these splits.

  Args:
    dataset: the images.
    splits: checked against them.
    config: of the method; None = what any method is told.
    seed: of the run.

  Returns:
    Sentences, none if every part is large enough and wholly unseen.

  Raises:
    ValueError: if too few people are in val for the method.
  """
  held_out = None if config is None else base.set_aside(
      config, dataset, splits, seed)
  lines = [live.choose_rule(dataset, splits).because]
  if held_out is not None:
    lines = [held_out.note, live.choose_rule(dataset, held_out.splits).because]
  if rewind.keys_of(dataset, splits) is None and (
      config is None or isinstance(config, rewind.RewindConfig)):
    lines.append(f'The methods that rewind: {rewind.NO_LABEL}.')
  bare = [name for name, rows in splits.parts.items()
          if not len(live.labelled(dataset, rows))]
  if bare:
    lines.append(f'evaluate will refuse: no label is known in '
                 f'{" and ".join(bare)}.')
  else:
    lines += _of_evaluation(dataset, splits)
  return list(filter(None, lines))


def _of_evaluation(dataset: dataset_lib.Dataset,
                   splits: splits_lib.Splits) -> list[str]:
  """What ``evaluate`` will not give: tried on models that answer at random."""
  inputs = _random_inputs(dataset, _sample(splits))
  lines = []
  for verdict, sides in outputs.VERDICT_SIDES.items():
    if few := inputs.too_few(*sides):
      lines.append(f'evaluate on {verdict}: {stats.TOO_FEW}; {few}.')
  small = inputs.without_intervals
  if small:
    lines.append(f'evaluate gives no intervals on {", ".join(small)}: it takes '
                 f'{stats.ENOUGH} people or images.')
  missing: dict[str, list[str]] = {}
  for metric in registry.METRICS:
    if (metric.tier > 1 or metric.form == registry.DATA
        or not metric.is_for(inputs)):
      continue  # tiers 2 and 3 take models that few requests have
    others = [inputs.retrained] if metric.form == registry.SLOT else []
    for member in metric.members(inputs) if metric.members else (None,):
      estimate = metric.value(
          inputs, inputs.unlearned, *others, *filter(None, [member]))
      if estimate.value is None and estimate.reason not in NOT_OF_SPLITS:
        names = missing.setdefault(str(estimate.reason), [])
        if metric.label not in names:
          names.append(metric.label)
  if missing:
    lines.append('evaluate does not compute ' + '; '.join(
        f'{", ".join(names)} ({reason})'
        for reason, names in missing.items()) + '.')
  return lines


def try_metrics(metrics: Sequence[registry.Metric],
                dataset: dataset_lib.Dataset,
                splits: splits_lib.Splits) -> None:
  """Computes a user's own metrics of models that answer at random.

  Raises:
    ValueError: if one cannot be computed, see ``own_metrics``.
  """
  if not metrics:
    return
  inputs = _random_inputs(dataset, _sample(splits))
  for metric in metrics:
    metric.value(inputs, inputs.unlearned, *(
        [inputs.retrained] if metric.form == registry.SLOT else []))


def _sample(splits: splits_lib.Splits) -> splits_lib.Splits:
  generator = np.random.default_rng(0)
  retain, forget, val, test = (
      generator.permutation(rows)[:_SAMPLE] for rows in splits.parts.values())
  return dataclasses.replace(
      splits, retain=retain, forget=forget, val=val, test=test)


def _random_inputs(dataset: dataset_lib.Dataset,
                   splits: splits_lib.Splits) -> inputs_lib.Inputs:
  generator = np.random.default_rng(0)

  def of_each_split(width: int) -> dict[str, np.ndarray]:
    return {name: generator.normal(size=(len(rows), width))
            for name, rows in splits.parts.items()}

  width = dataset.task.num_outputs
  original, unlearned, *retrained = (of_each_split(width) for _ in _MODELS)
  return inputs_lib.prepare(
      {'original': original, 'unlearned': unlearned, 'retrained': retrained},
      dataset, splits,
      inputs_lib.EvaluationConfig(bootstrap=20, draws=1, permutations=20),
      references_lib.References(
          features={name: of_each_split(_FEATURES)
                    for name in (*_MODELS, inputs_lib.RANDOM)},
          random_logits=[of_each_split(width)['forget']],
          relearned=dict.fromkeys(
              _MODELS, [forgetting.RelearnTime(1)] * 2)))
