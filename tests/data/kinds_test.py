"""Labels and parts as people's own files hold them, read as a user reads them.

Each table holds members of one kind: what is read, or what is refused.
"""

import os
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from dlfd_jax.cli import commands, exit_codes
from dlfd_jax.data import labels, shards, sources, split_columns
from dlfd_jax.data.loaders import images
from dlfd_jax.pipeline import job, run_configs

N = 24
PARTS = ['train'] * 12 + ['val'] * 6 + ['test'] * 6


def picture(path, seed=0):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.random.default_rng(seed).integers(
      0, 256, (4, 4, 3), np.uint8)).save(path)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  folder = tmp_path_factory.mktemp('kinds')
  for i in range(N):
    picture(folder / f'{i:02d}.png', i)
  return folder


def read(place, columns, label='y', **options):
  """The data set of a manifest whose columns are repeated to 24 rows."""
  columns = {'path': [f'{i:02d}.png' for i in range(N)],
             'identity': range(N), **columns}
  rows = [','.join(f'"{column[i % len(column)]}"'
                   for column in columns.values()) for i in range(N)]
  (place / 'm.csv').write_text('\n'.join([','.join(columns), *rows]))
  return job.load_data(sources.DataOptions(
      source=str(place / 'm.csv'), image_size=4,
      labels=tuple(label.split(',')), **options))


@pytest.mark.parametrize(('column', 'options', 'expected', 'names'), [
    (['0', '1', '2'], {}, [0, 1, 2], ['y 0', 'y 1', 'y 2']),
    (['0.0', '1.', '2.00'], {}, [0, 1, 2], ['y 0', 'y 1', 'y 2']),
    (['0', '1.0', '+2'], {}, [0, 1, 2], ['y 0', 'y 1', 'y 2']),
    (['0.000', '1.000', '2.000'], {}, [0, 1, 2], ['y 0', 'y 1', 'y 2']),
    (['00', '01', '02'], {}, [0, 1, 2], ['y 0', 'y 1', 'y 2']),
    ([*'0123', '01'], {'same_classes': True}, [0, 1, 2, 3, 1],
     ['y 0', 'y 1', 'y 2', 'y 3']),
    (['b 10', 'b 2', 'b 1'], {}, [2, 1, 0], ['b 1', 'b 2', 'b 10']),
    (['0０', '１', '１０', '２'], {}, [0, 1, 3, 2],
     ['0０', '１', '２', '１０']),
    (['१०', '२', '१'], {}, [2, 1, 0], ['१', '२', '१०']),
    (['TRUE', 'FALSE'], {}, [1, 0], ['FALSE', 'TRUE']),
    (['4-Jun', '5-Jun'], {}, [0, 1], ['4-Jun', '5-Jun']),
    (['0-2', '3 plus', 'May'], {}, [0, 1, 2], ['0-2', '3 plus', 'May']),
    (['0-2', '4-Jun'], {'class_names': ('0-2', '4-Jun')}, [0, 1],
     ['0-2', '4-Jun']),
    (['#red', '#2', 'C#'], {}, [1, 0, 2], ['#2', '#red', 'C#']),
    (['#NV', 'a'], {'class_names': ('a', '#NV')}, [1, 0], ['a', '#NV']),
    (['7-12', '0-6', '13-19'], {}, [1, 0, 2], ['0-6', '7-12', '13-19']),
    (['7-12', '0-6', '13-19'], {'class_names': labels.SORTED}, [2, 0, 1],
     ['0-6', '13-19', '7-12']),
    (['b', 'a'], {'class_names': ('c', 'b', 'a')}, [1, 2], ['c', 'b', 'a']),
    (['1', '10', '2'], {'class_names': ('1', '10', '2')}, [0, 1, 2],
     ['1', '10', '2']),
    (['0', '1', '2'], {'class_names': ('x', 'y', 'z')}, [0, 1, 2],
     ['x', 'y', 'z']),
    (['b', 'a', 'c', 'd'],
     {'class_names': tuple('dcba'), 'merge_from': 2}, [2, 2, 1, 0],
     ['d', 'c', 'b+']),
    (['0', '1', '2', '3'], {'merge_from': 2}, [0, 1, 2, 2],
     ['y 0', 'y 1', 'y 2+']),
    (['0', '1', '2', '3'], {'merge_from': 2, 'class_names': tuple('abcd')},
     [0, 1, 2, 2], ['a', 'b', 'c+']),
    (['male', 'Male', 'female'], {'same_classes': True}, [0, 0, 1],
     ['Male', 'female']),
    (['male', 'Male', 'male', 'female'], {'same_classes': True}, [1, 1, 1, 0],
     ['female', 'male']),
    (['male', 'Male', 'female'],
     {'class_names': ('male', 'Male', 'female')}, [0, 1, 2],
     ['male', 'Male', 'female']),
    (['René', 'Rene\u0301', 'a'], {}, [0, 0, 1], ['René', 'a']),
    (['-1', '1'], {'negative': -1}, [0, 1], ['y 0', 'y 1']),
    (['1', '2'], {'negative': 2}, [1, 0], ['y 0', 'y 1']),
    (['1', '-1'], {'negative': -1, 'class_names': ('no', 'yes')}, [1, 0],
     ['no', 'yes']),
])
def test_what_a_column_of_classes_says(place, column, options, expected, names):
  data = read(place, {'y': column}, **options)
  assert data.labels.tolist() == np.resize(expected, N).tolist()
  assert list(data.task.names) == names
  ordered = any('in the order of the outputs' in note for note in data.notes)
  assert ordered == ('class_names' not in options
                     and not data.task.names[0].startswith('y '))


ODD = ['20170109150557335', '2147483648', '3.5', '1e3', '?', 'NA', 'nan', 'x',
       '-', '1,0', '١']


@pytest.mark.parametrize('odd', ODD)
@pytest.mark.parametrize('multilabel', [False, True])
def test_what_is_odd_among_integers_is_named(place, odd, multilabel):
  column = ['0', '1'] * 12
  column[7] = column[9] = odd
  with pytest.raises(ValueError, match='Expected integers in column .y., as in '
                     '22 of 24 rows, got .* in line 9 of m.csv, .* in line 11'):
    read(place, {'y': column}, multilabel=multilabel)
  with pytest.raises(ValueError, match='as in 12 of 24 .* and 2 more: mend'):
    read(place, {'y': ['0', odd]}, multilabel=multilabel)


@hypothesis.given(st.lists(st.integers(0, 9), min_size=2), st.data())
@pytest.mark.slow
def test_an_odd_value_never_makes_another_class(place, numbers, data):
  column = [f'{number}{data.draw(st.sampled_from(["", ".0", "."]))}'
            for number in np.resize([0, 1, *numbers], N)]
  same = read(place, {'y': column})
  assert same.labels.tolist() == np.resize([0, 1, *numbers], N).tolist()
  column[data.draw(st.integers(0, N - 1))] = data.draw(
      st.sampled_from(ODD) | st.from_regex('[a-z]{1,5}', fullmatch=True))
  with pytest.raises(ValueError, match='Expected integers in column'):
    read(place, {'y': column})


@pytest.mark.parametrize(('column', 'options', 'message'), [
    ([*'0123', '01'], {}, "20 of 24 rows, got '01' in line 6"),
    (['male', 'Male', 'female'], {}, "'Male' in 8 images, 'male' in 8 images:"),
    (['a b', 'a  b', 'c'], {}, "'a  b' in 8 images, 'a b' in 8 "),
    (['ab', 'a\u200bb', 'c'], {}, 'differ by more than case, spaces and look'),
    (['Straße', 'STRASSE', 'c'], {}, 'by more than case, spaces and look'),
    (['O-', 'O\u2212', 'O+'], {}, "'O-' in 8 images, 'O\u2212' in 8 images"),
    (['cat', '\u0441at', 'dog'], {}, "'cat' in 8 images, '\u0441at' in 8 "),
    ([f'note {k}' for k in range(N)], {}, 'images share, got another one in e'),
    (['no', 'yes', 'NA'], {}, "got 'NA' in line 4 of m.csv, what stands "
     'for a missing value: mend or delete 8 rows, or name all classes by'),
    (['f', 'm', 'unknown'], {}, "got 'unknown' in line 4 .* missing value"),
    *((['no', 'yes', odd], {}, f'got .{re.escape(odd)}. in line 4 .*, what '
       'stands for a missing value: mend or delete 8 rows') for odd in (
           '#NV', '#WERT!', '#ERROR!', '########', '#ÜBERLAUF!', '#¡VALOR!',
           '#NOMBRE?', '#N/D', 'Err:502')),
    (['0.3', '0.5', '1.7'], {}, "got '0.3' in line 2 .*number with a fraction"),
    (['0,0', '1,0'], {}, "got '0,0' in line 2 .* number with a fraction"),
    (['0', '1.000', '2.000'], {}, "got '1.000' in line 3 of m.csv, which may be"
     ' 1 or 1000: write it so, without a dot'),
    (['1.000', '12.000'], {}, "got '1.000' in line 2 .* 1 or 1000"),
    *((['0-2', odd, '15–20'], {}, f'got {odd!r} in line 3 .*, like a date that'
       ' a spreadsheet made of a range') for odd in (
           '4-Jun', '06. Apr', 'Mai 13', '12. Dez', 'déc.-12', '6/4/2026',
           '2026-06-04 00:00:00', '04.06.2026', '4月6日')),
    *((['4-Jun', '12. Aug', end], {}, "got '4-Jun' in line 2 .*, like a date")
      for end in ('13+', '>12', '≥13')),
    (['0', '1', '2', '3+'], {}, 'as in 18 of 24 .*: mend or delete these rows, '
     'or name all classes by --class_names'),
    (['0', '1', '40'], {}, 'got 40 in line 4 of m.csv: 38 of 41 outputs would '
     'have no image'),
    (['0', '1', '255'], {'merge_from': 1}, '255 is often written where there'),
    (['0', '1', '9'], {'merge_from': 1, 'class_names': ('a', 'b', 'c')},
     'below 3, the number of names, got 9'),
    (['male', 'Male', 'female'], {'class_names': ('female', 'male')},
     'differ by more than case, spaces and look-alike'),
    (['b', 'a', 'c', 'd'], {'merge_from': 2},
     'Expected the order of the classes for merge_from, got texts in .y.: give'
     ' all of a, b, c, d in their order by --class_names'),
    (['b', 'a'], {'class_names': ('b', 'c')}, 'Expected one of b, c in column'),
    (['-1', '1'], {}, 'classes >= 0 .* say --negative=-1 if -1 means no'),
    (['-1', '0', '1'], {'negative': -1}, 'no 0 in .y. where --negative=-1'),
])
def test_what_a_column_of_classes_does_not_say(place, column, options, message):
  with pytest.raises(ValueError, match=message):
    read(place, {'y': column}, **options)


@pytest.mark.parametrize(('column', 'options', 'message'), [
    (['1', '-1'], {}, 'unknown in 12 and 1 in 12 of 24: say --negative=-1 if'),
    (['1', ''], {}, 'unknown in 12 and 1 in 12 of 24'),
    (['0', '-1'], {}, 'unknown in 12 and 0 in 12 of 24[.]'),
    (['1'], {}, 'got 1 in 24 of 24[.]'),
    (['0.0'], {}, 'got 0 in 24 of 24[.]'),
    (['', '-1'], {}, 'got unknown in 24 of 24[.]'),
    (['1', '-1', '0'], {'negative': -1}, 'no 0 in .y. where --negative=-1'),
    (['3', '4'], {'thresholds': (('y', 3),)}, 'got 1 in 24 of 24[.]'),
])
def test_an_attribute_has_two_known_values(place, column, options, message):
  for more in ({'multilabel': True}, {'label': 'y,z'}):
    with pytest.raises(ValueError, match=message):
      read(place, {'y': column, 'z': ['0', '1']}, **options, **more)


def test_an_attribute_is_true_or_false(place):
  data = read(place, {'y': ['TRUE', 'false', ''], 'z': ['0', '1']}, 'y,z')
  assert data.labels[:3, 0].tolist() == [1, 0, -1]
  for column in (['TRUE', '0'], ['yes', 'no'], ['1', '0', 'NA']):
    with pytest.raises(ValueError, match='1 is yes, 0 is no, a blank is unkno'):
      read(place, {'y': column}, multilabel=True)


def test_a_thousand_is_not_one(place):
  income = ['500', '1.000', '2.000']
  with pytest.raises(ValueError, match="got '1.000' in line 3 .* 1 or 1000"):
    read(place, {'income': income}, 'income', multilabel=True,
         thresholds=(('income', 100),))
  data = read(place, {'y': ['0', '1'], 'income': income})
  assert data.column_names['income'] == {0: '1.000', 1: '2.000', 2: '500'}
  for decimals in (['0.000', '12.000'], ['1.00', '1200.00'],
                   ['1.000', '1200.000']):
    data = read(place, {'y': ['0', '1'], 'income': decimals})
    assert 'income' not in data.column_names


def test_minus_one_is_no_when_asked_for(place):
  data = read(place, {'y': ['1', '-1', ''], 'z': ['-1', '1', '1']}, 'y,z',
              negative=-1)
  assert data.labels[:3].tolist() == [[1, 0], [0, 1], [-1, 1]]
  np.savez(place / 'a.npz', images=np.full((4, 4, 4, 3), 99, np.uint8),
           y=np.array([1, -1, 1, -1]), z=np.array([0, 1, 1, -1]))
  data = job.load_data(sources.DataOptions(
      source=str(place / 'a.npz'), labels=('y',), negative=-1,
      class_names=('no', 'yes')))
  assert data.labels.tolist() == [1, 0, 1, 0]
  with pytest.raises(ValueError, match='no 0 in .z. where'):
    job.load_data(sources.DataOptions(
        source=str(place / 'a.npz'), labels=('y', 'z'), negative=-1))


def test_other_columns_say_when_they_are_texts(place):
  data = read(place, {'y': ['0', '1'], 'age': ['31.0'] * 23 + ['?'],
                      'job': ['a', 'b'], 'size': ['1.0', '2', '']})
  assert data.notes == ("Column 'age' is read as texts: 23 of 24 values are "
                        "integers, not '?' in line 25 of m.csv.",)
  assert data.columns['size'][:3].tolist() == [1, 2, -1]


@pytest.mark.parametrize(('name', 'words', 'codes'), [
    *((name, words, None)
      for name in ('Split', 'partition', 'subset', 'set', 'usage', 'anything')
      for words in (('train', 'val', 'test'), ('Training', 'VALID', 'Testing'),
                    ('TRAIN', 'dev', 'tst'), ('trn', 'Validation', 'Test'))),
    ('partition', ('0', '1', '2'), None), ('split', ('0', '1', '2'), None),
    ('fold', ('3', '0', '1'), {'3': 'train', '0': 'val', '1': 'test'}),
    ('is_train', ('yes', 'no', 'x'), {'yes': 'train', 'no': 'val', 'x': 'test'})
])
def test_the_split_is_a_column_of_any_name(place, name, words, codes):
  meant = dict(zip(('train', 'val', 'test'), words, strict=True))
  columns = {'y': ['0', '1'], name: [meant[part] for part in PARTS]}
  data = read(place, columns, split_column=name,
              split_codes=codes and tuple(codes.items()))
  parts = split_columns.partition_from_column(data).parts
  assert {p: len(rows) for p, rows in parts.items()} == {
      'train': 12, 'val': 6, 'test': 6}
  assert f'The split is column {name!r}: ' in data.notes[0]
  if name != 'split':
    assert name not in data.columns
    suspicious = name != 'anything' or codes is None
    if suspicious:
      with pytest.raises(ValueError, match=f'--split_column={name}, or'):
        read(place, columns)
    ignored = read(place, columns, split_column='ignore')
    assert ignored.split is None and name in ignored.columns
  earlier = read(place, columns, split_column=split_columns.EARLIER)
  assert (earlier.split is None) == (name != 'split')


@pytest.mark.parametrize(('name', 'words'), [
    *((name, ('1', '0', '0')) for name in (
        'train', 'test', 'in_train', 'is-validation', 'Holdout', 'train_set')),
    ('cv_fold', ('1', '2', '3')), ('role', ('train_set', 'val_set', 'unseen')),
    ('db', ('train', 'unused', 'test')), ('stage', ('TRAIN', 'EVAL', 'TEST')),
    ('jeu', ('entraînement', 'validation', 'test')),
    ('conjunto', ('entrenamiento', 'validación', 'prueba')),
    ('用途', ('学習', '検証', 'テスト')), ('kfold', ('0', '1', '2')),
    *((name, ('1', '0', '0')) for name in (
        'train_mask', 'isTraining', 'held_out', 'Testset', 'TrainFlag')),
    *((name, ('', '', 'x')) for name in ('test', 'used_for_testing'))])
def test_what_may_be_a_split_is_asked_about(place, name, words):
  column = [words[('train', 'val', 'test').index(part)] for part in PARTS]
  with pytest.raises(ValueError, match=f'--split_column={name}, or'):
    read(place, {'y': ['0', '1'], name: column})
  with pytest.raises(ValueError, match='say by --split_codes what its values'):
    read(place, {'y': ['0', '1'], name: column}, split_column=name)
  assert read(place, {'y': ['0', '1'], name: column},
              split_column='ignore').split is None


def test_words_of_parts_as_bytes_are_asked_about(tmp_path):
  np.savez(tmp_path / 'p.npz', images=np.full((3, 4, 4, 3), 99, np.uint8),
           y=np.array([1, 0, 1]), role=np.array([b'train', b'val', b'test']))
  options = {'source': str(tmp_path / 'p.npz'), 'labels': ('y',)}
  with pytest.raises(ValueError, match='--split_column=role, or'):
    job.load_data(sources.DataOptions(**options))
  data = job.load_data(sources.DataOptions(**options, split_column='role'))
  assert data.split.tolist() == ['train', 'val', 'test']


@pytest.mark.parametrize(('above', 'below'), [
    ('', ''), ('faces/', ''), ('', '/set_1')])
def test_paths_that_name_parts_are_asked_about(tmp_path, above, below):
  paths = [f'{above}{part}{below}/{k}.png'
           for k, part in enumerate(('train', 'Train', 'val', 'test'))]
  for path in paths:
    picture(tmp_path / path)
  lines = [f'{path},{k},{k % 2}' for k, path in enumerate(paths)]
  (tmp_path / 'm.csv').write_text('\n'.join(['path,identity,y', *lines]))
  options = {'source': str(tmp_path / 'm.csv'), 'labels': ('y',),
             'image_size': 4}
  np.savez(tmp_path / 'p.npz', images=np.full((4, 4, 4, 3), 99, np.uint8),
           y=np.array([1, 0, 1, 0]), sample_id=np.array(paths))
  for source in ('m.csv', 'p.npz'):
    options['source'] = str(tmp_path / source)
    with pytest.raises(ValueError, match=(
        'folders name parts, got none beside .*train.*val.*test')):
      job.load_data(sources.DataOptions(**options))
    assert job.load_data(sources.DataOptions(
        **options, split_column='ignore')).split is None


@pytest.mark.parametrize('name', ['train_idx', 'test', 'val_ids'])
def test_positions_are_no_split(tmp_path, name):
  options = {'source': str(tmp_path / 'p.npz'), 'labels': ('y',)}
  np.savez(tmp_path / 'p.npz', images=np.full((4, 4, 4, 3), 99, np.uint8),
           y=np.array([1, 0, 1, 0]), **{name: np.array([0, 1])})
  with pytest.raises(ValueError, match=rf"parts, got '{name}' \[2\]: write"):
    job.load_data(sources.DataOptions(**options))
  assert job.load_data(sources.DataOptions(
      **options, split_column='ignore')).split is None


@pytest.mark.parametrize(('name', 'words'), [
    ('vehicle', ('train', 'car', 'bus')), ('test_score', ('1', '2')),
    ('dataset', ('a', 'b')), ('trained_by', ('Ann', 'Bob')),
    ('exam', ('test A', 'test B')), ('flag', ('1', '0')), ('test', ('x', 'x')),
    ('job', ('training', 'sales', 'legal', 'development', 'test pilot', 'it'))])
def test_other_columns_are_no_split(place, name, words):
  assert read(place, {'y': ['0', '1'], name: words}).split is None


def test_classes_without_an_image_are_said(place):
  assert read(place, {'y': ['0', '3']}).notes == (
      'No image is of y 1, y 2: a model has 4 outputs all the same.',)
  assert 'No image is of yes: a model has 3' in read(
      place, {'y': ['0', '1']}, class_names=('no', 'maybe', 'yes')).notes[-1]


@pytest.mark.parametrize(('trained', 'others', 'found'), [
    (['female', 'male'], ['Frau', 'Mann'],
     "'Frau' in 6 images of test and val, 'Mann' in 6 images of test and val:"),
    (['female', 'male'], ['female', 'femal'],
     r"'femal' in 6 images of test and val \(the nearest is female\):"),
    (['1b', '2b'], ['1b', '02b'],
     r"'02b' in 6 images of test and val \(the nearest is 2b\):")])
def test_a_class_that_is_only_tested_on(place, trained, others, found):
  table = {'y': np.concatenate([np.resize(trained, 12), np.resize(others, 12)]),
           'split': PARTS}
  with pytest.raises(ValueError, match=f'in the training part, too, got {found}'
                     '.* spell it as there, or name all classes by --class_n'):
    read(place, table)
  said = read(place, table, class_names=tuple(sorted({*trained, *others})))
  assert f'No model learns {found[:25]}' in said.notes[-1]
  table = {'y': table['y'], 'role': PARTS}
  with pytest.raises(ValueError, match='in the training part'):
    read(place, table, split_column='role')
  assert read(place, table, split_column='ignore').split is None
  table['role'] = np.resize(['retain', 'forget'], N).tolist()
  table['role'][:12] = ['test'] * 12
  with pytest.raises(ValueError, match='in the training part'):
    read(place, table, split_column='role')


def test_a_number_that_is_only_tested_on_is_said(place):
  note = "No model learns 'y 2' in 6 images of val: the training part has no su"
  column = np.array([0, 1] * 6 + [2] * 6 + [0, 1] * 3)
  assert read(place, {'y': column, 'split': PARTS}).notes[-1].startswith(note)
  np.savez(place / 'n.npz', images=np.full((N, 4, 4, 3), 99, np.uint8),
           y=column, split=PARTS)
  options = sources.DataOptions(source=str(place / 'n.npz'), labels=('y',))
  assert job.load_data(options).notes[-1].startswith(note)


def test_a_folder_that_is_only_tested_on(tmp_path):
  with pytest.raises(ValueError, match="'surprise' in 2 .*is surprised"):
    tree(tmp_path / 'a', *both('train', 'val'), 'train/surprised/1.png',
         'test/surprise/1.png', 'test/surprise/2.png')
  with pytest.raises(ValueError, match="'01' in 1 image of test .* is 1"):
    tree(tmp_path / 'b', 'train/1/1.png', 'train/2/1.png', 'test/01/1.png')
  numbers = 'train/1/1.png', 'train/2/1.png', 'test/3/1.png'
  assert "No model learns '3' in 1 image of test" in tree(
      tmp_path / 'c', *numbers).notes[-1]
  # whose training images may be gone since they were forgotten
  tree(tmp_path / 'd', *both('train', 'test'))
  picture(tmp_path / 'd/test/glad/1.png')
  with pytest.raises(ValueError, match='in the training part'):
    tree(tmp_path / 'd')
  data = job.load_data(sources.DataOptions(
      source='tree', root=str(tmp_path / 'd'), image_size=4),
      forgotten={'train/glad/1.png'})
  assert 'glad' in data.task.names


def test_columns_of_one_class_each_are_said(place):
  one_hot = {'young': [1, 0, 0], 'grown': [0, 1, 0], 'old': [0, 0, 1]}
  labels_of = ','.join(one_hot)
  assert read(place, one_hot, labels_of).notes[-1].startswith(
      'Exactly one of young, grown, old holds for each image, as with classes')
  assert not read(place, {**one_hot, 'old': [0, 1, 1]}, labels_of).notes


def test_images_of_0_to_1_are_refused(tmp_path):
  bright = np.zeros((4, 6, 6, 3), np.uint8)
  bright[2:, 0] = 1
  np.savez(tmp_path / 'a.npz', images=bright, y=np.arange(4) % 2)
  for i, image in enumerate(bright):
    Image.fromarray(image).save(tmp_path / f'{i:02d}.png')
  (tmp_path / 'm.csv').write_text('path,identity,y\n' + ''.join(
      f'{i:02d}.png,{i},{i % 2}\n' for i in range(4)))
  for source in ('a.npz', 'm.csv'):
    with pytest.raises(ValueError, match='0 to 255 in .*, got none above 1'):
      job.load_data(sources.DataOptions(
          source=str(tmp_path / source), labels=('y',), image_size=6))
    flags = ['prepare', f'--data={tmp_path / source}', '--labels=y',
             '--image_size=6', '--shards=2', f'--out={tmp_path / "shards"}']
    assert commands.main(flags) == exit_codes.USER_ERROR
  for path in tmp_path.glob('*.png'):
    picture(path)
  assert commands.main(flags) == exit_codes.OK
  assert shards.load_shards(
      tmp_path / 'shards' / shards.MANIFEST).images[np.arange(4)].max() > 1


@pytest.mark.parametrize('scale', [
    lambda x: x, lambda x: x * .99, lambda x: 2 * x - 1,
    lambda x: (x - .485) / .229, lambda x: np.maximum((x - .485) / .229, 0)])
def test_numbers_that_were_cast_are_no_pixels(tmp_path, scale):
  numbers = scale(np.random.default_rng(0).integers(
      0, 256, (8, 6, 6, 3)) / 255.)
  cast = numbers.astype(np.int64).astype(np.uint8)
  np.savez(tmp_path / 'a.npz', images=cast, y=np.arange(8) % 2)
  for i, image in enumerate(cast):
    Image.fromarray(image).save(tmp_path / f'{i:02d}.png')
  (tmp_path / 'm.csv').write_text('path,identity,y\n' + ''.join(
      f'{i:02d}.png,{i},{i % 2}\n' for i in range(8)))
  options = {'labels': ('y',), 'image_size': 6}
  for source in ('a.npz', 'm.csv'):
    with pytest.raises(ValueError, match='0 to 255 in .*none (above|from)'):
      job.load_data(sources.DataOptions(
          source=str(tmp_path / source), **options))
  with pytest.raises(ValueError, match='0 to 255 in .*, got none (above|from)'):
    job.load_data(sources.DataOptions(  # resized, all values are there
        source=str(tmp_path / 'a.npz'), **{**options, 'image_size': 4}))


@pytest.mark.parametrize('pixels', [
    np.array([0, 255]), np.array([0, 2, 5]), np.array([252, 255]),
    np.array([0, 1, 128, 255]), np.array([0, 1, 2, 253, 254, 255])])
def test_drawings_and_dark_images_are_read(tmp_path, pixels):
  np.savez(tmp_path / 'a.npz', y=np.arange(8) % 2, images=np.random.default_rng(
      0).choice(pixels, (8, 6, 6, 3)).astype(np.uint8))
  assert len(job.load_data(sources.DataOptions(
      source=str(tmp_path / 'a.npz'), labels=('y',)))) == 8


@pytest.mark.parametrize('column', [
    np.array([0, 1, 2, 0]), np.array(['Train', 'VALID', 'test', 'trn'])])
def test_the_split_is_an_array_of_any_name(place, column):
  np.savez(place / 'p.npz', images=np.full((4, 4, 4, 3), 99, np.uint8),
           y=np.array([1, 0, 1, 0]), partition=column)
  options = {'source': str(place / 'p.npz'), 'labels': ('y',)}
  with pytest.raises(ValueError, match='say --split_column=partition, or'):
    job.load_data(sources.DataOptions(**options))
  data = job.load_data(sources.DataOptions(
      **options, split_column='partition'))
  assert data.split.tolist() == ['train', 'val', 'test', 'train']
  assert job.load_data(sources.DataOptions(
      **options, split_column='ignore')).split is None


def test_words_of_the_column_split_are_understood(place):
  data = read(place, {'y': ['0', '1'], 'split': [
      {'train': 'Train', 'val': 'valid', 'test': 'TEST'}[p] for p in PARTS]})
  assert data.split.tolist() == PARTS
  with pytest.raises(ValueError, match="got '0' for '00.png'"):
    split_columns.partition_from_column(read(
        place, {'y': ['0', '1'], 'split': ['0', '1', '2']}))


@pytest.mark.parametrize(('columns', 'options', 'message'), [
    ({'fold': '012'}, {'split_column': 'fold'}, 'val or test in column .fold.'),
    ({'part': 'ab'}, {'split_column': 'part'}, "got 'a': say by --split_codes"),
    ({'part': '123'}, {'split_column': 'part'}, "got '1': say by --split_cod"),
    ({}, {'split_column': 'part'}, "otherwise, got 'part' among path, identi"),
    ({}, {'split_column': 'y'}, 'that is not read otherwise, got .y.'),
    ({}, {'split_codes': (('a', 'val'),)}, 'name it by --split_column'),
])
def test_parts_are_not_guessed(place, columns, options, message):
  with pytest.raises(ValueError, match=message):
    read(place, {'y': ['0', '1'], **columns}, **options)


def tree(root, *names, **options):
  for k, name in enumerate(names):
    picture(root / name, k)
  return job.load_data(sources.DataOptions(
      source='tree', root=str(root), image_size=4, **options))


def both(*tops):
  return [f'{top}/{name}/{k}.png' for k in range(2) for top in tops
          for name in ('happy', 'sad')]


@pytest.mark.parametrize('tops', [
    ('train', 'val', 'test'), ('Train', 'Valid', 'Test'),
    ('TRAIN', 'validation', 'testing'), ('training', 'dev', 'TEST'),
    ('train', 'development', 'tst')])
def test_folders_of_parts_are_the_split(tmp_path, tops):
  data = tree(tmp_path, *both(*tops))
  assert data.task.names == ('happy', 'sad')
  meant = dict(zip(tops, ('train', 'val', 'test'), strict=True))
  assert data.split.tolist() == [
      meant[name.split('/')[0]] for name in data.sample_id.tolist()]


@pytest.mark.parametrize(('names', 'message'), [
    (both('train', 'test', 'extra'), 'either parts .* got extra, test, train'),
    (both('Train', 'eval'), 'either parts .* got Train, eval in'),
    (both('val', 'valid', 'train'), 'one folder for each part, got val'),
    (both('a', 'b'), r'they hold the same folders \(happy, sad\)'),
    (both('fold1', 'fold2'), 'fold1, fold2 may be parts'),
    (['train_images/1.png', 'x/2.png'], 'train_images may be parts'),
    (['happy/train/1.png', 'sad/train/2.png'], r'same folders \(train\)'),
])
def test_folders_that_may_be_parts_stop(tmp_path, names, message):
  with pytest.raises(ValueError, match=message):
    tree(tmp_path, *names)


@pytest.mark.parametrize('options', [
    {}, {'class_names': ('sad', 'happy')}])
def test_parts_may_stand_below_classes(tmp_path, options):
  names = [f'{name}/{part}/{part}_{k}.png' for k in range(2)
           for name in ('happy', 'sad') for part in ('Train', 'valid', 'test')]
  data = tree(tmp_path, *names, identity_pattern=r'^\w+_(\d)', **options)
  assert data.split.tolist() == [
      {'Train': 'train', 'valid': 'val', 'test': 'test'}[name.split('/')[1]]
      for name in data.sample_id.tolist()]
  assert data.identity.tolist() == [
      int(name[-5]) for name in data.sample_id.tolist()]
  picture(tmp_path / 'happy/loose.png')
  with pytest.raises(ValueError, match='in one of its parts.*beside them 1 .p'):
    tree(tmp_path, **options)


def test_what_looks_like_parts_below_classes_is_asked_about(tmp_path):
  names = [f'{name}/{part}_images/1.png' for name in ('happy', 'sad')
           for part in ('train', 'test')]
  options = {'class_names': ('happy', 'sad')}
  with pytest.raises(ValueError, match='--split_codes=test_images:test what'):
    tree(tmp_path, *names, **options)
  codes = (('test_images', 'test'), ('train_images', 'train'))
  assert set(tree(tmp_path, split_codes=codes, **options).split) == {
      'train', 'test'}
  people = [f'{name}/{person}/1.png' for name in ('happy', 'sad')
            for person in ('Dev', 'Test', 'Ann', 'Bob', 'Eve')]
  assert tree(tmp_path / 'p', *people, **options).split is None


def test_classes_below_persons_are_asked_about(tmp_path):
  names = [f'{part}/p{k}/{name}/1.png' for part in ('train', 'val', 'test')
           for k in range(2) for name in ('happy', 'sad')]
  with pytest.raises(ValueError, match=r'same folders \(happy, sad\), which'):
    tree(tmp_path, *names)
  # Persons below classes are no such question once they are said.
  assert tree(tmp_path, class_names=('p0', 'p1')).task.names == ('p0', 'p1')
  for pattern in ('^([^/]+)/', '/([a-z]+)/[^/]*$'):
    assert tree(tmp_path, identity_pattern=pattern).people == {
        0: 'happy', 1: 'sad'}


def test_a_user_says_what_folders_are(tmp_path):
  names = both('car', 'train')
  with pytest.raises(ValueError, match='by --class_names=car,train that all'):
    tree(tmp_path, *names)
  data = tree(tmp_path, class_names=('train', 'car'))
  assert data.task.names == ('train', 'car') and data.split is None
  data = tree(tmp_path, split_codes=(('car', 'test'),))
  assert set(data.split) == {'train', 'test'}
  assert data.task.names == ('happy', 'sad')
  people = tree(tmp_path / 'p', 'glad/ann/1.png', 'glad/bob/3.png',
                'sad/ann/2.png', identity_pattern='/([^/]+)/')
  assert people.people == {0: 'ann', 1: 'bob'}


def test_classes_of_a_tree(tmp_path):
  names = [f'{k}/{k}.png' for k in (1, 10, 2)]
  with pytest.raises(ValueError, match='merge_from, got 1, 2, 10: give all of'):
    tree(tmp_path, *names, merge_from=1)
  data = tree(tmp_path, class_names=('1', '10', '2'), merge_from=1)
  assert data.task.names == ('1', '10+')
  assert dict(zip(data.sample_id.tolist(), data.labels.tolist())) == {
      '1/1.png': 0, '10/10.png': 1, '2/2.png': 1}
  picture(tmp_path / 'u' / 'Male/1.png')
  picture(tmp_path / 'u' / 'female/1.png')
  with pytest.raises(ValueError, match="'Male' in 1 images, 'male' in 1 "):
    tree(tmp_path / 'u', 'male/2.png')
  assert tree(tmp_path / 'u', same_classes=True).task.names == (
      'Male', 'female')


HIDDEN = ('.ipynb_checkpoints', '@eaDir', '__MACOSX', '.Trash-1000', '.git',
          '.hidden', '$RECYCLE.BIN')


@pytest.mark.parametrize('name', HIDDEN)
def test_housekeeping_folders_are_never_read(tmp_path, name):
  data = tree(tmp_path, 'a/1.png', 'b/2.png', f'a/{name}/1.png',
              f'{name}/a/1.png', f'a/x/{name}/y/3.png')
  assert data.sample_id.tolist() == ['a/1.png', 'b/2.png']
  assert f'3 {name}/' in data.notes[0]


def test_skipped_files_are_counted_by_ending(tmp_path):
  for name in ('a/x.txt', 'b/y.TXT', 'a/z.heic', 'a/noend', 'a/._1.png',
               'b/Thumbs.db', 'a/.DS_Store', 'readme.md'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('x')
  data = tree(tmp_path, 'a/1.png', 'b/2.png', 'stray.png')
  assert data.sample_id.tolist() == ['a/1.png', 'b/2.png']
  note, = data.notes
  assert note.startswith(
      f'Files and folders in {tmp_path.name} that were not read: 2 .txt, ')
  for part in ('1 .heic', '1 without ending', '1 Thumbs.db', '1 .DS_Store',
               '1 hidden', '1 .md', '1 .png'):
    assert part in note
  assert note.endswith(' Images outside of the folders of classes: 1.')


def test_every_ending_of_the_reader_is_read(tmp_path):
  endings = sorted(images.endings() - {'.mpo', '.apng', '.pfm', '.j2c'})
  assert {'.pgm', '.ppm', '.jfif', '.jpe', '.jp2', '.webp', '.bmp', '.tif',
          '.tiff', '.jpg', '.jpeg', '.png', '.gif'} <= set(endings)
  kinds = Image.registered_extensions()
  for k, ending in enumerate(endings):
    for name in (f'{k}{ending}', f'{k}_{ending.upper()}'.replace('_', '')):
      picture(tmp_path / 'a' / 'x.png', k)
      image = Image.open(tmp_path / 'a' / 'x.png')
      target = tmp_path / 'a' / (
          name if ending == os.path.splitext(name)[1] else f'up{name}')
      image.convert('1' if ending == '.pbm' else 'RGB').save(
          target, kinds[ending])
      (tmp_path / 'a' / 'x.png').unlink()
  data = tree(tmp_path, 'b/1.png')
  assert len(data) == 2 * len(endings) + 1 and not data.notes


@pytest.mark.parametrize('damaged', [1, 3, 14])
def test_all_damaged_images_are_named(tmp_path, damaged):
  for k in range(16):
    picture(tmp_path / f'{k:02d}.png', k)
  for k in range(damaged):
    (tmp_path / f'{k:02d}.png').write_bytes(b'no image')
  (tmp_path / 'm.csv').write_text('path,identity,y\n' + '\n'.join(
      f'{k:02d}.png,{k},{k % 2}' for k in range(16)))
  with pytest.raises(ValueError, match='Expected a readable image in') as error:
    job.load_data(sources.DataOptions(
        source=str(tmp_path / 'm.csv'), labels=('y',), image_size=4))
  text = str(error.value)
  assert text.count('no image, or is damaged') == min(damaged, 10)
  assert ('and 4 more' in text) == (damaged == 14)
  assert ("in line 2 of m.csv, got '00.png'" in text)


def test_configs_of_earlier_versions_are_read_as_they_were():
  fields = {'source': 'm.csv', 'labels': ['y'], 'thresholds': [],
            'multilabel': False, 'merge_from': None, 'image_size': 4,
            'root': None, 'people': None, 'images_per_person': 8,
            'data_seed': 0}
  options = run_configs.data_in({'data': fields}, 'run')
  assert options.class_names == labels.SORTED
  assert options.split_column == split_columns.EARLIER
  new = {**fields, 'class_names': ['b', 'a'], 'split_column': None,
         'split_codes': [['x', 'val']], 'negative': None, 'same_classes': None}
  options = run_configs.data_in({'data': new}, 'run')
  assert options.class_names == ('b', 'a') and options.split_column is None
  assert options.split_codes == (('x', 'val'),)
