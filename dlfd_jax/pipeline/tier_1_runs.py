"""What an evaluation runs from tier 1 on, and its settings.

All answers of its models and of random networks, means of blocks, attempts to
learn forget again and to bring it back, and what half-references say. Retrained
models and half-references are trained by ``reference_models``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dlfd_jax import (
  checkpoint,
  loop,
  models,
  training as train,
)
from dlfd_jax.data import (
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  references as references_lib,
)
from dlfd_jax.metrics import forgetting
from dlfd_jax.pipeline import (
  chain,
  finished_runs,
  half_references,
  job,
  predictors as predictors_lib,
  recovery,
  relearn,
  run_configs,
  tier_1_cost,
)
from dlfd_jax.utils import text as text_lib, validate

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


def settings(options: Tier1Config, relearning: relearn.RelearnConfig | None,
             recovering: relearn.RelearnConfig | None) -> dict[str, Any]:
  """What of tier 1 decides the figures, for the config of an evaluation."""
  return {
      'tier_1': dataclasses.asdict(options.config),
      'random_networks': options.random_networks,
      'relearn': dataclasses.asdict(relearning) if relearning else 'not run',
      'recovery': {
          name: value for name, value in dataclasses.asdict(recovering).items()
          if name not in ('seeds', 'tolerance')  # which recovery lacks
      } if recovering else 'not run'}


def _by_recipe(source: chain.Judged | None, options: Tier1Config,
               steps: int, seeds: tuple[int, ...]) -> relearn.RelearnConfig:
  known = run_configs.recorded(source.config) if source else None
  if known is None and source and source.config and (
      source.place != chain.IN_MEMORY):
    known = run_configs.known_recipe(source.place)
  recipe = known[1] if known else train.TrainConfig()
  rate = options.relearn_rate or (
      _SHARE_OF_RATE * recipe.optimizer.learning_rate)
  optimizer: train.OptimizerConfig = dataclasses.replace(
      recipe.optimizer, learning_rate=rate, schedule='constant')
  return relearn.RelearnConfig(
      optimizer=optimizer, max_steps=steps, batch_size=recipe.batch_size,
      seeds=seeds)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Runs:
  """What an evaluation runs from tier 1 on, its models' answers included.

  Attributes:
    loaded: the models, ``'original'`` first; without it none learns again.
    dataset: the images.
    splits: their parts.
    predictors: shared with the caller.
    options: what to run.
    relearning: see :func:`relearn_config`.
    recovering: see :func:`recovery_config`.
    halves: models for the attack on those who stay; None = no such attack.
    finished: what earlier processes ran.
    lessons: see :func:`recovery.plan`; None = nothing is to be brought back.
  """

  loaded: Mapping[str, checkpoint.SavedModel]
  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  predictors: predictors_lib.Predictors
  options: Tier1Config
  relearning: relearn.RelearnConfig | None
  recovering: relearn.RelearnConfig | None
  halves: half_references.Plan | None
  finished: finished_runs.FinishedRuns
  lessons: recovery.Plan | None

  @functools.cached_property
  def _parts(self) -> dict[str, np.ndarray]:
    """The splits whose features are compared."""
    return {split: self.splits.parts[split] for split in inputs_lib.FEATURED}

  @property
  def _first(self) -> checkpoint.SavedModel:
    return next(iter(self.loaded.values()))

  @functools.cached_property
  def _has_blocks(self) -> bool:
    """Whether all models are one network, so that their blocks correspond."""
    model, _ = self.predictors.of(self._first.config)
    return bool(getattr(model, 'blocks', None)) and len({json.dumps(
        {**dataclasses.asdict(saved.config), 'remat': None}, sort_keys=True)
                for saved in self.loaded.values()}) == 1

  def all(self) -> list[finished_runs.Run]:
    """Every run, in the order in which they are done."""
    run = finished_runs.Run
    featured = sum(map(len, self._parts.values()))
    forget = self.splits.forget
    found = [run(name=predictors_lib.run_of(name), images=sum(
        map(len, self.splits.parts.values()))) for name in self.loaded]
    found += [run(name=_random_run(seed),
                  images=len(forget) if seed else featured)
              for seed in range(self.options.random_networks)]
    if self._has_blocks:
      found += [run(name=_blocks_run(name), images=featured)
                for name in self.loaded]
    if self.relearning is not None:
      size = min(self.relearning.batch_size, len(forget))
      steps = self.relearning.max_steps
      # One batch of forget a step: most steps are told wrong by it, see
      # ``Relearner.accuracy``.
      found += [run(name=_relearn_run(name, seed), steps=steps, batch_size=size,
                    rows=forget, images=steps * size,
                    stage='learning forget again')
                for name in self._learners for seed in self.relearning.seeds]
    if self.recovering is not None and self.lessons is not None:
      found += recovery.runs(
          self.lessons, self.loaded, self.splits, self.recovering)
    return found + (half_references.runs(self.halves) if self.halves else [])

  @property
  def _learners(self) -> list[str]:
    """Models that learn forget again: the original knows it."""
    return [name for name in self.loaded if name != 'original']

  def say_expected(self, hooks: Sequence[loop.Hook]) -> float:
    """Tells hooks how long runs, probes and alignment may take that are left.

    Returns:
      Seconds, without compiling and all other figures.
    """
    every, known = self.all(), self.finished.names
    left = [run for run in every if run.name not in known]
    how = self.relearning or self.recovering
    stages = tier_1_cost.of_runs(
        left, self._first, None if how is None else relearn.Tuners(
            self.dataset, self.predictors, how.optimizer), self.predictors,
        np.concatenate(list(self.splits.parts.values())))
    stages[tier_1_cost.FEATURES] = tier_1_cost.of_features(
        self.dataset, self.splits, self._first, len(self.loaded),
        self.options.config, known)
    total, done = sum(stages.values()), len(every) - len(left)
    sentence = (
        f'Evaluating {text_lib.counted(len(self.loaded), "model")}: '
        f'{text_lib.counted(len(every), "run")}'
        + (f', {done} of them finished before. Expected for the rest: '
           if done else '. Expected: ')
        + f'{text_lib.duration(total)} (' + ', '.join(
            f'{stage} {text_lib.duration(seconds).removeprefix("about ")}'
            for stage, seconds in stages.items())
        + '), without compiling and all other figures.')
    for hook in hooks:
      hook({'event': 'expected', 'seconds': total, 'sentence': sentence})
    return total

  def collect(self, outputs: predictors_lib.OutputsByModel,
              hooks: Sequence[loop.Hook] = (), *,
              spent: dict[str, float]) -> references_lib.References:
    """Runs random networks, relearning and recovery, and keeps the features.

    Args:
      outputs: of each model on each split.
      hooks: told how many models have learnt forget again, and how many
        treatments are done that bring it back.
      spent: takes the seconds that recovery took.

    Raises:
      job.Interrupted: on SIGTERM or SIGINT.
    """
    features = {
        name: {split: of_model[split].features for split in self._parts}
        for name, of_model in outputs.items()}
    random = [self._random(seed)
              for seed in range(self.options.random_networks)]
    features[inputs_lib.RANDOM] = {
        split: random[0][f'{split}/features'] for split in self._parts}
    blocks = {name: self._blocks(name, saved) for name, saved in (
        self.loaded.items() if self._has_blocks else ())}
    relearned = {}
    if self.relearning is not None and 'original' in self.loaded:
      relearned = self._relearn(self.relearning, hooks)
    recovered = None
    if self.recovering is not None:
      started = time.perf_counter()
      recovered = recovery.recover(
          self.loaded, self.dataset, self.splits, self.predictors,
          self.recovering, hooks, lessons=self.lessons, finished=self.finished)
      spent['recovery'] = time.perf_counter() - started
    return references_lib.References(
        features=features, random_logits=[
            of_one['forget/logits'] for of_one in random],
        relearned=relearned, blocks=blocks, recovery=recovered,
        halves=None if self.halves is None else half_references.likelihoods(
            self.halves, self.predictors, self.finished))

  def _random(self, seed: int) -> finished_runs.Arrays:
    """What a random network answers, the first one on all ``_parts``."""
    config = self._first.config
    parts = {split: rows for split, rows in self._parts.items()
             if split == 'forget' or not seed}

    def run() -> finished_runs.Arrays:
      model, _ = self.predictors.of(config)
      return self.predictors.arrays(config, models.init(
          model, jax.random.key(seed), self.dataset.image_size), parts,
                                    () if seed else parts)

    return self.finished.arrays_of(_random_run(seed), run)

  def _blocks(self, name: str, saved: checkpoint.SavedModel
              ) -> dict[str, dict[str, np.ndarray]]:
    """Means of a model's blocks, by split."""
    kept = self.finished.arrays_of(_blocks_run(name), lambda: {
        f'{split}/{block}': means
        for split, of_split in self.predictors.block_means(
            saved, self._parts).items() for block, means in of_split.items()})
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, means in kept.items():
      split, _, block = key.partition('/')
      found.setdefault(split, {})[block] = means
    return found

  def _relearn(self, config: relearn.RelearnConfig, hooks: Sequence[loop.Hook]
               ) -> dict[str, list[forgetting.RelearnTime]]:
    """Times of every model; the original is at the target from the start."""
    @functools.cache
    def relearner(network: models.ModelConfig) -> relearn.Relearner:
      return relearn.Relearner(
          self.predictors.of(network)[0], self.dataset, self.splits.forget,
          config, devices=self.predictors.devices, feed=self.predictors.feed,
          constants=self.predictors.constants)

    @functools.cache
    def goal() -> float:
      original = self.loaded['original']
      return relearner(original.config).accuracy(original.variables)

    def run(saved: checkpoint.SavedModel, seed: int) -> finished_runs.Arrays:
      found = relearner(saved.config).time(saved.variables, goal(), seed)
      return {'time': np.array([found.steps, found.capped], np.int64)}

    times = {'original': [forgetting.RelearnTime(0) for _ in config.seeds]}
    with job.shown(hooks, 'learn forget again') as tick:
      for done, name in enumerate(self._learners, 1):
        times[name] = []
        for seed in config.seeds:
          steps, capped = self.finished.arrays_of(
              _relearn_run(name, seed), functools.partial(
                  run, self.loaded[name], seed))['time'].tolist()
          times[name].append(forgetting.RelearnTime(steps, bool(capped)))
        tick(done, len(self._learners))
    return times


def _random_run(seed: int) -> str:
  return f'random/{seed}'


def _blocks_run(name: str) -> str:
  return f'blocks/{name}'


def _relearn_run(name: str, seed: int) -> str:
  return f'relearn/{name}/{seed}'
