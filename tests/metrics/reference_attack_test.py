"""Margins beside reference models, against closed forms."""

import numpy as np
import pytest
from scipy import special

from dlfd_jax.metrics import attack, reference_attack

_N = 40_000


def _scores(judged, seed=0, models=4, hard=3.0, **options):
  """Scores of forget and test: images of own difficulty, models of spread 1.

  ``judged(level, generator)`` gives the judged model's margins on forget, of
  which ``level`` is what models that never saw the images agree on.
  """
  rng = np.random.default_rng(seed)
  levels = [rng.normal(0, hard, _N) for _ in range(2)]
  references = [level + rng.normal(size=(models, _N)) for level in levels]
  margins = [judged(levels[0], rng), levels[1] + rng.normal(size=_N)]
  return reference_attack.scores(margins, references, **options)


@pytest.mark.parametrize('shift', [0, 1, -1])
@pytest.mark.parametrize('models', [2, 8])
def test_a_shift_gives_the_auc_of_two_normal_laws(shift, models):
  def judged(level, rng):
    return level + shift + rng.normal(size=_N)

  # Of the difference to a mean of n: variance 1 + 1 / n.
  wide = np.sqrt(2 * (1 + 1 / models))
  assert attack.auc(*_scores(judged, models=models)) == pytest.approx(
      special.ndtr(shift / wide), abs=.006)


def test_both_directions_at_once_are_seen_by_the_two_sided_attack_alone():
  def judged(level, rng):
    return level + rng.choice([-3, 3], _N) + rng.normal(size=_N)

  assert attack.auc(*_scores(judged)) == pytest.approx(.5, abs=.01)
  assert attack.auc(*_scores(judged, two_sided=True)) > .85


def test_margins_of_other_images_are_as_those_of_unseen_ones_but_elsewhere():
  def judged(level, rng):
    return rng.permutation(level) + rng.normal(size=_N)

  # |N(0, a^2)| against |N(0, b^2)|: P = 2 arctan(a / b) / pi. An exchanged
  # difficulty adds two variances of 9.
  expected = 2 / np.pi * np.arctan(np.sqrt((18 + 1.25) / 1.25))
  assert attack.auc(*_scores(judged, two_sided=True)) == pytest.approx(
      expected, abs=.006)
  assert attack.auc(*_scores(judged)) == pytest.approx(.5, abs=.01)


def test_the_spread_is_that_within_images():
  rng = np.random.default_rng(0)
  references = [rng.normal(0, 50, size) + rng.normal(0, 2, (3, size))
                for size in (9000, 3000)]
  assert reference_attack.pooled_spread(*references) == pytest.approx(2, .02)
  # (1, 3), (2, 2), (0, 6): squares 2 + 0 + 18 over three degrees of freedom.
  assert reference_attack.pooled_spread(
      np.array([[1., 2.], [3., 2.]]), np.array([[0.], [6.]])
  ) == pytest.approx(np.sqrt(20 / 3))
  assert reference_attack.pooled_spread(np.ones((1, 4))) is None
  assert reference_attack.pooled_spread(np.ones((3, 4))) is None


def test_deviations_count_spreads_from_the_references_mean():
  found = reference_attack.scores(
      [np.array([5., 2.]), np.array([-1.])],
      [np.array([[1., 2.], [3., 2.]]), np.array([[0.], [6.]])])
  spread = np.sqrt(20 / 3)
  np.testing.assert_allclose(np.concatenate(found) * spread, [3, 0, -4])
