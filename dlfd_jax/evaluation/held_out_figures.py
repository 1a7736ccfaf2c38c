"""Cross-validated attack accuracies, and the summary figures made of them."""

from __future__ import annotations

import numpy as np

from dlfd_jax.evaluation import comparison, inputs as inputs_lib
from dlfd_jax.metrics import accuracy, attack, cross_validation

FEW = 'it needs at least 2 images a side'
FEW_RELEASED = 'it needs at least 2 images a side and 11 in all'


def released_possible(inputs: inputs_lib.Inputs) -> bool:
  """Whether there are enough images for the papers' form of the attack."""
  sizes = [len(inputs.parts[split]) for split in inputs_lib.MIA_SIDES]
  return min(sizes) >= 2 and sum(sizes) >= 11


def estimates(
    inputs: inputs_lib.Inputs, model: inputs_lib.Model,
    accuracy_test: comparison.Estimate) -> dict[str, comparison.Estimate]:
  """Both accuracies, both forgetting scores and both NoMUS of one model.

  Args:
    inputs: everything that was given.
    model: the model to score.
    accuracy_test: its test accuracy, for NoMUS.
  """
  sides = [-model.losses[split] for split in inputs_lib.MIA_SIDES]
  config = inputs.config
  one = two = comparison.Estimate.missing(FEW)
  if min(map(len, sides)) >= 2:
    one, two = (
        _held_out(inputs, cross_validation.held_out(
            *sides, draws=config.draws, seed=config.seed,
            two_sided=two_sided), balanced=True)
        for two_sided in (False, True))
  released = comparison.Estimate.missing(FEW_RELEASED)
  if released_possible(inputs):
    released = _held_out(inputs, attack.unbalanced_held_out(
        *(-side for side in sides)), balanced=False)
  found = {'mia_accuracy': one, 'mia_accuracy_two_sided': two}
  for suffix, mia in (('', one), ('_unbalanced', released)):
    score = _map(lambda a: 2 * np.abs(a - .5), mia)
    found[f'forgetting_score{suffix}'] = score
    found[f'nomus{suffix}'] = _map(
        lambda a, fs: .5 * (a + 1 - fs), accuracy_test, score)
  return found


def _held_out(inputs, results, *, balanced):
  """Accuracy of held-out answers; resampling the answers, not the attack."""
  forget, test = (inputs.parts[split] for split in inputs_lib.MIA_SIDES)
  members = forget.resampled_sums(
      np.stack([results.members, results.members_tried], axis=-1))
  others = test.resampled_sums(
      np.stack([results.non_members, results.non_members_tried], axis=-1))
  both = np.stack([members, others], axis=-1)
  if not balanced:
    both = both.sum(axis=-1, keepdims=True)
  return comparison.Estimate(
      results.accuracy, accuracy.mean_of_ratios(both[:, 0], both[:, 1]))


def _map(function, *given):
  """A function of estimates, on values and on replicates alike."""
  for estimate in given:
    if estimate.value is None:
      return estimate
  return comparison.Estimate(
      float(function(*(estimate.value for estimate in given))),
      function(*(estimate.replicates for estimate in given)))
