"""The inner problem of DLFD on one batch, step by step, for a figure."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, models, ot, presets, tasks
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  resolution,
  sources,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.methods import dlfd
from dlfd_jax.pipeline import job, run_configs
from dlfd_jax.report import figure_dlfd
from dlfd_jax.utils import configs, runs
from experiments.paper import figure_evaluations, study as study_lib


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
  """One retain batch on its way."""

  # after each step, `[K + 1, n, h, w, 3]` in [0, 1]; 0 = clean
  images: np.ndarray
  features: np.ndarray  # unit rows in the transport's space `[K + 1, n, d]`
  forget: np.ndarray  # those of the forget batch `[m, d]`
  distance: np.ndarray  # transport distance by step `[K + 1]`
  cross_entropy: np.ndarray  # of the batch by step, nats `[K + 1]`


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
  """What the steps are run on."""

  model: nn.Module  # the classifier
  variables: models.Variables  # the original's
  dataset: dataset_lib.Dataset  # the images
  splits: splits_lib.Splits  # who is forgotten
  config: dlfd.DLFDConfig
  notes: list[str]  # what a reader of the figure has to know


def open_scene(original: str, unlearned: str | None, data: str | None,
               preset: str, seed: int) -> Scene:
  """Reads a training run, and the splits and config of an unlearning run.

  Args:
    original: the training run.
    unlearned: an unlearning run of it; without one the preset's DLFD forgets
      15 % of the training people, drawn with ``seed``.
    data: the source; must be named if the images are not drawn.
    preset: whose DLFD config is used if ``unlearned`` has none.
    seed: of the draw.

  Raises:
    FileNotFoundError: if there is no such run.
    ValueError: if a run is of another kind, or the images are not drawn and
      ``data`` does not name them.
  """
  options, _, _ = run_configs.recipe_of(original)
  if data is not None:
    options = dataclasses.replace(options, source=data)
  elif options.source != sources.SYNTHETIC:
    raise ValueError(
        f'Expected --data to name the images of {original}: they are not '
        'drawn, and the figure of steps would show some of them.')
  notes = [] if options.source == sources.SYNTHETIC else [
      f'The figure of steps holds images of {options.source}: treat it like '
      'them.']
  saved, dataset = checkpoint.load_model(original), job.load_data(options)
  if saved.task != dataset.task or saved.image_size != dataset.image_size:
    raise ValueError(
        f'Expected --data like that of --original={original}, got '
        f'{dataset.name} of another task or size.')
  found = None
  if unlearned is None:
    parts = split_files.load_splits(
        pathlib.Path(original) / runs.SPLITS, dataset)
    splits, _ = resolution.resolve_request(
        dataset, job.as_partition(parts), requests.ForgetRequest(
            fraction=study_lib.FORGET_FRACTION, seed=seed))
    notes.append(f'DLFD as in the preset {preset}; the forget set is a draw.')
  else:
    splits, found = _of_unlearned(unlearned, dataset)
    if found is None:
      notes.append(f'DLFD as in the preset {preset}.')
  config: Any = found or presets.PRESETS[preset].config_of('dlfd')
  return Scene(models.build(saved.config), saved.variables, dataset, splits,
               config, notes)


def _of_unlearned(run, dataset):
  """Splits of an unlearning run, and its DLFD config if it is one of DLFD."""
  stored = runs.read_json(pathlib.Path(run) / runs.CONFIG)
  splits = split_files.load_splits(pathlib.Path(run) / runs.SPLITS, dataset)
  if stored.get('kind') != 'unlearn' or not isinstance(
      splits, splits_lib.Splits):
    raise ValueError(
        f'Expected an unlearning run in --unlearned={run}, got '
        f'{stored.get("kind")!r}.')
  if stored['method'] != 'dlfd':
    return splits, None
  return splits, config_from_json(stored['config'])


def config_from_json(fields: dict[str, Any]) -> dlfd.DLFDConfig:
  """The part of a stored DLFD config that the inner problem reads."""
  names = ('batch_size', 'ot_weight', 'ce_weight_start', 'ce_weight_end',
           'perturb_steps', 'perturb_step_size', 'perturb_radius',
           'representation')
  return configs.replace(dlfd.DLFDConfig(), {
      **{name: fields[name] for name in names},
      **{f'sinkhorn.{name}': value
         for name, value in fields['sinkhorn'].items()}})


def batches(scene: Scene, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Rows of a random retain batch and of a random forget batch."""
  rng = np.random.default_rng(seed)
  size = scene.config.batch_size
  return (rng.permutation(scene.splits.retain)[:size],
          rng.permutation(scene.splits.forget)[:size])


def walk(scene: Scene, retain: np.ndarray, forget: np.ndarray) -> Path:
  """K steps on the images of ``retain`` away from those of ``forget``.

  One step is :func:`dlfd.perturb` with K = 1 and no ball, then the ball
  around the clean images: the same as K steps at once. Without augmentation,
  with the lambda of the first batch.
  """
  model, config, task = scene.model, scene.config, scene.dataset.task
  variables: Any = scene.variables
  clean, others = (jnp.asarray(scene.dataset.images[rows], jnp.float32) / 255
                   for rows in (retain, forget))
  labels = jnp.asarray(scene.dataset.labels[retain])
  weights = tasks.has_label(task, labels)
  one = dataclasses.replace(config, perturb_steps=1, perturb_radius=None)

  @jax.jit  # constants would be folded for minutes, so all are arguments
  def take(images, variables, clean, others, labels, weights):
    target = dlfd.forget_target(
        model, variables, others, jnp.ones(len(others)), config, None)
    evaluate = dlfd.objective(
        model, task, variables, labels, weights, target,
        jnp.float32(config.ce_weight_start), config, None)
    moved, figures = dlfd.perturb(evaluate, images, one)
    outputs: Any = model.apply(variables, images, train=False)
    losses = tasks.example_loss(task, outputs.logits, labels)
    return (dlfd.project(moved, clean, config.perturb_radius),
            ot.unit_rows(getattr(outputs, config.representation)),
            figures['ot_start'],
            (losses * weights).sum() / weights.sum(), target.unit)

  images, found = clean, []
  for _ in range(config.perturb_steps + 1):  # the last one is only looked at
    moved, *figures = take(
        images, variables, clean, others, labels, weights)
    found.append(jax.tree.map(np.asarray, (images, *figures)))
    images = moved
  stacked = [np.stack(field) for field in zip(*found, strict=True)]
  return Path(stacked[0], stacked[1], stacked[4][0], stacked[2], stacked[3])


def steps(scene: Scene, faces: int, seed: int) -> figure_evaluations.Figure:
  """Figure 3 of the paper."""
  retain, forget = batches(scene, seed)
  path = walk(scene, retain, forget)
  shown = _of_distinct_people(scene.dataset.identity[retain], faces)
  ids = scene.dataset.sample_id[retain]
  change = path.images[-1] - path.images[0]
  return figure_evaluations.Figure({
      'transport_distance': path.distance.tolist(),
      'cross_entropy_nats': path.cross_entropy.tolist(),
      'pixel_change': {
          'mean': float(np.abs(change).mean()),
          'largest': float(np.abs(change).max()),
          'magnified': figure_dlfd.magnification(change[shown])},
      'images': {'retain': len(retain), 'forget': len(forget)},
      'config': dataclasses.asdict(scene.config),
      'faces': ids[shown].tolist(), 'notes': scene.notes}, {
          'steps': lambda format: figure_dlfd.draw_steps(
              path.images, path.features, path.forget, path.distance.tolist(),
              path.cross_entropy.tolist(), faces=shown, format=format)})


def _of_distinct_people(identity, count):
  """The first images of some people, or of all where persons are unknown."""
  if (identity < 0).any():
    return list(range(min(count, len(identity))))
  _, first = np.unique(identity, return_index=True)
  return np.sort(first)[:count].tolist()
