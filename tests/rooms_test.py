"""The rules of the package's rooms, read from its source."""

import ast
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
# Files whose code runs inside steps, where nothing may be read by the host.
STEPS = ('train.py', 'ot.py', 'data/augment.py', 'methods/perturb.py',
         'models/conv.py', 'models/heads.py', 'models/norm.py',
         'models/layers.py', 'models/resnet.py', 'models/densenet.py',
         'models/efficientnet.py', 'models/vit.py')


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


@pytest.mark.parametrize('name', STEPS)
def test_steps_read_nothing_on_the_host(name):
  calls = [node.func for node in ast.walk(_tree(name))
           if isinstance(node, ast.Call)]
  read = [ast.unparse(call) for call in calls
          if ast.unparse(call) in ('float', 'np.asarray', 'np.array')
          or ast.unparse(call).endswith('.item')]
  assert read == []
