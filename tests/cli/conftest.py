"""One trained original for all command-line tests."""

import pytest

from tests.cli import runs_of


@pytest.fixture(scope='session')
def faces(tmp_path_factory):
  return runs_of.write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='session')
def original(tmp_path_factory, faces):
  return runs_of.train_original(tmp_path_factory.mktemp('runs'), faces)
