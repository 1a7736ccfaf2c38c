"""Images that DLFD perturbs, and its gain by complexity."""

import functools

import numpy as np
import pytest

from dlfd_jax.report import figure_dlfd as lib
from tests.report import pictures

K, N = 3, 5


def _path():
  rng = np.random.default_rng(0)
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


@pytest.mark.parametrize('call, sentence', [
    (lambda: lib.draw_steps(*_path(), faces=[]), 'Expected faces below 5'),
    (lambda: lib.draw_steps(*_path(), faces=[N]), 'Expected faces below 5'),
    (lambda: lib.draw_steps(*_path()[:3], [.1], [1.], faces=[0]),
     'values of 4 steps'),
    (lambda: lib.draw_complexity([]), 'another row, got none')])
def test_nothing_to_draw_and_values_of_other_steps_are_refused(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()


def _gains():
  return [lib.Gain(task, classes, against, 'x', values)
          for task, classes in (('a', 2), ('b', 2), ('c', 8))
          for against, values in (('finetune', (.1, .2)), ('best', (.01,)))]


def _axis(gains):
  return pictures.axes_of(lambda: lib.draw_complexity(gains))[0]


def test_gains_over_one_other_stand_at_their_classes():
  pictures.check(functools.partial(lib.draw_complexity, _gains()))
  axis = _axis([gain for gain in _gains() if gain.against == 'finetune'][1:])
  assert [x for line in axis.lines if line.get_marker() == 'v'
          for x in line.get_xdata()] == [2, 8]
  assert 'one standard deviation' in axis.get_xlabel()


def test_tasks_of_as_many_classes_stand_beside_each_other():
  places = _axis(_gains()).get_xticks()
  assert len(set(places)) == 3
  assert sum(places[:2]) / 2 == pytest.approx(2)
  assert places[2] == 8
