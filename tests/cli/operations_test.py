"""Rough environments: a sample of the table, each environment once."""

import os

import pytest

from tests.cli import operations


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  folder = tmp_path_factory.mktemp('operations')
  for parent in (folder, *folder.parents[:2]):  # another user reads it
    parent.chmod(parent.stat().st_mode | 0o555)
  return operations.build(folder / 'template')


@pytest.mark.slow
@pytest.mark.parametrize('environment, command', operations.pairs()[
    :len(operations.ENVIRONMENTS)])
def test_a_command_copes(environment, command, template):
  frame, _ = operations.ENVIRONMENTS[environment]
  if 'setpriv' in frame and os.geteuid():
    pytest.skip('only root can become another user')
  cache = template.parent / 'cache'
  cache.mkdir(exist_ok=True)
  found = operations.attempt(environment, command, template, cache)
  assert not found.faults, found
