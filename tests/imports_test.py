"""The structure of the package, read from its imports alone."""

import ast
import functools
import pathlib

import pytest

import dlfd_jax

ROOT = pathlib.Path(dlfd_jax.__file__).parent
FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob('*.py'))
# From the ground up: a layer imports the ones before it, never a later one.
LAYERS = ('utils', 'tasks', 'models', 'data', 'parallel', 'sinkhorn', 'ot',
          'checkpoint', 'training', 'predict', 'metrics', 'loop', 'together',
          'fit', 'evaluation', 'methods', 'presets', 'report', 'pipeline',
          'cli')
# Names that one place alone may import or mention.
ONLY = {'pmap': 'parallel.py', 'device_get': 'parallel.py',
        'orbax': 'checkpoint.py', 'print': 'cli/',
        'FLAGS': ('cli/', 'data/shards.py')}  # the latter for those of grain
# Layers of plain NumPy on the host, and the packages that they do not need.
ON_HOST = ('metrics/', 'evaluation/', 'report/')
OF_DEVICES = {'jax', 'flax', 'optax', 'ott', 'orbax', 'dlfd_jax.parallel',
              'dlfd_jax.checkpoint', 'dlfd_jax.training', 'dlfd_jax.loop',
              'dlfd_jax.together', 'dlfd_jax.fit', 'dlfd_jax.predict',
              'dlfd_jax.methods'}


@functools.cache
def tree(name):
  return ast.parse((ROOT / name).read_text('utf-8'))


def imported(name):
  """Every module or name that a file imports, inside functions too."""
  for node in ast.walk(tree(name)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def layer(module):
  """Place in LAYERS of ``dlfd_jax.<layer>...``; None for the API on top."""
  parts = module.split('.')
  if parts[0] != 'dlfd_jax' or len(parts) < 2 or parts[1].startswith('_'):
    return None
  return LAYERS.index(parts[1])


@pytest.mark.parametrize('name', FILES)
def test_imports_point_downwards(name):
  here = layer(f'dlfd_jax.{name.removesuffix(".py").replace("/", ".")}')
  if here is None:
    return
  above = [module for module in imported(name)
           if (layer(module) or 0) > here or module == 'dlfd_jax']
  assert not above


def test_no_module_imports_itself_in_a_circle():
  modules = {f'dlfd_jax.{name.removesuffix(".py").replace("/", ".")}'
             .removesuffix('.__init__'): name for name in FILES}

  def needs(name):
    for node in tree(name).body:
      if isinstance(node, ast.ImportFrom):
        for alias in node.names:
          whole = f'{node.module}.{alias.name}'
          found = whole if whole in modules else node.module
          if found in modules:
            yield found

  done, path = set(), []

  def visit(module):
    assert module not in path, ' -> '.join([*path, module])
    if module in done:
      return
    path.append(module)
    for other in needs(modules[module]):
      if other != module:
        visit(other)
    done.add(path.pop())

  for module in modules:
    visit(module)


@pytest.mark.parametrize('word', ONLY)
def test_only_one_place_says_it(word):
  said = set()
  for name in FILES:
    for node in ast.walk(tree(name)):
      words = (
          [node.id] if isinstance(node, ast.Name) else
          [node.attr] if isinstance(node, ast.Attribute) else
          [part for alias in node.names for part in alias.name.split('.')]
          if isinstance(node, ast.Import) else
          (node.module or '').split('.') if isinstance(node, ast.ImportFrom)
          else [])
      if word in words:
        said.add(name)
  assert [name for name in said if not name.startswith(ONLY[word])] == []


@pytest.mark.parametrize(
    'name', [name for name in FILES if name.startswith(ON_HOST)])
def test_layers_of_the_host_import_nothing_of_devices(name):
  for module in imported(name):
    parts = module.split('.')
    assert not {parts[0], '.'.join(parts[:2])} & OF_DEVICES, module
