"""Pixels from the device or with the batch: the same, in the same order."""

import time

import jax
import numpy as np
import pytest

from dlfd_jax.data import batching
from tests import tiny

DATA = tiny.dataset(20)


def _stream(**kwargs):
  return batching.Stream(np.arange(20), 6, **kwargs)


def _read(feed, batch):
  read = jax.jit(batching.read)
  return read(feed.constants, feed.fill(batch))


def test_streamed_equals_on_device_bit_for_bit():
  resident = batching.Feed(DATA)
  streamed = batching.Feed(DATA, device_bytes=0)
  assert resident.on_device and not streamed.on_device
  assert streamed.constants == {}
  for batch in map(_stream().batch, range(4)):
    here, there = _read(resident, batch), _read(streamed, batch)
    for a, b in zip(here, there):
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)


def test_pixels_become_float32_in_the_unit_interval():
  images, labels = _read(batching.Feed(DATA), _stream().batch(0))
  index = _stream().batch(0).index
  assert images.dtype == np.float32
  np.testing.assert_allclose(images, DATA.images[index] / 255, atol=1e-7)
  np.testing.assert_array_equal(labels, DATA.labels[index])
  full = batching.read(
      {}, batching.pad(np.array([0]), 1).replace(
          images=np.full((1, 2, 2, 3), 255, np.uint8),
          labels=np.zeros(1, np.int32)))
  assert (full[0] == 1).all()


@pytest.mark.parametrize('device_bytes', [0, 2**20])
@pytest.mark.parametrize('start, stop', [(0, 7), (3, 7), (6, 7), (7, 7)])
def test_batches_come_in_order_from_any_step(device_bytes, start, stop):
  feed = batching.Feed(DATA, device_bytes)

  def make(step):  # an early step is slow: reading ahead must not overtake it
    time.sleep(0.002 * (stop - step))
    return _stream().batch(step)

  batches = list(feed.batches(make, start, stop))
  assert len(batches) == stop - start
  for step, batch in zip(range(start, stop), batches):
    wanted = feed.fill(_stream().batch(step))
    assert tiny.same(batch, wanted)


def test_at_most_three_batches_are_read_before_they_are_needed():
  feed, made = batching.Feed(DATA, device_bytes=0), []

  def make(step):
    made.append(step)
    return _stream().batch(step)

  batches = feed.batches(make, 0, 50)
  for taken in range(1, 4):
    next(batches)
    assert max(made) <= taken + 2
  batches.close()
  assert len(made) <= 6


def test_an_error_while_reading_ahead_reaches_the_caller():
  def make(step):
    if step == 2:
      raise OSError('disk gone')
    return _stream().batch(step)

  with pytest.raises(OSError, match='disk gone'):
    list(batching.Feed(DATA, device_bytes=0).batches(make, 0, 5))


def test_each_batch_of_a_pair_is_filled_with_its_own_rows():
  feed = batching.Feed(DATA, device_bytes=0)
  pair = batching.Pair(_stream().batch(0), _stream(salt=1).batch(0))
  for filled, wanted in zip(feed.fill(pair), pair):
    _, labels = batching.read({}, filled)
    np.testing.assert_array_equal(labels, DATA.labels[wanted.index])


def test_the_size_of_the_pixels_decides_where_they_lie():
  size = DATA.images.nbytes
  assert batching.Feed(DATA, size).on_device
  assert not batching.Feed(DATA, size - 1).on_device
  with pytest.raises(ValueError, match='Expected device_bytes >= 0, got -1'):
    batching.Feed(DATA, -1)
