"""Copies between the parts of a split: found, counted, listed, dropped."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.data import copies, leakage, splits as splits_lib
from tests.data import examples
from tests.data.examples import random_dataset


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
  report = leakage.Search(*_world(examples.pictures(12))).report()
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
  images = examples.pictures(12)
  images[0] = change(images[3])
  report = leakage.Search(*_world(images)).report()
  assert report['near'].pop('forget-retain') == 1
  assert set(report['near'].values()) == {0}
  assert set(report['exact'].values()) == {0}
  assert report['forget_pairs'][0]['kind'] == 'near'


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
  images = np.stack([examples.face(k) for k in range(12)])
  images[0], images[1], images[7] = (
      images[3][:, ::-1], images[4], examples.window(images[5], 0, 0, .95, 1))
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


def test_a_search_that_would_take_minutes_is_left_out(monkeypatch):
  monkeypatch.setattr(leakage, 'MOST_ALTERED', 9 * (15_000 + 3))
  world = _world(examples.pictures(12))
  assert 'mirrored' in leakage.Search(*world).report(altered=True)
  monkeypatch.setattr(leakage, 'MOST_ALTERED', 9 * (15_000 + 3) - 1)
  report = leakage.Search(*world).report(altered=True)
  assert 'mirrored' not in report and 'mirrored' not in report['rule']


def test_copies_are_looked_for_once(monkeypatch):
  search, found = leakage.Search(*_world(examples.pictures(12))), []
  for name in ('find_copies', 'altered_pairs'):
    plain = getattr(copies, name)
    monkeypatch.setattr(copies, name, lambda *args, name=name, plain=plain: (
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
