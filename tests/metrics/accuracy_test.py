"""Accuracies, constant guesses, and harm to those who stay."""

import jax
import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.metrics import accuracy

_FOUR = tasks.Task('multiclass', ('a', 'b', 'c', 'd'))
_ATTRIBUTES = tasks.Task('multilabel', ('x', 'y', 'z'))


def test_multilabel_example():
  logits, labels = [[2., -1., .5]], [[1, 0, 0]]
  counts = accuracy.accuracy(_ATTRIBUTES, logits, labels)
  assert counts.value == pytest.approx(2 / 3)
  assert accuracy.exact_match(_ATTRIBUTES, logits, labels).value == 0


def test_accuracy_agrees_with_the_jax_function():
  rng = np.random.default_rng(0)
  for task in (_FOUR, _ATTRIBUTES):
    logits = rng.normal(size=(50, task.num_outputs)).astype(np.float32)
    labels = (rng.integers(0, 2, (50, 3)) if task.is_multilabel
              else rng.integers(0, 4, 50)).astype(np.int32)
    mean = jax.jit(lambda z, y, task=task: tasks.example_correct(
        task, z, y).mean())(logits, labels)
    assert accuracy.accuracy(task, logits, labels).value == pytest.approx(
        float(mean), abs=1e-6)


def test_unknown_attributes_are_left_out():
  logits = [[1., 1., 1.], [1., 1., 1.], [1., 1., 1.]]
  labels = [[1, 0, -1], [1, 1, -1], [-1, -1, -1]]
  assert accuracy.accuracy(_ATTRIBUTES, logits, labels).value == .75
  assert accuracy.exact_match(_ATTRIBUTES, logits, labels).value == .5


def test_top2_counts_the_second_guess():
  logits = [[3., 2., 1., 0.]] * 4
  assert accuracy.accuracy(_FOUR, logits, np.arange(4)).value == .25
  assert accuracy.top2_accuracy(_FOUR, logits, np.arange(4)).value == .5


def test_balanced_accuracy_weighs_both_values_alike():
  logits = np.ones((10, 3))
  labels = np.zeros((10, 3), int)
  labels[:8, 1] = 1
  labels[9, 1] = -1
  counts = accuracy.balanced_accuracy(_ATTRIBUTES, logits, labels, 1)
  assert counts.value == .5
  only = accuracy.balanced_accuracy(_ATTRIBUTES, logits, labels, 0)
  assert only.value == 0


def test_no_known_label_gives_no_value():
  counts = accuracy.accuracy(
      _ATTRIBUTES, np.ones((2, 3)), np.full((2, 3), -1))
  assert np.isnan(counts.value)


def test_constant_guess_on_the_largest_class():
  rest = np.arange(3068 - 1185) % 3 + 1
  labels = np.concatenate([np.zeros(1185, int), rest])
  assert accuracy.constant_accuracy(_FOUR, labels) == pytest.approx(
      .386245, abs=1e-6)
  top2 = (1185 + np.bincount(rest).max()) / 3068
  assert accuracy.constant_accuracy(_FOUR, labels, top=2) == pytest.approx(top2)


def test_constant_guess_of_attributes():
  labels = np.array([[1, 0, -1], [1, 1, -1], [0, 0, 1], [1, 0, -1]])
  assert accuracy.constant_accuracy(_ATTRIBUTES, labels) == pytest.approx(
      (.75 + .75 + 1) / 3)
  assert accuracy.constant_exact_match(_ATTRIBUTES, labels) == .5


@pytest.mark.parametrize('call, message', [
    (lambda: accuracy.top2_accuracy(_ATTRIBUTES, np.ones((1, 3)), [[1, 1, 1]]),
     'at least 3 classes for top-2'),
    (lambda: accuracy.exact_match(_FOUR, np.ones((1, 4)), [0]),
     'Expected a multilabel task'),
    (lambda: accuracy.balanced_accuracy(_FOUR, np.ones((1, 4)), [0], 0),
     'Expected a multilabel task'),
    (lambda: accuracy.constant_exact_match(_ATTRIBUTES, -np.ones((2, 3))),
     'at least one known label'),
    (lambda: accuracy.accuracy(_FOUR, np.ones((1, 3)), [0]),
     r'logits \[n, 4\]'),
])
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_half_of_four_people_lose_more_than_the_limit():
  assert accuracy.harmed(np.array([0., .1, .3, 0.])).mean() == .5
  assert not accuracy.harmed(np.array([.05])).any()


def test_losses_are_by_person_and_signed():
  identity = np.array([7, 7, 3, 3, -1])
  reference = np.array([1., 1, .5, .5, 1])
  correct = np.array([1., 0, 1, 1, 0])
  got = accuracy.person_losses(reference, correct, identity)
  assert got.tolist() == [-.5, .5, 1.]


def test_the_worst_come_first_and_winners_are_left_out():
  losses = np.array([.1, -.2, .4, 0.])
  got = accuracy.worst_people(
      losses, np.array([5, 6, 7, 8]), np.array([2, 2, 3, 2]))
  assert got == [{'person': 7, 'images': 3, 'loss': .4},
                 {'person': 5, 'images': 2, 'loss': .1}]
  assert len(accuracy.worst_people(
      losses + 1, np.arange(4), np.ones(4), count=2)) == 2


def test_lengths_must_match():
  with pytest.raises(ValueError, match='one value per image'):
    accuracy.person_losses(np.ones(3), np.ones(2), np.zeros(3, int))
