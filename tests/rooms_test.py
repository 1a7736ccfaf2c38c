"""The rules of the package's rooms, read from its source."""

import ast
import functools
import pathlib

import pytest

import dlfd_jax

ROOT = pathlib.Path(dlfd_jax.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py'))
# Later rooms may import earlier ones, never the other way round.
ROOMS = ('tasks', 'models', 'data', 'ot', 'parallel', 'checkpoint', 'train',
         'loop', 'evaluation', 'methods', 'report', 'cli')
# Names that one file alone may say, by what it may say.
ONLY = {'pmap': ['parallel.py'], 'device_get': ['parallel.py'],
        'orbax': ['checkpoint.py'], 'print': ['cli/']}
# Files that see no device array: they import nothing that makes one.
ON_HOST = tuple(
    name for name in FILES if name.startswith(('evaluation/', 'report/'))
    or name.startswith('data/') and name not in (
        'data/augment.py', 'data/feed.py'))
DEVICE_ROOMS = {'jax', 'flax', 'optax', 'ott', 'orbax', 'parallel',
                'checkpoint', 'train', 'loop', 'fit', 'predict', 'inference',
                'methods'}
# Calls that wait for the device and copy if their argument lies there ...
READERS = ('float', 'int', 'bool', 'complex', 'np.asarray', 'np.array',
           'np.ascontiguousarray', 'jax.device_get')
READING_METHODS = ('item', 'tolist', '__array__')
# ... and all such calls, each on a number or an array of the host. `parallel`
# reads devices itself.
READS = {
    'checkpoint.py': ['int(code[1])', 'np.ascontiguousarray(leaf)'],
    'cli/check.py': ['bool(stored)'],
    'cli/evaluation_facts.py': [
        'bool(splits.by_person)', 'float(np.mean(timed))',
        'dataset.sample_id[forget].tolist()'],
    'cli/expected_cost.py': [
        'int(_STEP_S * a_second / (3 * (perturb_steps + 2)))'],
    'cli/inputs.py': [
        'dataset.sample_id[indices].tolist()',
        'float(accuracy.accuracy(dataset.task, predictor(placed, rows).logits, '
        'dataset.labels[rows]).value)'],
    'cli/options.py': ['int(value)', 'float(text)'],
    'cli/weights.py': ['float(text)'],
    'data/augment.py': [
        'bool(self.shift or self.scale or self.rotate)',
        'bool(self.brightness or self.contrast or self.saturation)'],
    'hosts.py': [
        'np.asarray(flags, np.int32)', 'bool(flag)',
        'int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))',
        'np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8)',
        'np.asarray(multihost_utils.process_allgather('
        'np.frombuffer(digest, np.uint8)))'],
    'inference.py': ['np.asarray(images)'],
    'loop.py': [
        'int(parallel.fetch_scalar(sitting.state.skipped))',
        'int(rows.sum())'],
    'methods/dlfd_released.py': [
        'np.asarray(config.mean, np.float32)',
        'np.asarray(config.std, np.float32)', 'np.asarray(retain_sizes)',
        'np.asarray(pair, np.int32)', 'int(pair[number])', 'pair.tolist()'],
    'methods/monitor.py': [
        'float(accuracy.accuracy(self._task, logits[rows], '
        'self._labels[rows]).value)', 'float(mia)',
        'float(2 * abs(mia - 0.5))', 'float(attack.auc(-forget, -val))',
        'float(forget.mean())', 'float(val.mean())',
        'float(forget.mean() - val.mean())'],
    'methods/rewind.py': [
        'np.array([weight / share[key] for key, weight in '
        'zip(keys[self._val], other, strict=True)])',
        'float(self._rows(variables, self._forget).mean())',
        'float(np.average(self._rows(variables, self._val), '
        'weights=self._weights))'],
    'models/__init__.py': ['np.asarray(leaf)'],
    'models/efficientnet.py': ['int(wanted + 4)'],
    'models/torch_weights.py': [
        'np.asarray(state[name], np.float32)', 'np.asarray(leaf)',
        'np.ascontiguousarray(_to_ours(value, value.ndim))',
        'np.ascontiguousarray(_to_theirs(leaves[path]))'],
    'predict.py': ['np.asarray(indices)'],
    'relearn.py': [
        'np.asarray(forget)',
        'float(accuracy.mean_of_ratios(self._tries - wrong, self._tries))'],
    'validate.py': ['np.asarray(values)'],
}


@functools.cache
def _tree(name):
  return ast.parse((ROOT / name).read_text('utf-8'))


def _words(tree):
  """Every name, attribute and imported module that code mentions."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Name):
      yield node.id
    elif isinstance(node, ast.Attribute):
      yield node.attr
    elif isinstance(node, ast.Import):
      yield from (part for alias in node.names
                  for part in alias.name.split('.'))
    elif isinstance(node, ast.ImportFrom):
      yield from (node.module or '').split('.')


def _room(module):
  """Place of a module in ROOMS; None for the ground and for packages."""
  parts = module.removeprefix('dlfd_jax.').split('.')
  return ROOMS.index(parts[0]) if parts[0] in ROOMS else None


def _imports(name):
  """Modules of the package that a file imports when it is imported."""
  for node in _tree(name).body:
    if isinstance(node, ast.ImportFrom) and (
        node.module or '').startswith('dlfd_jax'):
      for alias in node.names:
        yield f'{node.module}.{alias.name}'


@pytest.mark.parametrize('name', FILES)
def test_imports_point_downwards(name):
  here = _room(f'dlfd_jax.{name.removesuffix(".py").replace("/", ".")}')
  if here is None:
    return
  above = [module for module in _imports(name)
           if (_room(module) or 0) > here]
  assert not above


@pytest.mark.parametrize('word', ONLY)
def test_only_one_room_says_it(word):
  said = [name for name in FILES if word in set(_words(_tree(name)))]
  allowed = ONLY[word]
  assert [name for name in said if not name.startswith(tuple(allowed))] == []
  assert said  # the rule still has an object


def _reads(source):
  """Calls in a source that would read a device array if they were given one."""
  for node in ast.walk(ast.parse(source)):
    if not isinstance(node, ast.Call):
      continue
    called = ast.unparse(node.func)
    if called in READERS or called.rpartition('.')[2] in READING_METHODS:
      yield ast.unparse(node)
    if called.rpartition('.')[2] == 'map' and (
        ast.unparse(node.args[0]) in READERS):
      yield ast.unparse(node)


@pytest.mark.parametrize(
    'name', sorted(set(FILES) - set(ON_HOST) - {'parallel.py'}))
def test_no_device_array_is_read_but_by_fetch(name):
  found = _reads((ROOT / name).read_text('utf-8'))
  assert set(found) == set(READS.get(name, []))


@pytest.mark.parametrize('planted', [
    "float(metrics['loss'])", 'np.asarray(state.params)', 'int(state.step)',
    'state.step.item()', 'logits.tolist()', 'jax.device_get(state)',
    'bool(new.skipped)', 'jax.tree.map(np.asarray, state)'])
def test_the_rule_finds_a_planted_read(planted):
  for name in ('loop.py', 'methods/dlfd.py', 'methods/monitor.py', 'fit.py'):
    source = (ROOT / name).read_text('utf-8') + f'\nfound = {planted}\n'
    assert set(_reads(source)) - set(READS.get(name, [])) == {planted}


@pytest.mark.parametrize('name', ON_HOST)
def test_rooms_of_the_host_import_nothing_of_devices(name):
  imported = set()
  for node in ast.walk(_tree(name)):
    if isinstance(node, ast.Import):
      imported |= {alias.name.split('.')[0] for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      module = (node.module or '').split('.')
      imported |= ({alias.name for alias in node.names}
                   if module == ['dlfd_jax'] else {module[0], *module[1:2]})
  assert not imported & DEVICE_ROOMS
