r"""The demo over seeds of all that it draws, beside its goal.

  python -m experiments.publish.demo_seeds --workdir=../runs/demo_seeds \\
      --out=docs/results/demo_seeds

Every seed is a demo in a process of its own, one after the other; a finished
one is not run again. Beside each stands a logistic regression on its pixels:
what a network sees that a linear model does not. Writes JSON and Markdown.
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import flags
from sklearn import linear_model, preprocessing

from dlfd_jax import presets
from dlfd_jax.cli import command, demo
from dlfd_jax.data import sources
from dlfd_jax.report import answers, render, tables
from dlfd_jax.utils import runs
from experiments.publish import programs

COLUMNS = ('original', 'unlearned', 'retrained')
_DONE = 'demo_seeds.json'


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = pathlib.Path(command.required(values, 'workdir'))
  seeds = [measure(seed, root / str(seed)) for seed in range(
      command.value(values, 'seeds'))]
  return {'seeds': seeds, 'summary': summary(seeds),
          'retrained': len(demo.RETRAINED)}


def measure(seed: int, workdir: pathlib.Path) -> dict[str, Any]:
  """Runs the demo of a seed, unless it is there, and reads its evaluation.

  Returns:
    ``seed``, ``auc`` and ``accuracy`` by column (class-matched attack AUC and
    test accuracy, in [0, 1]), ``linear`` (test accuracy of
    :func:`linear_accuracy`), ``verdicts`` and ``advice`` (as the demo ends),
    ``seconds`` (of the clock, of the whole command, with those of runs that it
    found finished) and ``peak_gb``.

  Raises:
    RuntimeError: if the demo fails, with what it said.
  """
  kept = workdir / _DONE
  if kept.is_file():
    return runs.read_json(kept)
  before = sum(
      runs.read_json(path)['time']['total_s'] for name in (
          'original', *demo.RETRAINED, 'unlearned')
      if (path := workdir / name / runs.RESULT).is_file())
  begun = time.perf_counter()
  ran = subprocess.run(
      [sys.executable, '-m', 'dlfd_jax', 'demo', f'--seed={seed}',
       f'--workdir={workdir}'], capture_output=True, text=True, check=False)
  if ran.returncode:
    raise RuntimeError(f'The demo of seed {seed} failed: {ran.stderr}')
  seconds = before + time.perf_counter() - begun
  judged = runs.read_json(workdir / 'evaluation' / runs.RESULT)
  advice = answers.advice(answers.answers(judged))

  def row(metric):
    return {column: tables.find_cell(judged, metric, column).value
            for column in COLUMNS}

  found = {
      'seed': seed, 'auc': row('mia_auc_matched'),
      'accuracy': row('accuracy_test'), 'linear': linear_accuracy(seed),
      'verdicts': {what: one['verdict']
                   for what, one in judged['verdicts'].items()},
      'advice': advice.removeprefix('Recommendation: ').partition(',')[0]
                .removesuffix('.'),
      'seconds': seconds,
      'peak_gb': judged['efficiency']['peak_bytes'] / 1e9}
  runs.write_json(kept, found)
  print(found, flush=True)
  return found


def linear_accuracy(seed: int) -> float:
  """Test accuracy of logistic regression on pixels, its penalty chosen on val.

  The pixels are rotated onto the span of the training images, which changes
  neither the model nor its penalty and makes it quick.
  """
  data = sources.load(presets.demo_data(seed))
  parts = presets.demo_partition(data, seed)
  pixels = data.images.reshape(len(data), -1) / 255.0
  scaler = preprocessing.StandardScaler().fit(pixels[parts.train])
  pixels = scaler.transform(pixels)
  _, _, axes = np.linalg.svd(pixels[parts.train], full_matrices=False)
  pixels = pixels @ axes.T
  fitted = [linear_model.LogisticRegression(C=c, max_iter=300).fit(
      pixels[parts.train], data.labels[parts.train])
            for c in (1e-4, 1e-3, 1e-2)]
  best = max(fitted, key=lambda m: m.score(
      pixels[parts.val], data.labels[parts.val]))
  return float(best.score(pixels[parts.test], data.labels[parts.test]))


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
  """What the demo promises, over seeds.

  Returns:
    ``nearer`` (seeds whose unlearned AUC lies nearer to the retrained one than
    to the original's), ``gaps`` (test accuracy of unlearned minus retrained,
    each seed), their ``mean_gap`` and ``median_size``, ``mean_lead`` (test
    accuracy of the original minus the linear model's).
  """
  gaps = [one['accuracy']['unlearned'] - one['accuracy']['retrained']
          for one in found]
  return {
      'nearer': sum(
          abs(one['auc']['unlearned'] - one['auc']['retrained'])
          < abs(one['auc']['unlearned'] - one['auc']['original'])
          for one in found),
      'gaps': gaps, 'mean_gap': statistics.fmean(gaps),
      'median_size': statistics.median(map(abs, gaps)),
      'mean_lead': statistics.fmean(
          one['accuracy']['original'] - one['linear'] for one in found)}


def markdown(result: dict[str, Any]) -> str:
  """A row for each seed, and the summary in words."""
  head = ('seed', *(f'AUC {c}' for c in COLUMNS),
          *(f'accuracy {c}' for c in COLUMNS), 'gap', 'linear', 's', 'GB',
          'forgetting', 'utility', 'recommendation')
  of = result['summary']
  rows = [
      (str(one['seed']), *(f'{one["auc"][c]:.3f}' for c in COLUMNS),
       *(f'{one["accuracy"][c]:.3f}' for c in COLUMNS), f'{100 * gap:+.1f}',
       f'{one["linear"]:.3f}', f'{one["seconds"]:.0f}',
       f'{one["peak_gb"]:.1f}', one['verdicts']['forgetting'],
       one['verdicts']['utility'], one['advice'])
      for one, gap in zip(result['seeds'], of['gaps'], strict=True)]
  return '\n'.join([
      '# The demo over seeds', '',
      *render.markdown_lines(head, rows, 'r' * len(head)), '',
      f'The attack (class-matched AUC) sees the unlearned model nearer to the '
      f'retrained one than to the original on {of["nearer"]} of {len(rows)} '
      f"seeds. Its test accuracy differs from the retrained model's by "
      f'{100 * of["median_size"]:.1f} points in the median, by '
      f'{100 * of["mean_gap"]:+.1f} in the mean. The original is '
      f'{100 * of["mean_lead"]:.1f} points better than a logistic regression '
      f'on pixels (linear), its penalty chosen on val. Retrained: the '
      f'mean of {result["retrained"]} models. '
      's: the whole command, of which training, unlearning and evaluating are '
      'nearly all; other work on the machine adds to it.', '',
      f'Command: `{result["command"]}`, on {result["device"]}, '
      f'{result["cores"]} cores, jax {result["versions"]["jax"]}.', ''])


COMMAND = programs.program(
    'publish.demo_seeds', __doc__, {
        'seeds': (5, 'seeds from 0', 1),
        'workdir': (None, 'where the demos lie')}, _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
