import numpy as np
import pytest

from dlfd_jax.metrics import klom


def column(*values):
  return np.array(values, np.float64)[:, None]


@pytest.mark.parametrize('laws,expected', [
    ((1, 1, 0, 1), .5), ((0, 1, 0, 2), .318147), ((0, 2, 0, 1), .806853)])
def test_divergence_of_normal_laws_and_its_direction(laws, expected):
  assert klom.normal_divergence(*map(float, laws)) == pytest.approx(
      expected, abs=1e-6)


def test_closed_forms_of_samples():
  found, peaky = klom.gaussian(column(0, 1, 2, 3), column(1, 2, 3, 4))
  np.testing.assert_allclose(found, .3)
  assert not peaky.any()
  found, peaky = klom.gaussian(column(2, 2, 2, 2), column(0.5, 1.5, 2.5, 3.5))
  np.testing.assert_allclose(found, 4.105220, atol=1e-6)
  assert peaky.all()


def test_two_constants():
  found, _ = klom.gaussian(np.ones((4, 1)), np.ones((4, 1)))
  np.testing.assert_allclose(found, 0, atol=1e-12)


@pytest.mark.parametrize('n,m,expected', [
    (8, 8, .375), (16, 16, .149038), (32, 32, .067888), (64, 64, .032532),
    (128, 128, .015938), (16, 64, .082831), (64, 16, .095901)])
def test_null_by_formula(n, m, expected):
  assert klom.gaussian_null(n, m) == pytest.approx(expected, abs=1e-5)
  if n == m:
    assert klom.gaussian_null(n, n) == pytest.approx(
        (2 * n - 1) / (n * (n - 3)), rel=1e-9)


@pytest.mark.parametrize('n,m,shift', [(16, 16, 0), (16, 32, 0), (16, 16, .5)])
def test_null_and_shift_of_samples(n, m, shift):
  rng = np.random.default_rng(0)
  found, _ = klom.gaussian(shift + rng.standard_normal((n, 40_000)),
                           rng.standard_normal((m, 40_000)))
  expected = klom.gaussian_null(n, m) + .5 * shift**2 * (m - 1) / (m - 3)
  assert found.mean() == pytest.approx(expected, rel=.03)


def test_histogram_has_its_right_edge():
  found = klom.histogram(column(0, 0, 1, 1), column(0, 1, 1, 1))
  np.testing.assert_allclose(found, .143841, atol=1e-6)
  found = klom.histogram(column(0, 0, 0, 0), column(1, 1, 1, 1))
  np.testing.assert_allclose(found, 11.512935, atol=1e-5)
  np.testing.assert_allclose(
      klom.histogram(column(1, 1), column(1, 1)), 0, atol=1e-12)
  found = klom.histogram(column(500, 100), column(100, 700))
  np.testing.assert_allclose(found, 0, atol=1e-12)  # both are cut to 100


def test_histogram_counts_like_numpy():
  rng = np.random.default_rng(1)
  u, o = rng.normal(1, 1, (300, 4)), rng.standard_normal((200, 4))
  for i, value in enumerate(klom.histogram(u, o)):
    ends = np.linspace(*(f(np.concatenate([u, o])[:, i])
                         for f in (np.min, np.max)), 21)
    p, q = (np.histogram(side[:, i], ends)[0] / len(side) for side in (u, o))
    assert p.sum() == pytest.approx(1)
    q = np.where(p > 0, np.maximum(q, 1e-5), q)
    q = q / q.sum()
    assert value == pytest.approx(sum(
        a * np.log(a / b) for a, b in zip(p, q) if a > 0), rel=1e-9)


@pytest.mark.parametrize('n,mean,point', [
    (8, 6.4, 8.8), (16, 3.9, 6.0), (32, 1.7, 3.0), (64, .63, 1.2),
    (128, .26, .49), (256, .11, .21)])
def test_histogram_null_is_large_with_few_models(n, mean, point):
  rng = np.random.default_rng(2)
  u, o = rng.standard_normal((2, n, 2000))
  found = klom.histogram(u, o)
  assert found.mean() == pytest.approx(mean, rel=.1)
  assert np.quantile(found, .95) == pytest.approx(point, rel=.1)
  if n == 16:  # which hides a shift of half a standard deviation
    assert klom.histogram(u + .5, o).mean() == pytest.approx(4.1, rel=.1)


@pytest.mark.parametrize('call,words', [
    (lambda: klom.gaussian(np.ones((1, 2)), np.ones((3, 2))), 'at least 2'),
    (lambda: klom.histogram(np.ones((3, 1)), np.ones((3, 2))), 'same examples'),
    (lambda: klom.gaussian_null(8, 3), 'at least 4')])
def test_bad_input_is_one_sentence(call, words):
  with pytest.raises(ValueError, match=words):
    call()
