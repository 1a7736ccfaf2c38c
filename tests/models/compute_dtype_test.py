"""bfloat16 inside the network, float32 everywhere else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import models, presets, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import dlfd
from tests import tiny
from tests.models import nets


@pytest.mark.parametrize('platform, wanted', [
    ('cpu', 'float32'), ('gpu', 'bfloat16'), ('tpu', 'bfloat16')])
def test_auto_follows_the_platform(platform, wanted):
  assert models.resolve_dtype('auto', platform) == wanted
  for explicit in ('float32', 'bfloat16'):
    assert models.resolve_dtype(explicit, platform) == explicit


def test_the_default_is_auto_and_means_this_platform(monkeypatch):
  config, network = models.ModelConfig(outputs=2), presets.Network()
  assert config.compute_dtype == network.compute_dtype == 'auto'
  assert models.build(config).dtype == jnp.float32
  monkeypatch.setattr(jax, 'default_backend', lambda: 'tpu')
  assert models.build(config).dtype == jnp.bfloat16
  assert network.resolved().compute_dtype == 'bfloat16'


def test_runs_are_named_by_what_auto_means_and_not_by_remat():
  network = presets.Network(width=8)
  assert network.identity() == {
      'architecture': 'resnet18', 'width': 8, 'stem': 'imagenet',
      'head': 'plain', 'compute_dtype': 'float32'}
  assert dataclasses.replace(
      network, remat=True).identity() == network.identity()
  assert presets.Network(
      compute_dtype='bfloat16').identity()['compute_dtype'] == 'bfloat16'


def _dtypes(tree):
  return {leaf.dtype for leaf in jax.tree.leaves(tree)
          if jnp.issubdtype(leaf.dtype, jnp.floating)}


@pytest.mark.parametrize('name', models.ARCHITECTURES)
def test_parameters_statistics_and_outputs_stay_float32(name):
  model = nets.TINY[name].clone(dtype=jnp.bfloat16)
  assert _dtypes(nets.shapes(model, nets.SIZE)) == {jnp.dtype('float32')}
  out, inner = nets.traced(model, nets.SIZE)
  inner.pop('ln', None)  # what the transformer's features are
  assert _dtypes(out) == {jnp.dtype('float32')}
  assert _dtypes(inner) == {jnp.dtype('bfloat16')}


@pytest.mark.parametrize('name', ['resnet18', 'vit_s'])
def test_logits_are_near_those_of_float32(name):
  plain = nets.TINY[name]
  variables, images = nets.variables(name), nets.images()
  exact = nets.evaluate(plain, variables, images).logits
  short = nets.evaluate(
      plain.clone(dtype=jnp.bfloat16), variables, images).logits
  assert 0 < np.abs(short - exact).max() < .1 * np.abs(exact).max()
  # Losses near 0 need logits that are not rounded to eight bits.
  assert (short != short.astype(jnp.bfloat16)).mean() > .9


@pytest.mark.long
def test_steps_run_in_bfloat16_and_keep_float32():
  model = nets.TINY['vit_s'].clone(dtype=jnp.bfloat16)
  data = tiny.dataset(16)
  images = np.repeat(np.repeat(data.images, 4, 1), 4, 2)  # 16 pixels
  constants = {'images': images, 'labels': data.labels}
  rows = np.arange(8)
  pair = batching.Pair(batching.pad(rows, 8), batching.pad(rows + 8, 8))
  config = dlfd.DLFDConfig(batch_size=8, perturb_steps=1)
  state = train.create_state(
      {'batch_stats': {}, **nets.variables('vit_s')}, config.optimizer,
      nets.KEY)
  for step, batch in (
      (dlfd.make_distance_step(model, data.task, config, 10), pair),
      (train.make_supervised_step(model, data.task, config.optimizer, 10),
       pair.retain)):
    new, found = jax.jit(step)(state, constants, batch)
    assert _dtypes((new.variables, found)) == {jnp.dtype('float32')}
    assert all(np.isfinite(leaf).all() for leaf in tiny.leaves(
        (new.variables, found)))
    assert not tiny.same(new.variables, state.variables)
