"""Evaluations of one deletion request side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlfd_jax.report import names, tables

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
  first, *others = configs
  for name in others:
    for key, what in _SHARED.items():
      _same(what, first, configs[first].get(key), name, configs[name].get(key))
    known = {n: {model: print_ for model, print_ in configs[n].get(
        'models', {}).items() if model != 'unlearned'} for n in (first, name)}
    _same('the same original and retrained models', first, known[first], name,
          known[name])
  prints: dict[str, str] = {}
  for name, config in configs.items():
    found = config.get('models', {}).get('unlearned')
    if found in prints:
      raise ValueError(
          'Expected unlearned models that differ, got the same one in '
          f'{prints[found]} and {name}.')
    prints[found] = name


def _same(what, first, ours, name, theirs):
  if ours != theirs:
    raise ValueError(
        f'Expected evaluations of {what}, but {first} and {name} differ.')


def table(results: Mapping[str, tables.Result]) -> tables.Table:
  """Metrics by models: original, every unlearned one, retrained, null.

  Args:
    results: ``result.json`` of each evaluation by the name of its column, of
      which :func:`check_comparable` approves.

  Returns:
    The rows of the summary; those of tier 1 too if it was run for all. What is
    about the original, retrained and null is from the first result; the note
    says which one is nearest to retrained.

  Raises:
    ValueError: if one is no evaluation.
  """
  first = next(iter(results.values()))
  parts = {name: _rows(result, all(map(tables.tier_of, results.values())))
           for name, result in results.items()}
  rows = []
  for i, row in enumerate(next(iter(parts.values()))):
    original, _, retrained, null = row.cells
    middle = (found[i].cells[1] for found in parts.values())
    rows.append(tables.Row(row.key, row.label, row.direction,
                           (original, *middle, retrained, null)))
  return tables.Table(
      'One request, several methods',
      ('original', *results, 'retrained', 'null'), tuple(rows),
      (_nearest(results), *(str(n) for n in first.get('notes') or ())))


def _rows(result, reference):
  rows = list(tables.summary_table(result).rows)
  if reference:
    rows += tables.reference_table(result, delta=False).rows
  return rows


def _nearest(results):
  """Who is how far from retrained: by tier 1's average gap if all have it."""
  what, metric, column = 'average gap', 'average_gap', 'unlearned'
  if not all(map(tables.tier_of, results.values())):
    what, metric, column = (
        'difference in attack AUC', tables.MAIN_ATTACK, 'delta')
  values = {name: tables.find_cell(result, metric, column).value
            for name, result in results.items()}
  known = {name: abs(value) for name, value in values.items()
           if value is not None}
  if len(known) < len(values):
    return (f'Nearest to retrained: {names.NOT_COMPUTED}, as no retrained '
            'model was evaluated.')
  listed = ', '.join(f'{name} {names.format_number(known[name])}'
                     for name in sorted(known, key=known.__getitem__))
  return f'Nearest to retrained first, by {what}: {listed}.'
