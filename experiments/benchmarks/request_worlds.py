"""Data, an original and retrained models that many requests share."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import methods, models, presets
from dlfd_jax.cli import command
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.evaluation import inputs as inputs_lib, run
from dlfd_jax.pipeline import (
  auto,
  candidates,
  job,
  predictors as predictors_lib,
  reference_models,
  train,
  unlearn,
)
from dlfd_jax.utils import runs
from experiments.benchmarks import judged
from experiments.paper import study as study_lib

REFERENCES = 4
AUTO, BUDGET = auto.METHOD, '150%'  # of retraining
DEFAULT, SHORT = 'default', candidates.SHORT
METHODS = ('finetune', SHORT, DEFAULT, AUTO)
_FIRST = 1000  # seed of the first retrained model
# Accuracies and the class-matched attack: what the gap is a mean over.
GAP = ('gap_accuracy_test', 'gap_accuracy_retain', 'gap_accuracy_forget',
       'gap_mia_auc_matched')
_CONFIG = inputs_lib.EvaluationConfig(bootstrap=20, permutations=20, draws=1)
TASKS = ('demo', 'fgnet_age')
TITLES = {'demo': 'Drawn faces', 'fgnet_age': judged.SMALL.title}


@dataclasses.dataclass(frozen=True, eq=False)
class World:
  """An original, and retrained models that lack everybody who may be asked for.

  Attributes:
    name: of the preset.
    study: data and original.
    partition: what the original was trained on, and what it never saw.
    everybody: the request of all who are asked for anywhere.
    references: runs of models trained without them.
    retraining_cpu_s: of one of them, None where it was trained before.
    folder: of the runs.
  """

  name: str
  study: study_lib.Study
  partition: splits_lib.Partition
  everybody: splits_lib.Splits
  references: list[str]
  retraining_cpu_s: float | None
  folder: pathlib.Path

  @property
  def dataset(self) -> dataset_lib.Dataset:
    return self.study.dataset

  @property
  def original(self) -> job.ModelRun:
    return self.study.trained['original']

  def splits(self, *, earlier: np.ndarray | None = None, **asked: Any
             ) -> splits_lib.Splits:
    """Of a request, see ``ForgetRequest``; ``earlier`` are rows of train."""
    partition = self.partition
    if earlier is not None:
      partition = splits_lib.Partition(
          np.setdiff1d(partition.train, earlier), partition.val, partition.test)
    return resolution.resolve_request(
        self.dataset, partition, requests.ForgetRequest(**asked), earlier)[0]

  @functools.cached_property
  def _predictors(self) -> predictors_lib.Predictors:
    return predictors_lib.Predictors(self.dataset, self.study.devices)

  def logits(self, model: Any, splits: splits_lib.Splits
             ) -> dict[str, np.ndarray]:
    """Of a run on the parts of a request."""
    return self._predictors.logits(job.judged(model).saved, splits.parts)

  def unlearn(self, name: str, start: job.ModelRun, splits: splits_lib.Splits,
              seed: int, folder: pathlib.Path, common: Mapping[str, Any]
              ) -> job.ModelRun:
    """A request by one of ``METHODS``, or by a method as the preset has it."""
    preset = self.study.task.preset
    if name == AUTO:
      return auto.auto(start, splits, budget=BUDGET, seed=seed, preset=preset,
                       workdir=folder, **common)
    if name == DEFAULT:
      config: Any = presets.own_config()
    elif name == SHORT:
      one, = candidates.named([name], preset, preset.train,
                              models.build(self.study.saved.config))
      config = one.config
    else:
      config = preset.config_of(name)
    return unlearn.unlearn(start, config, splits, seed=seed, workdir=folder,
                           **common)

  def judge(self, model: Any, splits: splits_lib.Splits,
            left_out: int | None = None) -> Mapping[str, Any]:
    """An evaluation of the logits, beside the retrained models.

    Args:
      model: a run.
      splits: of the request.
      left_out: number of a retrained model that is no reference.
    """
    return run.evaluate(
        {'original': self.logits(self.original, splits),
         'unlearned': self.logits(model, splits),
         'retrained': [self.logits(one, splits)
                       for i, one in enumerate(self.references)
                       if i != left_out]},
        self.dataset, splits, _CONFIG, tier=1)


def open_world(name: str, folder: pathlib.Path, data_dir: pathlib.Path,
               people: Sequence[int] | None, count: int,
               common: Mapping[str, Any]) -> World:
  """Trains what is missing of a world.

  Args:
    name: of ``TASKS``.
    folder: of all run folders.
    data_dir: of the npz files.
    people: who is asked for; None = ``count`` drawn people.
    count: of people drawn.
    common: run-time arguments of every run.
  """
  task = (study_lib.Task('demo', 'demo', presets.PRESETS['demo'])
          if name == 'demo' else judged.SMALL.task(data_dir))
  study = study_lib.open_study(task, 0, folder, **common)
  partition = job.as_partition(study.splits)
  if people is None:
    people = drawn(study.dataset, partition.train, count, 0)
  everybody, _ = resolution.resolve_request(
      study.dataset, partition,
      requests.ForgetRequest(identities=[int(one) for one in people]))
  place = study.folder / f'without_{count}'
  costs: list[float] = []
  started = time.process_time()

  def timed(made: train.TrainResult) -> None:
    nonlocal started
    command.check_finite(made)
    costs.append(time.process_time() - started)
    started = time.process_time()

  stored = place / 'retraining.json'
  made = reference_models.train_references(
      reference_models.plan(study.trained['original'], everybody,
                            n=REFERENCES, seed=_FIRST),
      place, each=timed, **common)
  if not stored.is_file() and len(costs) == REFERENCES:
    # The first one compiles; what unlearning costs is counted with compiling.
    runs.write_json(stored, {'cpu_s': costs})
  known = runs.read_json(stored)['cpu_s'] if stored.is_file() else None
  return World(name, study, partition, everybody, made.retrained(),
               known and float(known[0]), place)


def drawn(dataset: dataset_lib.Dataset, train_rows: np.ndarray, count: int,
          seed: int) -> np.ndarray:
  """People of train, in random order.

  Raises:
    ValueError: if there are not so many.
  """
  known = np.unique(dataset.identity[train_rows])
  known = known[known >= 0]
  if len(known) <= count:
    raise ValueError(f'Expected fewer than the {len(known)} people in training '
                     f'to be drawn, got {count}.')
  return np.random.default_rng(seed).permutation(known)[:count]


def taken(done: job.ModelRun) -> str | None:
  """The method behind a model; None where ``auto`` hands back no model."""
  if done.record['method'] == AUTO:
    return done.record['auto']['taken']
  return done.record['method']


def title_of(name: str) -> str:
  """Of a method, or of what stands beside the methods."""
  return {'original': 'Original', 'left out': 'Retrained, left out',
          DEFAULT: 'Default (DLFD + restore)',
          SHORT: 'EU-k, half of the blocks',
          AUTO: f'Auto, budget {BUDGET}'}.get(name) or methods.title_of(name)


def gap(record: Mapping[str, Any]) -> dict[str, float]:
  """Mean absolute difference to the retrained models, and its parts."""
  of = {one['metric']: one for one in record['metrics']}
  parts = {name: float(of[name]['delta']['value']) for name in GAP}
  return {'gap': float(np.mean(np.abs(list(parts.values())))), **parts}


def value(record: Mapping[str, Any], metric: str,
          column: str = 'unlearned') -> float | None:
  """One number of an evaluation."""
  for one in record['metrics']:
    if one['metric'] == metric:
      return one[column]['value']
  return None


def once(path: pathlib.Path, compute: Callable[[], dict[str, Any]]
         ) -> dict[str, Any]:
  """What a file holds, or what is computed and written there."""
  if not path.is_file():
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, compute())
  return runs.read_json(path)
