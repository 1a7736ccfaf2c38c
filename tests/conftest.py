"""Test settings: devices, threads, temporary files, counted compilations."""

import collections
import contextlib
import gc
import importlib.metadata
import os
import pathlib
import shutil
import tempfile

# Read when jax and the BLAS libraries are first imported, so set before them.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
# Tests make and remove a million files and folders: in memory, where there is
# room, that takes a tenth of the time. Whoever wants them elsewhere, or to look
# at them afterwards, sets TMPDIR.
_MEMORY = pathlib.Path('/dev/shm')
if ('TMPDIR' not in os.environ and _MEMORY.is_dir()
    and shutil.disk_usage(_MEMORY).free > 8 * 2**30):
  _temporary = tempfile.TemporaryDirectory(prefix='tests-', dir=_MEMORY)
  os.chmod(_temporary.name, 0o755)  # some run commands as another user
  os.environ['TMPDIR'] = _temporary.name  # workers and commands inherit it
  tempfile.tempdir = None
# Commands keep compiled programs in the user's cache folder: not the tests'.
# Workers share theirs: what one has compiled another reads.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _cache_home = tempfile.TemporaryDirectory()
  os.environ['XDG_CACHE_HOME'] = _cache_home.name
# To read a small program, unoptimised, takes as long as to compile it.
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '1'
# Most of the time goes to compiling, and this halves it: no fused kernels from
# MLIR, and one LLVM module a program. jaxlib aborts at a flag it does not know.
if importlib.metadata.version('jaxlib').startswith('0.10.'):
  os.environ['XLA_FLAGS'] = ' '.join((
      os.environ.get('XLA_FLAGS', ''), '--xla_cpu_use_fusion_emitters=false',
      '--xla_cpu_parallel_codegen_split_count=1')).strip()

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from jax.experimental.compilation_cache import compilation_cache  # noqa: E402

from dlfd_jax.utils import memo  # noqa: E402

NUM_DEVICES = 8  # the most that a test of "any number of devices" uses
LONGEST_FILES = (
    'colab_test.py', 'kill_test.py', 'contract_test.py',
    'architectures_test.py', 'all_architectures_test.py', 'hosts_test.py',
    'many_hosts_unlearn_test.py', 'many_hosts_test.py', 'docs_test.py',
    'dlfd_test.py')
MOST_MEMORY_MAPS = 20_000  # of a worker, before a module's tests
_COMPILED = '/jax/core/compile/backend_compile_duration'

jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', NUM_DEVICES)
# Processes that tests start are optimised.
jax.config.update('jax_disable_most_optimizations', True)

# The same examples on every machine, however slow; nothing is written.
hypothesis.settings.register_profile(
    'ci', derandomize=True, max_examples=25, deadline=None, database=None,
    suppress_health_check=list(hypothesis.HealthCheck))
hypothesis.settings.load_profile('ci')

# Tracing makes many objects that live as long as their program: looking through
# them again and again takes a twentieth of the time.
gc.set_threshold(20_000, 20, 100)

_listeners: list[collections.Counter] = []


@contextlib.contextmanager
def counted_compilations():
  """A ``Counter`` of XLA compilations by name; see ``count_compilations``."""
  counter: collections.Counter = collections.Counter()
  _listeners.append(counter)
  yield counter
  _listeners.remove(counter)


def _on_duration(event, duration, **metadata):
  del duration
  if event == _COMPILED:
    name = metadata.get('fun_name', '').removeprefix('jit(').removesuffix(')')
    for counter in _listeners:
      counter[name] += 1


jax.monitoring.register_event_duration_secs_listener(_on_duration)


@pytest.fixture
def count_compilations():
  """A context manager whose ``Counter`` counts XLA compilations by name.

  A pmapped function goes by jax's name for it, ``_fun``. Operations outside
  ``jit`` count too, under their own names.
  """
  return counted_compilations


def pytest_collection_modifyitems(items):
  """The longest first: at the end one would keep a single worker busy.

  In the contract all tests of a method come together: few programs are kept.
  """
  ranks = {name: rank for rank, name in enumerate(LONGEST_FILES)}

  def place(item):
    own = getattr(item, 'callspec', None)
    together = own and item.path.name == 'contract_test.py'
    return (ranks.get(item.path.name, len(ranks)),
            own.params.get('name', '') if together else '')

  items.sort(key=place)


@pytest.fixture(autouse=True)
def own_programs(request):
  """A test that counts compilations or replaces code shares no program."""
  clear = memo.clear if {'count_compilations', 'monkeypatch'} & set(
      request.fixturenames) else lambda: None
  clear()
  yield
  clear()


@pytest.fixture(scope='module', autouse=True)
def memory_maps():
  """Drops compiled programs before a worker runs out of memory maps.

  Each of them holds several, and Linux kills a process that asks for more than
  65,530 (``vm.max_map_count``).
  """
  yield
  maps = pathlib.Path('/proc/self/maps')
  if maps.exists() and maps.read_bytes().count(b'\n') > MOST_MEMORY_MAPS:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope='module')
def shared_compilations(tmp_path_factory):
  """For modules that start many runs of few programs: each is compiled once.

  All such modules share one cache; a hit in it still counts as a compilation.
  """
  folder = tmp_path_factory.getbasetemp() / 'compiled'
  settings = {'jax_compilation_cache_dir': str(folder),
              'jax_persistent_cache_min_compile_time_secs': 0.0,
              'jax_persistent_cache_min_entry_size_bytes': -1}
  before = {name: jax.config.values[name] for name in settings}

  def use(values):
    for name, value in values.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()

  use(settings)
  yield
  use(before)
