"""Evaluations of one deletion request side by side."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from dlfd_jax.evaluation import estimate, registry
from dlfd_jax.report import names, tables
from dlfd_jax.utils import runs

# What has to be equal, as it stands in an evaluation's config.json.
_SHARED = {
    'fingerprint': 'the same data', 'rows': 'the same split and request',
    'config': 'the same settings'}


def check_comparable(configs: Mapping[str, Mapping[str, Any]]) -> None:
  """Raises ValueError unless the evaluations differ in the method alone.

  Args:
    configs: ``config.json`` of each evaluation, by name. Data, split, request,
      original, retrained models and settings must be equal.
  """
  if len(configs) < 2:
    raise ValueError(f'Expected at least 2 evaluations, got {len(configs)}.')
  shared, hashes = {}, {}
  for name, config in configs.items():
    models = dict(config.get('models', {}))
    hashes[name] = models.pop('unlearned', None)
    shared[name] = {
        **{what: config.get(key) for key, what in _SHARED.items()},
        'the same original and retrained models': models}
  first, *others = configs
  for name in others:
    for what, value in shared[name].items():
      if value != shared[first][what]:
        which = (_settings_that_differ(configs, first, name)
                 if what == _SHARED['config'] else '')
        raise ValueError(f'Expected evaluations of {what}, but {first} and '
                         f'{name} differ{which}.')
  for one, other in itertools.combinations(configs, 2):
    if hashes[one] == hashes[other]:
      raise ValueError(
          'Expected unlearned models that differ, got the same one in '
          f'{one} and {other}.')


def _settings_that_differ(configs: Mapping[str, Mapping[str, Any]],
                          *pair: str) -> str:
  """``: tier in A is 0, in B is 3``; the tier, which decides others, first."""
  # Of tier 0 nothing is stored.
  old, new = ({'tier': 0, **(configs[name].get('config') or {})}
              for name in pair)
  lines = runs.differences(
      old, new, verbs=(f'in {pair[0]} is', f'in {pair[1]} is'))
  lines.sort(key=lambda line: not line.startswith('tier '))
  return f': {"; ".join(lines[:5])}' if lines else ''


def null_column(results: Iterable[str]) -> str:
  """The heading of the null, which is that of the first evaluation."""
  return f'null of {next(iter(results))}'


def table(results: Mapping[str, tables.Result]) -> tables.Table:
  """Metrics by models: original, every unlearned one, retrained, null.

  Args:
    results: ``result.json`` of each evaluation by the name of its column, of
      which :func:`check_comparable` approves.

  Returns:
    The rows of the summary; those of tier 1 too if it was run for all. What is
    about the original, retrained and null is from the first result. Notes say
    which one is nearest to retrained, and of whom a note of some results is.

  Raises:
    ValueError: if one is no evaluation.
  """
  tier_1 = all(map(tables.tier_of, results.values()))
  by_result = []
  for result in results.values():
    rows = list(tables.summary_table(result).rows)
    if tier_1:
      rows += tables.reference_table(result, delta=False).rows
    by_result.append({row.key: row for row in rows})
  rows = []
  for key in by_result[0]:
    if not all(key in of_result for of_result in by_result):
      continue  # a metric that an earlier version did not have
    same_metric = [of_result[key] for of_result in by_result]
    original, _, retrained, null = same_metric[0].cells
    unlearned = (row.cells[1] for row in same_metric)
    rows.append(dataclasses.replace(
        same_metric[0], cells=(original, *unlearned, retrained, null),
        remarks=()))
  return tables.Table(
      'One request, several methods',
      ('original', *results, 'retrained', null_column(results)), tuple(rows),
      (_nearest(results, tier_1), *_notes(results)))


def _notes(results: Mapping[str, tables.Result]) -> list[str]:
  """Each note once, with the names of its evaluations unless it is of all."""
  found: dict[str, list[str]] = {}
  for name, result in results.items():
    for note in dict.fromkeys(map(str, result.get('notes') or ())):
      found.setdefault(note, []).append(name)
  return [note if len(of) == len(results) else f'{", ".join(of)}: {note}'
          for note, of in found.items()]


def _nearest(results: Mapping[str, tables.Result], tier_1: bool) -> str:
  """Who is how far from retrained: by tier 1's average gap if all have it."""
  what, metric, column = (
      ('average gap', 'average_gap', 'unlearned') if tier_1 else
      ('difference in attack AUC', registry.MAIN_ATTACK, 'delta'))
  cells = {name: tables.find_cell(result, metric, column)
           for name, result in results.items()}
  distances = {name: abs(cell.value) for name, cell in cells.items()
               if cell.value is not None}
  for name, cell in cells.items():
    if name not in distances:
      return (f'Nearest to retrained: {names.NOT_COMPUTED} ({name}: '
              f'{cell.reason}).')
  listed = ', '.join(
      f'{name} {estimate.format_number(distances[name])}'
      + (' (not to be used)' if results[name].get('do_not_use')
         else '')
      for name in sorted(distances, key=distances.__getitem__))
  null = tables.find_cell(next(iter(results.values())), metric, 'null')
  chance = (f' Retrained models themselves, each beside the others, have '
            f'{null.with_interval}: no more than that is a tie.'
            if tier_1 and null.value is not None else '')
  original = tables.find_cell(
      next(iter(results.values())), metric, 'original')
  if tier_1 and original.value is not None and (
      original.value <= max(distances.values())):
    chance += (f' The original, which has forgotten nobody, has '
               f'{original.text}.')
  return f'Nearest to retrained first, by {what}: {listed}.{chance}'
