"""PyTorch's step and ours are the same step."""

import dataclasses

import jax
import numpy as np
import pytest
import torch

from dlfd_jax import parallel, presets, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import dlfd
from dlfd_jax.models import torch_weights
from experiments.benchmarks import against_torch, torch_reference

CONFIG = dlfd.DLFDConfig(
    batch_size=16, perturb_steps=2, ce_weight_start=1.0,
    optimizer=train.OptimizerConfig(learning_rate=0.01))


@pytest.fixture(scope='module')
def race():
  # On one thread, without AVX-512, torch 2.13 corrupts its memory at width 4.
  return against_torch.make_race(
      presets.Network(width=8, stem='small'), CONFIG, 40, 16,
      parallel.Devices(jax.devices()[:1]))


def _theirs(race):
  network, model = race.network, race.problem.model
  return torch_reference.model_of(
      torch_weights.to_state(race.problem.original, network), network.outputs,
      network.width, network.stem, model.mean, model.std)


def _images(race, batch):
  images, labels = batching.read(
      batching.Feed(race.problem.dataset).constants, batch)
  return np.asarray(images), np.asarray(labels)


@pytest.mark.long
def test_images_move_alike(race):
  batch, problem = race.batches[0], race.problem
  images, labels = _images(race, batch.retain)
  forget, _ = _images(race, batch.forget)
  ones = np.ones(len(images), np.float32)
  target = dlfd.forget_target(
      problem.model, problem.original, forget, ones, CONFIG, None)
  ours, _ = dlfd.perturb(dlfd.objective(
      problem.model, problem.task, problem.original, labels, ones, target,
      np.float32(1), CONFIG, None), images, CONFIG)
  as_theirs = lambda x: torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)
  classes = torch.from_numpy(labels.astype(np.int64))
  theirs = torch_reference.perturb(
      _theirs(race), as_theirs(images), classes,
      as_theirs(forget), against_torch.settings_of(CONFIG, race.network))
  moved = np.abs(theirs.permute(0, 2, 3, 1).numpy() - np.asarray(ours))
  # A sign may turn where the gradient is almost 0.
  assert (moved > 1e-6).mean() < 1e-3
  assert np.abs(np.asarray(ours) - images).mean() > CONFIG.perturb_step_size


@pytest.mark.long
def test_weights_move_alike_on_the_same_images(race):
  still = dataclasses.replace(CONFIG, perturb_step_size=1e-7)
  batch, problem = race.batches[0], race.problem
  step = jax.jit(dlfd.make_distance_step(problem.model, problem.task, still, 1))
  state, _ = step(
      train.create_state(
          problem.original, still.optimizer, jax.random.key(0)),
      batching.Feed(problem.dataset).constants, batch)
  model = _theirs(race)
  settings = against_torch.settings_of(still, race.network)
  images = torch_reference.images_of(problem.dataset.images)
  labels = torch.from_numpy(problem.dataset.labels.astype(np.int64))
  retain, forget = (torch.from_numpy(side.index.astype(np.int64))
                    for side in batch)
  torch_reference.step(
      model, torch_reference.optimizer_of(model, settings), images[retain],
      labels[retain], images[forget], settings)
  ours = torch_weights.to_state(
      parallel.fetch(state.variables), race.network)
  before = torch_weights.to_state(problem.original, race.network)
  names = [name for name in ours if not name.endswith('num_batches_tracked')]
  flat = lambda state: np.concatenate(
      [np.asarray(state[name], np.float64).ravel() for name in names])
  move = flat(ours) - flat(before)
  difference = flat(model.state_dict()) - flat(ours)
  # A ReLU whose input is almost 0 may be open in one of the two, and which ones
  # are depends on the processor: that changes a few weights a little.
  assert (np.abs(difference) > 2e-6 + 1e-4 * np.abs(flat(ours))).mean() < 1e-3
  assert np.linalg.norm(difference) < 0.01 * np.linalg.norm(move)


def test_a_policy_checks_what_it_names():
  seen = []
  policy = against_torch.Policy(
      1, 1, {'forget': np.arange(3), 'val': np.arange(5)},
      lambda forget, val: seen.append((len(forget), len(val))) or 0.5)
  assert policy.check(lambda rows: rows.astype(float)) == 0.5
  assert seen == [(3, 5)]


@pytest.mark.long
def test_the_race_runs_and_its_table_holds_its_numbers(race):
  result = against_torch.run(
      race, 1, parallel.Devices(jax.devices()[:1]))
  assert set(result['median']) == {
      'dlfd_jax/released', 'dlfd_jax/ours', 'pytorch/released', 'pytorch/ours'}
  for cell in result['median'].values():
    assert 0 < cell['check_s'] < cell['epoch_s']
  text = against_torch.markdown({
      **result, 'network': {'width': 8, 'stem': 'small'}, 'image_size': 16,
      'config': {'batch_size': 16, 'perturb_steps': 2}, 'device': 'cpu',
      'splits': {'retain': 1, 'forget': 2, 'val': 3}, 'command': 'x',
      'machine': 'y', 'type': 'float32', 'devices': 1,
      'versions': {'jax': '1', 'torch': '2'}})
  assert f'{result["ratio"]["across"]:.2f}.' in text
