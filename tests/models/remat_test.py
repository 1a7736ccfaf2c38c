"""Blocks whose values are computed again for the gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import models
from tests import tiny
from tests.models import nets

# XLA takes the barriers out on a CPU, where memory is no concern; an
# accelerator's compiler keeps them.
KEEP = {'xla_disable_hlo_passes': 'cse_barrier_expander'}
CASES = [
    ('resnet18', True), ('vit_s', True), ('densenet121', True),
    # Statistics of three rows of one pixel would magnify roundings.
    ('efficientnet_b0', False)]


def _loss(model, live, params, stats, images):
  out, new = model.apply(
      {'params': params, 'batch_stats': stats}, images, train=live,
      mask=jnp.array([1.0, 1.0, 1.0, 0.0]), keys=jax.random.split(nets.KEY, 4),
      mutable=['batch_stats'])
  return jnp.square(out.logits).sum(), (out.logits, new)


@pytest.mark.long
@pytest.mark.parametrize('name, live', CASES)
def test_values_gradients_and_statistics_are_the_same(name, live):
  plain = nets.TINY[name]
  variables, images = nets.variables(name), nets.images()

  @functools.partial(jax.jit, static_argnums=0, compiler_options=KEEP)
  def run(model):
    return jax.value_and_grad(
        functools.partial(_loss, model, live), argnums=(0, 2), has_aux=True)(
            variables['params'], variables.get('batch_stats', {}), images)

  (_, (logits, new)), gradients = run(plain)
  (_, (again, same)), others = run(plain.clone(remat=True))
  np.testing.assert_allclose(again, logits, rtol=1e-5, atol=1e-5)
  for ours, theirs in zip(tiny.leaves(same), tiny.leaves(new), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-5)  # updated once
  for ours, theirs in zip(jax.tree.leaves(others), jax.tree.leaves(gradients),
                          strict=True):
    scale = float(jnp.abs(theirs).max()) or 1.0
    np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('name', models.ARCHITECTURES)
def test_parameters_are_the_same_and_less_is_kept(name):
  plain = nets.TINY[name]
  again = plain.clone(remat=True)
  shapes = nets.shapes(plain, nets.SIZE)
  assert nets.shapes(again, nets.SIZE) == shapes

  def kept(model):
    """Bytes that the gradient by images keeps of a forward pass."""
    residuals = jax.eval_shape(
        lambda variables, images: jax.vjp(
            lambda x: model.apply(variables, x, train=False).logits,
            images)[1], shapes, jnp.zeros((32, nets.SIZE, nets.SIZE, 3)))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(residuals))

  assert kept(again) < .75 * kept(plain)
