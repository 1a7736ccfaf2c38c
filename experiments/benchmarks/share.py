"""Where an epoch of DLFD spends its time, and what runs cost of retraining."""

from __future__ import annotations

import functools
import pathlib
import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from dlfd_jax import methods, ot, parallel, presets, training as train
from dlfd_jax.methods import base, dlfd, live as live_lib
from dlfd_jax.metrics import attack
from dlfd_jax.pipeline import timing
from dlfd_jax.utils import runs
from experiments.benchmarks import timing_data

_HUNDRED = 100  # epochs of retraining that the aim speaks of


def share(network: presets.Network, config: dlfd.DLFDConfig, size: int,
          people: int, repeats: int, devices: parallel.Devices
          ) -> dict[str, Any]:
  """Shares of transport, attack and forward passes of checks in an epoch.

  The transport's is that of a step's problems on features that are there (a
  step without its weight solves them, too, for the log); the attack's that of
  the logistic regressions on losses that are there; the rest of a check is
  evaluation: losses and accuracies of val and forget.
  """
  problem, _ = timing_data.problem(network, people, size)
  splits = problem.splits
  setting = base.Setting.of(problem, devices)
  plan, _ = methods.prepare(setting, config)
  state = train.create_state(
      problem.original, config.optimizer, jax.random.key(0))
  batch = plan.batch(0)
  constants = plan.reads(setting.constants, devices)[dlfd.DISTANCE]
  _, seconds = timing.time_in_turns({'step': timing.Call(
      plan.steps[dlfd.DISTANCE], state, constants, batch)}, devices, repeats)
  step = timing.medians(seconds)['step']
  here, there = (setting.predictor(setting.original, side.index).features
                 for side in batch)
  transport = _median(functools.partial(
      solver(config, len(here), len(there)), here, there), repeats)
  live = live_lib.LiveAttack(setting, config.live_limit)
  losses = live.losses(setting.original)
  assert losses is not None  # an untrained network is finite
  check = _median(lambda: live.measure(setting.original), repeats)
  attacked = _median(lambda: attack.balanced_accuracy(
      -losses[0], -losses[1], draws=1), repeats)
  batches = -(-len(splits.retain) // config.batch_size)
  checks = max(1, batches // plan.check_every)
  epoch = batches * step + checks * check
  return {
      'images': len(problem.dataset), 'retain': len(splits.retain),
      'batches': batches, 'check_every': plan.check_every, 'checks': checks,
      'step_s': step, 'transport_s': transport, 'check_s': check,
      'attack_s': attacked,
      'epoch_s': epoch,
      'transport': batches * transport / epoch,
      'attack': checks * attacked / epoch,
      'evaluation': checks * (check - attacked) / epoch}


def solver(config: dlfd.DLFDConfig, rows: int, forget_rows: int
           ) -> Callable[[np.ndarray, np.ndarray], jax.Array]:
  """The transport problems of one distance step, with their gradients.

  Each of the K inner problems starts where the one before has left its rows.

  Returns:
    Features of both sides to the K distances.
  """
  weights, others = np.ones(rows), np.ones(forget_rows)

  @jax.jit
  def solve(here, there):
    target = ot.prepare_target(there, others, config.sinkhorn)

    def inner(rows, _):
      value, gradient = jax.value_and_grad(lambda x: ot.transport(
          x, weights, target, config.sinkhorn).value)(rows)
      return rows + gradient, value

    return jax.lax.scan(
        inner, here, length=config.perturb_steps,
        unroll=parallel.inner_unroll(config.perturb_steps))[1]

  return solve


def _median(call: Callable[[], Any], repeats: int) -> float:
  return statistics.median(timing_data.seconds(call, repeats))


def ratio(tables: list[str]) -> list[dict[str, Any]]:
  """Time of every method over retraining, from results of table1.

  Returns:
    By table, task and method: mean over seeds of the share as measured, epochs
    and K, and the share of a retraining of 100 epochs.
  """
  found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
  for table in tables:
    for cell in runs.read_json(table)['cells']:
      if cell.get('method') and cell['state'] == 'model':
        found.setdefault((pathlib.Path(table).stem, cell['task'],
                          cell['model']), []).append(cell)
  rows = []
  for (table, task, model), cells in found.items():
    mean = float(np.mean([cell['time_share'] for cell in cells]))
    first = cells[0]
    rows.append({
        'table': table, 'task': task, 'method': model, 'seeds': len(cells),
        'epochs': first['epochs'], 'perturb_steps': first['perturb_steps'],
        'retraining_epochs': first['train_epochs'], 'share': mean,
        'share_of_100_epochs': mean * first['train_epochs'] / _HUNDRED})
  return rows
