"""Tests of methods start many runs of few, tiny programs."""

import pytest


@pytest.fixture(scope='module', autouse=True)
def compiled_once(shared_compilations):
  """Compiling is nearly all of their time, so each program is compiled once."""
