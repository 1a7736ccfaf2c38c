"""A user's own module: what is asked of it, and how it is called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import models
from dlfd_jax.models import custom
from dlfd_jax.utils import files
from tests.models import own_nets

PLACE = 'tests.models.own_nets'
NONE, ONE = (0.0,) * 3, (1.0,) * 3


def _config(name='Own', mean=NONE, std=ONE):
  return models.ModelConfig(
      architecture=f'{PLACE}:{name}', outputs=3, mean=mean, std=std)


def test_a_run_of_it_is_one_of_its_file_and_ours_has_none():
  assert models.own_code(_config()) == {
      'Own': files.sha256(own_nets.__file__)}
  assert not models.own_code(models.ModelConfig(outputs=3))
  assert not models.own_code(None)  # a module that was made otherwise


def test_it_is_built_initialised_and_run_like_ours():
  model = models.build(_config())
  variables = models.init(model, jax.random.key(0), (16, 16))
  assert sorted(variables) == ['batch_stats', 'params']
  images = jnp.ones((4, 16, 16, 3))
  out = model.apply(variables, images, train=False)
  assert out.logits.shape == (4, 3) and out.features.shape == (4, 4)
  # What a training step passes: the module takes none of the last three.
  out, stats = model.apply(
      variables, images, train=True, mask=jnp.ones(4), axis_name=None,
      keys=jax.random.split(jax.random.key(1), 4), mutable=['batch_stats'])
  assert out.logits.shape == (4, 3) and 'batch_stats' in stats
  assert models.last_blocks(model, variables, 1) == ('last',)


@pytest.mark.slow
def test_running_statistics_are_the_same_on_all_devices():
  model = models.build(_config())
  variables = models.init(model, jax.random.key(0), (16, 16))
  images = jax.random.uniform(jax.random.key(1), (4, 2, 16, 16, 3))

  def shard(images, axis_name=None):
    return model.apply(variables, images, train=True, axis_name=axis_name,
                       keys=jax.random.split(jax.random.key(2), 2),
                       mutable=['batch_stats'])[1]

  found = jax.vmap(lambda x: shard(x, 'shards'), axis_name='shards')(images)
  alone = jax.vmap(shard)(images)
  for together, apart in zip(jax.tree.leaves(found), jax.tree.leaves(alone)):
    mean = np.broadcast_to(apart.mean(0), apart.shape)
    np.testing.assert_allclose(together, mean, rtol=1e-6)
    assert not np.allclose(apart, mean)


def test_the_images_are_normalised_first():
  model = models.build(_config('LogitsAlone', (.5,) * 3, (.25,) * 3))
  variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)),
                         train=False)
  plain = models.build(_config('LogitsAlone'))
  images = jnp.full((1, 8, 8, 3), .75)
  np.testing.assert_allclose(
      model.apply(variables, images, train=False),
      plain.apply(variables, jnp.ones_like(images), train=False), rtol=1e-6)


@pytest.mark.parametrize('name, sentence', [
    ('Missing', "Expected a class 'Missing'"),
    ('NOT_A_MODULE', 'to be a flax.linen.Module'),
    ('NeedsADepth', "to be made from `outputs` alone, got .*'depth'"),
    ('WithoutTrain', 'to take `train`')])
def test_what_a_class_lacks_is_named(name, sentence):
  with pytest.raises(ValueError, match=sentence):
    models.build(_config(name))


@pytest.mark.parametrize('name, sentence', [
    ('LogitsAlone', 'got one array .*: its `features` are missing'),
    ('Raises', "to take images .* alone, got TypeError: .*'mask'"),
    ('OtherCount', 'to return 3 logits an image'),
    ('FlatFeatures', r'to return features \[n, d\]')])
def test_what_the_outputs_lack_is_named(name, sentence):
  model = models.build(_config(name))
  with pytest.raises(ValueError, match=sentence):
    custom.check(model, f'{PLACE}:{name}', 3, (16, 16))
