"""A task's own forget set is used; people are drawn only where it has none."""

import dataclasses

import numpy as np
from absl import flags

from dlfd_jax.data import splits as splits_lib
from experiments.paper import study
from tests.data import examples


def _task(*given):
  values = flags.FlagValues()
  study.define(values, ['demo'])
  values(['program', *given])
  task, = study.tasks_of(values)
  return task


def test_where_the_data_lie_names_no_task():
  task = _task('--tasks=mufac_age', '--data=mufac', '--root=downloads/mufac')
  assert task.name == task.preset_name == 'mufac_age'
  assert task.preset.data.root == 'downloads/mufac'
  assert _task('--tasks=mufac_age', '--width=8', '--root=x').name == (
      'mufac_age-width_8')


def _with_split(words):
  data = examples.random_dataset(np.repeat(np.arange(20), 2))
  return dataclasses.replace(data, split=np.repeat(np.array(words), 2))


def test_an_official_forget_set_is_forgotten():
  words = ['retain'] * 8 + ['forget'] * 4 + ['val'] * 4 + ['test'] * 4
  data = _with_split(words)
  partition, splits, _ = study._parts(data, 0, 0.15)
  assert splits.forget.tolist() == list(range(16, 24))
  assert partition.train.tolist() == list(range(24))


def test_people_are_drawn_where_nobody_is_named():
  for data in (_with_split(['train'] * 12 + ['val'] * 4 + ['test'] * 4),
               examples.random_dataset(np.repeat(np.arange(20), 2))):
    partition, splits, _ = study._parts(data, 0, 0.25)
    assert isinstance(partition, splits_lib.Partition)
    assert len(splits.forget) == 2 * round(0.25 * len(partition.train) / 2)
