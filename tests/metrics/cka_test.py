"""Linear CKA: closed forms, invariances and the floor of the biased form."""

import numpy as np
import pytest

from dlfd_jax.metrics import cka

_CROSS = np.array([[1., 0], [-1, 0], [0, 1], [0, -1]])
_FORMS = pytest.mark.parametrize('form', [cka.biased, cka.unbiased])


def _gaussians(n, p, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(n, p)), rng.normal(size=(n, p))


@_FORMS
def test_rotation_scale_and_shift_change_nothing(form):
  x, y = _gaussians(50, 7)
  q, _ = np.linalg.qr(y[:7])
  assert form(x, 3 * x @ q + 1) == pytest.approx(1)
  assert form(x, 1e-20 * x + 1e-18) == pytest.approx(1)


def test_the_cross():
  assert cka.biased(_CROSS, _CROSS[:, :1]) == pytest.approx(.707107, abs=1e-6)
  assert cka.biased(_CROSS, _CROSS * [2, 1]) == pytest.approx(
      .857493, abs=1e-6)


@pytest.mark.parametrize('n, p, floor', [
    (512, 512, .50), (1500, 512, .25), (300, 30, 1 / 11)])
def test_the_biased_form_has_a_floor_the_unbiased_one_has_not(n, p, floor):
  x, y = _gaussians(n, p)
  assert cka.independent_floor(n, p) == pytest.approx(floor, abs=.005)
  assert cka.biased(x, y) == pytest.approx(floor, abs=.01)
  assert cka.unbiased(x, y) == pytest.approx(0, abs=.02)


def test_the_unbiased_form_equals_the_one_by_kernels():
  x, y = _gaussians(20, 3)
  y = x[:, :2] + .5 * y[:, :2]

  def hsic(a, b):
    n = len(a)
    k, l = a @ a.T, b @ b.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    return (np.trace(k @ l) + k.sum() * l.sum() / (n - 1) / (n - 2)
            - 2 * (k @ l).sum() / (n - 2)) / (n * (n - 3))

  expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
  assert cka.unbiased(x, y) == pytest.approx(expected)
  assert .3 < expected < 1


@_FORMS
def test_constant_features_have_no_alignment(form):
  x, _ = _gaussians(9, 2)
  assert np.isnan(form(x, np.full((9, 3), .1)))


@pytest.mark.parametrize('x, y, message', [
    (np.ones((3, 2)), np.ones((3, 2)), r'at least 4 images, got \[3, 2\]'),
    (np.ones((4, 2)), np.ones((5, 2)), 'same images on both sides, got 4'),
    (np.full((4, 2), np.nan), np.ones((4, 2)), 'finite features')])
def test_bad_features_are_refused(x, y, message):
  with pytest.raises(ValueError, match=message):
    cka.unbiased(x, y)


def test_a_floor_needs_numbers():
  with pytest.raises(ValueError, match='at least 1, got 0 and 3'):
    cka.independent_floor(0, 3)
