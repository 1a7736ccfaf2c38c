"""What every architecture promises to training and evaluation."""

import functools

import jax
import numpy as np
import pytest

from dlfd_jax import (
  checkpoint,
  methods,
  models,
  parallel,
  tasks,
  training as train,
)
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.methods import cf_k
from dlfd_jax.models import densenet, efficientnet, resnet
from tests import grids
from tests.methods import problems
from tests.models import nets

half = pytest.mark.parametrize('name', grids.some(models.ARCHITECTURES, 2))
every = pytest.mark.parametrize('name', models.ARCHITECTURES)
# Of torchvision's networks: parameters, values in running statistics and layers
# of normalisation that have some.
TORCHVISION = {
    'resnet18': (11_689_512, 9_600, 20),
    'densenet121': (7_978_856, 83_648, 121),
    'efficientnet_b0': (5_288_548, 42_016, 49),
    # VisionTransformer(224, 16, 12, 6, 384, 1536)
    'vit_s': (22_050_664, 0, 0)}
# The last module of each stage with its channels; and its sides, from images of
# 224 pixels with the ImageNet stem and of 32 with the small one.
STAGES = [
    (resnet.ResNet18(5), {f'layer{i}_1': 32 * 2**i for i in range(1, 5)},
     ((56, 28, 14, 7), (32, 16, 8, 4))),
    (densenet.DenseNet121(5, block_config=(2, 1, 1, 1)), {
        'denseblock1_denselayer2': 128, 'denseblock2_denselayer1': 96,
        'denseblock3_denselayer1': 80, 'denseblock4_denselayer1': 72},
     ((56, 28, 14, 7), (32, 16, 8, 4))),
    (efficientnet.EfficientNetB0(5, depths=(1,) * 7), {
        f'stage{i}_0': channels for i, channels in enumerate(
            (16, 24, 40, 80, 112, 192, 320), start=1)},
     ((112, 56, 28, 14, 14, 7, 7), (32, 16, 8, 4, 4, 2, 2)))]
PLAIN = train.OptimizerConfig(
    learning_rate=0.05, momentum=0.0, weight_decay=0.0)


@pytest.fixture(scope='module', autouse=True)
def compiled_once(shared_compilations):
  """Compiling is nearly all of the time here."""


def _data(n=24, size=nets.SIZE):
  rng = np.random.default_rng(0)
  return dataset_lib.Dataset(
      images=rng.integers(0, 255, (n, size, size, 3)).astype(np.uint8),
      labels=np.resize(np.arange(3), n).astype(np.int32),
      identity=np.arange(n, dtype=np.int32),
      sample_id=np.array([f'image{i}' for i in range(n)]),
      task=tasks.Task(tasks.MULTICLASS, ('a', 'b', 'c')))


@functools.cache
def _problem(name):
  return methods.Problem(
      nets.TINY[name], nets.variables(name), _data(),
      problems.splits(8, 4, 4, 8), 0)


def _supervised(name):
  return train.make_supervised_step(
      nets.TINY[name], _problem(name).task, PLAIN, 10, train_mode=True)


def _changed(before, after):
  """Paths of the leaves that differ."""
  return {
      tuple(str(getattr(key, 'key', key)) for key in path)
      for (path, old), new in zip(
          jax.tree_util.tree_leaves_with_path(before),
          jax.tree.leaves(after), strict=True) if (old != new).any()}


def test_the_tiny_networks_are_those_of_the_registry():
  assert tuple(nets.TINY) == models.ARCHITECTURES
  for name, tiny in nets.TINY.items():
    assert type(tiny) is type(nets.full(name))


@half
def test_full_networks_are_as_large_as_torchvisions(name):
  parameters, values, layers = TORCHVISION[name]
  shapes = nets.shapes(nets.full(name), 224)
  assert models.num_parameters(shapes) == parameters
  statistics = jax.tree.leaves(shapes['batch_stats'])
  assert (len(statistics), sum(x.size for x in statistics)) == (
      2 * layers, values)


@pytest.mark.slow
@pytest.mark.parametrize('model, channels, sides', STAGES)
def test_stages_have_their_channels_and_sides(model, channels, sides):
  for stem, size, each in zip(('imagenet', 'small'), (224, 32), sides):
    _, values = nets.traced(model.clone(stem=stem), size)
    assert [values[name].shape for name in channels] == [
        (2, side, side, count)
        for count, side in zip(channels.values(), each, strict=True)]


@pytest.mark.parametrize('stem, smallest', [('imagenet', 29), ('small', 8)])
def test_images_that_densenets_halvings_would_empty_are_refused(
    stem, smallest):
  model = nets.TINY['densenet121'].clone(stem=stem)
  assert nets.traced(model, smallest)[0].features.shape[0] == 2
  with pytest.raises(ValueError, match=(
      f'at least {smallest} pixels for the {stem} stem.*got '
      f'{smallest - 1}x{smallest - 1}')):
    nets.shapes(model, smallest - 1)


@half
def test_features_are_the_input_of_the_last_layer(name):
  out = nets.evaluate(nets.TINY[name], nets.variables(name), nets.images())
  layer = nets.variables(name)['params']['head']['classifier']
  np.testing.assert_allclose(
      out.logits, out.features @ layer['kernel'] + layer['bias'],
      rtol=1e-4, atol=1e-4)


def _trained(name, images, mask=None, order=None):
  """Training mode with rows in another order, keys and mask along."""
  order = np.arange(len(images)) if order is None else order
  mask = np.ones(len(images), np.float32) if mask is None else mask
  keys = jax.random.split(nets.KEY, len(images))
  return nets.train(nets.TINY[name], nets.variables(name), images[order],
                    mask[order], keys[order])


@half
def test_padded_rows_change_neither_statistics_nor_other_rows(name):
  images = nets.images(8)
  mask = np.array([1, 1, 0, 1, 0, 1, 1, 1], np.float32)
  out, new = _trained(name, images, mask)
  other = np.where(mask[:, None, None, None] > 0, images, 1 - images)
  again, same = _trained(name, other, mask)
  jax.tree.map(np.testing.assert_array_equal, new, same)
  np.testing.assert_array_equal(
      out.logits[mask > 0], again.logits[mask > 0])
  whole, statistics = _trained(name, images)
  if name != 'vit_s':  # which has no statistics
    assert _changed(new, statistics)
  assert (out.logits[mask == 0] != again.logits[mask == 0]).any()
  assert np.isfinite(whole.logits).all()


@half
def test_an_example_draws_by_its_key_wherever_it_stands(name):
  images, order = nets.images(8), np.array([5, 2, 7, 0, 1, 6, 4, 3])
  out, new = _trained(name, images)
  moved, same = _trained(name, images, order=order)
  np.testing.assert_allclose(
      out.logits[order], moved.logits, rtol=1e-3, atol=1e-3)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=1e-3, atol=1e-4), new, same)


# Shallower ones of all four: tests/methods/architectures_test.py.
@pytest.mark.parametrize('name', [
    'resnet18', pytest.param('vit_s', marks=pytest.mark.slow)])
def test_a_training_step_moves_every_parameter_and_statistic(name):
  problem = _problem(name)
  before = train.create_state(problem.original, PLAIN, jax.random.key(0))
  after, metrics = jax.jit(_supervised(name))(
      before, {'images': problem.dataset.images,
               'labels': problem.dataset.labels},
      problems.batch(problem.splits, 8).retain)
  before, after = parallel.fetch((before.variables, after.variables))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((after, metrics)))
  assert _changed(before, after) == _changed(
      before, jax.tree.map(lambda x: x + 1, before))
  assert metrics.count == 8


def test_a_network_without_statistics_unlearns_and_resumes(tmp_path):
  config = cf_k.CFKConfig(
      k=1, epochs=1, batch_size=8, select_threshold=0.5, optimizer=PLAIN)
  results = []
  for _ in range(2):
    saver = checkpoint.LoopCheckpoints(tmp_path)
    results.append(methods.unlearn(
        _problem('vit_s'), config, devices=problems.devices(),
        checkpoints=saver))
    saver.close()
  first, again = results
  assert first.stop == again.stop == 'finished'
  assert problems.same(first.last, again.last)
  assert first.last['batch_stats'] == {}
  assert {path[1] for path in _changed(
      nets.variables('vit_s'), first.last)} == {'head'}


@pytest.mark.parametrize('name', grids.some(models.ARCHITECTURES, 4))
def test_a_saved_network_comes_back(name, tmp_path):
  config = models.ModelConfig(
      architecture=name, outputs=3, width=1, stem='small')
  shapes = nets.shapes(models.build(config), nets.SIZE)
  variables = nets.filled(shapes)
  checkpoint.save_model(
      tmp_path / 'model', variables, config, _data().task,
      (nets.SIZE, nets.SIZE))
  saved = checkpoint.load_model(tmp_path / 'model')
  assert saved.config == config
  assert jax.tree.structure(saved.variables) == jax.tree.structure(variables)
  assert problems.same(saved.variables, variables)


@pytest.mark.long
@pytest.mark.parametrize('name', ['efficientnet_b0', 'densenet121'])
def test_two_devices_agree_with_one(name):
  problem, results = _problem(name), []
  batch = problems.batch(problem.splits, 8).retain
  for count in (1, 2):
    where = problems.devices(count)
    state = where.place(train.create_state(
        problem.original, PLAIN, jax.random.key(0)))
    constants = where.place({'images': problem.dataset.images,
                             'labels': problem.dataset.labels})
    state, _ = where.compile(_supervised(name))(
        state, constants, batch)
    results.append(parallel.fetch(state.variables))
  assert problems.largest_difference(*results) < 1e-4


@pytest.mark.long
@pytest.mark.parametrize('name', models.ARCHITECTURES[1:])
def test_a_step_of_full_depth_is_finite(name):
  model = nets.full(name, width=8, stem='small', outputs=3)
  data = _data(4, 32)
  state = train.create_state(
      nets.filled(nets.shapes(model, 32)), PLAIN, jax.random.key(0))
  step = jax.jit(train.make_supervised_step(
      model, data.task, PLAIN, 10, train_mode=True))
  after, metrics = step(
      state, {'images': data.images, 'labels': data.labels},
      batching.pad(np.arange(4), 4))
  assert after.skipped == 0 and np.isfinite(metrics.rows['loss'])
