r"""What smaller transport problems and smaller attack samples get wrong.

  transport  a batch in 2, 4, 8 or 16 parts against the whole batch's problem:
             per_device       each part of retain with its part of forget
             target_gathered  each part of retain with all forget rows
             mean_of_plans    each part of retain with every part of forget,
                              the plans averaged
  attack     spread of the AUC by images a side, against DeLong's formula and
             the bound sqrt(AUC (1 - AUC) / n)

on Gaussians and, with --originals, on features and losses of trained models.

  python -m experiments.benchmarks.ot_bias --originals=runs/original \
      --out=docs/results/ot_bias
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from dlfd_jax import checkpoint, models, ot, predict
from dlfd_jax.cli import inputs
from dlfd_jax.data import split_files
from dlfd_jax.metrics import attack, per_example
from dlfd_jax.pipeline import job, run_configs
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.publish import programs

SCHEMES = ('per_device', 'target_gathered', 'mean_of_plans')
GROUPS = (2, 4, 8, 16)
SIZES = (50, 100, 200, 400, 800, 1600)
_SHIFT = .5  # of the second Gaussian along each axis, and of member scores


@dataclasses.dataclass(frozen=True)
class Population:
  """Rows to draw from."""

  retain: np.ndarray  # features `[n, d]` of those who stay
  forget: np.ndarray  # features `[m, d]` of those who are forgotten
  members: np.ndarray  # attack scores of training images, higher = a member
  unseen: np.ndarray  # of images that were not trained on


def gaussian(rows: int, dimensions: int, seed: int = 0) -> Population:
  """Two normal clouds and two normal sides of scores."""
  rng = np.random.default_rng(seed)
  draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
  return Population(draw(rows, dimensions) + _SHIFT, draw(rows, dimensions),
                    draw(rows) + _SHIFT, draw(rows))


def of_run(run: pathlib.Path, devices, seed: int = 0) -> Population:
  """Features and scores of a training run's model on its own data.

  A fifth of the training people, drawn, are the forget side.
  """
  saved = checkpoint.load_model(run)
  options, _, _ = run_configs.recipe_of(run)
  dataset = job.load_data(options)
  parts = split_files.load_splits(run / runs.SPLITS, dataset)
  train = job.as_partition(parts).train
  predictor = predict.Predictor(models.build(saved.config), dataset, devices)
  variables = devices.place(dict(saved.variables))
  seen, unseen = (predictor(variables, rows) for rows in (train, parts.test))
  people = np.unique(dataset.identity[train])
  gone = np.random.default_rng(seed).choice(
      people, max(1, len(people) // 5), replace=False)
  leaving = np.isin(dataset.identity[train], gone)
  members, others = (
      -per_example.loss(saved.task, out.logits, dataset.labels[rows])
      for out, rows in ((seen, train), (unseen, parts.test)))
  return Population(
      seen.features[~leaving], seen.features[leaving], members, others)


@functools.partial(jax.jit, static_argnames=('scheme', 'groups', 'config'))
def split_transport(retain: jax.Array, forget: jax.Array, scheme: str,
                    groups: int, config: ot.SinkhornConfig
                    ) -> tuple[jax.Array, jax.Array]:
  """The distance of a batch in parts and its gradient by ``retain``.

  Args:
    retain: ``[n, d]``; ``groups`` divides ``n``.
    forget: ``[m, d]``; ``groups`` divides ``m``.
    scheme: one of :data:`SCHEMES`.
    groups: number of parts; 1 is the whole problem.
    config: the solver.

  Returns:
    The mean over problems, and its gradient ``[n, d]``.
  """
  def one(x, y):
    target = ot.prepare_target(y, jnp.ones(len(y)), config)
    return ot.transport(x, jnp.ones(len(x)), target, config).value

  def total(retain):
    xs = retain.reshape(groups, -1, retain.shape[-1])
    ys = forget.reshape(groups, -1, forget.shape[-1])
    if scheme == 'per_device':
      return jax.vmap(one)(xs, ys).mean()
    if scheme == 'target_gathered':
      return jax.vmap(one, (0, None))(xs, forget).mean()
    return jax.vmap(lambda x: jax.vmap(one, (None, 0))(x, ys))(xs).mean()

  return jax.value_and_grad(total)(retain)


def transport_errors(population: Population, batch: int, draws: int,
                     config: ot.SinkhornConfig, seed: int = 0,
                     groups: tuple[int, ...] = GROUPS) -> list[dict[str, Any]]:
  """Each scheme's error of value and gradient, mean and SD over draws."""
  rng = np.random.default_rng(seed)
  found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
  whole_values = []
  for _ in range(draws):
    x, y = (side[rng.choice(len(side), batch, replace=len(side) < batch)]
            for side in (population.retain, population.forget))
    value, gradient = map(np.asarray, split_transport(
        x, y, SCHEMES[0], 1, config))
    whole_values.append(float(value))
    for scheme in SCHEMES:
      for count in groups:
        near, part = map(np.asarray, split_transport(
            x, y, scheme, count, config))
        lengths = np.linalg.norm(part), np.linalg.norm(gradient)
        found.setdefault((scheme, count), []).append((
            float(near / value - 1),
            float((part * gradient).sum() / (lengths[0] * lengths[1])),
            float(lengths[0] / lengths[1])))
  rows = []
  for (scheme, count), errors in found.items():
    mean, deviation = np.mean(errors, axis=0), np.std(errors, axis=0)
    rows.append({
        'scheme': scheme, 'groups': count, 'rows_a_group': batch // count,
        'whole_value': float(np.mean(whole_values)),
        'relative_error': float(mean[0]),
        'relative_error_sd': float(deviation[0]),
        'gradient_cosine': float(mean[1]), 'gradient_norm': float(mean[2])})
  return rows


def delong_components(members: np.ndarray,
                      unseen: np.ndarray) -> tuple[float, float]:
  """Variances of both sides' placements; their sum / n is the AUC's variance.

  Reference: DeLong et al. (1988), Biometrics 44(3).
  """
  def placements(side, other):
    other = np.sort(other)
    return (np.searchsorted(other, side, 'left')
            + np.searchsorted(other, side, 'right')) / (2 * len(other))

  return (float(np.var(placements(members, unseen), ddof=1)),
          float(np.var(placements(unseen, members), ddof=1)))


def attack_errors(population: Population, draws: int,
                  sizes: tuple[int, ...] = SIZES,
                  seed: int = 0) -> list[dict[str, float]]:
  """Spread of the AUC of samples drawn with replacement, and both formulas."""
  rng = np.random.default_rng(seed)
  members, unseen = population.members, population.unseen
  area, parts = attack.auc(members, unseen), delong_components(members, unseen)
  rows = []
  for size in sizes:
    drawn = [attack.auc(rng.choice(members, size), rng.choice(unseen, size))
             for _ in range(draws)]
    rows.append({
        'size': size, 'auc': float(area), 'sd': float(np.std(drawn, ddof=1)),
        'delong': float(np.sqrt(sum(parts) / size)),
        'bound': float(np.sqrt(area * (1 - area) / size))})
  return rows


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  batch, draws, attack_draws = (
      values[name].value for name in ('batch', 'draws', 'attack_draws'))
  if batch % max(GROUPS):
    raise ValueError(
        f'Expected --batch as a multiple of {max(GROUPS)}, got {batch}.')
  config = ot.SinkhornConfig()
  devices = inputs.devices(values)
  populations = {'gaussian': lambda: gaussian(4000, 64)}
  for run in map(pathlib.Path, values['originals'].value):
    populations[run.name] = functools.partial(of_run, run, devices)
  parts = {}
  for name, make in populations.items():
    population = make()
    parts[name] = {
        'rows': {field.name: len(getattr(population, field.name))
                 for field in dataclasses.fields(population)},
        'features': population.retain.shape[1],
        'transport': transport_errors(population, batch, draws, config),
        'attack': attack_errors(population, attack_draws)}
  return {'batch': batch, 'draws': draws, 'attack_draws': attack_draws,
          'sinkhorn': dataclasses.asdict(config), 'parts': parts}


def markdown(result: dict[str, Any]) -> str:
  """Two tables for each population."""
  lines = ['# Transport in parts, and the attack on a sample', '',
           f'{result["batch"]} rows a side, {result["draws"]} draws, epsilon '
           f'{result["sinkhorn"]["epsilon"]}; {result["attack_draws"]} samples '
           'of the attack. Errors are against the problem of the whole batch.',
           '']
  for name, part in result['parts'].items():
    lines += [f'## {name}', '', f'{part["features"]} features, distance of the '
              f'whole batch {part["transport"][0]["whole_value"]:.4f}.', '',
              *render.markdown_lines(
                  ['scheme', 'parts', 'rows a part', 'distance', 'SD',
                   'cosine of the gradients', 'ratio of their norms'],
                  [[row['scheme'], str(row['groups']), str(row['rows_a_group']),
                    f'{100 * row["relative_error"]:+.1f} %',
                    f'{100 * row["relative_error_sd"]:.1f} %',
                    f'{row["gradient_cosine"]:.3f}',
                    f'{row["gradient_norm"]:.3f}']
                   for row in part['transport']]),
              '', f'AUC {part["attack"][0]["auc"]:.3f}.', '',
              *render.markdown_lines(
                  ['images a side', 'SD of the AUC', 'by DeLong', 'bound'],
                  [[str(row['size']), *(f'{row[name]:.4f}' for name in (
                      'sd', 'delong', 'bound'))] for row in part['attack']],
                  'rrrr'), '']
  return '\n'.join([*lines, programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.ot_bias', __doc__, {
        'originals': (
            [], 'training runs whose features and losses are drawn from'),
        'batch': (
            128, 'rows a side of the whole problem, a multiple of 16', 16),
        'draws': (5, 'batches of transport', 1),
        'attack_draws': (300, 'samples of the attack', 2)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
