"""What two releases give away and which model is nearer, in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dlfd_jax.evaluation import estimate, nearer as nearer_lib
from dlfd_jax.metrics import nearer
from dlfd_jax.report import tables

_ANSWERS = {'nearer_outputs_forget': 'outputs',
            'nearer_features_forget': 'features'}
_SIDES = (nearer.ORIGINAL, nearer.RETRAINED, nearer.UNDECIDED)


def sentences(result: Mapping[str, Any]) -> list[str]:
  """At most one on two releases, one on who stays and one on nearness."""
  return [*_two_releases(result), *_stayed(result), *_nearer(result)]


def _found(result: Mapping[str, Any], metric: str,
           signed: bool = False) -> list[estimate.Estimate]:
  """The unlearned model's figure and, where there is one, retraining's."""
  cells = [tables.find_cell(result, metric, column)
           for column in ('unlearned', 'retrained')]
  return [dataclasses.replace(cell, signed=signed) for cell in cells
          if cell.value is not None]


def _two_releases(result: Mapping[str, Any]) -> list[str]:
  cells = _found(result, 'two_releases')
  if not cells:
    return []
  said = ('Whoever holds the original and the unlearned model tells forget '
          'from unseen images by the rise of the loss with an AUC of '
          f'{cells[0].with_interval}')
  if len(cells) == 1:
    return [f'{said}.']
  exact = cells[1]
  return [f'{said}, with retraining {exact.with_interval}' + (
      ': even an exact deletion exposes the deleted people to whoever holds '
      'both versions.' if exact.low is not None and exact.low > .5 else
      ': that an exact deletion exposes the deleted people is not shown here.'
  )]


def _stayed(result: Mapping[str, Any]) -> list[str]:
  cells = _found(result, 'retain_exposure', signed=True)
  if not cells:
    return []
  beside = (f' (after retraining: {cells[1].with_interval})'
            if len(cells) > 1 else '')
  return [f"Retained against unseen images: the attack's AUC changed by "
          f'{cells[0].with_interval}{beside}.']


def _nearer(result: Mapping[str, Any]) -> list[str]:
  said: list[str] = []
  alarms: list[str] = []
  for metric, answers in _ANSWERS.items():
    record = tables.find_record(result, metric) or {}
    if record.get('verdict') in _SIDES and record.get('p_value') is not None:
      said.append(f'by {answers} {record["verdict"]} '
                  f'(p {record["p_value"]:.2g})')
      alarms = alarms or [note for note in record['notes']
                          if note.startswith(nearer_lib.ALARMS)]
  return [f'On forget the unlearned model is {", ".join(said)}.',
          *alarms] if said else []
