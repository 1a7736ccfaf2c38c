"""Stored files with one thing altered are read or refused, never a crash."""

import pytest

from dlfd_jax.pipeline import chain
from dlfd_jax.utils import records, runs, writes
from tests import mutations
from tests.bad_cases import place
from tests.report import fakes


def _faults(outcomes, least):
  found = mutations.summary(list(outcomes))
  assert not found['faults'] and found['tried'] >= least
  assert all(of['refused'] for of in found['kinds'].values())
  return found


@pytest.mark.slow
def test_an_evaluation_with_one_thing_altered(tmp_path):
  shown = runs.read_json(place.SHOWN)
  del shown['arrays']  # others are beside it here
  for name in ('tier_0', 'second'):
    (tmp_path / name).mkdir()
    config = {'kind': 'evaluation', 'fingerprint': 'f', 'rows': {'test': 'r'},
              'models': {'unlearned': name}, 'config': {}}
    runs.write_json(tmp_path / name / runs.CONFIG, config)
    if name == 'tier_0':
      runs.write_json(tmp_path / name / runs.RESULT,
                      chain.sealed(shown, config))
  writes.write_arrays(
      tmp_path / 'tier_0' / 'per_example.npz', fakes.per_example())
  read = mutations._report('tier_0')
  subjects = [mutations.Subject(name, f'tier_0/{name}', read)
              for name in (runs.RESULT, runs.CONFIG, 'per_example.npz')]
  found = _faults(mutations.try_all(tmp_path, subjects, every=200), 25)
  assert found['distinct_sentences'] > 10


@pytest.mark.long
def test_real_runs_with_one_thing_altered(tmp_path):
  folder = mutations.build(tmp_path)
  _faults(mutations.try_all(folder, mutations.subjects(folder), every=301,
                            command_every=30_000), 80)


@pytest.mark.long
def test_real_runs_with_everything_altered(tmp_path):
  folder = mutations.build(tmp_path)
  _faults(mutations.try_all(folder, mutations.subjects(folder)), 20_000)


@pytest.mark.parametrize('content, words', [
    (b'[' * 10**6, 'Expected JSON in'),
    (b'[' * 60 + b']' * 60, 'at most 50 levels'),
    (b'{"a": NaN}', 'NaN is no finite number'),
    (b'{"a": 1e999}', '1e999 is no finite number'),
    (b'{"a": "\xff"}', "Expected JSON in .*can't decode"),
    (b'{"a": 1}{', 'Extra data'),
    (b'{"a": 1' + b'0' * 5000 + b'}', 'Expected JSON in')])
def test_what_is_no_json_of_ours(content, words, tmp_path):
  path = tmp_path / 'a.json'
  path.write_bytes(content)
  with pytest.raises(ValueError, match=words) as error:
    records.read(path)
  assert len(str(error.value)) < 500


def test_a_file_of_a_gigabyte_is_not_read(tmp_path):
  path = tmp_path / 'a.json'
  with path.open('wb') as file:
    file.truncate(2**30)
  for read in (records.read, runs.read_events):
    with pytest.raises(ValueError, match='Expected at most 268 MB of JSON in '
                       '.*a.json, got 1074 MB'):
      read(path)


def test_a_line_of_a_log_that_is_not_the_last_may_not_be_cut(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
  with pytest.raises(ValueError, match='Expected JSON in line 2 of'):
    runs.read_events(path)
