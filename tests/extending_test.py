"""A method and a metric of one's own, as docs/extending.md says."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from dlfd_jax.cli import evaluate, report, train, unlearn
from dlfd_jax.utils import runs
from tests import grids
from tests.cli import runs_of

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'extending.md').read_text('utf-8')
METHOD, = re.findall(
    r'```python\n([^`]*\nclass ShrinkConfig.*?)```', PAGE, re.S)
METRIC, = re.findall(r'```python\n([^`]*\nBRIER = .*?)```', PAGE, re.S)
REGISTRATION, = re.findall(r"`('shrink': [^`]*)`", PAGE)
LINE = "    'rewind': 'rewind:RewindConfig',\n"
# What goes over all registered methods, of the quick tests.
TESTS = ['tests/properties/settings_test.py', 'tests/cli/options_test.py',
         'tests/docs_text_test.py', 'tests/experiments/tables_test.py',
         *(f'tests/methods/{name}_test.py' for name in (
             'base', 'contract', 'devices', 'held_out', 'own_method'))]
FAST = ['--epochs=1', '--batch_size=16']


def titles_of_table(folder, *flags):
  """Rows of the paper's first table, with one seed of few drawn faces."""
  subprocess.run(
      [sys.executable, '-m', 'experiments.paper.table1', '--tasks=demo',
       '--people=30', '--images_per_person=4', '--image_size=16',
       '--architecture=tests.models.own_nets:Own',
       '--epochs=1', '--seeds=1', '--trials=2', '--bootstrap=20',
       f'--out={folder}/table', f'--workdir={folder}/runs', *flags],
      check=True, capture_output=True, text=True, env=environment())
  return [cell['title'] for cell in json.loads(
      (folder / 'table.json').read_text('utf-8'))['cells']]


def environment(root=ROOT):
  return {**os.environ, 'PYTHONPATH': str(root), 'JAX_PLATFORMS': 'cpu'}


def copy(folder):
  """The files of the project, without what git ignores."""
  names = subprocess.run(
      ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
      cwd=ROOT, capture_output=True, text=True, check=False).stdout.split('\0')
  if not names[0]:
    pytest.skip('needs a checkout')
  for name in names:
    if (ROOT / name).is_file():
      (folder / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copyfile(ROOT / name, folder / name)


@pytest.mark.long
def test_a_method_is_one_file_and_one_line(tmp_path):
  copy(tmp_path)
  (tmp_path / 'dlfd_jax' / 'methods' / 'shrink.py').write_text(METHOD)
  registry = tmp_path / 'dlfd_jax' / 'methods' / '__init__.py'
  text = registry.read_text('utf-8')
  assert LINE in text
  registry.write_text(text.replace(LINE, f'{LINE}    {REGISTRATION}\n'))
  out = subprocess.run(
      [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider',
       '-m', 'not slow and not long',
       '-k', 'shrink or not (contract_test or devices_test)',
       *TESTS],
      cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
      check=False)
  assert out.returncode == 0, out.stdout[-4000:]
  original = runs_of.train_original(tmp_path, runs_of.write_data(tmp_path))
  result = subprocess.run(
      [sys.executable, '-m', 'dlfd_jax', 'unlearn', '--json', '--method=shrink',
       '--shrink=0.5', f'--original={original}', '--forget_people=3', *FAST,
       f'--workdir={tmp_path / "shrunk"}'],
      cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
      check=True)
  assert json.loads(result.stdout)['method'] == 'shrink'
  config = runs.read_json(tmp_path / 'shrunk' / runs.CONFIG)['config']
  assert (config['shrink'], config['noise']) == (.5, .01)


@pytest.fixture
def own(tmp_path, monkeypatch):
  """A folder with a method and a metric, and the text that names the one."""
  (tmp_path / 'my_methods.py').write_text(METHOD)
  (tmp_path / 'my_metrics.py').write_text(METRIC)
  monkeypatch.chdir(tmp_path)
  return 'my_methods.py:ShrinkConfig'


def change(file):
  """Edits a file of one's own; a later process would import it anew."""
  with open(file, 'a', encoding='utf-8') as text:
    text.write('\n# changed')
  for name in [name for name in sys.modules
               if name.startswith(f'{pathlib.Path(file).stem}_')]:
    del sys.modules[name]


@pytest.mark.parametrize('wrapped', grids.some([True, False], 2))
def test_a_method_in_a_file_of_its_own(own, wrapped, tmp_path, capsys):
  original = runs_of.train_original(tmp_path, runs_of.write_data(tmp_path))
  named = ([f'--method={own}'] if not wrapped else
           ['--method=rewind', f'--rewind_of={own}'])
  command = [*named, '--shrink=0.5', f'--original={original}',
             '--forget_people=3', *FAST, '--workdir=shrunk']
  assert unlearn.main(command) == 0
  config = runs.read_json('shrunk/config.json')['config']
  assert (config['method'] if wrapped else config)['shrink'] == .5
  assert unlearn.main(command) == 0  # finished: the same run
  assert train.main(['--on=retain', f'--original={original}',
                     '--splits=shrunk/splits.npz', '--workdir=retrained']) == 0
  judging = [f'--original={original}', '--unlearned=shrunk',
             '--retrained=retrained', '--bootstrap=20',
             '--metrics=my_metrics.py:BRIER', '--workdir=evaluation']
  capsys.readouterr()
  assert evaluate.main(judging) == 0
  assert 'Brier score, test' in ' '.join(capsys.readouterr().out.split())
  change('my_metrics.py')
  assert report.main(['--evaluation=evaluation']) == 0  # needs no file of it
  page = pathlib.Path('evaluation', runs.REPORT).read_text('utf-8')
  assert 'ShrinkConfig' in page and 'Brier score, test' in page
  capsys.readouterr()
  assert evaluate.main(judging) == 2  # it is another metric now
  assert 'brier_test' in capsys.readouterr().err
  change('my_methods.py')
  assert unlearn.main(command) == 2  # it is another method now
  assert 'own_code.ShrinkConfig differs' in capsys.readouterr().err
  assert unlearn.main([*named, '--help-all']) == 0
  text = capsys.readouterr().out
  assert '--shrink=X  ' in text and 'factor of every original weight' in text
  assert '--perturb_steps' not in text  # of others
  assert unlearn.main([*command, '--perturb_steps=2']) == 2
  assert 'Expected no --perturb_steps: the method' in capsys.readouterr().err


@pytest.mark.long
def test_a_table_has_a_row_for_a_method_in_a_file_of_its_own(own, tmp_path):
  assert titles_of_table(
      tmp_path, f'--methods=finetune,{own}', '--tracker=tensorboard',
      '--metrics=my_metrics.py:BRIER')[-2:] == [
          'Fine-tuning', 'Shrink and perturb']
  rows = [line.split('|') for line in (tmp_path / 'table.md').read_text(
      'utf-8').splitlines() if line.startswith('| ')]
  column = [cell.strip() for cell in rows[0]].index('Brier score, test')
  assert all(0 < float(row[column].split('=')[0]) < 2
             for row in rows[1:3] + rows[4:])
  told = sorted((tmp_path / 'runs' / 'tracked').iterdir())
  assert len(told) == 4 + 2 * 2  # rows, and trials of both methods
  for folder in told:
    data = b''.join(path.read_bytes() for path in (
        folder / 'tensorboard').iterdir())
    assert (b'score' if 'trial' in folder.name else b'brier_test') in data


def test_a_field_that_hides_another_flag_is_refused(tmp_path, capsys):
  (tmp_path / 'hiding.py').write_text(METHOD.replace('noise', 'original'))
  assert unlearn.main([f'--method={tmp_path}/hiding.py:ShrinkConfig']) == 2
  assert 'got --original: name another one' in capsys.readouterr().err
