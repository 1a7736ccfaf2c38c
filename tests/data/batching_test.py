"""Streams of index batches: every image once, and pure in the step."""

import jax
import numpy as np
import pytest

from dlfd_jax.data import batching
from dlfd_jax.utils import rng
from tests import tiny

INDICES = np.array([3, 5, 7, 11, 13, 17, 19, 23, 29, 31])


def _stream(**kwargs):
  return batching.Stream(INDICES, **{'batch_size': 4, 'seed': 1, **kwargs})


@pytest.mark.parametrize('size', [1, 3, 4, 10, 16])
def test_every_epoch_reads_each_image_exactly_once(size):
  stream = _stream(batch_size=size)
  steps = stream.steps_per_epoch
  assert steps == -(-10 // size)
  orders = []
  for epoch in range(3):
    batches = [stream.batch(epoch * steps + b) for b in range(steps)]
    read = np.concatenate([b.index[b.mask > 0] for b in batches])
    assert sorted(read) == sorted(INDICES)
    orders.append(read.tolist())
    for batch in batches:
      assert [len(array) for array in jax.tree.leaves(batch)] == [size] * 3
      assert set(batch.index[batch.mask == 0]) <= set(
          batch.index[batch.mask > 0])
  assert orders[0] != orders[1]


def test_many_streams_in_turn_draw_an_order_once_an_epoch(monkeypatch):
  drawn = []
  generator = rng.generator
  monkeypatch.setattr(rng, 'generator', lambda *words: (
      drawn.append(words), generator(*words))[1])
  streams = [_stream(seed=seed) for seed in range(20)]
  for step in range(2 * streams[0].steps_per_epoch):
    for stream in streams:
      stream.batch(step)
  assert len(drawn) == len(set(drawn)) == 2 * len(streams)


def test_a_batch_depends_on_the_step_and_the_seeds_alone():
  stream = _stream()
  late = stream.batch(7)
  for step in range(12):
    stream.batch(step)
  for again in (stream.batch(7), _stream().batch(7)):
    assert tiny.same(late, again)
  same = lambda other: (
      late.index.tolist() == other.batch(7).index.tolist())
  assert not same(_stream(seed=2)) and not same(_stream(salt=1))


def test_without_shuffling_the_order_is_the_given_one():
  stream = _stream(shuffle=False)
  read = np.concatenate([
      b.index[b.mask > 0] for b in map(stream.batch, range(3))])
  np.testing.assert_array_equal(read, INDICES)
  again = stream.batch(3)
  np.testing.assert_array_equal(again.index, stream.batch(0).index)


@pytest.mark.parametrize('size', [4, 10, 23])
def test_cycled_batches_are_full_and_read_epoch_after_epoch(size):
  stream = _stream(batch_size=size)
  batches = [stream.cycled_batch(step) for step in range(10)]
  assert all((b.mask == 1).all() for b in batches)
  read = np.concatenate([b.index for b in batches])
  for epoch in range(len(read) // 10):
    assert sorted(read[epoch * 10:(epoch + 1) * 10]) == sorted(INDICES)
  again = stream.cycled_batch(6)
  np.testing.assert_array_equal(again.index, batches[6].index)


def test_padding_repeats_real_rows_with_mask_0():
  batch = batching.pad(np.array([5, 7, 9]), 8)
  assert batch.index.tolist() == [5, 7, 9, 5, 7, 9, 5, 7]
  assert batch.mask.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
  assert batch.position.tolist() == list(range(8))
  assert [array.dtype for array in jax.tree.leaves(batch)] == [
      np.int32, np.float32, np.int32]


def test_a_pair_is_an_epoch_of_retain_beside_a_cycle_of_forget():
  retain = batching.Stream(np.arange(10), 4, seed=1)
  forget = batching.Stream(np.arange(10, 13), 4, seed=1, salt=1)
  pairs = batching.Pairs(retain, forget)
  assert pairs.steps_per_epoch == 3
  for step in (0, 2, 5):
    assert tiny.same(pairs.batch(step), batching.Pair(
        retain.batch(step), forget.cycled_batch(step)))
  # 10 = 4 + 4 + 2, but forget is always full.
  assert batching.real_rows(pairs.batch(5)) == 2 + 4


@pytest.mark.parametrize('forget, real', [(3, 3), (4, 4), (9, 4)])
def test_a_forget_image_is_once_in_a_batch_that_it_does_not_fill(forget, real):
  pairs = batching.Pairs(
      batching.Stream(np.arange(10), 4, seed=1),
      batching.Stream(np.arange(10, 10 + forget), 4, seed=1, salt=1), once=True)
  for step in range(4):
    batch = pairs.batch(step).forget
    assert batch.mask.sum() == real and len(batch.index) == 4
    counted = batch.index[batch.mask > 0].tolist()
    if forget <= 4:
      assert sorted(counted) == list(range(10, 10 + forget))


def test_empty_streams_and_batches_are_refused():
  with pytest.raises(ValueError, match='at least one image, got 0'):
    batching.Stream(np.array([], int), 4)
  with pytest.raises(ValueError, match='batch_size of at least 1, got 0'):
    _stream(batch_size=0)
