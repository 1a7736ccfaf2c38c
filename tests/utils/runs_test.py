"""The files of a run: made whole, resumed, or refused with the reason."""

import json
import os

import pytest

from dlfd_jax.utils import places, runs

CONFIG = {'epochs': 3, 'data': {'name': 'faces', 'sizes': (1, 2)}, 'seed': None}


def test_a_start_that_was_cut_short_starts_again(tmp_path):
  (tmp_path / '.config.jsonx7').write_text('{')
  assert not runs.RunFolder(tmp_path, {'a': 1}).resumed
  (tmp_path / runs.VERSIONS).unlink()
  assert runs.RunFolder(tmp_path, {'a': 1}).resumed
  assert runs.read_json(tmp_path / runs.VERSIONS)['jax']


def test_a_new_folder_holds_config_and_versions(tmp_path):
  folder = runs.RunFolder(tmp_path / 'a' / 'run', CONFIG)
  assert not folder.resumed and folder.result is None
  assert runs.read_json(folder.path / 'config.json') == {
      **CONFIG, 'data': {'name': 'faces', 'sizes': [1, 2]},
      places.KEY: places.HERE}
  versions = runs.read_json(folder.path / 'versions.json')
  assert versions == runs.versions()
  assert versions['jax'] and versions['python'].startswith('3.')


def test_peak_memory_counts_bytes():
  block = b'x' * 3 * 10**8
  assert len(block) <= runs.peak_bytes() < 10**12


def test_the_same_config_resumes(tmp_path):
  runs.RunFolder(tmp_path, CONFIG)
  (tmp_path / 'metrics.jsonl').write_text('{}\n')
  before = {p: p.read_bytes() for p in tmp_path.iterdir()}
  assert runs.RunFolder(tmp_path, CONFIG).resumed
  assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_other_code_of_ones_own_is_another_run_and_an_older_run_goes_on():
  now = {'kind': 'train', runs.OWN_CODE: {'Net': 'b'}}
  assert runs.differences({'kind': 'train', runs.OWN_CODE: {'Net': 'a'}}, now
                          ) == ["own_code.Net was 'a', is now 'b'"]
  assert not runs.differences({'kind': 'train'}, now)  # did not record it


def test_another_config_is_refused_with_the_differences(tmp_path):
  runs.RunFolder(tmp_path, CONFIG)
  other = {**CONFIG, 'epochs': 5, 'data': {'name': 'lfw', 'sizes': (1, 2)},
           'new': True}
  with pytest.raises(ValueError) as error:
    runs.RunFolder(tmp_path, other)
  for words in ("data.name was 'faces', is now 'lfw'",
                'epochs was 3, is now 5', 'new was None, is now True'):
    assert words in str(error.value)
  assert 'sizes' not in str(error.value)
  assert runs.read_json(tmp_path / 'config.json')['epochs'] == 3


def test_a_field_that_is_new_and_none_does_not_keep_a_run_from_resuming(
    tmp_path):
  runs.RunFolder(tmp_path, CONFIG)
  newer = {**CONFIG, 'data': {**CONFIG['data'], 'pattern': None}}
  assert runs.RunFolder(tmp_path, newer).resumed
  newer['data']['pattern'] = 'x'
  with pytest.raises(ValueError, match="data.pattern was None, is now 'x'"):
    runs.RunFolder(tmp_path, newer)


def test_people_left_open_are_left_to_the_fingerprint(tmp_path):
  older = {'data': {'people': 200}, 'fingerprint': 'a'}
  runs.RunFolder(tmp_path, older)
  assert runs.RunFolder(tmp_path, {**older, 'data': {'people': None}}).resumed
  with pytest.raises(ValueError, match="fingerprint was 'a', is now 'b'"):
    runs.RunFolder(tmp_path, {'data': {'people': None}, 'fingerprint': 'b'})
  with pytest.raises(ValueError, match='data.people was 200, is now 100'):
    runs.RunFolder(tmp_path, {**older, 'data': {'people': 100}})


@pytest.mark.parametrize('folder, sentence', [
    ('', 'Expected an empty folder or a run'),
    ('notes.txt', 'Expected a folder .* is a file')])
def test_what_is_no_run_is_refused_and_left_alone(tmp_path, folder, sentence):
  (tmp_path / 'notes.txt').write_text('mine')
  with pytest.raises(ValueError, match=sentence):
    runs.RunFolder(tmp_path / folder, CONFIG)
  assert [p.read_text() for p in tmp_path.iterdir()] == ['mine']


def test_the_result_is_what_was_written(tmp_path):
  folder = runs.RunFolder(tmp_path, CONFIG)
  folder.write_result({'accuracy': 0.5})
  assert runs.RunFolder(tmp_path, CONFIG).result == {'accuracy': 0.5}
  assert folder.checkpoints == tmp_path / 'checkpoints'


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'result.json'
  runs.write_json(path, {'a': 1})
  with pytest.raises(ValueError):
    runs.write_json(path, {'a': float('nan')})

  def fail(*args):
    raise OSError('disk full')

  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(OSError, match='disk full'):
    runs.write_json(path, {'a': 2})
  monkeypatch.undo()
  assert runs.read_json(path) == {'a': 1}
  assert [p.name for p in tmp_path.iterdir()] == ['result.json']
  assert path.stat().st_mode & 0o777 == 0o644


def test_a_missing_or_broken_json_is_one_sentence(tmp_path):
  with pytest.raises(FileNotFoundError, match='the file .*got no file'):
    runs.read_json(tmp_path / 'config.json')
  (tmp_path / 'config.json').write_text('{"a": ')
  with pytest.raises(ValueError, match='Expected JSON in .*config.json'):
    runs.read_json(tmp_path / 'config.json')


def test_a_torn_last_line_is_dropped_and_cut_away(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  log = runs.MetricsLog(path)
  log.write({'step': 1})
  log.write({'step': 2})
  with path.open('a') as file:
    file.write('{"step": 3, "lo')
  log = runs.MetricsLog(path)
  assert [e['step'] for e in log.events] == [1, 2]
  log.truncate(1)
  log.write({'step': 3})
  assert [json.loads(line) for line in path.read_text().splitlines()] == [
      {'step': 1}, {'step': 3}]
  assert runs.read_events(path) == log.events and len(log) == 2
  with pytest.raises(ValueError, match='Expected 9 lines in .*got 2: put'):
    log.truncate(9)
  log.truncate(0)
  assert path.read_text() == '' and len(log) == 0


def test_a_log_without_a_file_stays_in_memory():
  log = runs.MetricsLog()
  log.write({'step': 1, 'sizes': (1, 2)})
  assert log.events == [{'step': 1, 'sizes': [1, 2]}]  # as read from a file
  log.truncate(0)
  assert len(log) == 0


def test_numbers_that_are_not_finite_are_refused_in_a_log(tmp_path):
  log = runs.MetricsLog(tmp_path / 'metrics.jsonl')
  with pytest.raises(ValueError):
    log.write({'loss': float('inf')})
  assert len(log) == 0 and not (tmp_path / 'metrics.jsonl').exists()


def test_a_run_of_an_older_version_goes_on_under_the_new_name_of_a_value(
    tmp_path):
  config = lambda mode: {'config': {'method': {'batch_norm': mode}}}
  runs.RunFolder(tmp_path, config('live'))
  assert runs.RunFolder(tmp_path, config('batch')).resumed
  with pytest.raises(ValueError, match="was 'batch', is now 'frozen'"):
    runs.RunFolder(tmp_path, config('frozen'))


def test_a_run_from_before_a_field_did_what_its_first_value_does(tmp_path):
  config = lambda **fields: {'config': {'sinkhorn': {'epsilon': .05, **fields}}}
  runs.RunFolder(tmp_path, config())
  assert runs.RunFolder(tmp_path, config(transport='global')).resumed
  with pytest.raises(ValueError, match="was 'global', is now 'sharded'"):
    runs.RunFolder(tmp_path, config(transport='sharded'))
