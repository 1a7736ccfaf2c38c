"""The notebooks: versions are ours, outputs fit, cells run."""

import configparser
import json
import os
import re
import subprocess
import sys

import pytest
from packaging import requirements, utils

from experiments.publish import notebooks

_ROOT = notebooks.FOLDER.parent


def _cells(name):
  text = (notebooks.FOLDER / f'{name}.ipynb').read_text('utf-8')
  return [cell for cell in json.loads(text)['cells']
          if cell['cell_type'] == 'code']


def test_every_notebook_is_known():
  assert {path.stem for path in notebooks.FOLDER.glob('*.ipynb')} == set(
      notebooks.NAMES)


@pytest.mark.parametrize('name', notebooks.NAMES)
def test_the_first_cell_pins_every_dependency_inside_our_bounds(name):
  config = configparser.ConfigParser()
  config.read(_ROOT / 'setup.cfg')
  wanted = {}
  for line in config['options']['install_requires'].split('\n'):
    if line and not line.startswith('#'):
      requirement = requirements.Requirement(line)
      wanted[utils.canonicalize_name(requirement.name)] = requirement.specifier
  pins = dict(re.findall(
      r'([\w-]+)(?:\[[^]]*\])?==([\w.]+)', ''.join(_cells(name)[0]['source'])))
  pins = {utils.canonicalize_name(name): pin for name, pin in pins.items()}
  assert pins.keys() == wanted.keys()
  for package, specifier in wanted.items():
    assert specifier.contains(pins[package]), package


@pytest.mark.parametrize('name', notebooks.NAMES)
def test_the_outputs_are_there_small_and_of_nobodys_machine(name):
  path = notebooks.FOLDER / f'{name}.ipynb'
  assert path.stat().st_size < 700_000
  outputs = [output for cell in _cells(name) for output in cell['outputs']]
  assert outputs
  text = json.dumps(outputs)
  for word in ('"error"', 'Traceback', 'Warning', '/home/', '/root/',
               'site-packages', '/tmp/'):
    assert word not in text, word


@pytest.mark.slow
@pytest.mark.parametrize('name', notebooks.NAMES)
def test_every_cell_runs_with_small_settings(name, tmp_path):
  done = subprocess.run(
      [sys.executable, '-m', 'experiments.publish.notebooks', '--quick',
       f'--notebooks={name}', f'--workdir={tmp_path}'],
      cwd=_ROOT, capture_output=True, text=True, check=False, env={
          **os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
          'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'})
  assert done.returncode == 0, done.stderr[-3000:]
  assert f'{name}: ' in done.stdout
