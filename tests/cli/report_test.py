"""``report``: what the command line adds to an evaluation's own words."""

import dataclasses
import json
import shutil
import stat

import jax
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from dlfd_jax import checkpoint, models
from dlfd_jax.cli import audit, report, verify
from dlfd_jax.data import sources
from dlfd_jax.pipeline import evaluation_result, job
from dlfd_jax.utils import runs
from tests import grids
from tests.cli import runs_of


@pytest.fixture
def evaluation(tmp_path):
  folder = tmp_path / 'evaluation'
  folder.mkdir()
  runs.write_json(folder / runs.RESULT, {
      'kind': 'evaluation', 'schema': 1, 'request': {'images': 4}})
  return folder


def test_the_request_is_printed_with_number_and_date(evaluation, tmp_path):
  out = tmp_path / 'out'
  assert report.main([f'--evaluation={evaluation}', f'--workdir={out}',
                      '--request_id=R & 12', '--received=2026-05-04']) == 0
  page = (out / runs.REPORT).read_text('utf-8')
  assert 'R &amp; 12' in page and '2026-05-04' in page
  found = runs.read_json(out / 'report.json')
  assert ['Request', 'R & 12'] in found['request']
  assert ['Received', '2026-05-04'] in found['request']


@pytest.mark.parametrize('flag, words', [
    ('--received=4 May', "a date like 2026-05-04, got '4 May'"),
    ('--received=2026-02-30', 'a date like'),
    ('--request_id=', '1 to 100 printable characters'),
    ('--request_id=a\nb', 'printable'),
    (f'--request_id={"x" * 101}', '1 to 100'),
])
def test_a_request_that_cannot_be_printed_is_refused(
    flag, words, evaluation, tmp_path, capsys):
  before = runs_of.tree(tmp_path)
  assert report.main([f'--evaluation={evaluation}', flag]) == 2
  assert words in capsys.readouterr().err
  assert runs_of.tree(tmp_path) == before


_NAMES = [f'Quirin {chr(ord("A") + i)}stroem' for i in range(runs_of.PEOPLE)]


_NOBODY = 'Zacharias Nemo'


@pytest.fixture(scope='module')
def named(tmp_path_factory):
  """An audit of data that call people by name, also in the images' ids."""
  folder = tmp_path_factory.mktemp('named')
  data = dict(np.load(runs_of.write_data(folder)))
  names = np.repeat([*_NAMES[:-1], _NAMES[0].lower()], runs_of.EACH)
  np.savez(folder / 'faces.npz', **{
      **data, 'identity': names,
      'sample_id': [f'{name}/{i}' for i, name in enumerate(names)],
      'split': np.repeat(['train', 'val', 'test'], [48, 24, 24])})
  flags = [flag for flag in runs_of.data_flags(folder / 'faces.npz')
           if 'preset' not in flag]
  config = models.ModelConfig(
      outputs=2, architecture='tests.models.own_nets:Own')
  dataset = job.load_data(sources.DataOptions(
      source=str(folder / 'faces.npz'), labels=('shade',),
      image_size=runs_of.SIZE))
  checkpoint.save_model(folder / 'model', models.init(
      models.build(config), jax.random.key(0), dataset.image_size),
      config, dataset.task, dataset.image_size)
  (folder / 'delete.txt').write_text('\n'.join([*_NAMES[:6], _NOBODY]))
  assert audit.main([
      f'--model={folder / "model"}', *flags, '--same_person', '--devices=1',
      '--missing=record',
      f'--forget_identities={folder / "delete.txt"}', '--bootstrap=20',
      f'--workdir={folder / "eval"}']) == 0
  return folder / 'eval'


def test_exchanged_names_are_found(named, tmp_path):
  shutil.copytree(named, tmp_path / 'eval')
  path = tmp_path / 'eval' / evaluation_result.PEOPLE
  stored = json.loads(path.read_text())
  people = stored['people']
  people['0'], people['1'] = people['1'], people['0']
  path.write_text(json.dumps(stored))
  with pytest.raises(ValueError, match='the names in .*people.json as'):
    evaluation_result.load_evaluation(tmp_path / 'eval')
  path.unlink()  # who deletes the names may still read the figures
  evaluation_result.load_evaluation(tmp_path / 'eval')


def test_the_terminal_names_people(named):
  found = evaluation_result.load_evaluation(named)
  assert found._names() == dict(enumerate(_NAMES[:6]))
  few = dataclasses.replace(found, record={
      **found.record, 'people': found.record['people'][:1]})
  assert any(said.startswith('Person Quirin') for said in few.headline())


def _written(folder):
  return {path.name: path.read_text('utf-8')
          for path in folder.iterdir()
          if path.is_file() and path.suffix != '.yaml'}


def test_a_report_names_nobody_and_its_key_is_for_its_owner(
    named, tmp_path, capsys):
  assert report.main([f'--evaluation={named}', f'--workdir={tmp_path}']) == 0
  files = _written(tmp_path)
  assert set(files) == {'report.html', 'report.json', 'report_key.json'}
  for name in ('report.html', 'report.json'):
    assert 'quirin' not in files[name].lower() and 'P6.4' in files[name]
    assert _NOBODY not in files[name]
  key = json.loads(files['report_key.json'])
  assert set(key['people'].values()) == set(_NAMES[:6])
  assert key['not_found'] == {'N1': _NOBODY}
  asked = runs.read_json(tmp_path / 'report.json')['asked']
  assert ['Names not found', '1'] in asked
  assert all(name.startswith(key['people'][code.partition('.')[0]])
             for code, name in key['images'].items() if code[0] == 'P')
  for path in (tmp_path / 'report_key.json', named / evaluation_result.PEOPLE):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
  said = capsys.readouterr().out
  assert 'report_key.json says whose the pseudonyms are' in said
  # Nor does what else an evaluation says, but for the images' ids.
  record = runs.read_json(named / runs.RESULT)
  assert 'quirin' not in json.dumps(
      {**record, 'request_images': []}).lower()
  (tmp_path / 'report_key.json').chmod(0o644)
  assert report.main([f'--evaluation={named}', f'--workdir={tmp_path}']) == 0
  assert _written(tmp_path) == files  # the same pseudonyms again
  assert stat.S_IMODE((tmp_path / 'report_key.json').stat().st_mode) == 0o600


def test_names_are_printed_where_they_are_asked_for(named, tmp_path, capsys):
  assert report.main([f'--evaluation={named}', f'--workdir={tmp_path}',
                      '--names']) == 0
  files = _written(tmp_path)
  assert set(files) == {'report.html', 'report.json'}
  assert all(name in files['report.html'] for name in [*_NAMES[:6], _NOBODY])
  assert 'key' not in capsys.readouterr().out


def test_a_key_of_somebody_else_is_not_replaced(named, tmp_path, capsys):
  other = tmp_path / 'report_key.json'
  other.write_text('{"kind": "door"}')
  assert report.main([f'--evaluation={named}', f'--workdir={tmp_path}']) == 2
  assert 'report_key.json' in capsys.readouterr().err
  assert _written(tmp_path) == {'report_key.json': '{"kind": "door"}'}


@pytest.mark.parametrize('more', grids.some([[], ['--names']], 2))
def test_a_signed_bundle_has_no_key_and_is_verified(named, tmp_path, more):
  pem = tmp_path / 'key.pem'
  pem.write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(
      serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption()))
  assert report.main([f'--evaluation={named}', f'--workdir={tmp_path}',
                      f'--sign={pem}', *more]) == 0
  bundle = tmp_path / 'bundle'
  assert not list(bundle.glob('*key*')) + list(bundle.glob('people*'))
  assert ('Quirin' in (bundle / 'report.html').read_text()) == bool(more)
  assert verify.main([str(bundle)]) == 0
