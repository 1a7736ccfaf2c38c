r"""An epoch of DLFD against PyTorch, at two policies of checking.

  python -m experiments.benchmarks.against_torch --workdir=runs/against_torch \\
      --out=docs/results/against_torch

Both sides have the same network, weights, faces, batches, K, settings and type
of computation, on the CPU with every core or on the GPU. Policy ``released``:
after every batch the losses of all of retain, forget and val, and the authors'
attack. Policy ``ours``: DLFD's own interval, all of val and the live attack's
part of forget, one balanced attack. Epochs of the cells take turns; the first
of each, which compiles, is not counted. Needs the extra ``benchmark``. Writes
``result.json`` and, with ``--out``, the same and a table.

The released policy's cost depends on the size of the data set, so the default
is MUFAC's: 1,650 people of 8 images. Of an epoch its first batches are raced:
``--released_batches`` at that policy, and as many as lie between two checks at
ours; ratios are of seconds a batch.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import methods, models, parallel, presets, training as train
from dlfd_jax.cli import command, inputs, options
from dlfd_jax.methods import base, dlfd
from dlfd_jax.metrics import (
  attack,
  live_attack,
  per_example,
  released_attack,
)
from dlfd_jax.models import torch_weights
from dlfd_jax.pipeline import job
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.benchmarks import timing_data
from experiments.publish import programs

RELEASED, OURS = 'released', 'ours'
_NETWORK = tuple(o for o in options.NETWORK if o.flag in (
    'width', 'stem', 'compute_dtype'))
_METHOD = tuple(o for o in options.METHOD if o.flag in (
    'batch_size', 'perturb_steps', 'check_every'))
_TOP = 12  # rows of a profile
# By type, that of a CPU and that of a GPU: at the same policy, and across.
AIMS = {'float32': (1, 10), 'bfloat16': (2, 30)}

Losses = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Policy:
  """When the live attack runs and on what."""

  every: int  # batches between two checks
  batches: int  # that are raced, a multiple of `every`
  parts: dict[str, np.ndarray]  # index sets whose losses a check computes
  # of the losses of forget and val
  attack: Callable[[np.ndarray, np.ndarray], float]

  def check(self, losses: Losses) -> float:
    """One check, with a function from rows to their losses."""
    by_part = {name: losses(rows) for name, rows in self.parts.items()}
    return self.attack(by_part['forget'], by_part['val'])


@dataclasses.dataclass(frozen=True)
class Race:
  """What both sides work on."""

  problem: methods.Problem
  config: dlfd.DLFDConfig
  network: models.ModelConfig
  batches: tuple[dict[str, np.ndarray], ...]
  policies: dict[str, Policy]


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  programs.define(
      values, out=programs.OUT, repeats=(3, 'counted epochs of each cell', 1),
      people=(1650, 'people, 8 images each', 20), released_batches=(
          2, 'raced batches at the released policy', 1),
      image_size=(32, 'pixels a side', 8))
  options.define((*_NETWORK, *_METHOD), values)


def _execute(values: flags.FlagValues, line: str) -> None:
  workdir = command.required(values, 'workdir')
  out = programs.out_if_given(values)
  _torch_side()  # a missing extra is told before anything is made
  preset = presets.STARTS['lfw_gender']
  network = options.apply(preset.network, _NETWORK, values, 'the network')
  config = options.apply(
      dlfd.DLFDConfig(), _METHOD, values, 'DLFD')
  people, size = values['people'].value, values['image_size'].value
  repeats = values['repeats'].value
  folder = runs.RunFolder(workdir, {
      'kind': 'against_torch', 'network': dataclasses.asdict(network),
      'config': dataclasses.asdict(config), 'people': people,
      'image_size': size, 'repeats': repeats,
      'released_batches': values['released_batches'].value,
      'cpu_devices': values['cpu_devices'].value,
      'device': job.device_name()})
  if folder.result is None:
    devices = inputs.devices(values)
    race = make_race(network, config, people, size, devices,
                     values['released_batches'].value)
    facts = programs.facts('against_torch', line)
    facts['versions']['torch'] = _torch_side()[0].__version__
    folder.write_result({
        **facts, 'devices': devices.count,
        'machine': timing_data.machine(), 'type': models.resolve_dtype(
            network.compute_dtype),
        'network': dataclasses.asdict(network),
        'config': dataclasses.asdict(config), 'image_size': size,
        'splits': {name: len(rows)
                   for name, rows in race.problem.splits.parts.items()},
        **run(race, repeats, devices)})
  programs.write(out, folder.result, markdown(folder.result))


def _torch_side() -> Any:
  """PyTorch and the reference; ImportError becomes a sentence."""
  try:
    import torch
  except ImportError:
    raise ValueError(
        "Expected PyTorch, pip install 'dlfd_jax[benchmark]', got none."
    ) from None
  from experiments.benchmarks import torch_reference
  return torch, torch_reference


def make_race(network: presets.Network, config: dlfd.DLFDConfig, people: int,
              size: int, devices: parallel.Devices,
              released_batches: int = 2) -> Race:
  """Faces, an untrained network and one epoch's first full batches."""
  problem, model_config = timing_data.problem(network, people, size)
  splits = problem.splits
  plan, _ = methods.prepare(base.Setting.of(problem, devices), config)
  batches = tuple(plan.batch(i) for i in range(plan.num_steps))
  parts = {name: splits.parts[name] for name in ('retain', 'forget', 'val')}
  keys = problem.dataset.class_key()
  members, others = live_attack.live_subset(
      keys[splits.forget], keys[splits.val], config.live_limit, 0)
  full = [batch for batch in batches if batch.retain.mask.all()]
  every = min(plan.check_every, len(full))
  return Race(
      problem, config, model_config, tuple(full), {
          RELEASED: Policy(1, min(released_batches, len(full)), parts,
                           released_attack.unbalanced_accuracy),
          OURS: Policy(
              every, every,
              {'forget': splits.forget[members], 'val': splits.val},
              lambda forget, val: attack.balanced_accuracy(
                  -forget, -val[others], draws=1))})


def run(race: Race, repeats: int, devices: parallel.Devices) -> dict[str, Any]:
  """Seconds of every cell's epochs and where PyTorch's time goes."""
  theirs, profile = _torch_epoch(race)
  sides = {'dlfd_jax': _our_epoch(race, devices), 'pytorch': theirs}
  seconds: dict[str, list[dict[str, float]]] = {
      f'{side}/{policy}': [] for side in sides for policy in race.policies}
  for turn in range(repeats + 1):
    for policy_name, policy in race.policies.items():
      for side, epoch in sides.items():
        times = epoch(policy)
        if turn:
          seconds[f'{side}/{policy_name}'].append(times)
  median = {cell: {part: statistics.median(one[part] for one in times)
                   for part in ('epoch_s', 'check_s')}
            for cell, times in seconds.items()}
  total = {cell: times['epoch_s'] / race.policies[cell.split('/')[1]].batches
           for cell, times in median.items()}
  return {
      'batches': {n: p.batches for n, p in race.policies.items()},
      'repeats': repeats, 'seconds': seconds,
      'median': median,
      'check_every': {n: p.every for n, p in race.policies.items()},
      'ratio': {
          'released': total['pytorch/released'] / total['dlfd_jax/released'],
          'ours': total['pytorch/ours'] / total['dlfd_jax/ours'],
          'across': total['pytorch/released'] / total['dlfd_jax/ours']},
      'pytorch_profile': profile}


def _epoch(race: Race, policy: Policy, step: Callable[[Any], None],
           losses: Losses, wait: Callable[[], None]) -> dict[str, float]:
  """Seconds of the policy's batches, and of their checks."""
  wait()
  start, checks = time.perf_counter(), 0.0
  for number, batch in enumerate(race.batches[:policy.batches], start=1):
    step(batch)
    if number % policy.every == 0:
      wait()
      before = time.perf_counter()
      policy.check(losses)
      checks += time.perf_counter() - before
  wait()
  return {'epoch_s': time.perf_counter() - start, 'check_s': checks}


def _our_epoch(race, devices):
  problem, setting = race.problem, base.Setting.of(race.problem, devices)
  labels = problem.dataset.labels
  compiled = devices.compile(dlfd.make_distance_step(
      problem.model, problem.task, race.config, len(race.batches)))
  state = devices.place(train.create_state(
      problem.original, race.config.optimizer, jax.random.key(0)))

  def step(batch):
    nonlocal state
    state, _ = compiled(state, setting.constants, batch)

  def losses(rows):
    logits = setting.predictor(state.variables, rows).logits
    return per_example.loss(problem.task, logits, labels[rows])

  return lambda policy: _epoch(
      race, policy, step, losses,
      lambda: jax.block_until_ready(state.step))


def _torch_epoch(race):
  """PyTorch's epoch as a function of the policy, and its profile."""
  torch, reference = _torch_side()
  problem, config, network = race.problem, race.config, race.network
  gpu = jax.default_backend() == 'gpu'
  if gpu and not torch.cuda.is_available():
    raise ValueError('Expected a PyTorch that finds the GPU, got none.')
  device = 'cuda' if gpu else 'cpu'
  model = reference.model_of(
      torch_weights.to_state(problem.original, network), network.outputs,
      network.width, network.stem, problem.model.mean, problem.model.std,
      device)
  settings = settings_of(config, network)
  optimizer = reference.optimizer_of(model, settings)
  images = reference.images_of(problem.dataset.images, device)
  on_device = lambda rows: torch.from_numpy(
      np.array(rows, np.int64)).to(device)
  labels = on_device(problem.dataset.labels)

  def step(batch):
    retain, forget = (on_device(side.index) for side in batch)
    reference.step(model, optimizer, images[retain], labels[retain],
                   images[forget], settings)

  def losses(rows):
    rows = on_device(rows)
    return reference.losses(model, images[rows], labels[rows], settings)

  wait = torch.cuda.synchronize if gpu else lambda: None
  step(race.batches[0])  # cuDNN searches its algorithms here
  with torch.profiler.profile() as profile:
    for batch in race.batches[:2]:
      step(batch)
    wait()
  own = lambda row: (row.self_device_time_total if gpu
                     else row.self_cpu_time_total)
  rows = sorted((row for row in profile.key_averages()  # no kernels, no notes
                 if row.device_type == torch.autograd.DeviceType.CPU
                 and '#' not in row.key), key=lambda row: -own(row))
  total = sum(map(own, rows))
  return (lambda policy: _epoch(race, policy, step, losses, wait)), [
      {'operation': row.key, 'share': own(row) / total, 'calls': row.count}
      for row in rows[:_TOP]]


def settings_of(config: dlfd.DLFDConfig, network: models.ModelConfig) -> Any:
  """The same numbers for the other side."""
  _, reference = _torch_side()
  optimizer = config.optimizer
  return reference.Settings(
      perturb_steps=config.perturb_steps,
      perturb_step_size=config.perturb_step_size, ot_weight=config.ot_weight,
      ce_weight=config.ce_weight_end, epsilon=config.sinkhorn.epsilon,
      max_iterations=config.sinkhorn.max_iterations,
      threshold=config.sinkhorn.threshold,
      learning_rate=optimizer.learning_rate, momentum=optimizer.momentum,
      weight_decay=optimizer.weight_decay,
      bfloat16=models.resolve_dtype(network.compute_dtype) == 'bfloat16')


def markdown(result: dict[str, Any]) -> str:
  """The four cells, the ratios and the profile."""
  network, config = result['network'], result['config']
  batches = result['batches']
  if isinstance(batches, int):  # older results: as many at both policies
    batches = {RELEASED: batches, OURS: batches}
  lines = [
      '# An epoch of DLFD against PyTorch', '',
      f'ResNet18 of width {network["width"]}, {network["stem"]} stem, '
      f'{result["image_size"]} px, batch {config["batch_size"]}, K '
      f'{config["perturb_steps"]}; retain, forget '
      'and val of ' + ', '.join(str(result['splits'][name]) for name in (
          'retain', 'forget', 'val')) + ' images; medians of '
      f'{result["repeats"]} turns, on {result["device"]} '
      f'({result["machine"]}) in {result["type"]}; dlfd_jax on '
      f'{result["devices"]} device(s).', '',
      *render.markdown_lines(
          ['policy', 'check every', 'batches', 'PyTorch, s', 'of it checks',
           'dlfd_jax, s', 'of it checks', 'PyTorch / dlfd_jax'],
          [[policy, str(result['check_every'][policy]),
            str(batches[policy]),
            *(f'{result["median"][f"{side}/{policy}"][part]:.2f}'
              for side in ('pytorch', 'dlfd_jax')
              for part in ('epoch_s', 'check_s')),
            f'{result["ratio"][policy]:.2f}'] for policy in (RELEASED, OURS)])]
  level, across = AIMS[result['type']]
  ratio = result['ratio']
  met = lambda value, aim: 'met' if value >= aim else 'missed'
  lines += [
      '', 'PyTorch at the released policy over ours at our policy, '
      f'by batch: {ratio["across"]:.2f}.', '',
      f'Aims: PyTorch / dlfd_jax at least {level} in each row '
      f'({met(min(ratio[RELEASED], ratio[OURS]), level)}), across at least '
      f'{across} ({met(ratio["across"], across)}).', '',
      'Where PyTorch spends a step (its profiler, self time):', '',
      *render.markdown_lines(
          ['operation', 'share', 'calls'],
          [[row['operation'], f'{row["share"]:.3f}', str(row['calls'])]
           for row in result['pytorch_profile']])]
  return '\n'.join([
      *lines, '', f'{programs.made_by(result)[:-1]}, torch '
      f'{result["versions"]["torch"]}.', ''])


COMMAND = command.Command(
    'benchmarks.against_torch', __doc__, _define, _execute,
    package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
