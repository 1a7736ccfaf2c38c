"""A table's result as Markdown, CSV and LaTeX files."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlfd_jax.evaluation import registry
from dlfd_jax.report import render
from experiments.paper import published, summary
from experiments.publish import programs

_COLUMNS = tuple((registry.short_label(name), name) for name in (
    'accuracy_test', 'accuracy_retain', 'accuracy_forget', 'mia_auc_matched',
    'forgetting_score', 'nomus'))
_HOW = (
    'Mean ± standard deviation over seeds of split, request and training; a '
    'single seed shows none. Distance: mean absolute difference to the '
    'retrained model of the same seed in test, retain and forget accuracy and '
    'attack AUC; lower is nearer. Attack AUC: class-matched, forget against '
    'test people, whom no model saw; above the retrained value = '
    'under-forgotten, below = over-forgotten. The null row is what the metrics '
    'would be if membership meant nothing. NoMUS: higher is better by the '
    "papers' rule, which is not nearer to retraining. Time: all steps, "
    'checks and the final choice (for rewinding: the evaluation of its '
    'candidates) at their median cost, measured in turns with a training step, '
    "over the retrained model's steps. DLFD - it: paired by seed, with the "
    "95 % interval of Student's t.")


@dataclasses.dataclass(frozen=True)
class Sheet:
  """One task's table as text cells."""

  task: str
  about: str  # what the numbers are of, one paragraph
  header: tuple[str, ...]  # column titles, the row's first
  rows: tuple[tuple[str, ...], ...]  # as long as the header
  notes: tuple[str, ...]  # sentences below


def sheets(result: dict[str, Any]) -> list[Sheet]:
  """One sheet per task: original, retrained, null, then the nearest first."""
  return [_sheet(task, cells, result)
          for task, cells in summary.tasks_of(result).items()]


def _sheet(task, cells, result):
  by = summary.rows_of(cells)
  gaps = summary.distances(cells)
  ranked = summary.ranked(cells)
  trained = [key for key in by if key[0] in summary.TRAINED]
  rest = [key for key in by if key not in trained and key not in ranked]
  found = result.get('tuned', {}).get(cells[0]['preset'], {})
  paper = published.beside(cells[0])
  columns = (*_COLUMNS, *summary.own_columns(result))
  header = ['method', 'distance', *(title for title, _ in columns),
            'time / retraining', 'epochs, K', 'trials', 'DLFD - it, distance',
            'DLFD - it, NoMUS']
  if paper:
    header += ['NoMUS, unbalanced', 'published test acc', 'published NoMUS']
  rows = []
  for key in [*trained, *ranked, *rest]:
    of_row = by[key]
    first = of_row[0]
    row = [summary.title_of(first), _text(gaps.get(key))]
    row += [_text(summary.spread(of_row, metric)) for _, metric in columns]
    row += [_share(of_row), _passes(first), _trials(first, found)]
    row += [_difference(cells, key, metric) for metric in ('distance', 'nomus')]
    if paper:
      numbers = paper.rows.get(key[0])
      row.append(_text(summary.spread(of_row, 'nomus_unbalanced')))
      row += [f'{n:.4f}' for n in numbers] if numbers else ['', '']
    rows.append(tuple(row))
  notes = summary.standing(cells)
  if paper:
    notes.append(f'Published: {paper.source}. One seed.')
  if found and found['task'] != task:
    notes.append(f'The settings were searched on {found["task"]}.')
  return Sheet(
      task, summary.about(cells), tuple(header), tuple(rows), tuple(notes))


def _difference(cells, key, metric):
  """Ours minus a row's, paired by seed, with its 95 % interval."""
  if key == summary.OURS or key[0] == summary.OURS[0]:
    return ''
  found = summary.paired(cells, summary.OURS, key, metric)
  if found is None:
    return ''
  if found.interval is None:
    return f'{found.mean:+.3f}'
  low, high = found.interval
  return f'{found.mean:+.3f} [{low:+.3f}, {high:+.3f}]'


def _text(spread):
  return spread.text() if spread else ''


def _share(rows):
  shares = [c['time_share'] for c in rows if c.get('time_share') is not None]
  return f'{statistics.fmean(shares):.2f}' if shares else ''


def _passes(cell):
  if 'epochs' not in cell:
    return ''
  return f'{cell["epochs"]}, {cell.get("perturb_steps") or 0}'


def _trials(cell, found):
  of = found.get('methods', {}).get(cell['model'])
  return str(of['trials']) if of else ''


def markdown(result: dict[str, Any], title: str) -> str:
  """The whole document."""
  lines = [
      f'# {title}', '', '\n'.join(summary.origin(result)) + '.', '', _HOW, '']
  for name, found in result.get('tuned', {}).items():
    most = found['trials']
    fewer = {n: of['trials'] for n, of in found['methods'].items()
             if of['trials'] < most}
    lines += [
        f'Settings of {name} by `{found["command"]}`: {most} trials for every '
        f'method on val, none begun after {found["cap_s"]:.0f} s of a method'
        + (': ' + ', '.join(f'{n} had {k}' for n, k in fewer.items())
           if fewer else '') + '.', '']
    for method, of in found['methods'].items():
      if 'command' in of:  # its budget is another
        lines += [f'{method} by `{of["command"]}`: {of["trials"]} trials, none '
                  f'begun after {of["cap_s"]:.0f} s.', '']
  for sheet in sheets(result):
    lines += [f'## {sheet.task}', '', sheet.about, '',
              *render.markdown_lines(sheet.header, sheet.rows)]
    lines += ['', *(f'- {note}' for note in sheet.notes), '']
  return '\n'.join(lines)


def to_csv(result: dict[str, Any]) -> str:
  """One line per task, seed, row and metric, with its interval."""
  lines: list[list[Any]] = [['task', 'seed', 'model', 'state', 'metric',
                             'value', 'low', 'high']]
  for cell in result['cells']:
    head = [cell['task'], cell['seed'], cell['model'], cell['state']]
    lines += [[*head, name, one['value'], one['low'], one['high']]
              for name, one in cell['metrics'].items()]
    if cell.get('time_share') is not None:
      lines.append([*head, 'time_share', cell['time_share'], None, None])
  for row in summary.of(result):
    head = [row['task'], 'all', row['model'], row['state']]
    lines += [[*head, f'{row["metric"]}/{name}', *(row[name] or {}).values()]
              for name in ('mean', 'dlfd_minus')]
  return render.csv_text(lines)


def latex(result: dict[str, Any]) -> str:
  """One ``tabular`` per task, for the ``booktabs`` package.

  What a caption has to say stands as comments.
  """
  return latex_of(result, _HOW, [
      ((sheet.task, sheet.about, *sheet.notes), (sheet.header, *sheet.rows))
      for sheet in sheets(result)])


def latex_of(result: Mapping[str, Any], how: str, tables: Iterable[
    tuple[Sequence[str], Sequence[Sequence[str]]]]) -> str:
  """Tables with their comments.

  Args:
    result: what its command made.
    how: what all tables have in common.
    tables: of each what a caption has to say, and its rows, the header first.
  """
  lines = ['% Needs \\usepackage{booktabs}.', f'% {result["command"]}',
           f'% {how}']
  for about, table in tables:
    header, *rows = ([render.escape_latex(text) for text in row]
                     for row in table)
    lines += [*(f'% {text}' for text in about),
              *render.latex_lines(header, rows), '']
  return '\n'.join(lines)


def write(out: pathlib.Path, result: dict[str, Any], title: str) -> None:
  """Prints the tables; writes ``out`` as .json, .md, .csv and .tex."""
  programs.write(out, {**result, 'summary': summary.of(result)},
                 markdown(result, title), csv=to_csv(result), tex=latex(result))
