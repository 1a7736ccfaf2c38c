"""Table and plot of ``paper.faces``: reads results, runs nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from dlfd_jax.evaluation import registry
from dlfd_jax.report import drawing, render
from experiments.paper import summary

Cell = dict[str, Any]
_COLUMNS = tuple((registry.short_label(name), name) for name in (
    'accuracy_test', 'accuracy_forget', 'mia_auc_matched', 'forgetting_score',
    'nomus', 'nomus_unbalanced'))
_LONG_TRAINING = 100  # epochs of the paper's recipe


def _value(cell, metric):
  return cell['metrics'][metric]['value']


def can_tell(cells: Sequence[Cell], seed: int) -> bool:
  """Whether the original lies outside the retrained model's AUC interval."""
  by = {summary.key_of(c)[0]: c for c in cells if c['seed'] == seed}
  interval = by['retrained']['metrics']['mia_auc_matched']
  return not interval['low'] <= _value(by['original'], 'mia_auc_matched') <= (
      interval['high'])


def goals(cells: Sequence[Cell], seed: int) -> dict[str, bool]:
  """The four aims for DLFD's selected state on one seed."""
  by = {summary.key_of(c): c for c in cells if c['seed'] == seed}
  ours = by['dlfd', 'model']
  original = by['original', 'model']
  interval = by['retrained', 'model']['metrics']['mia_auc_matched']
  nomus = _value(ours, 'nomus')
  return {
      'AUC in the retrained interval': interval['low'] <= _value(
          ours, 'mia_auc_matched') <= interval['high'],
      'test accuracy within 1 point of the original or above': _value(
          ours, 'accuracy_test') >= _value(original, 'accuracy_test') - 0.01,
      'NoMUS above fine-tuning': nomus > _value(
          by['finetune', 'model'], 'nomus'),
      'NoMUS above official_compat': nomus > _value(
          by['official_compat', 'model'], 'nomus'),
  }


def markdown(result: dict[str, Any]) -> str:
  """Tables of all tasks with the aims below each."""
  lines = [
      '# Real faces: three tasks, seeds side by side', '',
      '\n'.join(summary.origin(result))
      + '; mean ± standard deviation over seeds of split and training. Attack '
      'AUC: class-matched, against people the model never saw; higher means '
      "more leakage, the aim is the retrained model's value. NoMUS: higher is "
      "better by the papers' rule. A time is that of all steps and checks at "
      'their median cost, measured in turns, without compilation.', '']
  for task, cells in summary.tasks_of(result).items():
    lines += _task_lines(task, cells)
  return '\n'.join(lines)


def _task_lines(task, cells):
  seeds = sorted({cell['seed'] for cell in cells})
  table = []
  for rows in summary.rows_of(cells).values():
    cost = ''
    if 'epochs' in rows[0]:
      cost = f'{rows[0]["epochs"]}, {rows[0]["perturb_steps"] or 0}'
    table.append([summary.title_of(rows[0]), *(
        summary.Spread(tuple(_value(c, metric) for c in rows)).text()
        for _, metric in _COLUMNS), *_times(rows), cost])
  return [
      f'## {task}', '', summary.about(cells), '', *render.markdown_lines(
          ['model', *(title for title, _ in _COLUMNS), 'time / retraining',
           'of 100 epochs', 'epochs, K'], table),
      '', *_per_seed(cells, seeds), '']


def _times(rows):
  """Mean time over retraining, and over a training of 100 epochs."""
  if any('time_share' not in cell for cell in rows):
    return '', ''
  share = statistics.fmean(cell['time_share'] for cell in rows)
  of_long = share * rows[0]['train_epochs'] / _LONG_TRAINING
  return f'{share:.2f}', f'{of_long:.3f}'


def _per_seed(cells, seeds):
  rows = []
  for seed in seeds:
    by = {summary.key_of(c): c for c in cells if c['seed'] == seed}
    aucs = []
    for name in ('original', 'retrained', 'dlfd'):
      cell = by[name, 'model']['metrics']['mia_auc_matched']
      aucs.append(f'{cell["value"]:.3f} [{cell["low"]:.3f}, '
                  f'{cell["high"]:.3f}]')
    change = _value(by['dlfd', 'model'], 'accuracy_test') - _value(
        by['original', 'model'], 'accuracy_test')
    met = goals(cells, seed)
    words = f'{sum(met.values())} of {len(met)}'
    missed = [name for name, ok in met.items() if not ok]
    if missed:
      words += f'; not: {", ".join(missed)}'
    if not can_tell(cells, seed):
      words = ('this sample cannot tell: the original lies inside the '
               f'retrained interval ({words})')
    rows.append([str(seed), *aucs, f'{change:+.3f}', words])
  return render.markdown_lines(
      ['seed', 'original AUC', 'retrained AUC', 'DLFD AUC',
       'DLFD test acc - original', 'aims met'], rows, 'lrrrrl')


_MARKS = {'original': 'X', 'retrained': '*', 'finetune': 's',
          'finetune_alike': 'D', 'dlfd': 'o', 'official_compat': '^'}
_INKS = {'original': '#000000', 'retrained': '#009E73', 'finetune': '#E69F00',
         'finetune_alike': '#D55E00', 'dlfd': '#0072B2',
         'official_compat': '#CC79A7'}


def plot(result: dict[str, Any]) -> bytes:
  """Test accuracy against attack AUC, one panel a task, one mark a seed."""
  found = summary.tasks_of(result)
  with drawing.new_figure(
      4.2 * len(found), 4.0, 'Test accuracy against attack AUC: a mark a '
      'seed; bars: 95 % interval of the AUC') as figure:
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for axis, (task, cells) in zip(axes, found.items(), strict=True):
      _panel(axis, cells)
      axis.set_title(task)
      axis.set_xlabel('attack AUC on forget against test (0.5 = a guess)')
    axes[0].set_ylabel('test accuracy')
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc='outside lower center', ncols=2 * len(found))
    return drawing.to_bytes(figure, 'png')


def _panel(axis, cells):
  for (name, state), rows in summary.rows_of(cells).items():
    if name not in _MARKS:
      continue
    auc = [c['metrics']['mia_auc_matched'] for c in rows]
    x, y = [a['value'] for a in auc], [_value(c, 'accuracy_test') for c in rows]
    faint = state == 'last'
    axis.errorbar(
        x, y, fmt=_MARKS[name], color=_INKS[name], linewidth=0.8,
        xerr=[[a['value'] - a['low'] for a in auc],
              [a['high'] - a['value'] for a in auc]],
        markerfacecolor='none' if faint else _INKS[name],
        alpha=0.55 if faint else 1.0, label=summary.title_of(rows[0]))
  axis.axvline(0.5, color='#999999', linewidth=0.8, linestyle=':')
