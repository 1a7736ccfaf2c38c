"""The mistakes that are documented are refused, and as documented."""

import collections
import pathlib

import pytest

from dlfd_jax.utils import runs
from experiments.publish import bad_inputs
from tests.bad_cases import case as case_lib, place

CASES = bad_inputs.all_cases()
RESULT = pathlib.Path(__file__).parents[3] / 'docs/results/bad_inputs.json'
QUICK = {'Commands', 'Training flags', 'Python', 'Run folders', 'npz files'}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  return place.build(tmp_path_factory.mktemp('bad') / 'template')


@pytest.fixture(scope='module')
def documented():
  return runs.read_object(RESULT)


def _key(outcome):
  return outcome['theme'], outcome['mistake']


def _check(cases, template, documented):
  """No fault; and the documented words, in the versions that wrote them."""
  known = {_key(o): o['said'] for o in documented['outcomes']}
  same = documented['versions'] == runs.versions()
  for outcome in bad_inputs.attempt_all(cases, template):
    found = outcome.as_dict()
    assert not outcome.faults, found
    if same:
      assert found['said'] == known[_key(found)]


def test_the_page_the_result_and_the_program_are_of_one_mind(documented):
  outcomes = documented['outcomes']
  assert [_key(o) for o in outcomes] == [(c.theme, c.mistake) for c in CASES]
  assert len({_key(o) for o in outcomes}) == len(outcomes) == (
      documented['tried'])
  assert len(outcomes) >= 150 and documented['otherwise'] == 0
  assert documented['distinct_sentences'] >= 150
  page = bad_inputs.PAGE.read_text('utf-8')
  assert bad_inputs.with_table(page, outcomes) == page


def test_themes_are_spread():
  counts = collections.Counter(case.theme for case in CASES)
  assert len(counts) >= 10 and min(counts.values()) >= 5


def test_a_case_that_is_not_refused_is_a_fault(template):
  fine = case_lib.Case('x', 'nothing is wrong', ('--version',))
  assert 'exit code 0' in case_lib.attempt(fine, template).faults
  changes = case_lib.Case('x', 'it writes first', call=lambda: (
      pathlib.Path('new').touch(), int('x')))
  faults = ' '.join(case_lib.attempt(changes, template).faults)
  assert 'changed on disk' in faults and 'does not say' in faults
  crash = case_lib.Case('x', 'it crashes', call=lambda: {}['x'])
  assert 'KeyError escaped' in case_lib.attempt(crash, template).faults[0]


def test_quick_mistakes_are_refused(template, documented):
  _check([c for c in CASES if c.theme in QUICK][::3], template, documented)


@pytest.mark.slow
def test_every_second_mistake_is_refused(template, documented):
  pytest.importorskip('torch', reason='needs the extra torch')
  _check(CASES[::2], template, documented)
