"""Distances of answers: closed forms at interior values, and the traps."""

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.metrics import output_distances as distances


def _task(classes):
  return tasks.Task('multiclass', tuple(f'c{i}' for i in range(classes)))


_ATTRIBUTES = tasks.Task('multilabel', ('x', 'y'))


def _rows(*rows):
  return np.array(rows, np.float64)


def _one_hots(classes):
  return np.eye(classes)[:1], np.eye(classes)[1:2]


@pytest.mark.parametrize('p, q, expected', [
    ((.9, .1), (.1, .9), .368064), ((.7, .2, .1), (.5, .3, .2), .021901),
    ((.9, .1), (.6, .4), .063288)])
def test_js_at_interior_values(p, q, expected):
  got = distances.js(_task(len(p)), _rows(p), _rows(q))
  assert got == pytest.approx([expected], abs=1e-6)
  if expected == .368064:
    assert got / np.log(2) == pytest.approx([.531004], abs=1e-6)


@pytest.mark.parametrize('classes', [2, 8, 10, 100])
def test_js_of_disjoint_answers_is_log_2_for_any_number_of_classes(classes):
  p, q = _one_hots(classes)
  assert distances.js(_task(classes), p, q) == pytest.approx([np.log(2)])
  assert distances.js(_task(classes), p, p) == pytest.approx([0])


def _reversed_kl_over_classes(p, q, floor=1e-6):
  """The known mistake: KL(m, p), averaged over batch and classes."""
  p, q = np.maximum(p, floor), np.maximum(q, floor)
  m = (p + q) / 2
  return .5 * np.mean(m * np.log(m / p) + m * np.log(m / q))


@pytest.mark.parametrize('p, q, trap', [
    ((.9, .1), (.1, .9), .255413), (*_one_hots(8), .776826),
    (*_one_hots(10), .621461), (*_one_hots(100), .062146)])
def test_js_is_not_the_reversed_mean_over_classes(p, q, trap):
  p, q = np.atleast_2d(p).astype(float), np.atleast_2d(q).astype(float)
  assert _reversed_kl_over_classes(p, q) == pytest.approx(trap, abs=2e-4)
  got = distances.js(_task(p.shape[1]), p, q)[0]
  assert abs(got - trap) > .05


def test_multilabel_js_is_the_mean_over_attributes():
  got = distances.js(_ATTRIBUTES, _rows((.9, .5)), _rows((.1, .5)))
  assert got == pytest.approx([.368064 / 2], abs=1e-6)


def test_activation_distance():
  got = distances.activation_distance(_rows((.9, .1)), _rows((.6, .4)))
  assert got == pytest.approx([.424264], abs=1e-6)
  p, q = _one_hots(8)
  assert distances.activation_distance(p, q) == pytest.approx([np.sqrt(2)])
  assert distances.activation_distance(
      np.ones((1, 3)), np.zeros((1, 3))) == pytest.approx([np.sqrt(3)])


def test_kl_has_a_direction():
  r, p = np.log(_rows((.9, .1))), np.log(_rows((.6, .4)))
  task = _task(2)
  forward = .9 * np.log(.9 / .6) + .1 * np.log(.1 / .4)
  backward = .6 * np.log(.6 / .9) + .4 * np.log(.4 / .1)
  assert distances.kl(task, r, p) == pytest.approx([forward], abs=1e-6)
  assert distances.kl(task, p, r) == pytest.approx([backward], abs=1e-6)
  assert distances.kl(task, r, r + 3) == pytest.approx([0], abs=1e-6)


def test_kl_stays_finite_where_probabilities_underflow():
  r, p = _rows((0, 2000)), _rows((2000, 0))
  assert distances.kl(_task(2), r, p) == pytest.approx([2000.])
  many = tasks.Task('multilabel', ('x', 'y'))
  assert distances.kl(many, r, p) == pytest.approx([500.])


def test_agreement():
  task = _task(3)
  a = _rows((3, 1, 2), (0, 5, 1))
  assert distances.agreement(task, a, a + 7).tolist() == [1, 1]
  assert distances.agreement(task, a, -a).tolist() == [0, 0]
  assert distances.agreement(
      _ATTRIBUTES, _rows((1, -1)), _rows((2, 3))).tolist() == [.5]


def test_normalised_distance():
  assert distances.normalised(.05, .02, .12) == pytest.approx(.3)
  assert distances.normalised(.12, .02, .12) == pytest.approx(1)
  assert distances.normalised(.01, .02, .12) < 0
  assert distances.normalised(.05, .02, .12, error=.06) is None
  assert distances.normalised(.05, .02, .02) is None


@pytest.mark.parametrize('classes, expected', [(8, .283083), (2, .688722)])
def test_zrf_of_a_sure_model_against_a_uniform_one(classes, expected):
  p = np.eye(classes)[:1]
  flat = np.full((1, classes), 1 / classes)
  got = distances.zrf(_task(classes), p, flat)
  assert got == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize('classes, trap', [(8, .22), (10, .38), (100, .94)])
def test_zrf_of_disjoint_answers_is_0(classes, trap):
  p, q = _one_hots(classes)
  assert distances.zrf(_task(classes), p, q) == pytest.approx([0], abs=1e-12)
  assert distances.zrf(_task(classes), p, p) == pytest.approx([1])
  assert 1 - _reversed_kl_over_classes(p, q) == pytest.approx(trap, abs=.005)


@pytest.mark.parametrize('call, message', [
    (lambda: distances.js(_task(2), _rows((.5, .5)), _rows((1, 0, 0))),
     r'one shape, got \[1, 2\] and \[1, 3\]'),
    (lambda: distances.js(_task(2), _rows((3, -1)), _rows((1, 0))),
     r'probabilities in \[0, 1\]'),
    (lambda: distances.kl(_task(2), _rows((0, 1)), _rows((0, 1, 2))),
     'one shape'),
    (lambda: distances.agreement(_task(2), _rows((0, 1)), np.zeros(2)),
     'one shape')])
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
