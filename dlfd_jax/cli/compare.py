"""``compare``: finished evaluations of one request side by side."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs, screen
from dlfd_jax.pipeline import chain_checks, evaluation_result
from dlfd_jax.report import compare, names, plots, render, tables
from dlfd_jax.utils import files, places, runs, validate

STEM = 'comparison'
_ABOUT = """
Puts finished evaluations of one request into one table: one column for each
unlearned model between original and retrained. Data, split, request, original,
retrained models and settings, the tier among them, must be the same. The null
is that of the first evaluation.

Writes comparison.md, .csv and .tex, the trade-off plot comparison.svg and .png,
and result.json.

  dlfd compare --evaluations=runs/eval_dlfd,runs/eval_finetune \\
      --names=dlfd,finetune --workdir=runs/compare
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_unverified(values)
  flags.DEFINE_list(
      'evaluations', [], 'folders of finished evaluations', flag_values=values)
  flags.DEFINE_list(
      'names', [], "of the columns; default: the folders' own names",
      flag_values=values)
  flags.DEFINE_string(
      'workdir', None, 'where the files go', flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = pathlib.Path(command.required(values, 'workdir'))
  folders = _folders(command.required(values, 'evaluations'),
                     command.value(values, 'names'))
  results = {name: evaluation_result.load_evaluation(
      folder, allow_unverified=command.value(values, chain_checks.FLAG)).record
             for name, folder in folders.items()}
  compare.check_comparable({
      name: runs.read_config(folder, 'evaluation')
      for name, folder in folders.items()})
  lines = [f'{name}: {line}' for name, result in results.items()
           for line in tables.provenance(result)]
  table = compare.table(results)
  table = dataclasses.replace(table, notes=(*lines, *table.notes))
  points = plots.points_of(next(iter(results.values())), results)
  folder = runs.RunFolder(workdir, {
      'kind': 'comparison', 'evaluations': {
          name: files.sha256(found / runs.RESULT)
          for name, found in folders.items()}})
  found = {
      'kind': 'comparison', 'schema': 1, 'command': line,
      'versions': runs.versions(),
      places.KEY: places.HERE, 'evaluations': {
          name: places.stored(found, workdir)
          for name, found in folders.items()},
      'columns': list(table.columns), 'notes': list(table.notes),
      'rows': [{
          'metric': row.key, 'direction': row.direction,
          **{column: dataclasses.asdict(cell)
             for column, cell in zip(table.columns, row.cells)}}
               for row in table.rows]}
  beside: dict[str, str | bytes] = {
      f'{STEM}.{ending}': write(table) for ending, write in (
          ('md', render.to_markdown), ('csv', render.to_csv),
          ('tex', render.to_latex))}
  if points:
    beside |= {f'{STEM}.{ending}': plots.trade_off(points, format=ending)
               for ending in ('svg', 'png')}
  folder.write_result(found, beside)
  for line in lines:
    print(line)
  screen.console().print(render.to_rich(table))
  print(f'{workdir}/{STEM}.md')
  return {'workdir': str(workdir), **found}


def _folders(paths, given) -> dict[str, pathlib.Path]:
  """Folders by the name of their column."""
  if given and len(given) != len(paths):
    raise ValueError(f'Expected {len(paths)} --names, one for each evaluation, '
                     f'got {len(given)}.')
  titles = given or [pathlib.Path(path).resolve().name for path in paths]
  taken = sorted(set(titles) & {*names.MODELS, compare.null_column(titles)})
  if taken:
    raise ValueError(f'Expected --names other than {", ".join(names.MODELS)}, '
                     f'got {validate.listed(taken)}.')
  if len(set(titles)) < len(titles):
    raise ValueError('Expected --names that differ, got '
                     f'{validate.listed(titles)}.')
  validate.check_text('--names', titles)
  return dict(zip(titles, map(pathlib.Path, paths)))


COMMAND = command.Command('compare', _ABOUT, _define, _execute)
main = COMMAND.main
