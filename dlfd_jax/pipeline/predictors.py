"""Compiled evaluations that several models of one architecture share."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import checkpoint, models, parallel, predict
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.pipeline import finished_runs
from dlfd_jax.utils import memo

# model -> split -> logits and features
OutputsByModel = Mapping[str, Mapping[str, models.Outputs[np.ndarray]]]


def run_of(name: str) -> str:
  """The run of a model's answers, see ``finished_runs``."""
  return f'outputs/{name}'


@memo.one_for_equal
def _answer_with_means(model: nn.Module) -> Callable[..., Any]:
  return functools.partial(models.block_means, model)


class Predictors:
  """One compiled evaluation for all models of one architecture."""

  def __init__(self, dataset: dataset_lib.Dataset, devices: parallel.Devices):
    self._dataset, self.devices = dataset, devices
    self.feed = batching.Feed(dataset, devices.image_bytes)
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
    return predictor.parts(variables, parts)

  def arrays(self, config: models.ModelConfig, variables: models.Variables,
             parts: Mapping[str, np.ndarray], features: Collection[str]
             ) -> dict[str, np.ndarray]:
    """The same to be stored: ``{split}/logits``, of some ``{split}/features``.

    Args:
      config: of the network.
      variables: of it.
      parts: sets of rows by split.
      features: splits whose features are wanted.
    """
    return {f'{split}/{name}': values
            for split, out in self.run(config, variables, parts).items()
            for name, values in out._asdict().items()
            if name == 'logits' or split in features}

  def logits(self, saved: checkpoint.SavedModel,
             parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits of a model on each set of rows, ``[n, outputs]``."""
    return {name: out.logits for name, out in self.run(
        saved.config, saved.variables, parts).items()}

  def outputs(
      self, finished: finished_runs.FinishedRuns, name: str,
      saved: checkpoint.SavedModel, parts: Mapping[str, np.ndarray],
      features: Collection[str]) -> dict[str, models.Outputs[np.ndarray]]:
    """Outputs of a model: those that an earlier process kept, or made now.

    Args:
      finished: runs of the evaluation.
      name: of the model.
      saved: the model.
      parts: sets of rows by split.
      features: splits whose features are wanted; the others' are empty.
    """
    found = finished.arrays_of(run_of(name), lambda: self.arrays(
        saved.config, saved.variables, parts, features))
    return {split: models.Outputs(
        found[f'{split}/logits'],
        found.get(f'{split}/features', np.zeros((len(rows), 0), np.float32)))
            for split, rows in parts.items()}

  def block_means(self, saved: checkpoint.SavedModel,
                  parts: Mapping[str, np.ndarray]
                  ) -> dict[str, dict[str, np.ndarray]]:
    """Means of every block on each set of rows, by set; see ``models``."""
    model = models.build(saved.config)
    predictor = predict.Predictor(
        model, self._dataset, self.devices, feed=self.feed,
        constants=self.constants,
        outputs_of=_answer_with_means(model))
    found: Mapping[str, Any] = predictor.parts(saved.variables, parts)
    order = [name for block in models.blocks(model) for name in block]
    return {split: {block: means[block] for block in order if block in means}
            for split, means in found.items()}

  def changed(self, config: models.ModelConfig,
              change: Callable[[jax.Array, jax.Array, Any], jax.Array],
              how: Any) -> predict.Predictor:
    """The predictor of a config on changed images, see ``predict``.

    One compiled program serves every ``how`` of the same shapes.
    """
    model, _ = self.of(config)
    return predict.Predictor(
        model, self._dataset, self.devices, feed=self.feed,
        constants={**self.constants, 'change': self.devices.share(how)},
        change=change)
