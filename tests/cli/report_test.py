"""``report``: what the command line adds to an evaluation's own words."""

import pytest

from dlfd_jax.cli import report
from dlfd_jax.utils import runs
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
