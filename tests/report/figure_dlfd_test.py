"""Images that DLFD perturbs, and its gain by complexity."""

import functools

import numpy as np
import pytest

from dlfd_jax.report import figure_dlfd as lib
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
  path, others, shares = lib.plane(features, forget)
  assert path.shape == (K + 1, N, 2) and others.shape == (7, 2)
  both = np.concatenate([path[0], others])
  np.testing.assert_allclose(both.mean(0), 0, atol=1e-9)
  assert 1 >= shares[0] >= shares[1] >= 0


def test_the_picture_is_valid_deterministic_and_states_the_factor():
  words = pictures.check(functools.partial(
      lib.draw_steps, *_path(), faces=[0, 3]))
  assert 'change × 10' in words
  assert [word for word in words if word.startswith('step ')] == [
      'step 1', 'step 2', 'step 3', 'step (whole batch)']


def test_faces_that_are_not_there_and_values_of_other_steps_are_refused():
  for faces in ([], [N]):
    with pytest.raises(ValueError, match='Expected faces below 5'):
      lib.draw_steps(*_path(), faces=faces)
  images, features, forget, distance, losses = _path()
  with pytest.raises(ValueError, match='values of 4 steps'):
    lib.draw_steps(images, features, forget, distance[1:], losses, faces=[0])


def _gains():
  return [lib.Gain(task, classes, against, 'x', values)
          for task, classes in (('a', 2), ('b', 2), ('c', 8))
          for against, values in (('finetune', (.1, .2)), ('best', (.01,)))]


def _axis(gains):
  return pictures.axes_of(lambda: lib.draw_complexity(gains))[0]


def test_the_picture_of_gains_is_valid_and_deterministic():
  pictures.check(functools.partial(lib.draw_complexity, _gains()))


def test_gains_over_one_other_stand_at_their_classes():
  axis = _axis([gain for gain in _gains() if gain.against == 'finetune'][1:])
  assert [x for line in axis.lines if line.get_marker() == 'v'
          for x in line.get_xdata()] == [2, 8]
  assert 'one standard deviation' in axis.get_xlabel()


def test_tasks_of_as_many_classes_stand_beside_each_other():
  places = _axis(_gains()).get_xticks()
  assert len(set(places)) == 3
  assert sum(places[:2]) / 2 == pytest.approx(2)
  assert places[2] == 8


def test_a_gain_of_one_seed_has_no_spread():
  assert lib.Gain('a', 2, 'best', 'x', (.3,)).deviation == 0
  assert lib.Gain('a', 2, 'best', 'x', (.1, .3)).deviation == pytest.approx(
      .02**.5)


def test_no_gain_is_refused():
  with pytest.raises(ValueError, match='another row, got none'):
    lib.draw_complexity([])
