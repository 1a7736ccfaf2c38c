"""Model configs and the networks that they build."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from dlfd_jax import models
from tests import tiny


def test_the_config_reaches_the_network():
  config = models.ModelConfig(
      outputs=7, width=8, stem='small', head='paper', mean=(0.1, 0.2, 0.3),
      std=(0.4, 0.5, 0.6), compute_dtype='bfloat16', remat=True)
  model = models.build(config)
  assert (model.outputs, model.width, model.stem, model.head) == (
      7, 8, 'small', 'paper')
  assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
  assert model.dtype == jnp.bfloat16 and model.remat
  assert not models.build(models.ModelConfig(outputs=2)).remat


def test_fresh_variables_are_float32_and_follow_the_key():
  first, again, other = (tiny.variables(seed=seed) for seed in (0, 0, 1))
  assert set(first) == {'params', 'batch_stats'}
  assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(first))
  kernel = lambda v: v['params']['hidden']['kernel']
  assert (kernel(first) == kernel(again)).all()
  assert (kernel(first) != kernel(other)).any()


@pytest.mark.parametrize('field, value, words', [
    ('architecture', 'vgg', "Expected architecture in .*, got 'vgg'"),
    ('stem', 'large', "Expected stem in .*, got 'large'"),
    ('head', 'deep', "Expected head in .*, got 'deep'"),
    ('compute_dtype', 'int8', "Expected compute_dtype in .*, got 'int8'"),
    ('outputs', 0, 'Expected outputs of at least 1, got 0'),
    ('std', (0.1, 0.0, 0.1), 'three positive deviations'),
    ('mean', (0.1, 0.1), 'Expected three means'),
])
def test_a_wrong_field_is_named(field, value, words):
  with pytest.raises(ValueError, match=words):
    models.ModelConfig(**{'outputs': 3, field: value})


def test_a_module_of_the_users_declares_its_order():
  model, variables = tiny.TinyNet(), tiny.variables()
  assert models.blocks(model) == (('hidden', 'bn'), ('classifier',))
  assert models.last_blocks(model, variables, 2) == (
      'hidden', 'bn', 'classifier')


def test_a_module_without_a_declared_order_is_refused():
  class Plain(nn.Module):
    pass

  with pytest.raises(ValueError, match='Plain to declare `blocks`.*got none'):
    models.blocks(Plain())


def test_blocks_that_leave_parameters_out_are_refused():
  class Short(tiny.TinyNet):
    blocks = ('hidden', 'classifier')

  with pytest.raises(ValueError, match=r"each of \['bn', .*got \['hidden', "):
    models.last_blocks(Short(), tiny.variables(), 1)
