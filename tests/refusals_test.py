"""The mistakes of ``tests.bad_cases`` are refused, and as documented."""

import collections
import pathlib
import re

import jax
import pytest

from dlfd_jax.utils import runs
from tests import bad_cases, grids
from tests.bad_cases import __main__ as writer, case as case_lib, place

RESULT = pathlib.Path(__file__).parents[1] / 'docs/results/bad_inputs.json'
QUICK = {'Commands', 'Manifests', 'Run folders', 'Training flags'}
DATA = {'Images', 'npz files', 'Trees of folders', 'Shards', 'Downloads',
        'Deletion requests', 'Stored splits', 'Python'}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  return place.build(tmp_path_factory.mktemp('bad') / 'template')


def _key(outcome):
  return outcome['theme'], outcome['mistake']


def _check(cases, template):
  """No fault; and the documented words, in the versions that wrote them."""
  documented = runs.read_json(RESULT)
  known = {_key(o): o['said'] for o in documented['outcomes']}
  same = documented['versions'] == runs.versions()
  for outcome in bad_cases.attempt_all(cases, template):
    seen = outcome.as_dict()
    assert not outcome.faults, seen
    if same:
      said = seen['said'].replace(
          f'at most {jax.local_device_count()} here', 'at most 1 here')
      assert _here(said) == _here(known[_key(seen)])


def _here(said):
  """A sentence without what is free on this machine at this moment."""
  return re.sub(r'[\d.]+ GB are free', 'some GB are free', said)


def test_the_page_and_the_result_hold_every_case():
  documented = runs.read_json(RESULT)
  outcomes = documented['outcomes']
  keys = [_key(o) for o in outcomes]
  assert keys == [(c.theme, c.mistake) for c in bad_cases.CASES]
  assert len(set(keys)) == len(keys) == documented['tried']
  assert documented['otherwise'] == 0
  assert documented['distinct_sentences'] >= 150
  counts = collections.Counter(theme for theme, _ in keys)
  assert len(counts) >= 10 and min(counts.values()) >= 5
  page = writer.PAGE.read_text('utf-8')
  assert writer.with_tables(page, outcomes) == page
  assert writer.markdown(documented) == RESULT.with_suffix('.md').read_text(
      'utf-8')


def test_a_case_that_is_not_refused_is_a_fault(template):
  fine = case_lib.Case('x', 'nothing is wrong', ('--version',))
  assert 'exit code 0' in case_lib.attempt(fine, template).faults
  changes = case_lib.Case('x', 'it writes first', call=lambda: (
      pathlib.Path('new').touch(), int('x')))
  faults = ' '.join(case_lib.attempt(changes, template).faults)
  assert 'changed on disk' in faults and 'does not say' in faults
  crash = case_lib.Case('x', 'it crashes', call=lambda: {}['x'])
  assert 'KeyError escaped' in case_lib.attempt(crash, template).faults[0]


@pytest.mark.parametrize('theme', [
    *sorted(QUICK), *(pytest.param(theme, marks=pytest.mark.slow)
                      for theme in sorted(DATA))])
def test_mistakes_are_refused(theme, template):
  _check([c for c in bad_cases.CASES if c.theme == theme], template)


@pytest.mark.parametrize('theme', grids.some(sorted(
    {c.theme for c in bad_cases.CASES} - QUICK - DATA), 4))
def test_mistakes_that_need_a_model_are_refused(theme, template):
  pytest.importorskip('torch', reason='needs the extra torch')
  _check([c for c in bad_cases.CASES if c.theme == theme], template)
