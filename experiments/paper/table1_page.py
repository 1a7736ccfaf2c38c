"""Table 1 as Markdown, CSV and LaTeX."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dlfd_jax.report import render
from experiments.paper import (
  comparison,
  formats,
  published,
  study,
  summary,
)

TITLE = 'Table 1: methods beside retraining'
# Title of a column, its number, and whether it has a bound of its own.
_NUMBERS = (
    ('passes', 'passes'), ('s / retraining', 'time_share'),
    ('retain', 'accuracy_retain'), ('forget', 'accuracy_forget'),
    ('test', 'accuracy_test'), ('AUC', 'mia_auc_matched'), ('gap', 'gap'),
    ('LiRA', 'lira_auc'), ('two-sided', 'lira_auc_two_sided'),
    ('person', 'lira_auc_person'))
_TIED = ' ='  # after the gap of a method that the references do not tell apart
_HOW = (
    'Mean over seeds of split, request, original and references, ± half of its '
    "95 % interval (Student's t); one seed shows none. Passes: images that "
    'steps read, over those of retain; a step that reads as many forget images '
    'counts twice, passes for an input gradient or before the first step do '
    'not count. Seconds are those of the processor, at the median cost of a '
    'step, which is timed once for all seeds, with checks, selection and all '
    "stages, without compiling or the search, over those of retraining's "
    'steps: their ± is that of the number of steps alone. AUC: of the losses, '
    'forget against test, class-matched. Gap: mean absolute difference to the '
    'mean of the references in test, retain and forget accuracy and AUC. LiRA: '
    "AUC of margins in standard deviations of the references', forget against "
    'test; two-sided by their size; person by the mean over a person. What a '
    'method should have is the row of the retrained models, each beside the '
    'others. '
    '"=" after a gap: at most that of nine in ten references left out, a tie '
    'with retraining by this number alone: attacks and verdicts beside it may '
    'still tell it apart. Forgetting: the verdicts of `dlfd evaluate` at tier '
    '2 by answers alone, one a seed.')

_BLIND = (
    '**The gap sees nothing here**: that of the original, which has forgotten '
    'nobody, is at most that of nine in ten references left out. A small gap '
    'is no sign of forgetting, and no method is called tied with retraining.')


@dataclasses.dataclass(frozen=True)
class Sheet:
  """One table of text cells."""

  title: str
  before: tuple[str, ...]  # paragraphs
  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  after: tuple[str, ...] = ()  # sentences of a list


Numbers = Sequence[tuple[str, str]]


def _numbers_of(result: dict[str, Any]) -> Numbers:
  """The columns of numbers, those of own metrics last."""
  return (*_NUMBERS, *summary.own_columns(result))


def header_of(numbers: Numbers = _NUMBERS) -> tuple[str, ...]:
  """The titles of all columns."""
  return ('method', *(title for title, _ in numbers), 'forgetting', 'trials')


def sheets(result: dict[str, Any]) -> list[Sheet]:
  """All tables of a result, those of a task one after the other."""
  found, numbers = [], _numbers_of(result)
  for task, cells in summary.tasks_of(result).items():
    search = result['searches'].get(task, {})
    by = comparison.groups(cells)
    trials = {label: str(of['trials']) for label, of in search.items()}
    lack = comparison.missing(
        result['plan'], cells, [
            study.label_of(name) for name in result['plan']['methods']])
    about = [summary.about(cells), _references(
        cells, result['plan'], search)]
    paper = published.beside(cells[0])
    if paper is not None:
      about.append(f'Published: {paper.source}. One seed.')
    if not comparison.sees(cells):
      about.insert(0, _BLIND)
    if lack:
      about.insert(0, f'**Partial**: {"; ".join(lack)}.')
    main = {name: _row(name, of, cells, trials, numbers)
            for name, of in {**by.trained, **by.full}.items()}
    header, rows = _beside_papers(cells, main, numbers)
    point = _point_row(cells, numbers)
    rows.insert(
        len(by.trained), (*point, *[''] * (len(header) - len(point))))
    found.append(Sheet(task, tuple(about), header, tuple(rows),
                       tuple(standing(by, cells))))
    if by.screened:
      found.append(Sheet(
          f'{task}: screened on one seed',
          ('Not among the best on val, nor of the paper.',), header_of(numbers),
          tuple(
              _row(name, of, cells, trials, numbers)
              for name, of in by.screened.items())))
    found += _rules(task, by, cells, trials, numbers)
    aims = comparison.aims(cells)
    if aims:
      found.append(Sheet(f'{task}: aims of DLFD + restore', (),
                         ('aim', 'found', '95 % interval', ''),
                         tuple(_aim(aim) for aim in aims)))
  return found


def _beside_papers(cells, rows, numbers):
  """Header and rows, on a paper's task with its numbers beside ours."""
  paper = published.beside(cells[0])
  if paper is None:
    return header_of(numbers), list(rows.values())
  nomus = {name: comparison.spread(of, 'nomus_unbalanced')
           for name, of in summary.by_model(cells).items()}
  return (*header_of(numbers), 'NoMUS, unbalanced', 'published test acc',
          'published NoMUS'), [
              (*row, '' if nomus[name] is None else _text(nomus[name], 3),
               *(f'{n:.4f}' for n in paper.rows.get(name, ())),
               *[''] * (0 if name in paper.rows else 2))
              for name, row in rows.items()]


def _holds_teacher(space):
  return 'restore.weight' in space and not any(
      path.startswith('method.') for path in space)


def _references(cells, plan, searches):
  left_out = comparison.left_out(cells)
  by = comparison.groups(cells)
  seeds = len(by.trained[comparison.RETRAINED])
  search = (f'Settings: at most {plan["trials"]} trials a method on seed 0, '
            f'none begun after {plan["cap_s"]:g} s of the processor.')
  if any(_holds_teacher(of.get('space', ())) for of in searches.values()):
    search += (' Of a method that is restored they search the restoring alone: '
               'its teacher has the settings of the start.')
  scores = [score for cell in by.trained[comparison.RETRAINED]
            for score in cell.get('scores', ())]
  if scores:
    search += (' The objective on retain and val is at most 1; the references '
               f'have {min(scores):.2f} to {max(scores):.2f}.')
  return (f'{plan["references"]} retrained models of each of '
          f'{seeds} seed{"s" * (seeds > 1)}: {len(left_out)} references left '
          f'out in turn. {search}')


def _row(name: str, cells: Sequence[summary.Cell],
         of_task: Sequence[summary.Cell], trials: dict[str, str],
         numbers: Numbers) -> tuple[str, ...]:
  texts = []
  for _, key in numbers:
    found = comparison.spread(cells, key)
    text = '' if found is None else _text(found, 1 if key == 'passes' else 3)
    if key == 'gap' and comparison.tied(cells, of_task) and (
        name != comparison.RETRAINED):
      text += _TIED
    texts.append(text)
  verdicts = [cell['verdicts'].get('forgetting', '') for cell in cells]
  counts = {verdict: verdicts.count(verdict)
            for verdict in dict.fromkeys(verdicts) if verdict}
  return (cells[0]['title'], *texts, ', '.join(
      verdict if len(cells) == 1 else f'{n} {verdict}'
      for verdict, n in counts.items()), trials.get(name, ''))


def _text(found: summary.Spread, digits: int) -> str:
  text = f'{found.mean:z.{digits}f}'
  if found.interval is None:
    return text
  return f'{text} ± {found.interval[1] - found.mean:.{digits}f}'


def _point_row(cells, numbers):
  """The 90 % point of every number that has one: of gap and attacks."""
  values = {key: comparison.left_out(cells, key) for _, key in numbers}
  return ('retrained, left out: 90 % point', *(
      f'{comparison.quantile(of):.3f}'
      if of and (key == 'gap' or key.startswith(('lira', 'mia'))) else ''
      for key, of in values.items()), '', '')


def _rules(task, by, cells, trials, numbers):
  if not by.rules:
    return []
  rows = []
  for name, of in by.rules.items():
    label = name.rpartition('-')[0]
    pair = {label: {**by.full, **by.screened}.get(label, []), name: of}
    seeds = set.intersection(*({c['seed'] for c in one}
                               for one in pair.values()))
    rows += [_row(key, [c for c in one if c['seed'] in seeds], cells, trials,
                  numbers)
             for key, one in pair.items() if seeds]
  return [Sheet(
      f'{task}: both rules of selection',
      ('The same runs and settings; what is returned is the latest state '
       'within a standard error of the best val accuracy (`one_se`), or the '
       'most accurate one (`best`).',), header_of(numbers), tuple(rows))]


def _aim(aim: comparison.Aim) -> tuple[str, ...]:
  def text(number):
    return '' if number is None else f'{number:z.3f}'

  between = f'{text(aim.low)} to {text(aim.high)}' if text(aim.low) else ''
  return aim.text, text(aim.found), between, aim.verdict


def standing(by: comparison.Groups,
             cells: Sequence[summary.Cell]) -> list[str]:
  """Who is nearest, who is tied with retraining, and where DLFD stands."""
  if not by.full:
    return []
  titles = {name: of[0]['title'] for name, of in by.full.items()}
  names = list(by.full)
  tied = [titles[name] for name in names
          if comparison.tied(by.full[name], cells)]
  lines = [f'Smallest gap: {titles[names[0]]}. Tied with retraining: '
           f'{", ".join(tied) or "none"}.', *_order(by, titles)]
  for name in ('dlfd', comparison.MINE):
    if name in names:
      lines.append(f'{titles[name]} is number {names.index(name) + 1} of '
                   f'{len(names)} by gap.')
  return lines


def _order(by, titles):
  """From whom the seeds can tell the smallest gap."""
  first, *others = by.full
  if not others:
    return []
  found = {name: comparison.larger(by.full[name], by.full[first])
           for name in others}
  if None in found.values():
    return [summary.ONE_SEED]
  apart, open_ = ([titles[name] for name in others if found[name] is told]
                  for told in (True, False))
  return ['Its gap is smaller by more than seeds vary than that of: '
          f'{", ".join(apart) or "none"}. Not told from it: '
          f'{", ".join(open_) or "none"}. (95 % intervals of differences '
          'paired by seed, not corrected for their number.)']


def markdown(result: dict[str, Any]) -> str:
  """The whole document."""
  lines = [f'# {TITLE}', '', '\n'.join(summary.origin(result)) + '.', '', _HOW,
           '']
  for sheet in sheets(result):
    lines += [f'## {sheet.title}', '']
    for paragraph in sheet.before:
      lines += [paragraph, '']
    lines += [*render.markdown_lines(sheet.header, sheet.rows), '']
    lines += [*(f'- {line}' for line in sheet.after), *[''] * bool(sheet.after)]
  return '\n'.join(lines)


def to_csv(result: dict[str, Any]) -> str:
  """A line for every number of every cell, then those over seeds."""
  lines: list[list[Any]] = [['task', 'seed', 'model', 'metric', 'value', 'low',
                             'high']]
  for task, cells in summary.tasks_of(result).items():
    for cell in cells:
      head = [task, cell['seed'], cell['model']]
      lines += [[*head, name, one['value'], one['low'], one['high']]
                for name, one in cell['metrics'].items()]
      lines += [[*head, name, cell[name], None, None]
                for name in ('passes', 'time_share')
                if cell.get(name) is not None]
    by = comparison.groups(cells)
    for name, of in {**by.trained, **by.full, **by.screened,
                     **by.rules}.items():
      for _, key in _numbers_of(result):
        found = comparison.spread(of, key)
        if found is not None:
          lines.append([task, 'all', name, key, found.mean,
                        *(found.interval or (None, None))])
  return render.csv_text(lines)


def latex(result: dict[str, Any]) -> str:
  """One ``tabular`` per table, for the ``booktabs`` package.

  What a caption has to say, seeds, trials and meanings, stands as comments.
  """
  return formats.latex_of(result, _HOW, [
      ((sheet.title, *sheet.before, *sheet.after),
       [[text.replace('`', '') for text in row]
        for row in (sheet.header, *sheet.rows)])
      for sheet in sheets(result)])
