"""Data sets from image files and a CSV manifest."""

import numpy as np
import pytest
from PIL import Image

from dlfd_jax import tasks
from dlfd_jax.data import request_names, requests
from dlfd_jax.data.loaders import folder

HEADER = 'path,identity,gender,smile,family,age,split'
ROWS = [
    'one/a.png,Zoë,male,0,Smith,31,train',
    'one/b.png,Ann,female,1,Jones,,train',
    'two/c.jpg,Zoë,male,,,32,val',
    '"d, e.png", Bob ,female,1,Smith,7,test',
]


def _write(root, rows=None, header=HEADER):
  rows = ROWS if rows is None else rows
  generator = np.random.default_rng(0)
  for name in ('one/a.png', 'one/b.png', 'two/c.jpg', 'd, e.png'):
    (root / name).parent.mkdir(exist_ok=True)
    Image.fromarray(generator.integers(
        0, 256, (8, 8, 3), dtype=np.uint8)).save(root / name)
  manifest = root / 'faces.csv'
  manifest.write_text('\n'.join([header, *rows]) + '\n', encoding='utf-8-sig')
  return manifest


def _load(manifest, **options):
  options = {'labels': 'gender', 'image_size': 8, **options}
  return folder.load_folder(manifest, **options)


def test_a_manifest_becomes_a_data_set(tmp_path):
  data = _load(_write(tmp_path))
  assert data.name == 'faces'
  assert data.sample_id.tolist() == [
      'one/a.png', 'one/b.png', 'two/c.jpg', 'd, e.png']
  for sample_id, image in zip(data.sample_id, data.images, strict=True):
    np.testing.assert_array_equal(
        image, np.asarray(Image.open(tmp_path / sample_id)))
  assert data.task == tasks.Task('multiclass', ('female', 'male'))
  assert data.labels.tolist() == [1, 0, 1, 0]
  assert data.identity.tolist() == [2, 0, 2, 1]
  assert data.split.tolist() == ['train', 'train', 'val', 'test']
  assert {k: v.tolist() for k, v in data.columns.items()} == {
      'smile': [0, 1, -1, 1], 'family': [1, 0, -1, 1],
      'age': [31, -1, 32, 7]}


def test_persons_and_families_can_be_asked_for_by_name(tmp_path):
  data = _load(_write(tmp_path))
  assert data.people == {0: 'Ann', 1: 'Bob', 2: 'Zoë'}
  assert data.column_names == {'family': {0: 'Jones', 1: 'Smith'}}
  for request, rows in (({'identities': ['Ann']}, [1]),
                        ({'families': ['Smith']}, [0, 3])):
    named = request_names.images_of(
        data, np.arange(4),
        request_names.Lookup(requests.ForgetRequest(**request)))
    assert named.tolist() == rows


@pytest.mark.parametrize('values, expected, names', [
    ('7,3,7,-1', [7, 3, 7, -1], {}),
    ('7,3,,12', [7, 3, -1, 12], {}),
    ('007,012,,3', [7, 12, -1, 3], {}),
    ('007,7,,3', [0, 2, -1, 1], {0: '007', 1: '3', 2: '7'}),
    ('7,x,-1,', [0, 1, -1, -1], {0: '7', 1: 'x'}),
    ('1,99999999999,1,1', [0, 1, 0, 0], {0: '1', 1: '99999999999'}),
])
def test_identities_are_integers_or_names(tmp_path, values, expected, names):
  rows = [row.split(',') for row in
          ('one/a.png,0', 'one/b.png,0', 'two/c.jpg,0', 'one/../d.png,1')]
  manifest = _write(tmp_path, [
      f'{row[0]},{value},{row[1]}'
      for row, value in zip(rows, values.split(','), strict=True)],
      header='path,identity,gender')
  (tmp_path / 'd, e.png').rename(tmp_path / 'd.png')
  data = _load(manifest)
  assert data.identity.tolist() == expected
  assert data.people == names
  assert data.sample_id[3] == 'd.png'
  assert data.split is None and not data.columns


def test_class_names_can_fix_the_order(tmp_path):
  data = _load(_write(tmp_path), names=('male', 'other', 'female'))
  assert data.labels.tolist() == [0, 2, 0, 2]
  assert data.task.names == ('male', 'other', 'female')
  data = _load(_write(tmp_path), labels='age', multilabel=True,
               thresholds={'age': 30}, names=['adult'])
  assert data.labels.tolist() == [[1], [-1], [1], [0]]
  assert data.columns['age'].tolist() == [31, -1, 32, 7]


def test_several_labels_are_multilabel_and_blank_is_unknown(tmp_path):
  data = _load(_write(tmp_path), labels=('smile', 'age'),
               thresholds={'age': 30})
  assert data.labels.tolist() == [[0, 1], [1, -1], [-1, 1], [1, 0]]


def test_images_are_resized_and_progress_is_told(tmp_path):
  seen = []
  data = _load(_write(tmp_path), image_size=(4, 2),
               progress=lambda done, total: seen.append((done, total)))
  assert data.image_size == (4, 2)
  assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_paths_may_start_from_another_root(tmp_path):
  manifest = _write(tmp_path)
  elsewhere = tmp_path / 'lists'
  elsewhere.mkdir()
  moved = elsewhere / 'faces.csv'
  moved.write_text(manifest.read_text(encoding='utf-8').replace(
      'one/a.png', str(tmp_path / 'one/a.png')), encoding='utf-8')
  data = _load(moved, root=tmp_path)
  assert data.sample_id[0] == 'one/a.png'


@pytest.mark.parametrize('there, listed, message', [
    ('é.png', 'é.png', 'accents are typed in another way'),
    ('é.png', 'é.png', 'accents are typed in another way'),
    ('f/0.png', 'f\\0.png', 'write / for '),
    ('a.png', 'b.png', 'b[.]png[.]$')])
def test_a_path_in_another_spelling(tmp_path, there, listed, message):
  manifest = _write(tmp_path, [f'{listed},0,1', 'one/a.png,0,0'],
                    header='path,identity,gender')
  (tmp_path / there).parent.mkdir(exist_ok=True)
  (tmp_path / 'd, e.png').rename(tmp_path / there)
  with pytest.raises(FileNotFoundError, match=f'line 2 .* no file .*{message}'):
    _load(manifest)
  manifest.write_text(manifest.read_text('utf-8').replace(listed, there))
  assert _load(manifest).sample_id[0] == there


def test_a_class_without_a_name_is_refused(tmp_path):
  with pytest.raises(ValueError, match='one of male, man in column .gender. in '
                     "line 3 of faces.csv, got 'female'"):
    _load(_write(tmp_path), names=('male', 'man'))


@pytest.mark.parametrize('change, message', [
    (lambda text: f'sep=,\n{text}', 'first line of .*, got it in line 2'),
    (lambda text: f'Faces,,,\n\n"May, 2026"\n{text}', 'got it in line 4: del'),
    (lambda text: text.replace('path', ',path', 1).replace('\n', '\n0,'),
     'a name for each column of .*, got none for column 1: name it, or leave'),
    (lambda text: text.replace('path', 'file', 1), "Expected a column 'path'"),
    (lambda text: text.encode('utf-16'), r'UTF-8 text, got UTF-16: save it as'),
    (lambda text: text.replace('one/', 'é/').encode('cp1252'),
     r'UTF-8 text, got other bytes: save it as UTF-8 \("CSV UTF-8" in Excel')])
def test_a_table_that_is_read_otherwise_says_how(tmp_path, change, message):
  manifest = _write(tmp_path)
  text = change(manifest.read_text('utf-8-sig').rstrip())
  manifest.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(ValueError, match=message):
    _load(manifest)
