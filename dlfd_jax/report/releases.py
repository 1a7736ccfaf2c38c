"""What two releases give away and which model is nearer, in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from dlfd_jax.evaluation import nearer as nearer_lib
from dlfd_jax.metrics import nearer
from dlfd_jax.report import tables

_ANSWERS = {'nearer_outputs_forget': 'outputs',
            'nearer_features_forget': 'features'}
_SIDES = (nearer.ORIGINAL, nearer.RETRAINED, nearer.UNDECIDED)


def sentences(result: Mapping[str, Any]) -> list[str]:
  """At most one on two releases, one on who stays and one on nearness."""
  return [*_two_releases(result), *_stayed(result), *_nearer(result)]


def _cells(result: Mapping[str, Any], metric: str,
           signed: bool = False) -> list[str]:
  """The unlearned model's figure and, where there is one, retraining's."""
  found = [dataclasses.replace(
      tables.find_cell(result, metric, column), signed=signed)
           for column in ('unlearned', 'retrained')]
  return [f'{cell.text} ({cell.interval})' if cell.interval else cell.text
          for cell in found if cell.value is not None]


def _two_releases(result: Mapping[str, Any]) -> list[str]:
  cells = _cells(result, 'two_releases')
  if not cells:
    return []
  beside = f', with retraining {cells[1]}' if len(cells) > 1 else ''
  return [
      'Whoever holds the original and the unlearned model tells forget from '
      f'unseen images by the rise of the loss with an AUC of {cells[0]}{beside}'
      ': even an exact deletion exposes the deleted people to whoever holds '
      'both versions.']


def _stayed(result: Mapping[str, Any]) -> list[str]:
  cells = _cells(result, 'retain_exposure', signed=True)
  if not cells:
    return []
  beside = f' (after retraining: {cells[1]})' if len(cells) > 1 else ''
  return [f"Retained against unseen images: the attack's AUC changed by "
          f'{cells[0]}{beside}.']


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
