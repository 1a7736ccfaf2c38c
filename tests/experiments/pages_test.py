"""The committed pages are what today's programs write of the committed JSON."""

import functools
import importlib.util
import pathlib
import re

import pytest

from dlfd_jax.utils import runs, writes
from experiments.paper import faces_table, formats, table1_page
from tests.bad_cases import __main__ as bad_cases

_ROOT = pathlib.Path(__file__).parents[2]
_RESULTS = _ROOT / 'docs' / 'results'


def _page_of(module):
  return lambda result: importlib.import_module(module).markdown(result)


_TITLES = {
    'table1': 'Table 1: methods side by side',  # of earlier versions
    **{kind: importlib.import_module(f'experiments.paper.{kind}').TITLE
       for kind in ('table2', 'table3')}}
PAGES = {
    **{kind: functools.partial(formats.markdown, title=title)
       for kind, title in _TITLES.items()},
    **{kind: _page_of(f'experiments.{module}') for kind, module in {
        'against_torch': 'benchmarks.against_torch',
        'attack_speed': 'benchmarks.attack_speed',
        'command_seconds': 'benchmarks.command_seconds',
        'copies': 'benchmarks.copies', 'coverage': 'benchmarks.coverage',
        'dlfd_variants': 'benchmarks.dlfd_variants',
        'loss_tail': 'benchmarks.loss_tail',
        'benchmark': 'benchmarks.suite', 'ot_bias': 'benchmarks.ot_bias',
        'fakes': 'benchmarks.fakes', 'honest': 'benchmarks.honest',
        'judged': 'benchmarks.judged',
        'live_thresholds': 'benchmarks.live_thresholds',
        'new_user': 'benchmarks.new_user',
        'requests_in_a_row': 'benchmarks.requests_in_a_row',
        'small_requests': 'benchmarks.small_requests',
        'planted': 'benchmarks.planted',
        'profiles': 'benchmarks.profiles',
        'report_size': 'benchmarks.report_size',
        'shadowed': 'benchmarks.shadowed',
        'sharded_data': 'benchmarks.sharded_data',
        'teachers': 'benchmarks.teachers',
        'transport_scaling': 'benchmarks.transport_scaling',
        'checks': 'publish.check_page', 'demo_seeds': 'publish.demo_seeds',
        'notebooks': 'publish.notebooks',
        'verdict_rates': 'benchmarks.verdict_rates'}.items()},
    'comparison': table1_page.markdown,
    'passes': _page_of('experiments.paper.passes'),
    'kills': _page_of('tests.slow.kill'),
    'chain': _page_of('tests.chain_cases'),
    'operations': _page_of('tests.cli.operations'),
    'mutations': _page_of('tests.mutations'), 'faces': faces_table.markdown,
    'bad_inputs': bad_cases.markdown}


def _results():
  for path in sorted(_RESULTS.glob('*.json')):
    result = runs.read_json(path)
    if path.with_suffix('.md').is_file():
      yield pytest.param(path, result, id=path.stem)


@pytest.mark.parametrize('path, result', list(_results()))
def test_a_committed_page_is_that_of_its_result(path, result):
  assert PAGES[result['kind']](result) == path.with_suffix('.md').read_text(
      'utf-8')
  of = table1_page if result['kind'] == 'comparison' else formats
  for ending, write in (('.csv', of.to_csv), ('.tex', of.latex)):
    if path.with_suffix(ending).is_file():
      assert write(result) == path.with_suffix(ending).read_text('utf-8')


@pytest.mark.parametrize('path', sorted(_RESULTS.glob('*.json')),
                         ids=lambda path: path.stem)
def test_a_program_may_write_a_committed_page_anew(path):
  writes.check_ours(path)


def test_every_module_that_a_document_runs_is_there():
  texts = [path.read_text('utf-8') for path in (
      *_ROOT.glob('*.md'), *(_ROOT / 'docs').rglob('*.md'),
      *_RESULTS.glob('*.json'))]
  modules = {name for text in texts for name in re.findall(
      r'python -m ((?:dlfd_jax|experiments|tests)(?:\.[a-z0-9_]+)*)\b', text)}
  assert len(modules) > 15
  missing = [name for name in modules
             if importlib.util.find_spec(name) is None]
  assert not missing
