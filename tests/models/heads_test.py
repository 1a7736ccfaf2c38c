"""Heads, their layers and per-example dropout."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.models import layers


def _apply(head, x, keys=None):
  """Variables and outputs; with keys in training mode."""
  variables = _variables(head)
  return variables, _run(head)(variables, x, keys)


@functools.cache
def _variables(head):
  return jax.jit(lambda key: head.init(key, _rows(), train=False))(
      jax.random.key(0))


@functools.cache
def _run(head):
  return jax.jit(lambda variables, x, keys: head.apply(
      variables, x, train=keys is not None, keys=keys))


def _keys(n):
  return jax.random.split(jax.random.key(0), n)


_dropout = jax.jit(
    lambda x, keys, layer: layers.dropout(x, 0.25, keys, layer, train=True))


def _rows(n=8, d=16):
  return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def test_linear_starts_uniform_within_one_over_sqrt_of_its_inputs():
  layer = layers.Linear(500)
  params = jax.jit(layer.init)(jax.random.key(0), np.zeros((1, 100)))['params']
  for name, shape in (('kernel', (100, 500)), ('bias', (500,))):
    values = np.asarray(params[name])
    assert values.shape == shape
    assert np.abs(values).max() <= 0.1
    # U(-b, b): mean 0, deviation b / sqrt(3), and it comes near its bounds.
    assert abs(values.mean()) < 0.01
    np.testing.assert_allclose(values.std(), 0.1 / np.sqrt(3), rtol=0.06)
    assert np.abs(values).max() > 0.099
  assert not np.allclose(params['kernel'][0], params['bias'])


def test_paper_head_is_three_layers_with_the_128_values_as_features():
  x = _rows()
  variables, out = _apply(layers.Head('paper', 3), x)
  value = x.astype(np.float64)
  for name in ('hidden0', 'hidden1'):
    layer = variables['params'][name]
    value = np.maximum(value @ layer['kernel'] + layer['bias'], 0)
  assert variables['params']['hidden0']['kernel'].shape == (16, 256)
  assert out.features.shape == (8, 128)
  np.testing.assert_allclose(out.features, value, atol=1e-5)
  layer = variables['params']['classifier']
  np.testing.assert_allclose(
      out.logits, value @ layer['kernel'] + layer['bias'], atol=1e-5)


def test_dropout_does_not_depend_on_how_the_batch_is_split():
  x, keys = _rows(), _keys(8)
  run = lambda x, keys: _apply(layers.Head('paper', 3), x, keys)[1].logits
  whole = run(x, keys)
  halves = [run(x[part], keys[part]) for part in (slice(4), slice(4, 8))]
  np.testing.assert_allclose(whole, np.concatenate(halves), atol=1e-6)
  backwards = run(x[::-1], keys[::-1])
  np.testing.assert_allclose(whole, backwards[::-1], atol=1e-6)


def test_dropout_keeps_the_mean_and_draws_by_layer_and_key():
  x = np.ones((4, 10_000), np.float32)
  first = _dropout(x, _keys(4), 0)
  assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
  # Standard error of the mean: sqrt(.25 / .75 / 40,000) = .0029.
  np.testing.assert_allclose(first.mean(), 1.0, atol=0.012)
  other_layer = _dropout(x, _keys(4), 1)
  assert (first != other_layer).any(axis=1).all()
  assert (first[0] != first[1]).any()


def test_whole_examples_are_dropped_by_the_same_keys():
  x = np.ones((2000, 2, 3), np.float32)
  dropped = np.asarray(jax.jit(lambda x, keys: layers.dropout(
      x, 0.25, keys, 0, train=True, whole=True))(x, _keys(2000)))
  rows = dropped.reshape(2000, -1)
  assert (rows == rows[:, :1]).all()
  assert set(np.unique(rows)) == {0.0, np.float32(1 / 0.75)}
  # Standard error of the share: sqrt(.25 * .75 / 2,000) = .01.
  np.testing.assert_allclose((rows[:, 0] == 0).mean(), 0.25, atol=0.035)


@pytest.mark.parametrize('head, place', [
    (layers.Head('plain', 3, drop=0.5), 0), (layers.Head('paper', 3), 1)])
def test_features_are_taken_before_the_last_dropout(head, place):
  variables, out = _apply(head, _rows(), _keys(8))
  if head.kind == 'plain':
    np.testing.assert_array_equal(out.features, _rows())
  layer = variables['params']['classifier']
  dropped = layers.dropout(out.features, 0.5, _keys(8), place, train=True)
  np.testing.assert_allclose(
      out.logits, dropped @ layer['kernel'] + layer['bias'], atol=1e-5)


def test_dropout_needs_keys_in_training_alone():
  x = _rows()
  assert layers.dropout(x, 0.5, None, 0, train=False) is x
  assert layers.dropout(x, 0.0, None, 0, train=True) is x
  with pytest.raises(ValueError, match='Expected keys, one per example'):
    layers.dropout(x, 0.5, None, 0, train=True)


@pytest.mark.parametrize('kind', layers.HEADS)
def test_bfloat16_activations_give_float32_outputs(kind):
  x = jnp.asarray(_rows(), jnp.bfloat16)
  _, out = _apply(layers.Head(kind, 3), x)
  _, wanted = _apply(layers.Head(kind, 3), x.astype(jnp.float32))
  assert out.logits.dtype == out.features.dtype == jnp.float32
  for name in ('logits', 'features'):
    np.testing.assert_allclose(
        getattr(out, name), getattr(wanted, name), atol=1e-6)
  rounded = out.logits.astype(jnp.bfloat16).astype(jnp.float32)
  assert (out.logits != rounded).mean() > .9


def test_linear_layers_do_not_trust_the_default_precision():
  layer = layers.Linear(3)
  traced = jax.make_jaxpr(lambda x: layer.init_with_output(
      jax.random.key(0), x)[0])(_rows())
  assert 'HIGHEST' in str(traced)
