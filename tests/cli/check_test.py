"""The check of a deletion request, from flags to its page."""

import jax
import numpy as np
import pytest
from PIL import Image

from dlfd_jax.cli import check
from dlfd_jax.data import sources, split_files, splits
from dlfd_jax.data.faces import synthetic
from dlfd_jax.pipeline import expected_cost
from dlfd_jax.report import check_page
from dlfd_jax.utils import runs
from tests.cli import runs_of


def _write(folder, change=None):
  """The shared data with some images replaced."""
  path = runs_of.write_data(folder)
  arrays = dict(np.load(path))
  if change:
    change(arrays)
  np.savez(path, **arrays)
  return path


def _run(folder, data, *flags):
  (folder / 'people.txt').write_text('0\n1\n')
  code = check.main([
      *runs_of.data_flags(data), *runs_of.NETWORK,
      f'--forget_identities={folder / "people.txt"}',
      f'--workdir={folder / "check"}', *flags])
  return code, runs.read_json(folder / 'check' / runs.RESULT)


def test_the_images_of_the_people_are_listed_and_counted(tmp_path, capsys):
  code, result = _run(tmp_path, _write(tmp_path), '--repeats=0')
  request = result['request']
  assert code == 0
  assert request['images_by_person'] == {'0': 4, '1': 4}
  assert request['images'] == 8 and result['cost'] is None
  assert not any(request['copies'].values())
  assert result['split'] is None
  assert set(result['time']) == {'read_s', 'copies_s', 'cost_s'}
  assert min(result['time'].values()) >= 0 < result['peak_bytes']
  out = capsys.readouterr().out
  assert '8 images of 2 people' in out and 'split of the original' in out


def test_copies_elsewhere_are_found_named_and_shown(tmp_path, capsys):
  def copy(arrays):
    arrays['images'][40] = arrays['images'][0]  # of person 10
    arrays['images'][3] = arrays['images'][2]  # inside the request
    arrays['images'][50] = arrays['images'][1][:, ::-1]

  code, result = _run(tmp_path, _write(tmp_path, copy))
  request = result['request']
  assert code == 0
  assert (request['copies']['exact'], request['copies']['mirrored']) == (1, 1)
  assert result['cost']['repeats'] == 0 < result['cost']['retrain_s']
  pair, = [p for p in request['copies_listed'] if p['kind'] == 'exact']
  assert pair['same_person'] is False
  assert request['copies_of_other_people'] >= 1
  page = (tmp_path / 'check' / check.PAGE).read_text()
  assert 'data:image/png;base64,' in page and pair['other'] in page
  said = capsys.readouterr().out
  assert 'two different people' in said
  epochs = result['cost']['epochs']['train']
  assert f'retraining for {epochs} epochs about ' in said


def test_a_near_copy_under_another_person_is_listed_and_shown(
    tmp_path, monkeypatch, capsys):
  data = tmp_path / 'data'
  data.mkdir()
  faces = synthetic.synthetic_faces(people=8, images_per_person=2, size=48)
  lines = ['path,identity,label']
  for i, (image, person) in enumerate(
      zip(faces.images, faces.identity, strict=True)):
    Image.fromarray(image).save(data / f'{i}.png')
    lines.append(f'{i}.png,p{person},{i % 2}')
  row = int(np.flatnonzero(faces.identity == 3)[0])
  brighter = np.clip(faces.images[row] * 1.02, 0, 255).astype(np.uint8)
  Image.fromarray(brighter).save(data / 'hidden.jpg', quality=85)
  lines.append('hidden.jpg,p6,0')
  (data / 'faces.csv').write_text('\n'.join(lines) + '\n')
  (tmp_path / 'delete.txt').write_text('p3\n')
  drawn, draw = [], check_page.render
  monkeypatch.setattr(
      check_page, 'render',
      lambda result, pairs: drawn.extend(pairs) or draw(result, pairs))
  before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns)
            for path in data.iterdir()}
  assert check.main([
      f'--data={data / "faces.csv"}', '--labels=label', '--image_size=48',
      *runs_of.NETWORK, '--repeats=0', f'--workdir={tmp_path / "check"}',
      f'--forget_identities={tmp_path / "delete.txt"}']) == 0
  request = runs.read_json(tmp_path / 'check' / runs.RESULT)['request']
  assert request['copies'] == {
      'exact': 0, 'near': 1, 'mirrored': 0, 'cropped': 0}
  assert request['copies_listed'] == [{
      'forget': f'{row}.png', 'other': 'hidden.jpg', 'kind': 'near',
      'part': 'data', 'same_person': False}]
  assert request['copies_of_other_people'] == 1
  (left, right, entry), = drawn
  np.testing.assert_array_equal(left, faces.images[row])
  np.testing.assert_array_equal(right, Image.open(data / 'hidden.jpg'))
  assert entry == request['copies_listed'][0]
  assert 'data:image/png;base64,' in (
      tmp_path / 'check' / check.PAGE).read_text()
  assert 'two different people' in capsys.readouterr().out
  assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns)
                    for path in data.iterdir()}
  assert {path.name for path in tmp_path.iterdir()} == {
      'data', 'check', 'delete.txt'}


@pytest.mark.long
def test_the_split_and_the_network_are_those_of_the_original(
    tmp_path, original, monkeypatch, capsys):
  monkeypatch.setattr(expected_cost, '_STEP_S', 1e-9)  # one image a device
  (tmp_path / 'people.txt').write_text('\n'.join(map(str, range(24))))
  assert check.main([
      f'--original={original}', '--forget_people=3', '--repeats=1',
      f'--workdir={tmp_path / "check"}']) == 0
  result = runs.read_json(tmp_path / 'check' / runs.RESULT)
  stored = np.load(original / runs.SPLITS)
  assert result['split']['val'] == len(stored['val'])
  assert result['request']['people_in_two_parts_total'] == 0
  cost = result['cost']
  assert cost['epochs']['train'] == 2  # of the original's own recipe
  assert result['used']['preset'] is None
  assert cost['unlearn_s'] == pytest.approx(sum(
      cost['steps'][name] * cost['step_s'][name]
      for name in ('distance', 'joint')))
  assert set(cost['timed_images'].values()) == {len(jax.devices())}
  said = capsys.readouterr().out
  assert 'Nobody is in two parts' in said
  assert f'scaled from {len(jax.devices())} of a batch of ' in said
  before = runs_of.tree(tmp_path / 'check')
  assert check.main([
      f'--original={original}', '--forget_people=3', '--repeats=1',
      f'--workdir={tmp_path / "check"}']) == 0  # nothing is done again
  assert runs_of.tree(tmp_path / 'check') == before


def _folder(root, splits):
  """A manifest of named people, two images each in the parts given."""
  rng = np.random.default_rng(0)
  lines = ['path,identity,label,split']
  for name, parts in splits.items():
    for i, part in enumerate(parts):
      path = f'{name}{i}.png'
      Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(
          root / path)
      lines.append(f'{path},{name},{len(lines) % 2},{part}')
  (root / 'faces.csv').write_text('\n'.join(lines) + '\n')
  return [f'--data={root / "faces.csv"}', '--labels=label', '--image_size=16',
          *runs_of.NETWORK, '--repeats=0', f'--workdir={root / "check"}']


_PEOPLE = {'Ann': ('train', 'train'), 'Bob': ('train', 'train'),
           'Cem': ('train', 'train'), 'Dia': ('val', 'val'),
           'Eva': ('test', 'test')}


@pytest.mark.parametrize('twice', ['Ann', 'Bob'])
def test_people_in_two_parts_are_named_whoever_they_are(
    tmp_path, twice, capsys):
  (tmp_path / 'delete.txt').write_text('Ann\n')
  flags = _folder(tmp_path, {**_PEOPLE, twice: ('train', 'test')})
  assert check.main([
      *flags, f'--forget_identities={tmp_path / "delete.txt"}']) == 0
  request = runs.read_json(tmp_path / 'check' / runs.RESULT)['request']
  assert request['people_in_two_parts'] == {twice: ['train', 'test']}
  assert request['samples_by_person']['Ann'][0] == 'Ann0.png'
  said = capsys.readouterr().out
  assert 'read images' in said and '10/10' in said
  assert f'1 people are in two parts of the split ({twice})' in said
  assert ('Unlearning refuses this split' in said) == (twice == 'Bob')
  # What an evaluation at tier 1 will run is no lack of these splits.
  assert ('evaluate does not compute' in said) == (twice == 'Ann')
  assert 'was run' not in said
  assert 'Ann0.png' in (tmp_path / 'check' / check.PAGE).read_text()


def test_people_forgotten_earlier_are_named(tmp_path, capsys):
  flags = _folder(tmp_path, _PEOPLE)
  data = sources.load(sources.DataOptions(
      source=str(tmp_path / 'faces.csv'), labels=('label',), image_size=16))
  rows = {name: np.flatnonzero(
      np.char.startswith(data.sample_id, name)) for name in _PEOPLE}
  split_files.save_splits(tmp_path / 'splits.npz', data, splits.Splits(
      rows['Bob'], rows['Ann'], rows['Dia'], rows['Eva']))
  (tmp_path / 'delete.txt').write_text('Bob\n')
  flags += [f'--forget_identities={tmp_path / "delete.txt"}',
            f'--splits={tmp_path / "splits.npz"}']
  assert check.main(flags) == 2  # nobody would be left
  assert 'training images left to retain' in capsys.readouterr().err
  split_files.save_splits(tmp_path / 'splits.npz', data, splits.Splits(
      np.union1d(rows['Bob'], rows['Cem']), rows['Ann'], rows['Dia'],
      rows['Eva']))
  assert check.main(flags) == 0
  said = ('2 images of 1 person were forgotten by earlier requests: they stay '
          'out of retain. Names: Ann.')
  assert said in capsys.readouterr().out
  assert said in (tmp_path / 'check' / check.PAGE).read_text()


def test_text_of_the_data_cannot_become_html(tmp_path):
  page = check_page.render({
      'command': '<script>', 'device': 'cpu', 'split': None, 'cost': None,
      'notes': ['<b>'], 'request': {
          'images': 1, 'people': 1, 'share_of_images': .1,
          'share_of_people': None, 'copies': {'exact': 1, 'near': 0},
          'copies_of_other_people': 0, 'people_in_two_parts_total': 0,
          'images_by_person': {'<i>': 1},
          'samples_by_person': {'<i>': ['<em>']}, 'copies_listed': [{
              'forget': '<u>', 'other': '<s>', 'kind': 'exact',
              'part': 'data', 'same_person': None}]}})
  for tag in ('<script>', '<b>', '<i>', '<u>', '<s>', '<em>'):
    assert tag not in page


@pytest.mark.parametrize('flags, sentence', [
    ([], 'Expected exactly one of --forget_identities'),
    (['--forget_people=3', '--original=nowhere'], 'nowhere'),
    (['--forget_people=3', '--original=nowhere', '--width=8'],
     'Expected no --width with --original, whose network is used.')])
def test_a_wrong_flag_is_one_sentence_and_writes_nothing(
    tmp_path, faces, flags, sentence, capsys):
  folder = tmp_path / 'check'
  assert check.main([*runs_of.data_flags(faces),
                     f'--workdir={folder}', *flags]) == 2
  assert sentence in capsys.readouterr().err
  assert not folder.exists()


def test_another_split_is_another_check(tmp_path, capsys):
  parts = np.repeat(['train'] * 14 + ['val'] * 5 + ['test'] * 5, runs_of.EACH)

  def split(arrays, first='train'):
    arrays['split'] = parts.astype('<U5')
    arrays['split'][8] = first  # of one whom nobody names

  data = _write(tmp_path, lambda arrays: split(arrays, 'val'))
  _, before = _run(tmp_path, data, '--repeats=0')
  assert before['request']['people_in_two_parts_total'] == 1
  assert _run(tmp_path, data, '--repeats=0')[1] == before
  _write(tmp_path, split)
  capsys.readouterr()
  code, after = _run(tmp_path, data, '--repeats=0')
  said = capsys.readouterr().err
  assert code == 2 and after == before and 'rows.val' in said, said


@pytest.mark.parametrize('method, priced', [
    ('scrub', 'DLFD + restore'), ('dlfd', 'DLFD')])
def test_the_method_that_is_priced_is_named(method, priced, tmp_path, capsys):
  (tmp_path / 'mine.yaml').write_text(
      f'start: demo\ndefault_method: {method}\n')
  assert check.main([
      f'--preset={tmp_path}/mine.yaml', '--people=24', '--images_per_person=2',
      '--image_size=16', '--width=4', '--forget_people=3',
      f'--workdir={tmp_path / "check"}']) == 0
  cost = runs.read_json(tmp_path / 'check' / runs.RESULT)['cost']
  assert cost['method'] == priced and cost['unlearn_s'] > 0
  said = ' '.join(capsys.readouterr().out.split())
  assert f'unlearning by {priced} about ' in said
