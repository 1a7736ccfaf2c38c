"""Tiny unlearning problems: memorised noise images and a small network."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import methods, models, ot, parallel, tasks, training as train
from dlfd_jax.data import (
  batching,
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.methods import base, restore, run
from dlfd_jax.models import layers
from tests import tiny

SIZE = 8
SMALL = ot.SinkhornConfig(epsilon=0.1, max_iterations=200)
# Values that make a run short, for the configs that have these fields.
SHORT = {'epochs': 1, 'batch_size': 8, 'check_every': 1, 'sinkhorn': SMALL,
         'perturb_steps': 1, 'k': 1, 'max_epochs': 1, 'forget_batch_size': 12,
         'noise_images': 2, 'noise_steps': 1, 'attack_steps': 3,
         'doublings': 3}


class TinyNet(nn.Module):
  """A smooth classifier that keeps the model contract."""

  outputs: int
  head: str = 'plain'
  channels: int = 4
  blocks = (('Conv_0', 'bn'), 'head')

  @nn.compact
  def __call__(self, images, *, train, mask=None, keys=None, axis_name=None):
    x = nn.Conv(self.channels, (3, 3), (2, 2), use_bias=False)(
        4 * (images - 0.5))
    x = layers.BatchNorm(name='bn')(
        x, train=train, mask=mask, axis_name=axis_name)
    x = nn.softplus(x)
    return layers.Head(self.head, self.outputs, name='head')(
        x.reshape(len(x), -1), train=train, keys=keys)


def short(config, **changes):
  """A config, or those that it runs, with what makes a run short.

  Of ``changes`` those count that name one of its fields.
  """
  if isinstance(config, base.Composite):
    stage = {'restore': short(config.restore, **changes)} if isinstance(
        config, restore.RestoreConfig) else {}
    parts = {part: getattr(config, part) for part in config.parts}
    return dataclasses.replace(config, **stage, **{
        part: found and short(found, **changes)
        for part, found in parts.items()})
  names = {field.name for field in dataclasses.fields(config)}
  return dataclasses.replace(config, **{
      name: value for name, value in {**SHORT, **changes}.items()
      if name in names})


def task(kind='multiclass', outputs=3):
  return tasks.Task(kind, tuple(f'name{i}' for i in range(outputs)))


def dataset(kind='multiclass', retain=20, forget=24, val=24, test=8, seed=0,
            outputs=3):
  """Noise with a weak class signal; one person per image, in split order."""
  rng = np.random.default_rng(seed)
  n = retain + forget + val + test
  if kind == 'multiclass':
    labels = rng.permutation(np.resize(np.arange(outputs), n)).astype(np.int32)
    shift = labels
  else:
    labels = rng.integers(0, 2, (n, outputs)).astype(np.int32)
    labels[::5, 1] = tasks.UNKNOWN
    shift = labels[:, 0] * 2
  images = rng.integers(0, 200, (n, SIZE, SIZE, 3))
  images[:, :, :, 0] += 25 * shift[:, None, None]
  return dataset_lib.Dataset(
      images=np.clip(images, 0, 255).astype(np.uint8), labels=labels,
      identity=np.arange(n, dtype=np.int32),
      sample_id=np.array([f'image{i}' for i in range(n)]),
      task=task(kind, outputs))


def splits(retain=20, forget=24, val=24, test=8):
  edges = np.cumsum([0, retain, forget, val, test])
  return splits_lib.Splits(
      *(np.arange(a, b) for a, b in zip(edges[:-1], edges[1:])))


@functools.cache
def memorised(kind='multiclass', head='plain', retain=20, forget=24, val=24,
              steps=60, outputs=3):
  """(model, data, variables) after training on retain and forget."""
  data = dataset(kind, retain, forget, val, outputs=outputs)
  model = TinyNet(outputs, head)
  variables = models.init(model, jax.random.key(1), data.image_size)
  optimizer = train.OptimizerConfig(learning_rate=0.05)
  state = train.create_state(variables, optimizer, jax.random.key(2))
  step = jax.jit(train.make_supervised_step(
      model, data.task, optimizer, steps))
  constants = {'images': data.images, 'labels': data.labels}
  stream = batching.Stream(np.arange(retain + forget), 16)
  for i in range(steps):
    state, _ = step(state, constants, stream.batch(i))
  return model, data, parallel.fetch(state.variables)


def problem(kind='multiclass', seed=0, head='plain', retain=20, forget=24,
            val=24):
  """A problem whose original has memorised its training images."""
  model, data, variables = memorised(kind, head, retain, forget, val)
  return methods.Problem(
      model, variables, data, splits(retain, forget, val), seed)


def flat(kind='multiclass', forget=24):
  """A problem for a network without convolutions: it compiles quickly.

  Its labels are what that answers, so that it is right on every image.
  """
  model, data = tiny.TinyNet(), dataset(kind, forget=forget)
  variables = parallel.fetch(
      models.init(model, jax.random.key(1), (SIZE, SIZE)))
  logits = np.asarray(model.apply(
      variables, pixels(data, np.arange(len(data))), train=False).logits)
  middle = logits.mean(0)  # all answers are given
  last = variables['params']['classifier']
  last['bias'] = last['bias'] - middle
  logits = logits - middle
  labels = (np.where(data.labels < 0, data.labels, logits > 0)
            if kind == 'multilabel' else logits.argmax(1)).astype(np.int32)
  return methods.Problem(
      model, variables, dataclasses.replace(data, labels=labels),
      splits(forget=forget), 0)


def devices(count=1, **options):
  return parallel.Devices(jax.local_devices()[:count], **options)


def setting(problem, count=1, config=None):
  """What a method's ``plan`` is given."""
  return base.Setting.of(problem, devices(count), method=config)


def plans(problem, config):
  """The plan of each stage, as if every teacher were the original."""
  given = setting(problem, config=config)
  given = dataclasses.replace(given, teacher=given.original)
  return [run.prepare(stage.setting_of(given), stage)[0]
          for stage in config.stages]


def leaves(variables):
  return [np.asarray(x) for x in jax.tree.leaves(dict(variables))]


def same(left, right):
  """Whether two trees of variables are equal bit by bit."""
  return all(
      np.array_equal(a, b)
      for a, b in zip(leaves(left), leaves(right), strict=True))


def by_path(variables):
  """Leaves by the path of their names."""
  return {tuple(key.key for key in path): np.asarray(leaf)
          for path, leaf in jax.tree_util.tree_leaves_with_path(
              dict(variables))}


def moved(before, after):
  """Paths of the leaves that are not bit-identical."""
  before, after = by_path(before), by_path(after)
  assert set(before) == set(after)
  return {path for path in before if (before[path] != after[path]).any()}


def largest_difference(left, right):
  return max(
      float(np.abs(a - b).max())
      for a, b in zip(leaves(left), leaves(right), strict=True))


def batch(splits, size=8, step=0, seed=0):
  """The pair of batches of a DLFD step."""
  retain = batching.Stream(splits.retain, size, seed=seed, salt=0)
  forget = batching.Stream(splits.forget, size, seed=seed, salt=1)
  return batching.Pairs(retain, forget).batch(step)


def pixels(data, rows):
  return jnp.asarray(data.images[rows], jnp.float32) / 255


def figures(score, auc=0.6, accuracy=0.5, step=1):
  """What the live attack measures."""
  return {'forgetting_score': score, 'mia_auc': auc, 'val_accuracy': accuracy,
          'step': step}
