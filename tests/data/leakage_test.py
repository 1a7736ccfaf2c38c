"""Copies between the parts of a split: found, counted, listed, dropped."""

import io
import json

import numpy as np
import pytest
import scipy.fft
from PIL import Image

from dlfd_jax.data import leakage, splits as splits_lib
from tests.data.examples import random_dataset


def _pictures(n, size=32, seed=0):
  """Smooth random pictures: coloured waves, the longer the stronger."""
  generator = np.random.default_rng(seed)
  line = np.arange(size) / size
  waves = np.stack([np.cos(np.pi * k * line) / (1 + k) for k in range(16)])
  mix = generator.normal(size=(n, 3, 16, 16))
  images = np.einsum('ncuv,uh,vw->nhwc', mix, waves, waves)
  images -= images.min((1, 2, 3), keepdims=True)
  return (20 + 200 * images / images.max((1, 2, 3), keepdims=True)
          ).astype(np.uint8)


def _world(images, identity=None, parts=(3, 3, 3, 3)):
  """Parts of so many images each: retain, forget, val, test."""
  ends = np.cumsum(parts)
  return random_dataset(
      np.arange(len(images)) if identity is None else identity,
      images=images), splits_lib.Splits(
          *np.split(np.arange(ends[-1]), ends[:-1]), by_person=identity is None)


def _numbered(*parts, **options):
  """An image for each number; equal ones are copies, k and k + .5 near ones."""
  images = [np.random.default_rng(int(k)).integers(
      16, 240, (32, 32, 3), np.uint8) + np.uint8(k % 1 > 0)
            for part in parts for k in part]
  return _world(np.stack(images), parts=[len(part) for part in parts][:4],
                **options)


def _jpeg(image):
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'JPEG', quality=60)
  return np.asarray(Image.open(buffer))


def test_different_pictures_are_no_pairs():
  report = leakage.Search(*_world(_pictures(12))).report()
  assert set(report['exact'].values()) == {0}
  assert set(report['near'].values()) == {0}
  assert len(report['exact']) == 10
  assert report['forget_pairs'] == [] and report['forget_pairs_total'] == 0
  assert set(report['decisions'].values()) == {
      'No exact or near copy found: nothing to decide.'}
  assert not {'mirrored', 'cropped'} & set(report)  # not looked for


def test_a_copied_file_is_one_exact_pair():
  report = leakage.Search(
      *_numbered([0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 4, 10])).report()
  assert report['exact'].pop('forget-test') == 1
  assert set(report['exact'].values()) == {0}
  assert set(report['near'].values()) == {0}
  assert report['forget_pairs'] == [{
      'kind': 'exact', 'forget': 'image_4', 'other': 'image_10',
      'part': 'test', 'same_person': False}]
  assert report['decisions']['test'].startswith('1 exact and 0 near pairs:')
  assert 'figures without them stand beside' in report['decisions']['test']
  json.dumps(report, allow_nan=False)


@pytest.mark.parametrize('change', [
    lambda image: image + np.uint8(12),
    lambda image: (image * 0.9).astype(np.uint8),
    lambda image: np.clip(image + np.random.default_rng(0).normal(
        0, 4, image.shape), 0, 255).astype(np.uint8),
    _jpeg,
    lambda image: np.asarray(Image.fromarray(image).resize(
        (20, 20), Image.Resampling.BILINEAR).resize(
            (32, 32), Image.Resampling.BILINEAR)),
], ids=['brighter', 'darker', 'noisy', 'jpeg', 'resized'])
def test_a_changed_copy_is_one_near_pair(change):
  images = _pictures(12)
  images[0] = change(images[3])
  report = leakage.Search(*_world(images)).report()
  assert report['near'].pop('forget-retain') == 1
  assert set(report['near'].values()) == {0}
  assert set(report['exact'].values()) == {0}
  assert report['forget_pairs'][0]['kind'] == 'near'


def test_a_like_hash_without_like_pixels_is_no_pair():
  (base,) = _pictures(1, size=64) // 2
  checks = np.indices((64, 64)).sum(0) % 2 * 110  # 2 x 2 means are flat
  images = np.stack([base, base + checks[..., None].astype(np.uint8)])
  hashes = leakage.perceptual_hash(images)
  assert hashes[0] == hashes[1]
  assert leakage.near_pairs(images).shape == (0, 2)


def test_flat_images_are_no_near_pairs():
  images = np.full((3, 8, 8, 3), 7, np.uint8)
  images[1:] += np.array([20, 90], np.uint8)[:, None, None, None]
  assert leakage.near_pairs(images).shape == (0, 2)


@pytest.mark.parametrize('size', [32, 64, 96])
def test_the_hash_is_the_sign_of_low_dct_terms_about_their_median(size):
  images = _pictures(5, size)
  grey = images @ np.array([0.299, 0.587, 0.114])
  step = size // 32
  small = grey.reshape(5, 32, step, 32, step).mean((2, 4))
  low = scipy.fft.dctn(small, axes=(1, 2))[:, :8, :8]
  bits = low > np.median(low, axis=(1, 2), keepdims=True)
  weights = 1 << np.arange(64, dtype=np.uint64)
  np.testing.assert_array_equal(
      leakage.perceptual_hash(images), (bits.reshape(5, 64) * weights).sum(1))


def test_groups_of_copies_are_counted_by_pairs():
  report = leakage.Search(
      *_numbered([1, 1, 2], [1, 1, 3], [1.5, 4, 5], [6, 7, 1])).report()
  exact = {k: v for k, v in report['exact'].items() if v}
  near = {k: v for k, v in report['near'].items() if v}
  assert exact == {'forget-forget': 1, 'forget-retain': 4, 'forget-test': 2,
                   'retain-retain': 1, 'retain-test': 2}
  assert near == {'forget-val': 2, 'retain-val': 2, 'val-test': 1}
  assert report['forget_pairs_total'] == len(report['forget_pairs']) == 9


def test_long_lists_are_cut_and_say_how_long_they_are(monkeypatch):
  monkeypatch.setattr(leakage, 'MAX_LISTED', 4)
  report = leakage.Search(*_numbered(*[[0] * 3] * 4)).report()
  assert len(report['forget_pairs']) == 4
  assert report['forget_pairs_total'] == 3 + 3 * 9


def test_unknown_persons_are_not_called_the_same():
  report = leakage.Search(*_numbered(
      [1], [2, 3], [4], [2, 3], identity=[1, -1, 5, 2, 3, 5])).report()
  assert [pair['same_person'] for pair in report['forget_pairs']] == [
      None, True]


def test_images_outside_the_split_are_not_compared():
  report = leakage.Search(*_numbered([1], [2], [3], [4], [1, 2])).report()
  assert set(report['exact'].values()) == {0}


def _rows(splits):
  return [part.tolist() for part in splits.parts.values()]


def test_copies_of_forget_images_can_be_left_out():
  # Of test the first is a copy of forget, the last one of retain.
  dataset, splits = _numbered([4, 1, 2], [3, 4, 5], [5.5, 6, 7], [4, 8, 2])
  kept = leakage.Search(dataset, splits).without_duplicates()
  assert _rows(kept) == [[1, 2], [3, 4, 5], [7, 8], [10, 11]]
  assert leakage.Search(dataset, kept).report()['forget_pairs_total'] == 0
  assert kept.by_person


def test_copies_leave_every_later_part_and_their_own():
  cleaned, _ = leakage.clean_report(
      *_numbered([1, 2, 3, 3], [1.5, 4, 4], [2, 5, 6], [4, 6, 7]))
  assert _rows(cleaned) == [[1, 2], [4, 5], [8, 9], [12]]


def test_altered_copies_are_counted_once_listed_and_left_out():
  images = np.stack([_face(k) for k in range(12)])
  images[0], images[1], images[7] = (
      images[3][:, ::-1], images[4], _window(images[5], 0, 0, .95, 1))
  images[11] = images[10][:, ::-1]  # of no image to forget
  dataset, splits = _world(images)
  report = leakage.Search(dataset, splits).report(altered=True)
  assert report['exact']['forget-retain'] == 1
  assert report['mirrored'] == {
      'forget-retain': 1, 'forget-val': 0, 'forget-test': 0}
  assert report['cropped'] == {
      'forget-retain': 0, 'forget-val': 1, 'forget-test': 0}
  assert [pair['kind'] for pair in report['forget_pairs']] == [
      'exact', 'mirrored', 'cropped']
  assert report['forget_pairs_total'] == 3 and 'cropped:' in report['rule']
  assert report['decisions']['val'].startswith(
      '0 exact, 0 near, 0 mirrored and 1 cropped pairs: val holds copies')
  assert report['decisions']['test'] == (
      'No exact, near, mirrored or cropped copy found: nothing to decide.')
  kept = leakage.Search(dataset, splits).without_duplicates()
  assert _rows(kept) == [[2], [3, 4, 5], [6, 8], [9, 10, 11]]


@pytest.mark.parametrize('distance', [0, 4, 6])
def test_hashes_are_found_as_by_comparing_all(monkeypatch, distance):
  rng = np.random.default_rng(distance)
  # Few values a byte, so that many bytes are equal by chance.
  left = rng.choice([0, 1, 254], (70, 8)).astype(np.uint8).view('<u8').ravel()
  right = left[rng.integers(70, size=300)].copy()
  for j in range(300):
    for bit in rng.choice(64, j % 10, replace=False).tolist():
      right[j] ^= np.uint64(1 << bit)
  expected = leakage._close(left, right, distance)  # all at once
  for most in (1, 1000):
    monkeypatch.setattr(leakage, '_PAIRS_AT_ONCE', most)
    np.testing.assert_array_equal(
        leakage._close(left, right, distance), expected)
  assert len(expected) > 10
  differ = [(left[i] ^ right[j]).item().bit_count() for i, j in expected]
  assert max(differ) == distance


def test_a_search_that_would_take_minutes_is_left_out(monkeypatch):
  monkeypatch.setattr(leakage, 'MOST_ALTERED', 9 * (15_000 + 3))
  world = _world(_pictures(12))
  assert 'mirrored' in leakage.Search(*world).report(altered=True)
  monkeypatch.setattr(leakage, 'MOST_ALTERED', 9 * (15_000 + 3) - 1)
  report = leakage.Search(*world).report(altered=True)
  assert 'mirrored' not in report and 'mirrored' not in report['rule']


def test_copies_are_looked_for_once(monkeypatch):
  search, found = leakage.Search(*_world(_pictures(12))), []
  for name in ('find_copies', 'altered_pairs'):
    plain = getattr(leakage, name)
    monkeypatch.setattr(leakage, name, lambda *args, name=name, plain=plain: (
        found.append(name), plain(*args))[1])
  search.report(altered=True)
  search.without_duplicates()
  assert found == ['find_copies', 'altered_pairs']


@pytest.mark.parametrize('leave_out', [
    lambda *world: leakage.Search(*world).without_duplicates(),
    leakage.clean_report])
def test_a_part_of_copies_only_is_refused(leave_out):
  with pytest.raises(ValueError, match='images of test that are no copies'):
    leave_out(*_numbered([1], [2], [3], [2]))


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
      hashes[:, None] ^ hashes) <= leakage.MAX_DISTANCE, 1))
  np.testing.assert_array_equal(leakage.like_hashes(hashes), near)
  assert n < 3 or len(near) > n // 8


def _face(number, size=48):
  """A smooth picture of its own, as faces are."""
  rng = np.random.default_rng(number)
  small = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
  return np.asarray(Image.fromarray(small).resize(
      (size, size), Image.Resampling.BICUBIC))


def _window(image, left, top, right, bottom):
  height, width = image.shape[:2]
  return np.asarray(Image.fromarray(image).resize(
      (width, height), Image.Resampling.BILINEAR, box=(
          left * width, top * height, right * width, bottom * height)))


@pytest.mark.parametrize('change, kind', [
    (lambda image: image[:, ::-1], 'mirrored'),
    (lambda image: _window(image, .05, .05, .95, .95), 'cropped'),
    (lambda image: _window(image, 0, 0, .95, 1), 'cropped'),
    (lambda image: _window(image, .012, .037, .962, .987), 'cropped'),
    (lambda image: _window(image, .2, .2, .8, .8), None),
    (lambda image: np.rot90(image), None)])
def test_mirrored_and_cropped_copies_are_found_either_way(change, kind):
  images = np.stack([_face(k) for k in range(8)])
  images[5] = change(images[2])
  for some in ([2], [5]):
    others = np.setdiff1d(np.arange(8), some)
    found = leakage.altered_pairs(images, np.array(some), others)
    assert found == ([(some[0], 7 - some[0], kind)] if kind else [])


def test_the_hash_of_a_window_is_that_of_the_image_cut_there():
  image = _face(3, 40)  # of which a twentieth is two pixels
  hashes = leakage._altered_hashes(image[None], np.array([0]))
  names = list(leakage._WINDOWS)
  for (top, bottom), (left, right) in [((.05, 1.), (0., .95)),
                                       ((.05, .95), (.05, .95))]:
    cut = image[int(40 * top + .5):int(40 * bottom + .5),
                int(40 * left + .5):int(40 * right + .5)]
    k = names.index(((top, bottom), (left, right)))
    assert hashes[2 + k, 0] == leakage.perceptual_hash(cut[None])[0]
  assert hashes[1, 0] == leakage.perceptual_hash(image[None, :, ::-1])[0]
