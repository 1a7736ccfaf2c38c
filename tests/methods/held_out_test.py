"""Held-out images: who is set aside, and that nothing else reads them."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import kept
from dlfd_jax.methods import held_out, margin_matching, regun, rewind
from tests import tiny
from tests.methods import contract_test, problems

READERS = sorted(name for name, config in methods.METHODS.items()
                 if config().reads_held_out is not None)


def data_of(identity, labels=None, kind='multiclass'):
  """A data set whose rows from 2 on are val, but for the last."""
  data = tiny.dataset(len(identity) + 3, kind)
  identity = np.array([900, 901, *identity, 902], np.int32)
  if labels is not None:
    empty = np.zeros_like(data.labels[:1])
    data = dataclasses.replace(data, labels=np.concatenate(
        [empty, empty, np.asarray(labels, np.int32), empty]))
  return dataclasses.replace(data, identity=identity), splits_lib.Splits(
      [0], [1], np.arange(2, 2 + len(identity) - 3), [len(identity) - 1])


def test_whole_people_are_set_aside_and_the_draw_is_that_of_the_seed():
  data, splits = data_of(np.repeat(np.arange(30), 3))
  found = held_out.set_aside(data, splits, 1 / 3, 4)
  own, rest = (data.people_in(rows) for rows in (found.rows, found.splits.val))
  assert not np.intersect1d(own, rest).size
  assert (len(own), len(rest)) == (10, 20)
  assert np.array_equal(
      np.union1d(found.rows, found.splits.val), splits.val)
  assert found.counts == {'learnt_images': 30, 'learnt_people': 10,
                          'judging_images': 60, 'judging_people': 20}
  assert '30 images of 10 people' in found.note
  assert 'other 60 images of 20 people' in found.note
  for name in ('retain', 'forget', 'test'):
    assert np.array_equal(splits.parts[name], found.splits.parts[name])
  again = held_out.set_aside(data, splits, 1 / 3, 4)
  assert np.array_equal(found.rows, again.rows)
  assert not np.array_equal(
      found.rows, held_out.set_aside(data, splits, 1 / 3, 5).rows)


@pytest.mark.parametrize('seed', range(5))
def test_labels_are_alike_in_both_parts(seed):
  labels = np.repeat([0, 1, 2], [60, 24, 6])
  data, splits = data_of(np.arange(90), labels)
  rows = held_out.set_aside(data, splits, 1 / 3, seed).rows
  counts = np.bincount(data.labels[rows], minlength=3)
  assert (np.abs(counts - [20, 8, 2]) <= 1).all() and counts.sum() == 30


@pytest.mark.parametrize('identity, labels, share, found', [
    (np.arange(8), None, .25, '3 people .* got 2 and 6 at held_out 0.25'),
    (np.repeat(np.arange(5), 9), None, .5, '3 people .* got 2 and 3'),
    (np.arange(2), None, .1, '3 people .* got 0 and 2'),
    (np.full(24, -1), None, 1 / 3, '10 images .* got 8 and 16'),
    # Three people, but nothing is known of one of them.
    (np.arange(6), [[0, 1, 0]] * 5 + [[-1, -1, -1]], .5,
     '3 people .* got [23] and [23] ')])
def test_too_few_are_refused(identity, labels, share, found):
  data, splits = data_of(
      identity, labels, 'multiclass' if labels is None else 'multilabel')
  with pytest.raises(ValueError, match=f'Expected at least {found}'):
    held_out.set_aside(data, splits, share, 0)


def test_the_least_that_is_taken():
  for identity, share in ((np.arange(6), .5), (np.full(30, -1), 1 / 3)):
    found = held_out.set_aside(*data_of(identity), share, 0)
    assert len(found.rows) and len(found.splits.val)


def test_images_of_nobody_known_are_drawn_one_by_one():
  data, splits = data_of(np.full(30, -1))
  found = held_out.set_aside(data, splits, .4, 0)
  assert (len(found.rows), len(found.splits.val)) == (12, 18)
  assert found.counts['learnt_people'] is None and 'people' not in found.note


@pytest.mark.parametrize('value', [0, 1, -.1, float('nan')])
def test_a_share_leaves_something_on_both_sides(value):
  with pytest.raises(ValueError, match=r'Expected held_out in \(0, 1\)'):
    regun.ReGUnConfig(held_out=value)


def as_if_known(problem, rows):
  """The problem with images of forget of the same labels in these rows."""
  data, forget = problem.dataset, problem.splits.forget
  images = data.images.copy()
  for i, row in enumerate(rows):
    alike = forget[data.labels[forget] == data.labels[row]]
    images[row] = images[alike[i % len(alike)]]
  return dataclasses.replace(problem, dataset=dataclasses.replace(
      data, images=images))


@pytest.mark.parametrize('name', READERS)
def test_what_is_learnt_from_is_not_measured_and_the_other_way_round(name):
  problem, config = problems.problem(), contract_test.CONFIGS[name]
  cut = held_out.set_aside(
      problem.dataset, problem.splits, config.reads_held_out, problem.seed)
  plain = contract_test.whole(name)[0]
  assert plain.findings['held_out'] == cut.counts
  # The rest is measured alone: no weight depends on it.
  other = contract_test.run(name, as_if_known(problem, cut.splits.val))
  assert problems.same(plain.last, other.last)
  assert plain.history[0]['val_loss'] != other.history[0]['val_loss']
  # What is set aside teaches, and no figure of the original knows it.
  other = contract_test.run(name, as_if_known(problem, cut.rows))
  assert not problems.same(plain.last, other.last)
  assert plain.history[0] == other.history[0]


def test_other_methods_read_all_of_val():
  assert READERS == ['margin_matching', 'regun']
  problem = problems.problem()
  setting = problems.setting(
      problem, config=contract_test.CONFIGS['finetune'])
  assert setting.held_out is None and setting.problem is problem
  assert 'held_out' not in contract_test.whole('finetune')[0].findings


def test_a_wrapper_sets_aside_what_its_method_reads():
  problem = problems.problem()
  config = rewind.RewindConfig(method=margin_matching.MarginMatchingConfig(
      batch_size=8, held_out=.25))
  setting = problems.setting(problem, config=config)
  assert len(setting.held_out.rows) == 6
  errors = rewind.Errors(setting, problem.dataset.class_key(), 'error')
  assert not np.isin(setting.held_out.rows, errors._val).any()
  assert config.caution == config.method.caution != ''


def test_rows_that_were_learnt_from_are_found_by_their_ids():
  data, splits = data_of(np.arange(9))
  assert isinstance(data, dataset_lib.Dataset)
  learnt = kept.arrays(data, splits, data.sample_id[[3, 5]].tolist())
  assert splits.val[~learnt['val']].tolist() == [2, 4, 6, 7, 8, 9, 10]
  assert kept.arrays(data, splits, ()) == {}
