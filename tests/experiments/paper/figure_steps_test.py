"""DLFD's inner steps for the figure, on a tiny problem."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import presets
from dlfd_jax.methods import dlfd
from dlfd_jax.utils import runs
from experiments.paper import figure_steps
from tests.methods import problems


def _scene(**fields):
  problem = problems.problem()
  config = dlfd.DLFDConfig(batch_size=6, perturb_steps=3,
                           sinkhorn=problems.SMALL, **fields)
  return figure_steps.Scene(
      problem.model, problem.original, problem.dataset, problem.splits, config,
      [])


def _at_once(scene, retain, forget):
  """The images after K steps by the method's own functions."""
  clean, others = (jnp.asarray(scene.dataset.images[rows], jnp.float32) / 255
                   for rows in (retain, forget))
  ones = jnp.ones(len(retain))

  @jax.jit
  def run(images):
    target = dlfd.forget_target(
        scene.model, scene.variables, others, ones, scene.config, None)
    evaluate = dlfd.objective(
        scene.model, scene.dataset.task, scene.variables,
        jnp.asarray(scene.dataset.labels[retain]), ones, target,
        jnp.float32(scene.config.ce_weight_start), scene.config, None)
    return dlfd.perturb(evaluate, images, scene.config)

  return run(clean)


@pytest.mark.slow
def test_one_step_at_a_time_is_what_the_method_does():
  scene = _scene(perturb_radius=3 / 255, perturb_step_size=2 / 255)
  retain, forget = figure_steps.batches(scene, 0)
  path = figure_steps.walk(scene, retain, forget)
  moved, figures = _at_once(scene, retain, forget)
  np.testing.assert_allclose(path.images[-1], moved, atol=1e-6)
  assert path.distance[0] == pytest.approx(
      float(figures['ot_start']), rel=1e-4)
  assert path.distance[2] == pytest.approx(
      float(figures['ot_end']), rel=1e-4)


def test_a_path_starts_clean_and_has_a_figure_for_each_step():
  scene = _scene()
  retain, forget = figure_steps.batches(scene, 0)
  path = figure_steps.walk(scene, retain, forget)
  np.testing.assert_allclose(
      path.images[0] * 255, scene.dataset.images[retain], atol=1e-4)
  assert path.features.shape[:2] == (4, 6)
  assert path.distance.shape == path.cross_entropy.shape == (4,)
  np.testing.assert_allclose(
      np.linalg.norm(path.forget, axis=-1), 1, atol=1e-3)


def test_batches_are_fixed_by_the_seed_and_of_their_splits():
  scene = _scene()
  one, two = (figure_steps.batches(scene, 4) for _ in 'ab')
  for a, b, part in zip(one, two, (scene.splits.retain, scene.splits.forget)):
    np.testing.assert_array_equal(a, b)
    assert np.isin(a, part).all()


def test_a_stored_config_is_read_again():
  config = _scene(perturb_radius=.1).config
  again = figure_steps.config_from_json(dataclasses.asdict(config))
  assert again == config


def test_images_that_are_not_drawn_must_be_named(tmp_path):
  preset = presets.PRESETS['demo']
  runs.write_json(tmp_path / 'config.json', {
      'kind': 'train', 'on': 'all',
      'network': dataclasses.asdict(preset.network),
      'train': dataclasses.asdict(preset.train),
      'data': dataclasses.asdict(dataclasses.replace(
          preset.data, source='faces.npz', labels=('age',)))})
  with pytest.raises(ValueError, match='Expected --data to name the images'):
    figure_steps.open_scene(str(tmp_path), None, None, 'demo', 0)
