"""Densities of losses and their distance."""

import functools

import numpy as np
import pytest
from scipy import stats

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import figure_losses as lib
from tests.report import pictures

AXIS = np.linspace(-8, 4, 400)
CHANCE = dict.fromkeys(('original', 'dlfd', 'retrained'), .1)


def _panels():
  rng = np.random.default_rng(0)
  draw = lambda mean: np.exp(rng.normal(mean, 1.5, 60))
  return [
      lib.Panel('original', 'Original', draw(-6), draw(-2),
                Estimate(.7, .6, .8)),
      lib.Panel('dlfd', 'DLFD', draw(-2), draw(-2), Estimate(.5)),
      lib.Panel('retrained', 'Retrained', draw(-2), draw(-2),
                Estimate.missing('not measured'))]


def test_the_density_is_scipys_where_the_bandwidth_is_scotts():
  sample = np.random.default_rng(0).normal(-2, 1, 80)
  np.testing.assert_allclose(
      lib.density(sample, AXIS), stats.gaussian_kde(sample)(AXIS), rtol=1e-10)


def test_a_density_integrates_to_one_even_of_equal_values():
  for sample in (np.zeros(9), np.random.default_rng(1).normal(-2, 1, 9000)):
    assert np.trapezoid(lib.density(sample, AXIS), AXIS) == pytest.approx(
        1, abs=1e-3)


def test_equal_samples_have_distance_zero_and_disjoint_ones_one():
  low, high = (lib.density(np.full(5, at), AXIS) for at in (-6.0, 2.0))
  assert lib.js_distance(low, low) == 0
  assert lib.js_distance(low, high) == pytest.approx(1)


def test_the_distance_is_the_root_of_the_divergence_in_bits():
  p, q = np.array([3.0, 1.0]), np.array([1.0, 3.0])
  bits = 1 - stats.entropy([.75, .25], base=2)  # of the even mixture
  assert lib.js_distance(p, q) == pytest.approx(bits**.5)
  assert lib.js_distance(p, q) == lib.js_distance(q, p)


def test_small_and_infinite_losses_stay_on_the_axis():
  np.testing.assert_allclose(
      lib.decades(np.array([0.0, 1.0, np.inf, 10.0])), [-6, 0, 1, 1])


def test_distances_within_one_distribution_are_those_of_swapped_people():
  rng = np.random.default_rng(0)
  draw = lambda mean: np.exp(rng.normal(mean, 1, 80))
  units = np.repeat(np.arange(20), 4)
  for other, above in ((-1, True), (-6, False)):
    forget, unseen = draw(-1), draw(other)
    chance = lib.chance_distances(forget, unseen, units, units + 20, draws=8)
    panel = lib.Panel('m', 'M', forget, unseen, Estimate(.5))
    assert chance.shape == (8,)
    distance = lib.distances([panel])['m']
    assert bool(distance < 2 * chance.mean()) is above


def test_all_panels_share_both_axes():
  draw = functools.partial(lib.draw, _panels(), CHANCE)
  pictures.check(draw)
  axes = pictures.axes_of(draw)
  assert len(axes) == 3
  assert len({(axis.get_xlim(), axis.get_ylim()) for axis in axes}) == 1
  assert 'AUC 0.70 [0.60, 0.80]' in axes[0].get_xlabel()
  assert 'AUC not computed' in axes[2].get_xlabel()


@pytest.mark.parametrize('call, sentence', [
    (lambda: lib.draw([], {}), 'at least one panel'),
    (lambda: lib.decades(np.array([np.nan])), 'Expected finite losses .* none'),
    (lambda: lib.decades(np.array([-1.0])), 'Expected finite losses .* -1.0'),
    (lambda: lib.js_distance(np.zeros(3), np.ones(3)), 'with mass')])
def test_no_panel_and_no_losses_are_refused(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()
