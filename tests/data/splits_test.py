"""Drawing, reading and saving splits."""

import numpy as np
import pytest

from dlfd_jax.data import splits as splits_lib
from tests.data.examples import random_dataset


def _equal(left, right):
  return type(left) is type(right) and all(
      np.array_equal(part, right.parts[name])
      for name, part in left.parts.items())


def test_drawn_parts_cover_the_data_and_share_no_person():
  dataset = random_dataset()
  partition = splits_lib.draw_partition(dataset, seed=0)
  splits_lib.check_splits(dataset, partition)
  everything = np.sort(np.concatenate(list(partition.parts.values())))
  np.testing.assert_array_equal(everything, np.arange(len(dataset)))
  people = {name: len(np.unique(dataset.identity[part]))
            for name, part in partition.parts.items()}
  assert people == {'train': 13, 'val': 3, 'test': 4}


def test_drawing_depends_on_the_seed_alone():
  dataset = random_dataset()
  first = splits_lib.draw_partition(dataset, seed=3)
  assert _equal(first, splits_lib.draw_partition(dataset, seed=3))
  assert not _equal(first, splits_lib.draw_partition(dataset, seed=4))


def test_test_does_not_depend_on_the_size_of_val():
  dataset = random_dataset()
  few = splits_lib.draw_partition(dataset, val_fraction=0.1, seed=0)
  many = splits_lib.draw_partition(dataset, val_fraction=0.4, seed=0)
  np.testing.assert_array_equal(few.test, many.test)
  assert len(few.val) < len(many.val)


def test_tiny_data_still_gives_every_part_a_person():
  partition = splits_lib.draw_partition(random_dataset([5, 6, 7]), seed=0)
  assert [len(part) for part in partition.parts.values()] == [1, 1, 1]


def test_unknown_persons_need_a_split_by_image():
  dataset = random_dataset([-1] * 10 + [4] * 5)
  with pytest.raises(ValueError, match=r"identity -1 in 10 of 15; .*'image'"):
    splits_lib.draw_partition(dataset, seed=0)
  partition = splits_lib.draw_partition(dataset, seed=0, by='image')
  splits_lib.check_splits(dataset, partition)
  homes = [name for name, part in partition.parts.items()
           if (dataset.identity[part] == 4).any()]
  assert len(homes) == 1


@pytest.mark.parametrize('options, message', [
    ({'test_fraction': 0.0}, r'test_fraction in \(0, 1\), got 0.0'),
    ({'val_fraction': 1.5}, r'val_fraction in \(0, 1\), got 1.5'),
    ({'test_fraction': 0.5, 'val_fraction': 0.5}, 'below 1, got 0.5 [+] 0.5'),
    ({'by': 'class'}, "'person' or 'image', got 'class'"),
    ({'by': 'image'}, "by='person' where every person is known"),
    ({'seed': -1}, 'seed to be an integer >= 0, got -1'),
    ({'test_fraction': 0.9, 'val_fraction': 0.09}, 'enough people .* got 20'),
])
def test_wrong_wishes_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    splits_lib.draw_partition(random_dataset(), **{'seed': 0, **options})


def test_the_column_gives_a_partition():
  dataset = random_dataset([0, 0, 1, 2], ['train', ' train', 'val', 'test'])
  partition = splits_lib.partition_from_column(dataset)
  assert isinstance(partition, splits_lib.Partition)
  np.testing.assert_array_equal(partition.train, [0, 1])


@pytest.mark.parametrize('identity, by_person', [
    ([0, 1, 2, 3], True), ([0, 0, 2, 3], False), ([0, -1, 2, 3], False)])
def test_the_column_gives_splits(identity, by_person):
  dataset = random_dataset(identity, ['retain', 'forget', 'val', 'test'])
  splits = splits_lib.partition_from_column(dataset)
  assert isinstance(splits, splits_lib.Splits)
  assert splits.by_person == by_person
  np.testing.assert_array_equal(splits.forget, [1])


@pytest.mark.parametrize('split, message', [
    (None, "split column in 'data', got none"),
    (['train', 'val', 'test', 'dev'], "got 'dev' for 'image_3'"),
    (['train', 'forget', 'val', 'test'], 'or retain and forget, got both'),
    (['train', 'train', 'train', 'test'], 'at least one image in val, got 0'),
    (['retain', 'retain', 'val', 'test'], 'at least one image in forget, got'),
])
def test_wrong_columns_are_refused(split, message):
  with pytest.raises(ValueError, match=message):
    splits_lib.partition_from_column(random_dataset([0, 1, 2, 3], split))


def test_a_column_that_cuts_a_person_is_refused():
  dataset = random_dataset([0, 1, 2, 1], ['train', 'train', 'val', 'test'])
  with pytest.raises(ValueError, match='test to share no person with train'):
    splits_lib.partition_from_column(dataset)
  unchecked = splits_lib.partition_from_column(dataset, check=False)
  np.testing.assert_array_equal(unchecked.test, [3])


def _some_splits(dataset):
  return splits_lib.Splits(
      *map(np.array, ([0, 1, 2], [3, 4], [6, 7], [9, 10])), by_person=False)


def test_saved_splits_come_back_in_another_order_of_the_data(tmp_path):
  dataset = random_dataset()
  shuffled = random_dataset(dataset.identity[::-1])
  object.__setattr__(shuffled, 'sample_id', dataset.sample_id[::-1])
  for splits in (_some_splits(dataset),
                 splits_lib.draw_partition(dataset, seed=0)):
    splits_lib.save_splits(tmp_path / 'splits.npz', dataset, splits)
    assert _equal(
        splits_lib.load_splits(tmp_path / 'splits.npz', dataset), splits)
    moved = splits_lib.load_splits(tmp_path / 'splits.npz', shuffled)
    for name, part in splits.parts.items():
      np.testing.assert_array_equal(
          np.sort(dataset.sample_id[part]),
          np.sort(shuffled.sample_id[moved.parts[name]]))
  assert [path.name for path in tmp_path.iterdir()] == ['splits.npz']


def test_by_person_survives_saving(tmp_path):
  dataset = random_dataset()
  for by_person in (True, False):
    splits = splits_lib.Splits(
        *map(np.array, ([0, 1, 2], [3, 4, 5], [6], [9])), by_person=by_person)
    splits_lib.save_splits(tmp_path / 'a.npz', dataset, splits)
    assert splits_lib.load_splits(
        tmp_path / 'a.npz', dataset).by_person is by_person


def test_an_interrupted_save_keeps_the_old_file(tmp_path, monkeypatch):
  dataset = random_dataset()
  path = tmp_path / 'splits.npz'
  splits = _some_splits(dataset)
  splits_lib.save_splits(path, dataset, splits)
  before = path.read_bytes()

  def fail(file, **arrays):
    file.write(b'half')
    raise OSError('disk full')

  monkeypatch.setattr(np, 'savez', fail)
  with pytest.raises(OSError, match='disk full'):
    splits_lib.save_splits(path, dataset, splits)
  assert path.read_bytes() == before
  assert [entry.name for entry in tmp_path.iterdir()] == ['splits.npz']


def test_saving_refuses_what_does_not_fit(tmp_path):
  dataset = random_dataset()
  splits = _some_splits(dataset)
  with pytest.raises(FileNotFoundError, match='existing folder for a.npz'):
    splits_lib.save_splits(tmp_path / 'absent' / 'a.npz', dataset, splits)
  with pytest.raises(ValueError, match='positions below 3'):
    splits_lib.save_splits(
        tmp_path / 'a.npz', random_dataset([0, 1, 2]), splits)
  assert not list(tmp_path.iterdir())


def test_loading_refuses_what_does_not_fit(tmp_path):
  dataset = random_dataset()
  path = tmp_path / 'a.npz'
  with pytest.raises(FileNotFoundError, match='got no file at'):
    splits_lib.load_splits(path, dataset)
  path.write_bytes(b'no archive')
  with pytest.raises(ValueError, match='npz file of sample ids, got something'):
    splits_lib.load_splits(path, dataset)
  np.save(tmp_path / 'b.npy', np.arange(3))
  with pytest.raises(ValueError, match='npz file of sample ids, got something'):
    splits_lib.load_splits(tmp_path / 'b.npy', dataset)
  np.savez(path, train=np.array(['image_0']), val=np.array(['image_1']))
  with pytest.raises(ValueError, match='train, val, test, got train <U7'):
    splits_lib.load_splits(path, dataset)
  np.savez(path, train=np.array([0]), val=np.array(['image_1']),
           test=np.array(['image_2']))
  with pytest.raises(ValueError, match='to hold sample ids of train, val, tes'):
    splits_lib.load_splits(path, dataset)
  np.savez(path, train=np.array(['image_0']), val=np.array(['image_4']),
           test=np.array(['other', 'image_9']))
  with pytest.raises(ValueError, match="in 'data', got 1 of test .* 'other'"):
    splits_lib.load_splits(path, dataset)


def test_earlier_requests_are_saved_and_read(tmp_path):
  data = random_dataset(np.repeat(np.arange(10), 4))
  rows = np.arange(40)
  of = lambda *people: rows[np.isin(data.identity, people)]
  before = splits_lib.Splits(of(0, 1), of(2), of(3), of(4), earlier=of(5))
  splits_lib.save_splits(tmp_path / 's.npz', data, before)
  after = splits_lib.load_splits(tmp_path / 's.npz', data)
  np.testing.assert_array_equal(after.earlier, before.earlier)
