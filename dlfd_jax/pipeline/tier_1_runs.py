"""What tier 1 has to run: random networks, and attempts to learn again.

The retrained models that it compares with are trained by ``reference_models``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from dlfd_jax import (
  checkpoint,
  loop,
  models,
  training as train,
)
from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.metrics import forgetting
from dlfd_jax.pipeline import (
  chain,
  job,
  predictors as predictors_lib,
  recovery,
  relearn,
  run_configs,
)
from dlfd_jax.utils import validate

FEATURE_SPLITS = ('forget', 'test')
_SHARE_OF_RATE = .1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tier1Config:
  """What to run, and the settings of tier 1.

  Attributes:
    config: of the figures.
    relearn_steps: the cap of a relearning run; 0 = none is run.
    relearn_seeds: runs of each model.
    relearn_rate: learning rate; None = a tenth of the original's.
    random_networks: behind ZRF, at least 1.
    recovery_steps: on retain, and on parts of forget, after which forget is
      asked for again; 0 = that is not tried, nor are copies of its images.

  Raises:
    ValueError: if a field is out of its range.
  """

  config: inputs_lib.ReferenceConfig = inputs_lib.ReferenceConfig()
  relearn_steps: int = 100
  relearn_seeds: int = 3
  relearn_rate: float | None = None
  random_networks: int = 5
  recovery_steps: int = 100

  def __post_init__(self):
    validate.instance(
        'config', self.config, inputs_lib.ReferenceConfig)
    for name, least in (('relearn_steps', 0), ('relearn_seeds', 1),
                        ('random_networks', 1), ('recovery_steps', 0)):
      validate.integer(name, getattr(self, name), least)
    if self.relearn_rate is not None:
      validate.number('relearn_rate', self.relearn_rate, 0, ends='(]')


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
  return _by_recipe(original, options, options.relearn_steps,
                    tuple(range(options.relearn_seeds)))


def recovery_config(judged: Mapping[str, chain.Judged], options: Tier1Config
                    ) -> relearn.RelearnConfig | None:
  """How forget is tried to be brought back; None if that is not to be.

  By the optimiser and the rate of :func:`relearn_config`; without an original
  by the recipe of the first retrained model.

  Args:
    judged: all models.
    options: steps and rate.
  """
  if not options.recovery_steps:
    return None
  source = judged.get('original') or judged.get('retrained_0')
  return _by_recipe(source, options, options.recovery_steps, (0,))


def _by_recipe(source: chain.Judged | None, options: Tier1Config,
               steps: int, seeds: tuple[int, ...]) -> relearn.RelearnConfig:
  recipe = train.TrainConfig()
  if source is not None and 'train' in source.config:
    recipe = run_configs.recipe_in(source.config, 'the original')
  elif source and source.config and source.place != chain.IN_MEMORY:
    known = run_configs.known_recipe(source.place)
    recipe = known[1] if known else recipe
  rate = options.relearn_rate or (
      _SHARE_OF_RATE * recipe.optimizer.learning_rate)
  optimizer: train.OptimizerConfig = dataclasses.replace(
      recipe.optimizer, learning_rate=rate, schedule='constant')
  return relearn.RelearnConfig(
      optimizer=optimizer, max_steps=steps, batch_size=recipe.batch_size,
      seeds=seeds)


def collect(loaded: Mapping[str, checkpoint.SavedModel],
            outputs: predictors_lib.OutputsByModel, dataset, splits,
            predictors: predictors_lib.Predictors, options: Tier1Config,
            relearning_config: relearn.RelearnConfig | None,
            recovering: relearn.RelearnConfig | None = None,
            hooks: Sequence[loop.Hook] = (), *,
            spent: dict[str, float] | None = None) -> inputs_lib.References:
  """Runs random networks, relearning and recovery, and keeps the features.

  Args:
    loaded: the models, ``'original'`` first; without it none learns again.
    outputs: of each model on each split.
    dataset: the images.
    splits: their parts.
    predictors: shared with the caller.
    options: what to run.
    relearning_config: see :func:`relearn_config`.
    recovering: see :func:`recovery_config`.
    hooks: told how many models have learnt forget again.
    spent: takes the seconds that recovery took, and was expected to take.

  Raises:
    job.Interrupted: on SIGTERM or SIGINT.
  """
  features = {
      name: {split: of_model[split].features for split in FEATURE_SPLITS}
      for name, of_model in outputs.items()}
  parts = {split: splits.parts[split] for split in FEATURE_SPLITS}
  config = next(iter(loaded.values())).config
  model, _ = predictors.of(config)
  random_logits = []
  for seed in range(options.random_networks):
    found = predictors.run(
        config, models.init(model, jax.random.key(seed), dataset.image_size),
        parts if seed == 0 else {'forget': parts['forget']})
    random_logits.append(found['forget'].logits)
    if seed == 0:
      features[inputs_lib.RANDOM] = {
          split: out.features for split, out in found.items()}
  blocks: predictors_lib.BlocksByModel = {}
  if _alike(loaded) and getattr(model, 'blocks', None):
    blocks = predictors.block_means(
        config, {name: saved.variables for name, saved in loaded.items()},
        parts)
  relearned: dict[str, Any] = {}
  if relearning_config is not None and 'original' in loaded:
    relearned = _relearn(
        loaded, dataset, splits, predictors, relearning_config, hooks)
  recovered = None
  if recovering is not None:
    recovered, seconds = recovery.recover(
        loaded, dataset, splits, predictors, recovering, hooks)
    if spent is not None:
      spent |= seconds
  return inputs_lib.References(
      features=features, random_logits=random_logits, relearned=relearned,
      blocks=blocks, recovery=recovered)


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
  with job.shown(hooks, 'learn forget again') as tick:
    for done, name in enumerate(others, 1):
      times[name] = relearner(loaded[name]).times(loaded[name].variables, goal)
      tick(done, len(others))
  return times
