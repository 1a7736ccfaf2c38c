"""Tests of methods start many runs of few, tiny programs.

Compiling is nearly all of their time, so each program is compiled once, and
without the costlier optimisations of machine code.
"""

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

_SETTINGS = {
    'jax_disable_most_optimizations': True,
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_persistent_cache_min_entry_size_bytes': -1,
}


@pytest.fixture(scope='package', autouse=True)
def shared_compilations(tmp_path_factory):
  """A compilation cache for this folder; a hit still counts as compilation."""
  settings = {**_SETTINGS, 'jax_compilation_cache_dir': str(
      tmp_path_factory.mktemp('compiled'))}
  before = {name: jax.config.values[name] for name in settings}
  for values in (settings, before):
    for name, value in values.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()
    if values is settings:
      yield
