"""The picture of faces moved by DLFD."""

import functools

import numpy as np
import pytest

from dlfd_jax.report import figure_steps as lib
from tests.report import pictures

K, N = 3, 5


def _path(seed=0):
  rng = np.random.default_rng(seed)
  images = np.clip(
      rng.uniform(.2, .8, (N, 8, 8, 3)) + .01 * np.arange(K + 1)[
          :, None, None, None, None], 0, 1)
  features = rng.normal(size=(K + 1, N, 6))
  return (images, features, rng.normal(size=(7, 6)), [.1, .2, .3, .4],
          [1.0, 1.1, 1.1, 1.2])


def test_the_magnified_difference_fills_half_a_tone_at_most():
  for largest in (1e-3, .0078, .024, .2, .5):
    factor = lib.magnification(np.array([0, -largest]))
    assert .5 / 2.5 - 1e-9 <= factor * largest <= .5 + 1e-6


def test_steps_hold_both_ends_and_all_where_there_is_room():
  assert lib.shown_steps(5) == [0, 1, 2, 3, 4, 5]
  many = lib.shown_steps(40)
  assert (many[0], many[-1], len(many)) == (0, 40, lib.MOST_COLUMNS)


def test_the_plane_is_fitted_to_the_clean_and_the_forget_batch():
  _, features, forget, *_ = _path()
  moved, others, shares = lib.plane(features, forget)
  assert moved.shape == (K + 1, N, 2) and others.shape == (7, 2)
  both = np.concatenate([moved[0], others])
  np.testing.assert_allclose(both.mean(0), 0, atol=1e-9)
  assert 1 >= shares[0] >= shares[1] >= 0


def test_the_picture_is_valid_deterministic_and_states_the_factor(
    monkeypatch):
  pictures.check(functools.partial(lib.draw, *_path(), faces=[0, 3]))
  titles = []
  monkeypatch.setattr(
      lib.canvas, 'to_bytes', lambda figure, format: titles.extend(
          axis.get_title(loc='left') for axis in figure.axes) or b'')
  lib.draw(*_path(), faces=[0, 3])
  assert 'change × 10' in titles
  assert [t for t in titles if t.startswith('step')] == [
      'step 1', 'step 2', 'step 3']


def test_faces_that_are_not_there_and_figures_of_other_steps_are_refused():
  for faces in ([], [N]):
    with pytest.raises(ValueError, match='Expected faces below 5'):
      lib.draw(*_path(), faces=faces)
  images, features, forget, distance, losses = _path()
  with pytest.raises(ValueError, match='figures of 4 steps'):
    lib.draw(images, features, forget, distance[1:], losses, faces=[0])
