r"""The attack of one check: scikit-learn's fits against one batched solution.

One draw of the balanced attack: ten folds of logistic regression on losses of
equally many members and non-members. In turns, from the same losses and folds:

  scikit_learn  ten pipelines of StandardScaler and LogisticRegression
  numpy         all folds in one Newton iteration
                (metrics/cross_validation.py)
  jax           the same iteration compiled, with its copies to and from the
                device

Times are CPU times, of NumPy and scikit-learn on one thread: more of them wait
for each other. Accuracies are compared with scikit-learn's at the optimum: by
default it stops at a gradient of 1e-4.

  python -m experiments.benchmarks.attack_speed --out=docs/results/attack_speed
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import threadpoolctl
from absl import flags
from sklearn import linear_model, pipeline, preprocessing

from dlfd_jax import parallel
from dlfd_jax.cli import command
from dlfd_jax.metrics import cross_validation
from dlfd_jax.report import render
from experiments.publish import programs

FOLDS = 10
SIDES = (100, 300, 1000)
# Mean loss of members over that of non-members: forgotten, half, remembered.
SCALES = (1.0, 0.5, 0.1)
_ITERATIONS = 30

Attack = Callable[[np.ndarray], np.ndarray]


def losses(side: int, scale: float, draw: int) -> np.ndarray:
  """Exponential losses, ``side`` members first, ``[2 side]``."""
  rng = np.random.default_rng([side, draw])
  return np.concatenate([
      rng.exponential(scale, side), rng.exponential(1.0, side)])


def folds(side: int) -> tuple[np.ndarray, np.ndarray]:
  """Labels ``[2 side]`` and training rows ``[folds, 2 side]``, stratified."""
  labels = np.repeat([1.0, 0.0], side)
  fold = np.arange(2 * side) % side % FOLDS
  return labels, fold != np.arange(FOLDS)[:, None]


def scikit_learn(side: int, **settings: Any) -> Attack:
  """Whether each held-out example is classified rightly, by ten pipelines."""
  labels, train = folds(side)

  def run(values):
    right = np.zeros(labels.size, bool)
    for rows in train:
      model = pipeline.make_pipeline(
          preprocessing.StandardScaler(),
          linear_model.LogisticRegression(**settings))
      model.fit(values[rows, None], labels[rows])
      right[~rows] = model.predict(values[~rows, None]) == labels[~rows]
    return right

  return run


def batched(side: int) -> Attack:
  """The same by all folds at once, as the live attack does it."""
  labels, train = folds(side)
  return lambda values: cross_validation.held_out_correct(
      values[None, :, None], labels, train)[0][0]


def compiled(side: int) -> Attack:
  """The same by a compiled Newton iteration of fixed length, float32."""
  labels, train = folds(side)
  weights = train.astype(np.float32)

  @jax.jit
  def solve(values):
    mean = weights @ values / weights.sum(-1)
    spread = jnp.sqrt(weights @ jnp.square(values) / weights.sum(-1)
                      - jnp.square(mean))
    x = (values - mean[:, None]) / spread[:, None]

    def newton(theta, _):
      chance = jax.nn.sigmoid(theta[:, :1] * x + theta[:, 1:])
      off, curve = (weights * part for part in (
          chance - labels, chance * (1 - chance)))
      a, b, c = (curve * x * x).sum(-1) + 1, (curve * x).sum(-1), curve.sum(-1)
      g, h = (off * x).sum(-1) + theta[:, 0], off.sum(-1)
      step = jnp.stack([c * g - b * h, a * h - b * g], -1)
      return theta - step / (a * c - b * b)[:, None], None

    theta, _ = jax.lax.scan(
        newton, jnp.zeros((FOLDS, 2)), length=_ITERATIONS)
    logits = theta[:, :1] * x + theta[:, 1:]
    held = jnp.where(weights > 0, 0.0, logits).sum(0)
    return (held > 0) == (labels == 1)

  return lambda values: parallel.fetch(solve(values.astype(np.float32)))


WAYS: dict[str, Callable[[int], Attack]] = {
    'scikit_learn': scikit_learn, 'numpy': batched, 'jax': compiled}


def measure(side: int, repeats: int) -> dict[str, Any]:
  """Medians of CPU seconds in turns, and how far the accuracies differ."""
  attacks = {name: make(side) for name, make in WAYS.items()}
  seconds: dict[str, list[float]] = {name: [] for name in attacks}
  differ = dict.fromkeys(attacks, 0.0)
  optimum = scikit_learn(side, tol=1e-10, max_iter=10_000)
  for attack in attacks.values():
    attack(losses(side, 1.0, 0))  # what compiles or loads
  for draw in range(repeats):
    for scale in SCALES:
      values, accuracy = losses(side, scale, draw), {}
      for name, attack in attacks.items():
        start = time.process_time()
        right = attack(values)
        seconds[name].append(time.process_time() - start)
        accuracy[name] = float(right.mean())
      wanted = float(optimum(values).mean())
      for name, value in accuracy.items():
        differ[name] = max(differ[name], abs(value - wanted))
  return {'side': side, 'attacks': repeats * len(SCALES),
          'seconds': {name: statistics.median(found)
                      for name, found in seconds.items()},
          'largest_difference': differ}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  repeats = command.value(values, 'repeats')
  with threadpoolctl.threadpool_limits(1):
    sides = [measure(side, repeats) for side in SIDES]
  return {'folds': FOLDS, 'scales': list(SCALES), 'sides': sides}


def markdown(result: dict[str, Any]) -> str:
  """One row for each size."""
  lines = ['# The attack of one check', '',
           f'{result["folds"]} folds of logistic regression on exponential '
           "losses, members' means "
           f'{", ".join(map(str, result["scales"]))} times the others\'. '
           'Medians of CPU time, ms, of scikit-learn and NumPy on one thread; '
           'in brackets the largest difference of an accuracy to '
           "scikit-learn's at the optimum, of all attacks.", '',
           *render.markdown_lines(
               ['a side', 'attacks', 'scikit-learn', 'NumPy, all folds at once',
                'JAX, all folds at once'],
               [[str(row['side']), str(row['attacks']), *(
                   f'{1e3 * row["seconds"][name]:.2f} '
                   f'({row["largest_difference"][name]:.4f})'
                   for name in WAYS)] for row in result['sides']], 'rrrrr'),
           '', programs.made_by(result), '']
  return '\n'.join(lines)


COMMAND = programs.program(
    'benchmarks.attack_speed', __doc__, {
        'repeats': (20, 'draws of losses of each kind', 1)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
