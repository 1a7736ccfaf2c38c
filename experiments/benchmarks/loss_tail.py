r"""Does a figure of the losses' tail rank models as attacks with references do?

  python -m experiments.benchmarks.loss_tail --out=docs/results/loss_tail \
      --worlds=../runs/judged/fgnet_age-image_size_32-width_8/0,../runs/planted

"The Tail Tells All" (Dodd et al. 2025, arXiv:2510.19773) predicts how well the
strongest attack does from the losses of one model: training empties the tail of
high losses, so that many losses of unseen images lie above nearly all those of
members. The figure is the true-negative rate of the loss attack at a small
false-negative rate: members are the images to forget, unseen ones are test.

A world is a folder of `judged` or `planted`: `original`, `references/000` ...
and the models to judge. Its first eight references are the retrained models;
each of them is also judged by the other ones. The rule, fixed beforehand: the
figure becomes a metric of tier 0 if its rank correlation with RMIA's AUC is at
least .8 on average over the worlds, and no lower than that of the attack that
tier 0 has (class-matched AUC of the losses).
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats
from absl import flags

from dlfd_jax import parallel
from dlfd_jax.cli import command, inputs
from dlfd_jax.data import sources, split_files, splits as splits_lib
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.evaluation import inputs as inputs_lib, registry
from dlfd_jax.metrics import attack
from dlfd_jax.pipeline import job, predictors as predictors_lib, run_configs
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.benchmarks import planted
from experiments.publish import programs

REFERENCES = 8
LEAST = .8
RATES = (.01, .05)
TIER_0 = (*(f'loss tail, {rate:g}' for rate in RATES), registry.MAIN_ATTACK,
          'ks_loss')
TIER_2 = ('rmia_auc', 'lira_auc', 'lira_tpr_at_fpr_0.01', 'reference_attack')
MAIN_TIER_2 = TIER_2[0]
_SPLITS = ('forget', 'val', 'test')
_CONFIG = inputs_lib.EvaluationConfig(bootstrap=20)
Logits = Mapping[str, np.ndarray]


def loss_tail(members: np.ndarray, unseen: np.ndarray, rate: float) -> float:
  """Share of unseen losses above all but a share of the members' losses.

  Args:
    members: losses ``[n]``.
    unseen: losses ``[m]``.
    rate: of members that may lie above, the false-negative rate.

  Returns:
    In [0, 1]; about ``rate`` where both have one law.
  """
  return attack.tpr_at_fpr(unseen, members, rate)


def figures(logits: Logits, others: Sequence[Logits], dataset: Dataset,
            splits: splits_lib.Splits) -> dict[str, float]:
  """Those of tier 0 and tier 2 of a model, by name.

  Args:
    logits: of the model on forget, val and test.
    others: of retrained models.
    dataset: the images.
    splits: their parts.
  """
  given = inputs_lib.prepare(
      {'unlearned': logits, 'retrained': others}, dataset, splits, _CONFIG)
  model = given.unlearned
  assert model is not None
  found = {name: loss_tail(model.losses['forget'], model.losses['test'], rate)
           for name, rate in zip(TIER_0, RATES)}
  for name in (*TIER_0[len(RATES):], *TIER_2):
    metric = registry.find(name)
    assert metric is not None
    slot = (given.retrained,) if metric.form == registry.SLOT else ()
    found[name] = metric.value(given, model, *slot).value
  return found


def correlations(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
  """Spearman's and Kendall's of each figure of tier 0 with each of tier 2.

  None where a figure is the same for all models.
  """
  found: dict[str, Any] = {}
  for first in TIER_0:
    for second in TIER_2:
      pair = np.array([[one[name] for one in models]
                       for name in (first, second)], np.float64)
      constant = (np.ptp(pair, axis=1) == 0).any()
      found.setdefault(first, {})[second] = None if constant else {
          'spearman': float(scipy.stats.spearmanr(*pair).statistic),
          'kendall': float(scipy.stats.kendalltau(*pair).statistic)}
  return found


def measure(folder: pathlib.Path, devices: parallel.Devices) -> dict[str, Any]:
  """The figures of all models of a world, and how they correlate."""
  options = run_configs.recipe_of(folder / 'original')[0]
  # Worlds whose runs name no data were drawn in memory.
  dataset = sources.load(options or planted.DATA)
  made = sorted(path for path in (folder / 'references').glob('[0-9]*'))
  splits = split_files.load_splits(made[0] / runs.SPLITS, dataset)
  assert isinstance(splits, splits_lib.Splits)
  retrained, more = made[:REFERENCES], made[REFERENCES:]
  judged = [*more, *sorted(
      path.parent for pattern in ('*', '*/*')
      for path in folder.glob(f'{pattern}/{runs.RESULT}')
      if path.parent.parent.name != 'references'
      and runs.read_json(path).get('kind') in ('train', 'unlearn'))]
  predictors = predictors_lib.Predictors(dataset, devices)
  parts = {name: splits.parts[name] for name in _SPLITS}
  logits = {path: predictors.logits(job.judged(path).saved, parts)
            for path in (*retrained, *judged)}
  models = [{
      'name': path.relative_to(folder).as_posix(),
      'left_out': path in retrained,
      **figures(logits[path], [
          logits[other] for other in retrained if other != path],
                dataset, splits)} for path in (*judged, *retrained)]
  return {'world': folder.parent.name if folder.name.isdigit() else folder.name,
          'forget': len(splits.forget), 'test': len(splits.test),
          'models': models, 'correlations': correlations(models),
          'without_left_out': correlations(
              [one for one in models if not one['left_out']])}


def mean_spearman(result: Mapping[str, Any], figure: str) -> float:
  """Of a figure with RMIA's AUC over the worlds; 0 where there is none."""
  return float(np.mean([
      (world['correlations'][figure][MAIN_TIER_2] or {'spearman': 0.0})[
          'spearman'] for world in result['worlds']]))


def kept(result: Mapping[str, Any]) -> list[str]:
  """The figures of the tail that the rule keeps."""
  least = max(LEAST, mean_spearman(result, registry.MAIN_ATTACK))
  return [name for name in TIER_0[:len(RATES)]
          if mean_spearman(result, name) >= least]


def _label(name: str) -> str:
  return registry.label(name) if registry.find(name) else name.capitalize()


def markdown(result: dict[str, Any]) -> str:
  """The verdict, and of each world the correlations and the models."""
  means = ', '.join(f'{_label(name)} {mean_spearman(result, name):.2f}'
                    for name in TIER_0)
  found = kept(result)
  lines = [
      '# Loss tail', '',
      'The share of unseen losses above all but 1 % or 5 % of the losses of '
      'forget (arXiv:2510.19773), which needs neither references nor a second '
      'model, beside the attacks of tier 2.', '',
      f'Spearman correlation with RMIA AUC, mean over {len(result["worlds"])} '
      f'worlds: {means}.', '',
      f'Kept as a metric of tier 0, by the rule in the program: '
      f'{", ".join(map(_label, found)) if found else "no"}.']
  for world in result['worlds']:
    left_out = sum(one['left_out'] for one in world['models'])
    lines += ['', f'## {world["world"]}', '',
              f'{len(world["models"])} models, {left_out} of them references '
              f'judged by the other ones; {world["forget"]} images of forget, '
              f'{world["test"]} of test. Spearman / Kendall; in brackets '
              'without those.', '']
    rows = [[_label(first), *(
        f'{_pair(world["correlations"][first][second])} '
        f'({_pair(world["without_left_out"][first][second])})'
        for second in TIER_2)] for first in TIER_0]
    lines += render.markdown_lines(
        ['', *map(_label, TIER_2)], rows, 'l' + 'r' * len(TIER_2))
    lines += ['', *render.markdown_lines(
        ['model', *map(_label, (*TIER_0, *TIER_2))],
        [[one['name'], *(f'{one[name]:.3f}' for name in (*TIER_0, *TIER_2))]
         for one in world['models']], 'l' + 'r' * len((*TIER_0, *TIER_2)))]
  return '\n'.join([*lines, '', programs.made_by(result), ''])


def _pair(found: Mapping[str, float] | None) -> str:
  if found is None:
    return '-'
  return f'{found["spearman"]:.2f} / {found["kendall"]:.2f}'


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  devices = inputs.devices(values)
  result = {'worlds': [measure(pathlib.Path(folder), devices)
                       for folder in command.required(values, 'worlds')]}
  return {**result, 'means': {
      name: mean_spearman(result, name) for name in TIER_0}}


COMMAND = programs.program(
    'benchmarks.loss_tail', __doc__, {
        'worlds': ([], 'folders with original, references and judged models')},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
