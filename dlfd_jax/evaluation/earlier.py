"""People of earlier requests: does the model know them again?

A later request trains the model on those who stay, and never on who was
forgotten before. Whether they have become visible again is asked of the attack
and of the ranks that an evaluation asks of its own people: as of now, and as of
the model that the request started from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import (
  estimate as estimate_lib,
  inputs as inputs_lib,
  people as people_lib,
  registry,
  run,
)
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.metrics import person_rank


def again(outputs: Mapping[str, Any], dataset: dataset_lib.Dataset,
          splits: splits_lib.Splits,
          config: inputs_lib.EvaluationConfig | None = None,
          older: bool = False) -> dict[str, Any]:
  """The attack on the people of earlier requests, before and after this one.

  They are visible again where the attack's AUC is above one half with its
  interval and has risen with its interval; and so is a person who is told apart
  now, as seen before, and was not by the model before.

  Args:
    outputs: as of ``run.evaluate``, on ``earlier`` and ``test`` alone.
    dataset: the data.
    splits: of the request; ``earlier`` is not empty.
    config: of the evaluation.
    older: the original is one before the model that the request started from,
      and may itself know them: nothing is said of a rise then.

  Returns:
    What JSON can hold: ``older``; ``original``, ``unlearned`` and
    ``difference``, estimates of the class-matched AUC; ``visible_again``, None
    where these are too few to have an interval, or no label of theirs is known,
    or the original is an older one; ``ranks``, see
    ``people.ranks``; ``people``, the codes of those who are visible again.
  """
  asked = dataclasses.replace(
      splits, forget=splits.earlier, earlier=splits.earlier[:0], gone={},
      left_out={}, classes=(), of_classes=splits.earlier[:0], not_found=(),
      by_person=splits_lib.retain_forget_by_person(
          dataset, splits.retain, splits.earlier))

  def named(of_model: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {'forget': of_model['earlier'], 'test': of_model['test']}

  try:
    inputs = inputs_lib.prepare(
        {'original': named(outputs['original']),
         'unlearned': named(outputs['unlearned']),
         'retrained': [named(one) for one in outputs.get('retrained') or ()]},
        dataset, asked, config)
  except inputs_lib.NoLabelError as error:
    missing = Estimate.refused(error).as_dict()
    return {'original': missing, 'unlearned': missing, 'difference': missing,
            'visible_again': None, 'ranks': [], 'people': [], 'older': older}
  metric = next(one for one in registry.METRICS
                if one.name == registry.MAIN_ATTACK and one.members is None)
  found, = run.records(inputs, metric)
  before, now = found.original, found.unlearned
  risen = estimate_lib.difference(now, [before]) if before else None
  ranks = people_lib.ranks(
      inputs, dataset.sample_id[splits.earlier[inputs.parts['forget'].rows]])
  return {
      'older': older, 'original': before and before.as_dict(),
      'unlearned': now and now.as_dict(),
      'difference': risen and risen.as_dict(),
      'visible_again': None if older else _above(now, .5, risen),
      'ranks': ranks,
      'people': [one['person'] for one in ranks
                 if not older and _apart_again(one)]}


def _above(now: Estimate | None, guess: float,
           risen: Estimate | None) -> bool | None:
  if now is None or risen is None or now.low is None or risen.low is None:
    return None
  return now.low > guess and risen.low > 0


def _apart_again(entry: Mapping[str, Any]) -> bool:
  return bool(entry['told_apart'] and entry['value'] > 0
              and entry['original_p'] is not None
              and entry['original_p'] > person_rank.LEVEL)
