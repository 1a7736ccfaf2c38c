"""What tier 1 has to run: random networks, and learning forget again."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import (
  checkpoint,
  loop,
  models,
  parallel,
  predict,
  training as train,
)
from dlfd_jax.data import batching
from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.metrics import forgetting
from dlfd_jax.pipeline import chain, job, relearn, run_configs
from dlfd_jax.utils import memo, validate

FEATURE_SPLITS = ('forget', 'test')
_SHARE_OF_RATE = .1
# model -> split -> logits and features
OutputsByModel = Mapping[str, Mapping[str, models.Outputs[np.ndarray]]]
# model -> split -> block -> means over positions
BlocksByModel = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tier1Config:
  """What to run, and the settings of tier 1.

  Attributes:
    config: of the figures.
    relearn_steps: the cap of a relearning run; 0 = none is run.
    relearn_seeds: runs of each model.
    relearn_rate: learning rate; None = a tenth of the original's.
    random_networks: behind ZRF, at least 1.

  Raises:
    ValueError: if a field is out of its range.
  """

  config: inputs_lib.ReferenceConfig = inputs_lib.ReferenceConfig()
  relearn_steps: int = 100
  relearn_seeds: int = 3
  relearn_rate: float | None = None
  random_networks: int = 5

  def __post_init__(self):
    validate.instance(
        'config', self.config, inputs_lib.ReferenceConfig)
    for name, least in (('relearn_steps', 0), ('relearn_seeds', 1),
                        ('random_networks', 1)):
      validate.integer(name, getattr(self, name), least)
    if self.relearn_rate is not None:
      validate.number('relearn_rate', self.relearn_rate, 0, ends='(]')


@memo.one_for_equal
def _answer_with_means(model):
  return functools.partial(models.block_means, model)


class Predictors:
  """One compiled evaluation for all models of one architecture."""

  def __init__(self, dataset, devices: parallel.Devices,
               device_bytes: int = batching.DEFAULT_DEVICE_BYTES):
    self._dataset, self.devices = dataset, devices
    self.feed = batching.Feed(dataset, device_bytes)
    self.constants = devices.share(self.feed.constants)
    self._found: dict[str, tuple[nn.Module, predict.Predictor]] = {}

  def of(self, config: models.ModelConfig
         ) -> tuple[nn.Module, predict.Predictor]:
    """The module of a config and its predictor."""
    key = json.dumps(dataclasses.asdict(config), sort_keys=True)
    if key not in self._found:
      model = models.build(config)
      self._found[key] = model, predict.Predictor(
          model, self._dataset, self.devices, feed=self.feed,
          constants=self.constants)
    return self._found[key]

  def run(self, config: models.ModelConfig, variables: models.Variables,
          parts: Mapping[str, np.ndarray],
          ) -> dict[str, models.Outputs[np.ndarray]]:
    """Logits and features of each set of rows."""
    _, predictor = self.of(config)
    placed = self.devices.place(dict(variables))
    return {name: predictor(placed, rows) for name, rows in parts.items()}


  def block_means(self, config: models.ModelConfig,
                  every: Mapping[str, models.Variables],
                  parts: Mapping[str, np.ndarray]) -> BlocksByModel:
    """Means of every block on each set of rows, by model; see ``models``."""
    model = models.build(config)
    predictor = predict.Predictor(
        model, self._dataset, self.devices, feed=self.feed,
        constants=self.constants,
        outputs_of=_answer_with_means(model))
    order = [name for block in models.blocks(model) for name in block]
    found: dict[str, Any] = {}
    for name, variables in every.items():
      placed = self.devices.place(dict(variables))
      of_model: Mapping[str, Any] = {
          split: predictor(placed, rows) for split, rows in parts.items()}
      found[name] = {split: {block: means[block] for block in order
                             if block in means}
                     for split, means in of_model.items()}
    return found


def relearn_config(original: chain.Judged | None,
                   options: Tier1Config) -> relearn.RelearnConfig | None:
  """The original's optimiser at one small rate; None if nothing is to run.

  An original without a training run behind it gets the default recipe.

  Args:
    original: the model and its run; None = there is none, and nothing is to
      run.
    options: steps, seeds and rate.
  """
  if not options.relearn_steps or original is None:
    return None
  recipe = train.TrainConfig()
  if 'train' in original.config:
    recipe = run_configs.recipe_in(original.config, 'the original')
  elif original.config and original.place != chain.IN_MEMORY:
    known = run_configs.known_recipe(original.place)
    recipe = known[1] if known else recipe
  rate = options.relearn_rate or (
      _SHARE_OF_RATE * recipe.optimizer.learning_rate)
  optimizer: train.OptimizerConfig = dataclasses.replace(
      recipe.optimizer, learning_rate=rate, schedule='constant')
  return relearn.RelearnConfig(
      optimizer=optimizer, max_steps=options.relearn_steps,
      batch_size=recipe.batch_size,
      seeds=tuple(range(options.relearn_seeds)))


def collect(loaded: Mapping[str, checkpoint.SavedModel],
            outputs: OutputsByModel, dataset, splits,
            predictors: Predictors, options: Tier1Config,
            relearning_config: relearn.RelearnConfig | None,
            hooks: Sequence[loop.Hook] = ()) -> inputs_lib.References:
  """Runs random networks and relearning, and keeps the features.

  Args:
    loaded: the models, ``'original'`` first; without it none learns again.
    outputs: of each model on each split.
    dataset: the images.
    splits: their parts.
    predictors: shared with the caller.
    options: what to run.
    relearning_config: see :func:`relearn_config`.
    hooks: told how many models have learnt forget again.

  Raises:
    job.Interrupted: on SIGTERM or SIGINT.
  """
  features = {
      name: {split: of_model[split].features for split in FEATURE_SPLITS}
      for name, of_model in outputs.items()}
  parts = {split: splits.parts[split] for split in FEATURE_SPLITS}
  config = next(iter(loaded.values())).config
  model, _ = predictors.of(config)
  fresh = jax.jit(lambda key: models.init(model, key, dataset.image_size))
  random_logits = []
  for seed in range(options.random_networks):
    found = predictors.run(
        config, fresh(jax.random.key(seed)),
        parts if seed == 0 else {'forget': parts['forget']})
    random_logits.append(found['forget'].logits)
    if seed == 0:
      features[inputs_lib.RANDOM] = {
          split: out.features for split, out in found.items()}
  blocks: BlocksByModel = {}
  if _alike(loaded) and getattr(model, 'blocks', None):
    blocks = predictors.block_means(
        config, {name: saved.variables for name, saved in loaded.items()},
        parts)
  relearned: dict[str, Any] = {}
  if relearning_config is not None and 'original' in loaded:
    relearned = _relearn(
        loaded, dataset, splits, predictors, relearning_config, hooks)
  return inputs_lib.References(
      features=features, random_logits=random_logits, relearned=relearned,
      blocks=blocks)


def _alike(loaded):
  """Whether all models are one network, so that their blocks correspond."""
  return len({json.dumps({**dataclasses.asdict(saved.config), 'remat': None},
                         sort_keys=True) for saved in loaded.values()}) == 1


def _relearn(loaded, dataset, splits, predictors, config, hooks):
  """Times of every model; the original is at the target from the start."""
  relearners: dict[int, relearn.Relearner] = {}

  def relearner(saved):
    model, _ = predictors.of(saved.config)
    if id(model) not in relearners:
      relearners[id(model)] = relearn.Relearner(
          model, dataset, splits.forget, config, devices=predictors.devices,
          feed=predictors.feed, constants=predictors.constants)
    return relearners[id(model)]

  original = loaded['original']
  goal = relearner(original).accuracy(original.variables)
  times = {'original': [forgetting.RelearnTime(0) for _ in config.seeds]}
  others = [name for name in loaded if name != 'original']
  with job.shown(hooks, 'learn forget again'):
    for done, name in enumerate(others, 1):
      times[name] = relearner(loaded[name]).times(loaded[name].variables, goal)
      for hook in hooks:
        hook({'event': 'tick', 'step': done, 'num_steps': len(others)})
  return times
