"""The rank of each person to forget among unseen people, and who stands out.

What is ranked is the margin above the retrained models' mean, without retrained
models the margin itself: then somebody whom any model recognises easily ranks
high, too. One retrained model does not tell its own seed from a trace. So the
place has a p only from two of them on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlfd_jax.evaluation import outputs, reference_attack
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.evaluation.outputs import SIDES
from dlfd_jax.metrics import (
  person_rank,
  reference_attack as statistic,
  stats,
)

_OF_P = ('p', 'p_adjusted', 'smallest_p', 'low', 'high', 'told_apart',
         'original_p')


def ranks(inputs: Inputs, names: np.ndarray) -> list[dict[str, Any]]:
  """One entry a person to forget, or an image whose person is unknown.

  Args:
    inputs: checked logits, labels, people.
    names: sample ids of the forget images, ``[n]``, rows as in ``Part``.

  Returns:
    ``person`` (the code, or the id of the image), ``unit``, ``images`` to
    forget; ``compared``, how many of them, and of every unseen person, are;
    ``unseen`` people; ``value`` in standard deviations of the images of the
    class; ``place`` among these and the person, 1 = highest; ``p``, two-sided,
    ``p_adjusted`` (Benjamini and Hochberg) and ``smallest_p`` that so many
    unseen people allow; ``low`` and ``high``, the ends that a value had to
    pass to be told apart if no other were; ``told_apart``, by the adjusted p;
    and ``original_p``, what the original has. All None but the first three
    where test has no image of the person's classes; from ``p`` on also with
    fewer than two retrained models.
    By falling value. Empty without an unlearned model that was run on forget
    and test.
  """
  forget = inputs.parts['forget']
  found = []
  for row, entry in _ranked(inputs):
    code = int(forget.identity[row])
    found.append({
        'person': code if code >= 0 else str(names[row]),
        'unit': 'person' if code >= 0 else 'image', **entry})
  return sorted(found, key=lambda entry: -np.inf if entry['value'] is None
                else entry['value'], reverse=True)


def smallest_p(inputs: Inputs) -> float | None:
  """Of the adjusted p of :func:`ranks`; None if there is none."""
  return min((entry['p_adjusted'] for _, entry in _ranked(inputs)
              if entry['p_adjusted'] is not None), default=None)


@once
def _ranked(inputs: Inputs) -> list[tuple[int, dict[str, Any]]]:
  """The first image of each person, and what is known of their rank."""
  model = inputs.unlearned
  if model is None or not set(SIDES) <= set(model.logits):
    return []
  forget, test = (inputs.parts[split] for split in SIDES)
  units = stats.units_of(forget.identity)
  mine, before = (
      _adjusted(inputs, judged) if judged is not None
      and set(SIDES) <= set(judged.logits) else None
      for judged in (model, inputs.original))
  assert mine is not None
  others = stats.units_of(test.identity)
  entries, found = [], []
  for unit in range(int(units.max()) + 1):
    rows = np.flatnonzero(units == unit)
    rank, original = (
        None if values is None else _rank(inputs, values, rows, others)
        for values in (mine, before))
    found.append(rank)
    entries.append((int(rows[0]), {
        'images': len(rows), **_numbers(rank), 'p_adjusted': None,
        'told_apart': None, 'original_p': original and original.p_value}))
  if len(_references(inputs)) < 2:
    return [(row, {**entry, **dict.fromkeys(_OF_P)}) for row, entry in entries]
  ranked = [i for i, rank in enumerate(found) if rank is not None]
  adjusted = stats.benjamini_hochberg([entries[i][1]['p'] for i in ranked])
  for i, p in zip(ranked, adjusted):
    entries[i][1].update(p_adjusted=float(p),
                         told_apart=bool(p <= person_rank.LEVEL))
  return entries


def _references(inputs: Inputs) -> list[Model]:
  return [other for other in inputs.retrained
          if set(SIDES) <= set(other.logits)]


def _adjusted(inputs: Inputs, model: Model) -> list[np.ndarray]:
  """Margins above the retrained models' mean, on forget and on test."""
  margins = [reference_attack.margins(inputs, model, split) for split in SIDES]
  references = _references(inputs)
  if not references:
    return margins
  return [
      statistic.deviations(own, np.stack([
          reference_attack.margins(inputs, other, split)
          for other in references]))
      for own, split in zip(margins, SIDES)]


def _rank(inputs: Inputs, values: list[np.ndarray], rows: np.ndarray,
          others: np.ndarray) -> person_rank.Rank | None:
  """By class; by none where too few people have the vector of attributes."""
  forget, test = (inputs.parts[split] for split in SIDES)

  def among(keys: np.ndarray, unseen_keys: np.ndarray
            ) -> person_rank.Rank | None:
    return person_rank.rank(
        values[0][rows], values[1], keys[rows], unseen_keys, others,
        tries=int(stats.units_of(forget.identity).max()) + 1,
        seed=inputs.config.seed)

  found = among(forget.keys, test.keys)
  if inputs.task.is_multilabel and (
      found is None or found.unseen < person_rank.needed()):
    return among(*(np.zeros(len(part), np.int64) for part in (forget, test)))
  return found


def _numbers(rank: person_rank.Rank | None) -> dict[str, Any]:
  if rank is None:
    return {'reason': outputs.NO_CLASS, **dict.fromkeys((
        'compared', 'unseen', 'value', 'place', 'p', 'smallest_p', 'low',
        'high'))}
  return {'compared': rank.images, 'unseen': rank.unseen, 'value': rank.value,
          'place': rank.place, 'p': rank.p_value, 'smallest_p': rank.smallest,
          'low': rank.low, 'high': rank.high}
