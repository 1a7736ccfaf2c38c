"""The documents: their code runs, numbers, flags, links and messages hold."""

import importlib
import pathlib
import re
import shlex
import sys

import pytest
from absl import flags

import dlfd_jax
from dlfd_jax import presets
from dlfd_jax.cli import commands
from experiments.publish import command_line

_ROOT = pathlib.Path(__file__).parents[1]
_DOCS = sorted((_ROOT / 'docs').glob('*.md'))
_ALL = [*_DOCS, *(_ROOT / name for name in (
    'README.md', 'BUILD.md', 'CONTRIBUTING.md', 'docs/results/README.md'))]
_LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')


def _name(path):
  return path.name


def _tables(path):
  """(source, header, rows) of each table that names where it is from."""
  for source, table in re.findall(
      r'<!-- from: (\S+) -->\n((?:\|.*\n)+)', path.read_text('utf-8')):
    yield path.parent / source, _cells(table)


def _cells(table):
  lines = [[cell.strip() for cell in line.strip('|').split('|')]
           for line in table.strip().splitlines()]
  return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_numbers_are_those_of_the_results():
  found = 0
  for path in _DOCS:
    for source, rows in _tables(path):
      table, *_ = re.findall(  # the rows on all seeds come first
          r'^\| method .*\n(?:\|.*\n)+', source.read_text('utf-8'), re.M)
      known = {row['method']: row for row in _cells(table)}
      for row in rows:
        for column, cell in row.items():
          assert known[row['method']][column].removesuffix(' =').split(
              ' ±')[0] == cell, (
              path.name, row['method'], column)
        found += 1
  assert found >= 10


@pytest.mark.parametrize('path', _ALL, ids=_name)
def test_links_lead_somewhere(path):
  for link in _LINK.findall(path.read_text('utf-8')):
    if '://' in link or link.startswith('#'):
      continue
    target, _, heading = link.partition('#')
    assert (path.parent / target).exists(), link
    if heading:
      text = (path.parent / target).read_text('utf-8')
      slugs = [re.sub(r'[^a-z0-9 -]', '', line.lstrip('# ').lower()
                      ).replace(' ', '-')
               for line in text.splitlines() if line.startswith('#')]
      assert heading in slugs, link


def _python(path):
  return re.findall(r'```python\n(.*?)```', path.read_text('utf-8'), re.S)


def _lines(path):
  for block in re.findall(r'```sh\n(.*?)```', path.read_text('utf-8'), re.S):
    for line in block.replace('\\\n', ' ').splitlines():
      if found := re.match(
          r'(?:dlfd|python -m dlfd_jax|python -m experiments\.) ?(.+)', line):
        yield shlex.split(found[1], comments=True)


@pytest.mark.parametrize('path', _ALL, ids=_name)
def test_commands_have_only_flags_that_exist(path, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'my_methods.py').write_text('\n'.join(
      block for block in _python(_ROOT / 'docs' / 'extending.md')
      if 'class ShrinkConfig' in block))
  for name, *argv in _lines(path):
    found = (commands.COMMANDS[name].load() if name in commands.COMMANDS else
             importlib.import_module(f'experiments.{name}').COMMAND)
    values = flags.FlagValues()
    found.declare(values, argv)
    values([name, *argv])
    for flag in ('preset', 'tasks'):
      given = values[flag].value if flag in values else None
      known = {*presets.PRESETS, *re.findall(  # or in a file that it shows
          r'```yaml\n# (\S+)\n', path.read_text('utf-8'))}
      assert set([given] if isinstance(given, str) else given or ()) <= known


def test_the_tables_of_the_command_line_are_those_of_the_program():
  text = command_line.PAGE.read_text('utf-8')
  assert command_line.with_tables(text, command_line.methods_in(text)) == text
  assert 'dlfd' in command_line.methods_in(text)


def test_own_data_network_and_method_run(tmp_path, monkeypatch):
  blocks = _python(_ROOT / 'docs' / 'extending.md')
  network = blocks[1]
  (tmp_path / 'my_nets.py').write_text(network)
  monkeypatch.syspath_prepend(str(tmp_path))
  names = {'__name__': 'extending'}
  monkeypatch.setitem(sys.modules, 'extending', type(sys)('extending'))
  for block in blocks:
    exec(block, names)  # noqa: S102
  assert isinstance(names['result'], dlfd_jax.UnlearnResult)
  assert names['result'].stop == 'finished'
  assert names['result'].config['method'] == 'extending:ShrinkConfig'
  assert names['hinged'].findings['ceiling'] > 0
