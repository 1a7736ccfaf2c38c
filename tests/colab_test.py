"""The quickstart notebook: its versions are ours, and its cells run."""

import configparser
import json
import pathlib
import re
import subprocess
import sys

import pytest
from packaging import requirements
from packaging import utils

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_NOTEBOOK = _ROOT / 'colab' / 'quickstart.ipynb'


def _notebook():
  return json.loads(_NOTEBOOK.read_text())


def _code(notebook):
  return [''.join(cell['source']) for cell in notebook['cells']
          if cell['cell_type'] == 'code']


def test_the_first_cell_pins_every_dependency_inside_our_bounds():
  config = configparser.ConfigParser()
  config.read(_ROOT / 'setup.cfg')
  wanted = {}
  for line in config['options']['install_requires'].split('\n'):
    if line and not line.startswith('#'):
      requirement = requirements.Requirement(line)
      wanted[utils.canonicalize_name(requirement.name)] = requirement.specifier
  pins = dict(re.findall(r'([\w-]+)==([\w.]+)', _code(_notebook())[0]))
  pins = {utils.canonicalize_name(name): pin for name, pin in pins.items()}
  assert pins.keys() == wanted.keys()
  for name, specifier in wanted.items():
    assert specifier.contains(pins[name]), name


def test_the_notebook_is_kept_small():
  assert _NOTEBOOK.stat().st_size < 100_000


@pytest.mark.slow
def test_every_cell_runs_with_a_short_training(tmp_path):
  notebook = _notebook()
  cells = notebook['cells']
  install = next(c for c in cells if c['cell_type'] == 'code')
  cells.remove(install)  # the versions under test stay
  changes = {"CHECKOUT = '..'": f'CHECKOUT = {str(_ROOT)!r}',
             "pathlib.Path('runs/quickstart')":
                 f'pathlib.Path({str(tmp_path / "run")!r})',
             '--workdir={workdir}': '--workdir={workdir} --epochs=1 --width=4'}
  for old, new in changes.items():
    assert sum(old in code for code in _code(notebook)) == 1
    for cell in cells:
      cell['source'] = ''.join(cell['source']).replace(old, new)
  copy = tmp_path / 'quickstart.ipynb'
  copy.write_text(json.dumps(notebook))
  run = subprocess.run(
      [sys.executable, '-c', 'from nbclient import cli; cli.main()',
       '--inplace', str(copy)],
      capture_output=True, text=True, check=False)
  assert run.returncode == 0, run.stderr[-3000:]
  outputs = [output for cell in json.loads(copy.read_text())['cells']
             for output in cell.get('outputs', ())]
  pictures = [o for o in outputs if o['output_type'] == 'display_data']
  assert len(pictures) == 4
