"""Augmentation: closed forms, independence of the batch, refusals."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from dlfd_jax.data import augment as augment_lib

OFF = augment_lib.AugmentConfig(
    flip=False, shift=0.0, scale=0.0, rotate=0.0, brightness=0.0, contrast=0.0,
    saturation=0.0)
apply = jax.jit(augment_lib.augment, static_argnums=2)
warp = jax.jit(augment_lib.warp)
recolour = jax.jit(augment_lib.recolour)
perturb = jax.jit(augment_lib.perturb)


@functools.lru_cache
def _images(n=8, height=9, width=12):
  return jax.random.uniform(
      jax.random.key(7), (n, height, width, 3), jnp.float32)


def _keys(n=8, seed=0):
  return jax.random.split(jax.random.key(seed), n)


def _warp(images, down=0.0, right=0.0, scale=1.0, degrees=0.0):
  full = lambda value: jnp.full(len(images), value, jnp.float32)
  return warp(images, down=full(down), right=full(right), scale=full(scale),
              degrees=full(degrees))


def test_nothing_on_changes_nothing():
  np.testing.assert_array_equal(apply(_images(), _keys(), OFF), _images())


def test_flips_some_images_and_twice_is_once_none():
  config = dataclasses.replace(OFF, flip=True)
  once = apply(_images(), _keys(), config)
  same = np.array([np.array_equal(a, b) for a, b in zip(once, _images())])
  mirrored = np.array([
      np.array_equal(a[:, ::-1], b) for a, b in zip(once, _images())])
  assert (same ^ mirrored).all() and 0 < same.sum() < len(same)
  np.testing.assert_array_equal(apply(once, _keys(), config), _images())


@pytest.mark.parametrize('options', [
    {'degrees': 10.0}, {'degrees': -33.0}, {'scale': 1.1}, {'scale': 0.9},
    {'down': 0.4, 'right': -1.7},
    {'degrees': 7.0, 'scale': 0.93, 'down': 1.3, 'right': -0.6},
])
def test_the_warp_is_scipys_bilinear_one(options):
  image = np.asarray(_images()[0], np.float64)
  angle = np.deg2rad(options.get('degrees', 0.0))
  turn = np.array([[np.cos(angle), np.sin(angle)],
                   [-np.sin(angle), np.cos(angle)]])
  matrix = turn / options.get('scale', 1.0)
  centre = np.array([4.0, 5.5])
  shift = np.array([options.get('down', 0.0), options.get('right', 0.0)])
  expected = np.stack([
      scipy.ndimage.affine_transform(
          image[..., c], matrix, centre - matrix @ (centre + shift), order=1,
          mode='nearest') for c in range(3)], axis=-1)
  np.testing.assert_allclose(
      _warp(_images()[:1], **options)[0], expected, atol=2e-5)


def test_images_of_one_pixel_can_be_warped():
  images = _images()[:, :1, :1]
  np.testing.assert_allclose(
      _warp(images, 0.3, -0.2, 1.1, 20.0), images, atol=1e-6)


def test_colours_follow_their_formulas():
  images = np.asarray(_images(), np.float64)
  factors = np.random.default_rng(0).uniform(0.8, 1.2, (3, 8))
  brightness, contrast, saturation = factors[..., None, None, None]
  luma = np.array([0.299, 0.587, 0.114])
  expected = images * brightness
  mean = (expected @ luma).mean((1, 2))[:, None, None, None]
  expected = contrast * expected + (1 - contrast) * mean
  grey = (expected @ luma)[..., None]
  expected = np.clip(saturation * expected + (1 - saturation) * grey, 0, 1)
  result = recolour(_images(), **dict(zip(
      ('brightness', 'contrast', 'saturation'), jnp.float32(factors))))
  np.testing.assert_allclose(result, expected, atol=1e-6)
  assert (expected == 1).any()


@pytest.mark.parametrize('field', [
    'flip', 'shift', 'scale', 'rotate', 'brightness', 'contrast',
    'saturation'])
def test_every_option_has_an_effect(field):
  config = dataclasses.replace(
      OFF, **{field: getattr(augment_lib.AugmentConfig(), field)})
  changed = apply(_images(), _keys(), config)
  assert np.abs(changed - _images()).max() > 1e-3
  assert changed.min() >= 0 and changed.max() <= 1


def test_draws_stay_within_the_limits():
  config = dataclasses.replace(OFF, brightness=0.2)
  images = jnp.full((400, 1, 1, 3), 0.5)
  levels = np.asarray(apply(images, _keys(400), config))[:, 0, 0, 0] / 0.5
  assert levels.min() >= 0.8 and levels.max() <= 1.2
  assert levels.min() < 0.82 and levels.max() > 1.18


def test_the_result_depends_on_the_key_alone():
  config = augment_lib.AugmentConfig()
  full = apply(_images(), _keys(), config)
  order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
  np.testing.assert_array_equal(
      apply(_images()[order], _keys()[order], config), full[order])
  assert np.abs(apply(_images(), _keys(seed=1), config) - full).max() > 0.1


def test_no_key_is_used_twice():
  config = augment_lib.AugmentConfig()
  with jax.debug_key_reuse(True):
    checked = apply(_images(), _keys(), config)
  np.testing.assert_array_equal(checked, apply(_images(), _keys(), config))


@pytest.mark.parametrize('field, value, message', [
    ('flip', 1, 'flip to be True or False, got 1'),
    ('shift', 1.0, r'shift in \[0, 1\), got 1.0'),
    ('scale', -0.1, r'scale in \[0, 1\), got -0.1'),
    ('rotate', 200.0, r'rotate in \[0, 180\], got 200.0'),
    ('brightness', 1.5, r'brightness in \[0, 1\], got 1.5'),
    ('contrast', -1, r'contrast in \[0, 1\], got -1'),
    ('saturation', float('nan'), r'saturation in \[0, 1\], got nan'),
])
def test_wrong_configurations_are_refused(field, value, message):
  with pytest.raises(ValueError, match=message):
    augment_lib.AugmentConfig(**{field: value})


def test_wrong_arrays_are_refused():
  images, keys = _images(), _keys()
  with pytest.raises(ValueError, match=r'float32 \[b, h, w, 3\], got uint8'):
    augment_lib.augment(images.astype(jnp.uint8), keys, OFF)
  with pytest.raises(ValueError, match=r'got float32 \[8, 9, 12, 1\]'):
    augment_lib.augment(images[..., :1], keys, OFF)
  with pytest.raises(ValueError, match=r'one typed key per image \[8\], got'):
    augment_lib.augment(images, keys[0], OFF)
  with pytest.raises(ValueError, match=r'got uint32 \[8, 2\]'):
    augment_lib.augment(images, jax.random.key_data(keys), OFF)


def test_copies_depend_on_their_row_alone():
  images = jnp.full((4, 16, 16, 3), .5).at[:, 4:8].set(.25)
  rows = jnp.array([7, 8, 9, 7])
  how = {'noise': jnp.float32(.1), 'shift': jnp.float32(.25)}
  found = perturb(images, rows, how)
  np.testing.assert_array_equal(found[0], found[3])
  assert not np.array_equal(found[0], found[1])
  np.testing.assert_array_equal(
      perturb(images[1:2], rows[1:2], how)[0], found[1])


def test_copies_have_the_noise_and_the_shift_that_were_asked_for():
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.uniform(.4, .6, (8, 16, 16, 3)), jnp.float32)
  rows, none = jnp.arange(8), jnp.float32(0)
  still = perturb(images, rows, {'noise': none, 'shift': none})
  np.testing.assert_allclose(still, images, atol=1e-6)
  noisy = perturb(
      images, rows, {'noise': jnp.float32(.05), 'shift': none})
  assert np.std(noisy - images) == pytest.approx(.05, rel=.03)
  moved = np.asarray(perturb(
      images, rows, {'noise': none, 'shift': jnp.float32(.25)}))
  for image, copy in zip(np.asarray(images), moved):
    assert any(np.allclose(
        np.roll(image, (4 * down, 4 * right), (0, 1))[4:-4, 4:-4],
        copy[4:-4, 4:-4], atol=1e-5) for down in (-1, 1) for right in (-1, 1))
