"""Adam, and the checks of an optimiser's fields; SGD is in train_test."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlfd_jax import training

ADAM = training.OptimizerConfig(
    kind='adam', learning_rate=0.1, momentum=0.8, weight_decay=0.5)


def descend(config, params, slopes):
  """Parameters after one step per slope, by the transform and the rate."""
  transform = config.transform()
  state = transform.init(params)
  for step, slope in enumerate(slopes):
    direction, state = transform.update(slope, state, params)
    params = params - config.rate(step, 10) * direction
  return params


def test_adam_is_pytorchs_with_decay_in_the_gradient():
  # By hand, p = [2, -1], b1 .8, b2 .999: g <- g + .5 p before the moments.
  params = np.array([2.0, -1.0])
  first = second = np.zeros(2)
  slopes = [np.array([1.0, 0.2]), np.array([-3.0, 0.1])]
  for t, slope in enumerate(slopes, 1):
    g = slope + 0.5 * params
    first = 0.8 * first + 0.2 * g
    second = 0.999 * second + 0.001 * g**2
    step = first / (1 - 0.8**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    params = params - 0.1 * step
  got = descend(ADAM, jnp.array([2.0, -1.0]), [jnp.array(s) for s in slopes])
  np.testing.assert_allclose(got, params, rtol=1e-5)


def test_adam_without_decay_is_optaxs():
  config = dataclasses.replace(
      ADAM, momentum=0.9, weight_decay=0.0, clip_norm=0.5)
  slopes = [jnp.array([3.0, 4.0]), jnp.array([0.1, -0.1])]
  params = jnp.array([1.0, 1.0])
  theirs = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))
  state, wanted = theirs.init(params), params
  for slope in slopes:
    updates, state = theirs.update(slope, state)
    wanted = wanted + updates
  np.testing.assert_allclose(descend(config, params, slopes), wanted, rtol=1e-6)


def test_sgd_is_the_default():
  assert training.OptimizerConfig().kind == 'sgd'


@pytest.mark.parametrize('field, value, words', [
    ('kind', 'lamb', r"kind in \('sgd', 'adam'\), got 'lamb'"),
    ('learning_rate', 0.0, 'learning_rate above 0, got 0.0'),
    ('learning_rate', float('nan'), 'learning_rate above 0, got nan'),
    ('momentum', 1.0, r'momentum in \[0, 1\), got 1.0'),
    ('weight_decay', -1.0, 'weight_decay >= 0, got -1.0'),
    ('schedule', 'step', "schedule in .*, got 'step'"),
    ('clip_norm', 0.0, 'clip_norm above 0, got 0.0'),
])
def test_a_wrong_field_is_named(field, value, words):
  with pytest.raises(ValueError, match=words):
    training.OptimizerConfig(**{field: value})
