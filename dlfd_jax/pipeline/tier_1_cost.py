"""What an evaluation with retrained models is expected to take, before it does.

Everything is timed here, as it will be done: a step of each batch size, a batch
in evaluation mode, and each kind of figure that fits something to features, on
noise of their shape. What is compiled for that serves the evaluation.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import time
from collections.abc import Callable, Collection, Sequence

import numpy as np

from dlfd_jax import checkpoint, models
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import features as kept, inputs as inputs_lib
from dlfd_jax.metrics import features as features_lib
from dlfd_jax.pipeline import (
  expected_cost,
  finished_runs,
  predictors as predictors_lib,
  relearn,
)

FEATURES = 'probes and alignment'
_CKA_FORMS = 2  # unbiased and biased
_FEWEST = 4  # images of it


def of_runs(left: Sequence[finished_runs.Run], saved: checkpoint.SavedModel,
            tuners: relearn.Tuners | None,
            predictors: predictors_lib.Predictors,
            rows: np.ndarray) -> dict[str, float]:
  """Expected seconds of runs, by stage in words.

  Args:
    left: the runs.
    saved: a model, on which a step and a batch are timed for all.
    tuners: that make its steps; None = no run has any.
    predictors: of the evaluation.
    rows: some of the images.
  """
  if not left:
    return {}
  calls = {}
  for run in left:
    size = str(run.batch_size)
    if run.steps and size not in calls:
      assert tuners is not None and run.rows is not None
      calls[size] = tuners.of(saved.config).call(
          saved.variables, run.rows, run.batch_size, run.steps)
  step_s = expected_cost.step_seconds(calls, predictors.devices)
  _, predictor = predictors.of(saved.config)
  image_s = expected_cost.image_seconds(predictor, saved.variables, rows)
  found: dict[str, float] = {}
  for run in left:
    found[run.stage] = found.get(run.stage, 0.0) + run.images * image_s + (
        run.steps * step_s[str(run.batch_size)] if run.steps else 0.0)
  return found


def of_features(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
                saved: checkpoint.SavedModel, count: int,
                config: inputs_lib.ReferenceConfig,
                known: Collection[str]) -> float:
  """Expected seconds of probes and of the alignment of features.

  Takes as long as one of each kind that is not all there.

  Args:
    dataset: the images.
    splits: of the request.
    saved: a model; all are taken to have features as wide as its own.
    count: of models.
    config: of tier 1.
    known: names of what is there already, see ``features.kept_name``.
  """
  model = models.build(saved.config)
  width = models.output_shapes(model, dataset.image_size).features.shape[-1]
  draw = np.random.default_rng(0).normal
  rows = {split: splits.parts[split] for split in inputs_lib.FEATURED}
  noise = {split: draw(size=(len(of), width)) for split, of in rows.items()}
  people = {split: dataset.identity[of] for split, of in rows.items()}
  units = {split: inputs_lib.units_of(of)[0] for split, of in people.items()}
  labels = dataset.labels[rows['test']].reshape(len(rows['test']), -1)

  def membership() -> object:
    return features_lib.membership_probe(
        *noise.values(), *units.values(), folds=config.probe_folds)

  def label() -> object:
    return features_lib.labels_probe(
        noise['test'], labels[:, 0], units['test'], folds=config.probe_folds)

  def person(split: str) -> object:
    return features_lib.people_probe(
        noise[split], people[split], limit=config.probe_people)

  def alignment(split: str) -> object:
    values = noise[split]
    groups = np.array_split(np.arange(len(values)), config.jackknife_groups)
    return len(values) - len(groups[0]) >= _FEWEST and features_lib.hsic(
        values, values[::-1], groups)

  every, pairs = count + 1, count * (count - 1) // 2  # with a random network
  # Of several attributes a probe for each, and again in the mean of all.
  of_labels = every * (1 if labels.shape[1] == 1 else 2 * labels.shape[1])
  forms = _CKA_FORMS + (
      len(models.blocks(model)) - 1 if getattr(model, 'blocks', None) else 0)
  kinds: list[tuple[str, int, float, Callable[[], object]]] = [
      (kept.kept_name(kept.probe_membership.__name__, ''), every, 1,
       membership),
      (kept.kept_name(kept.PERMUTED, ''), 1, config.probe_permutations,
       membership),
      (kept.kept_name(kept.probe_label.__name__, ''), of_labels, 1, label)]
  for split, probe in (('forget', kept.probe_people_forget),
                       ('test', kept.probe_people_test)):
    kinds += [(kept.kept_name(probe.__name__, ''), every, 1,
               functools.partial(person, split)),
              # Of each pair, and of each model with itself.
              (kept.kept_name(kept.CKA, split, ''), pairs * forms,
               1 + count / max(pairs, 1),
               functools.partial(alignment, split))]
  importlib.import_module('sklearn.linear_model')  # which is no probe's time
  seconds = functools.cache(_seconds)  # one call stands in two of the kinds
  total = 0.0
  for begin, times, each, call in kinds:
    left = times - sum(one.startswith(begin) for one in known)
    total += max(left, 0) * each * (seconds(call) if left > 0 else 0.0)
  return total


def _seconds(call: Callable[[], object]) -> float:
  """Of a call; 0 where there are too few people, images or classes for it."""
  started = time.perf_counter()
  with contextlib.suppress(features_lib.TooFewError):
    call()
    return time.perf_counter() - started
  return 0.0
