"""The table of altered and exchanged files is true, and its page current."""

import pytest

from dlfd_jax.utils import records
from tests import chain_cases, grids

ARTEFACTS = tuple(dict.fromkeys(case.what for case in chain_cases.CASES))


def test_the_page_and_the_result_hold_every_case():
  found = records.read(chain_cases.RESULT)
  assert [(o['artefact'], o['situation']) for o in found['outcomes']] == [
      (case.what, case.situation) for case in chain_cases.CASES]
  assert found['otherwise'] == 0 and found['tried'] >= 55
  assert chain_cases.RESULT.with_suffix('.md').read_text(
      'utf-8') == chain_cases.markdown(found)


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  return chain_cases.build(tmp_path_factory.mktemp('chain') / 'runs')


@pytest.mark.parametrize('artefact', grids.some(ARTEFACTS[::-1], 3))
def test_every_situation_is_answered(artefact, template):
  for case in chain_cases.CASES:
    if case.what == artefact:
      code, said = chain_cases.attempt(case, template)
      assert chain_cases.holds(case, code, said), (case.situation, code, said)
