import numpy as np
import pytest
from scipy import special

from dlfd_jax.metrics import ranks, rmia


def test_closed_forms():
  found = rmia.ratio(np.array([.9, .6]), np.array([[.4, .6], [.6, .6]]))
  np.testing.assert_allclose(found, [1.333333, .810811], atol=1e-6)
  assert found[0] / found[1] == pytest.approx(1.644444, abs=1e-6)
  assert rmia.score(found[:1], found[1:]).tolist() == [1]
  half = np.full((2, 5), .5)
  ratios = rmia.ratio(np.array([.8, .2, .4, .8, .9]), half, slope=1)
  assert rmia.score(ratios[:1], ratios[1:]).tolist() == [.75]


def test_pairs_one_by_one():
  rng = np.random.default_rng(0)
  ratios, population = rng.random(20).round(1), rng.random(30).round(1)
  expected = [np.mean([x >= z for z in population]) for x in ratios]
  np.testing.assert_allclose(rmia.score(ratios, population), expected)


def test_without_a_leak_it_is_at_one_half_and_sees_one():
  rng = np.random.default_rng(1)
  level = rng.normal(2, 2, 3000 + 500)
  references = special.expit(level + rng.standard_normal((4, 3500)))
  for shift, expected in ((0, .5), (1, .7)):
    moved = np.where(np.arange(3500) < 1500, shift, 0)
    ratios = rmia.ratio(
        special.expit(level + moved + rng.standard_normal(3500)), references)
    scores = rmia.score(ratios[:3000], ratios[3000:])
    area = ranks.area(*ranks.roc(scores[:1500], scores[1500:]))
    assert area == pytest.approx(expected, abs=.03)


@pytest.mark.parametrize('call,words', [
    (lambda: rmia.ratio(np.ones(2), np.ones((2, 3))), 'models, n'),
    (lambda: rmia.ratio(np.array([2.]), np.ones((2, 1))), r'\[0, 1\]'),
    (lambda: rmia.ratio(np.ones(1), np.ones((2, 1)), 2), 'slope')])
def test_bad_input_is_one_sentence(call, words):
  with pytest.raises(ValueError, match=words):
    call()
