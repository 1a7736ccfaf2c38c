"""Intervals of distances of outputs."""

import functools

import numpy as np
import pytest

from dlfd_jax.evaluation import against, inputs
from dlfd_jax.metrics import distances, stats
from tests.evaluation import fakes


@pytest.mark.parametrize('references', [1, 3])
@pytest.mark.parametrize('kind', [
    against.js, distances.kl, against.activation_distance,
    distances.agreement])
def test_a_distance_has_its_own_interval_with_any_number_of_models(
    kind, references):
  """Student's, of a mean that is skewed, holds 81 % at five images."""
  data = fakes.dataset(people=30, known=False)
  splits = fakes.splits(data, by_person=False)
  prepared = inputs.prepare({
      'unlearned': fakes.logits(data, splits, 0),
      'retrained': [fakes.logits(data, splits, 1 + i)
                    for i in range(references)]}, data, splits)
  found = against.distance(prepared, prepared.unlearned, prepared.retrained,
                           kind=kind, split='forget')
  expected = (stats.effective_interval if kind is distances.agreement else
              stats.gamma_interval)(
      found.value, float(np.var(found.replicates, ddof=1)),
      len(splits.forget))
  assert (found.low, found.high) == pytest.approx(expected)
  assert found.is_share == (kind is distances.agreement)


def test_the_interval_of_a_skewed_mean_holds_at_five_units():
  """Of JS distances of two models of one image: Student's holds 81 %."""
  rng = np.random.default_rng(0)
  js = functools.partial(against.js, fakes.CLASSES)

  def drawn(n):
    margins = 1.28 + rng.normal(size=n)
    logits = [np.stack([m, *np.full((3, n), -30.0)], axis=-1)
              for m in (margins, margins + .5 * rng.normal(size=n))]
    for z in logits:
      z[:, 1] = 0
    return js(*logits)

  truth = drawn(100_000).mean()
  held, student = [], []
  for _ in range(600):
    values = drawn(5)
    mean, variance = float(values.mean()), float(values.var(ddof=1)) / 5
    low, high = stats.t_interval(mean, variance**.5, 4)
    student.append(low <= truth <= high)
    ends = stats.gamma_interval(mean, variance, 5)
    if ends is not None:
      held.append(ends[0] <= truth <= ends[1])
  assert np.mean(held) > .92 and len(held) > 450
  assert np.mean(student) < .86
