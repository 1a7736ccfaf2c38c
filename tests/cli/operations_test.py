"""Rough environments: the written table, and a sixth of them once."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from tests.cli import operations


def test_the_written_table_is_whole_and_without_a_fault():
  written = json.loads(operations.RESULT.read_text('utf-8'))
  outcomes = [operations.Outcome(**o) for o in written['outcomes']]
  assert {(o.environment, o.command) for o in outcomes} <= set(
      operations.pairs())
  assert len(outcomes) == written['tried'] and not written['faults']
  assert not [o for o in outcomes if o.faults]
  page = operations.RESULT.with_suffix('.md').read_text('utf-8')
  assert page == operations.markdown(written)


@pytest.fixture(scope='module')
def template():
  with tempfile.TemporaryDirectory() as name:  # pytest's own are private
    folder = pathlib.Path(name)
    folder.chmod(0o755)
    yield operations.build(folder / 'template')


@pytest.mark.long
@pytest.mark.parametrize(
    'environment, command', operations.pairs()[:len(operations.ENVIRONMENTS)])
def test_a_command_copes(environment, command, template):
  frame, _ = operations.ENVIRONMENTS[environment]
  if operations.OTHER in frame:
    if os.geteuid():
      pytest.skip('only root can become another user')
    if subprocess.run(
        [*operations.OTHER.split(), sys.executable, '-c',
         f'import os, jax; os.listdir({str(template)!r})'],
        check=False).returncode:
      pytest.skip('another user cannot read this environment')
  cache = template.parent / 'cache'
  cache.mkdir(exist_ok=True)
  found = operations.attempt(environment, command, template, cache)
  assert not found.faults, found
