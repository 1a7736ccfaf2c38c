"""Compiled evaluations that several models of one architecture share."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import checkpoint, models, parallel, predict
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.utils import memo

# model -> split -> logits and features
OutputsByModel = Mapping[str, Mapping[str, models.Outputs[np.ndarray]]]
# model -> split -> block -> means over positions
BlocksByModel = Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]


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

  def logits(self, saved: checkpoint.SavedModel,
             parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Logits of a model on each set of rows, ``[n, outputs]``."""
    return {name: out.logits for name, out in self.run(
        saved.config, saved.variables, parts).items()}

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
      of_model: Mapping[str, Any] = predictor.parts(variables, parts)
      found[name] = {split: {block: means[block] for block in order
                             if block in means}
                     for split, means in of_model.items()}
    return found

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
