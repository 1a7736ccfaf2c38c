"""Copies of images: hashes, pairs, mirrored and cropped ones."""

import numpy as np
import pytest
import scipy.fft

from dlfd_jax.data import copies
from tests.data import examples


def test_a_like_hash_without_like_pixels_is_no_pair():
  (base,) = examples.pictures(1, size=64) // 2
  checks = np.indices((64, 64)).sum(0) % 2 * 110  # 2 x 2 means are flat
  images = np.stack([base, base + checks[..., None].astype(np.uint8)])
  hashes = copies.perceptual_hash(images)
  assert hashes[0] == hashes[1]
  assert copies.near_pairs(images).shape == (0, 2)


def test_flat_images_are_no_near_pairs():
  images = np.full((3, 8, 8, 3), 7, np.uint8)
  images[1:] += np.array([20, 90], np.uint8)[:, None, None, None]
  assert copies.near_pairs(images).shape == (0, 2)


@pytest.mark.parametrize('size', [32, 64, 96])
def test_the_hash_is_the_sign_of_low_dct_terms_about_their_median(size):
  images = examples.pictures(5, size)
  grey = images @ np.array([0.299, 0.587, 0.114])
  step = size // 32
  small = grey.reshape(5, 32, step, 32, step).mean((2, 4))
  low = scipy.fft.dctn(small, axes=(1, 2))[:, :8, :8]
  bits = low > np.median(low, axis=(1, 2), keepdims=True)
  weights = 1 << np.arange(64, dtype=np.uint64)
  np.testing.assert_array_equal(
      copies.perceptual_hash(images), (bits.reshape(5, 64) * weights).sum(1))


@pytest.mark.parametrize('distance', [0, 4, 6])
def test_hashes_are_found_as_by_comparing_all(monkeypatch, distance):
  rng = np.random.default_rng(distance)
  # Few values a byte, so that many bytes are equal by chance.
  left = rng.choice([0, 1, 254], (70, 8)).astype(np.uint8).view('<u8').ravel()
  right = left[rng.integers(70, size=300)].copy()
  for j in range(300):
    for bit in rng.choice(64, j % 10, replace=False).tolist():
      right[j] ^= np.uint64(1 << bit)
  expected = copies._close(left, right, distance)  # all at once
  for most in (1, 1000):
    monkeypatch.setattr(copies, '_PAIRS_AT_ONCE', most)
    np.testing.assert_array_equal(
        copies._close(left, right, distance), expected)
  assert len(expected) > 10
  differ = [(left[i] ^ right[j]).item().bit_count() for i, j in expected]
  assert max(differ) == distance


@pytest.mark.parametrize('n', [0, 1, 2, 400])
def test_pairs_of_like_hashes_are_those_of_all_comparisons(n):
  rng = np.random.default_rng(n)
  hashes = rng.integers(0, 2**64, n, np.uint64)
  for k in range(1, n, 2):  # 0 to 7 bits away from another one
    flips = rng.choice(64, rng.integers(0, 8), replace=False)
    hashes[k] = hashes[k - 1] ^ np.bitwise_or.reduce(
        np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0))
  hashes[:n // 8] = hashes[n // 2:n // 2 + n // 8]
  near = np.argwhere(np.triu(np.bitwise_count(
      hashes[:, None] ^ hashes) <= copies.MAX_DISTANCE, 1))
  np.testing.assert_array_equal(copies.like_hashes(hashes), near)
  assert n < 3 or len(near) > n // 8


@pytest.mark.parametrize('change, kind', [
    (lambda image: image[:, ::-1], 'mirrored'),
    (lambda image: examples.window(image, .05, .05, .95, .95), 'cropped'),
    (lambda image: examples.window(image, 0, 0, .95, 1), 'cropped'),
    (lambda image: examples.window(image, .012, .037, .962, .987), 'cropped'),
    (lambda image: examples.window(image, .2, .2, .8, .8), None),
    (lambda image: np.rot90(image), None)])
def test_mirrored_and_cropped_copies_are_found_either_way(change, kind):
  images = np.stack([examples.face(k) for k in range(8)])
  images[5] = change(images[2])
  for some in ([2], [5]):
    others = np.setdiff1d(np.arange(8), some)
    found = copies.altered_pairs(images, np.array(some), others)
    assert found == ([(some[0], 7 - some[0], kind)] if kind else [])


def test_the_hash_of_a_window_is_that_of_the_image_cut_there():
  image = examples.face(3, 40)  # of which a twentieth is two pixels
  hashes = copies._altered_hashes(image[None], np.array([0]))
  names = list(copies._WINDOWS)
  for (top, bottom), (left, right) in [((.05, 1.), (0., .95)),
                                       ((.05, .95), (.05, .95))]:
    cut = image[int(40 * top + .5):int(40 * bottom + .5),
                int(40 * left + .5):int(40 * right + .5)]
    k = names.index(((top, bottom), (left, right)))
    assert hashes[2 + k, 0] == copies.perceptual_hash(cut[None])[0]
  assert hashes[1, 0] == copies.perceptual_hash(image[None, :, ::-1])[0]
