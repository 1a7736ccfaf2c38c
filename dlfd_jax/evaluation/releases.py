"""What two versions of a model give away together, and who stays exposed.

Whoever holds the original and a later version sees which answers changed (Chen
et al. 2021, arXiv:2005.02205). Their attacks learn from both outputs; the two
that need no learning are taken: how far the outputs moved, which needs no
label, and how much the loss rose. An exact deletion changes the same answers:
the figure of a retrained model in the place of the later version is what no
method avoids. Those who stay can become easier to tell from unseen people, too
(Fu et al. 2026, arXiv:2605.01129).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlfd_jax.evaluation import outputs
from dlfd_jax.evaluation.estimate import Estimate, combine
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.metrics import distances, per_example

STAY = ('retain', 'test')
Change = Callable[[Inputs, Model, Model, str], np.ndarray]


def risen(inputs: Inputs, before: Model, after: Model,
          split: str) -> np.ndarray:
  """How much each loss rose, ``[n]`` in nats."""
  return after.losses[split] - before.losses[split]


def changed(inputs: Inputs, before: Model, after: Model,
            split: str) -> np.ndarray:
  """How much each loss changed, up or down, ``[n]`` in nats."""
  return np.abs(risen(inputs, before, after, split))


@once
def moved(inputs: Inputs, before: Model, after: Model,
          split: str) -> np.ndarray:
  """How far the probabilities of each image moved, ``[n]``; needs no label."""
  return distances.activation_distance(*(
      per_example.probabilities(inputs.task, model.logits[split])
      for model in (before, after)))


def auc(inputs: Inputs, model: Model, *, change: Change,
        against: str) -> Estimate:
  """AUC of changes since the original: forget against another split.

  Class-matched, where label vectors have no gaps; resampled by person.

  Args:
    inputs: everything that was given.
    model: the later version.
    change: of each image.
    against: ``UNSEEN``, or ``'retain'``.
  """
  original, splits = inputs.original, ('forget', against)
  if original is None:
    return Estimate.missing(outputs.NO_ORIGINAL)
  if model is original:
    return Estimate(.5)  # nothing changed: a guess
  return _matched(inputs, lambda split: change(
      inputs, original, model, split), (original, model), splits)


@once
def stayed_auc(inputs: Inputs, model: Model) -> Estimate:
  """Class-matched attack AUC of retained against unseen images."""
  return _matched(inputs, lambda split: -model.losses[split], (model,), STAY)


@once
@outputs.on_splits(*STAY)
def stayed_auc_by_person(inputs: Inputs, model: Model) -> Estimate:
  """Attack AUC of retained against unseen people, who must be known."""
  return outputs.auc_by_person(
      inputs, [-model.losses[split] for split in STAY], STAY)


def exposure(inputs: Inputs, model: Model, *,
             of: Callable[[Inputs, Model], Estimate]) -> Estimate:
  """How much higher than the original's an attack's AUC is."""
  if inputs.original is None:
    return Estimate.missing(outputs.NO_ORIGINAL)
  if model is inputs.original:
    return Estimate(0.0)
  return combine(lambda later, before: later - before,
                 of(inputs, model), of(inputs, inputs.original))


def _matched(inputs: Inputs, score: Callable[[str], np.ndarray],
             models: tuple[Model, ...], splits: tuple[str, str]) -> Estimate:
  for split in splits:
    if any(split not in model.logits for model in models):
      return Estimate.missing(inputs.no_logits(split))
  parts = [inputs.parts[split] for split in splits]
  alike = outputs.by_attribute(inputs, splits)  # vectors with gaps: no classes
  first, second = (
      (score(split), np.zeros_like(part.keys) if alike else part.keys,
       np.ones(len(part))) for split, part in zip(splits, parts))
  return outputs.auc_of_matched(
      inputs, outputs.Matched(*zip(first, second)), splits)
