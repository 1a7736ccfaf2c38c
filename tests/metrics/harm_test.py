"""Harm to those who stay."""

import numpy as np
import pytest

from dlfd_jax.metrics import harm


def test_half_of_four_people_lose_more_than_the_limit():
  assert harm.harmed(np.array([0., .1, .3, 0.])).mean() == .5
  assert not harm.harmed(np.array([.05])).any()


def test_losses_are_by_person_and_signed():
  identity = np.array([7, 7, 3, 3, -1])
  reference = np.array([1., 1, .5, .5, 1])
  correct = np.array([1., 0, 1, 1, 0])
  got = harm.person_losses(reference, correct, identity)
  assert got.tolist() == [-.5, .5, 1.]


def test_the_worst_come_first_and_winners_are_left_out():
  losses = np.array([.1, -.2, .4, 0.])
  got = harm.worst(losses, np.array([5, 6, 7, 8]), np.array([2, 2, 3, 2]))
  assert got == [{'person': 7, 'images': 3, 'loss': .4},
                 {'person': 5, 'images': 2, 'loss': .1}]
  assert len(harm.worst(losses + 1, np.arange(4), np.ones(4), count=2)) == 2


def test_lengths_must_match():
  with pytest.raises(ValueError, match='one value per image'):
    harm.person_losses(np.ones(3), np.ones(2), np.zeros(3, int))
