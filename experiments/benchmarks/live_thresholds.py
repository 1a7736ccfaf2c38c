r"""What steers unlearning: the signed AUC, or the cross-validated accuracy.

  for seed in 0 1 2 3 4; do
    dlfd demo --seed=$seed --workdir=../runs/demo_seeds/$seed
  done
  python -m experiments.benchmarks.live_thresholds \
      --demos=../runs/demo_seeds --workdir=../runs/live_thresholds \
      --out=docs/results/live_thresholds

DLFD on the originals of the demo, with four thresholds for the end of its
distance phase and for its choice of a state: mean and 95 % point of the null of
2 |AUC - .5|, as today, and those of the forgetting score of one k-fold attack,
as until lately, which a number as threshold still means.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from scipy import special

from dlfd_jax import presets
from dlfd_jax.cli import command, inputs
from dlfd_jax.data import sources, split_files, splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, run
from dlfd_jax.methods import live
from dlfd_jax.metrics import attack, per_example
from dlfd_jax.pipeline import job, predictors as predictors_lib, unlearn
from dlfd_jax.report import render
from experiments.publish import programs

RETRAINED = ('retrained', 'retrained_1', 'retrained_2')
_DRAWS, _FOLDINGS = 400, 20
BY_AUC, BY_SCORE = 'signed AUC', 'cross-validated accuracy'
_METRICS = ('mia_auc_matched', 'accuracy_forget', 'accuracy_test')


def null_of_score(members: int, others: int) -> tuple[float, float]:
  """Mean and 95 % point of a k-fold attack's score if nothing is there.

  Of normal scores whose sides are permuted.
  """
  n = members + others
  pool = special.ndtri((np.arange(n) + 0.5) / n)
  rng = np.random.default_rng(0)
  found = []
  for seed in range(_DRAWS):
    pool = rng.permutation(pool)
    found.append(2 * abs(attack.balanced_accuracy(
        pool[:members], pool[members:], draws=1, seed=seed) - .5))
  return float(np.mean(found)), float(np.quantile(found, .95))


def phases(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """When the distance phase ended for good, and how often phases changed.

  Args:
    history: of the checks of a run, in their order.

  Returns:
    ``last_distance``: the last step at which distance went on, None if never;
    ``changes`` of the phase; ``checks``.
  """
  told = [(check['step'], check['next_phase']) for check in history
          if check.get('next_phase')]
  names = [name for _, name in told]
  steps = [step for step, name in told if name == 'distance']
  return {
      'last_distance': steps[-1] if steps else None,
      'changes': sum(a != b for a, b in zip(names, names[1:])),
      'checks': len(history)}


def spread_of_foldings(members: np.ndarray, others: np.ndarray
                       ) -> dict[str, float]:
  """Forgetting scores of one model over seeds of its folds, beside its AUC.

  Args:
    members: scores ``[n]``, higher = more member-like.
    others: scores ``[m]``.
  """
  found = [2 * abs(attack.balanced_accuracy(
      members, others, draws=1, seed=seed) - .5) for seed in range(_FOLDINGS)]
  return {'lowest': min(found), 'highest': max(found),
          'auc': 2 * abs(attack.auc(members, others) - .5)}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = pathlib.Path(command.required(values, 'workdir'))
  demos = pathlib.Path(command.required(values, 'demos'))
  common = inputs.run_options(values)
  cells, foldings = [], []
  for seed in range(command.value(values, 'seeds')):
    of_seed, spread = _of_seed(seed, demos / str(seed), root / str(seed),
                               command.value(values, 'bootstrap'), common)
    cells += of_seed
    foldings += spread
    jax.clear_caches()  # compiled programs hold memory maps, which run out
  return {'seeds': command.value(values, 'seeds'), 'cells': cells,
          'foldings': foldings}


def _of_seed(seed: int, demo: pathlib.Path, root: pathlib.Path, bootstrap: int,
             common: Mapping[str, Any]
             ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
  dataset = sources.load(presets.demo_data(seed))
  splits = split_files.load_splits(demo / 'unlearned' / 'splits.npz', dataset)
  assert isinstance(splits, splits_lib.Splits)
  original = job.judged(demo / 'original')
  predictors = predictors_lib.Predictors(dataset, common['devices'])

  def logits(of_run):
    return predictors.logits(job.judged(of_run).saved, splits.parts)

  known = {'original': logits(original),
           'retrained': [logits(demo / name) for name in RETRAINED]}
  cells = []
  unlearned = {}
  sizes = None
  for by, point, name in ((BY_AUC, '95 % point', 'null_95'),
                          (BY_AUC, 'mean', 'null_mean'),
                          (BY_SCORE, '95 % point', 1), (BY_SCORE, 'mean', 0)):
    value = name
    if isinstance(name, int):
      assert sizes is not None
      value = null_of_score(*sizes)[name]
    config = dataclasses.replace(
        presets.PRESETS['demo'].methods['dlfd'], forget_threshold=value,
        select_threshold=value)
    done = unlearn.unlearn(
        original.saved, config, splits, dataset, seed=seed,
        original_path=str(demo / 'original'),
        workdir=root / f'{by.replace(" ", "_")}-{point.split()[0]}', **common)
    sizes = sizes or tuple(done.findings['attack_sizes'])
    unlearned[by, point] = logits(done)
    found = run.evaluate(
        {**known, 'unlearned': unlearned[by, point]}, dataset, splits,
        inputs_lib.EvaluationConfig(
            bootstrap=bootstrap, permutations=20, draws=1))
    of = {record['metric']: record for record in found['metrics']
          if record['metric'] in _METRICS}
    cells.append({
        'seed': seed, 'by': by, 'point': point,
        'threshold': done.findings['forget_threshold'], 'sizes': sizes,
        'steps': done.record['steps'], 'selected_step': done.selected_step,
        'reason': done.reason, **phases(done.history),
        'metrics': {metric: {
            key: of[metric][key]['value'] for key in (
                'original', 'unlearned', 'retrained', 'delta')}
                    for metric in _METRICS}})
  rule = live.choose_rule(
      dataset, splits, seed=seed,
      limit=presets.PRESETS['demo'].methods['dlfd'].inner.live_limit)
  places = {name: {row: i for i, row in enumerate(splits.parts[name])}
            for name in ('forget', 'val')}

  def scores(of_model, split, rows):
    at = [places[split][row] for row in rows]
    return -per_example.loss(
        dataset.task, of_model[split][at], dataset.labels[rows])

  spreads = [{'seed': seed, 'model': name, **spread_of_foldings(
      scores(of_model, 'forget', rule.forget),
      scores(of_model, 'val', rule.val))} for name, of_model in (
          ('original', known['original']),
          ('unlearned', unlearned[BY_AUC, '95 % point']),
          ('retrained', known['retrained'][0]))]
  return cells, spreads


def _mean(values: Sequence[float], signed: bool = False) -> str:
  """Mean and standard deviation."""
  plus = '+' if signed else ''
  spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
  return f'{np.mean(values):{plus}.3f} ± {spread:.3f}'


def by_rule(cells: Sequence[Mapping[str, Any]]
            ) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
  """The cells of each rule."""
  found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
  for cell in cells:
    found.setdefault((cell['by'], cell['point']), []).append(cell)
  return found


def sentences(result: Mapping[str, Any]) -> list[str]:
  """What the tables say, in words."""
  rules = by_rule(result['cells'])

  def away(rule):
    return float(np.mean([abs(cell['metrics']['mia_auc_matched']['delta'])
                          for cell in rules[rule]]))

  found = []
  for point in ('95 % point', 'mean'):
    new, old = away((BY_AUC, point)), away((BY_SCORE, point))
    found.append(
        f'Threshold at the {point}: the attack AUC of the chosen state lies '
        f'{new:.3f} from that of the retrained models with the {BY_AUC} and '
        f'{old:.3f} with the {BY_SCORE}, means over {result["seeds"]} seeds; '
        + ('the first is nearer.' if new < old else
           'the second is nearer.' if old < new else 'they are equal.'))
  widest = max(result['foldings'],
               key=lambda of: of['highest'] - of['lowest'])
  found.append(
      'By its folds alone the forgetting score of one model moved between '
      f'{widest["lowest"]:.3f} and {widest["highest"]:.3f} '
      f'({widest["model"]}, seed {widest["seed"]}), where 2 |AUC - .5| is one '
      f'number, {widest["auc"]:.3f}.')
  return found


def markdown(result: Mapping[str, Any]) -> str:
  """The table of the rules, and of one model read many times."""
  rows = []
  for (by, point), cells in by_rule(result['cells']).items():
    def of(metric, key, cells=cells):
      return [cell['metrics'][metric][key] for cell in cells]

    def steps(name, cells=cells):
      return ', '.join('-' if cell[name] is None else str(cell[name])
                       for cell in cells)

    rows.append([
        f'{by}, {point}', _mean([cell['threshold'] for cell in cells]),
        steps('last_distance'), steps('changes'), steps('selected_step'),
        *(_mean(of(metric, 'delta'), signed=True) for metric in _METRICS)])
  spread = [[str(of['seed']), of['model'],
             f'{of["lowest"]:.3f} to {of["highest"]:.3f}', f'{of["auc"]:.3f}']
            for of in result['foldings']]
  steps = {cell['steps'] for cell in result['cells']}
  return '\n'.join([
      '# Live thresholds', '',
      f'DLFD on the demo, {result["seeds"]} seeds of all that it draws, '
      f'{" or ".join(map(str, sorted(steps)))} steps each. The threshold ends '
      'the distance phase and decides which states may be chosen. Steps are '
      'listed by seed; the last columns are differences to the mean of three '
      'retrained models, mean ± standard deviation over seeds, of the chosen '
      'state.', '',
      *render.markdown_lines(
          ['threshold on', 'its value', 'last distance step',
           'changes of phase', 'chosen step', 'attack AUC, class-matched',
           'forget acc', 'test acc'], rows), '',
      f'One model, its forgetting score by {_FOLDINGS} draws of the folds:', '',
      *render.markdown_lines(
          ['seed', 'model', 'forgetting score', '2 |AUC - .5|'], spread), '',
      *(f'- {line}' for line in sentences(result)), '',
      programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.live_thresholds', __doc__, {
        'demos': (None, 'folder of the demo runs, a folder for each seed'),
        'seeds': (5, 'how many of them', 1),
        'bootstrap': (200, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
