"""A user installs the wheel: demo, table and report run without a checkout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv
import zipfile

import numpy as np
import pytest

from tests import extending_test

BORROWED, FRESH = 'borrowed', 'fresh'
ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
  source, out = (tmp_path_factory.mktemp(name) for name in ('source', 'dist'))
  extending_test.copy(source)
  subprocess.run(
      [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps',
       '--no-build-isolation', '--wheel-dir', str(out), str(source)],
      check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
  found, = out.glob('*.whl')
  return found


@pytest.fixture(scope='module', params=[
    BORROWED, pytest.param(FRESH, marks=pytest.mark.long)])
def python(request, wheel, tmp_path_factory):
  """An interpreter with the wheel, as a user gets it or as quickly as can be.

  The fresh one has what pip brings for the wheel. The borrowed one has all else
  as it is here: a folder that a .pth names is searched, but its own .pth are
  not read, so that an editable installation of the checkout stays unseen.
  """
  home = tmp_path_factory.mktemp('venv')
  venv.create(home, symlinks=True)
  python = home / 'bin' / 'python'
  options = ['--no-compile']
  if request.param == BORROWED:
    place, = home.glob('lib/python*/site-packages')
    here = [path for path in sys.path if path.endswith('-packages')]
    (place / 'here.pth').write_text('\n'.join(here))
    options = ['--no-deps', '--no-index', '--ignore-installed']
  subprocess.run(
      [sys.executable, '-m', 'pip', '--python', str(python), 'install',
       '--quiet', *options, str(wheel)],
      check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
  if request.param == FRESH:  # none of what tests and extras need
    for name in ('pytest', 'torch', 'wandb'):
      assert not list(home.glob(f'lib/python*/site-packages/{name}'))
  return str(python)


def test_it_holds_what_runs_and_no_more(wheel):
  names = zipfile.ZipFile(wheel).namelist()
  packages = {name.split('/')[0] for name in names} - {
      wheel.name.rpartition('-py3')[0] + '.dist-info'}
  assert packages == {'dlfd_jax', 'experiments'}
  tracked = {str(path.relative_to(ROOT)) for path in (ROOT / 'dlfd_jax').rglob(
      '*') if path.is_file() and path.suffix not in ('.pyc',)}
  assert tracked <= set(names)
  assert 'experiments/paper/table1.py' in names
  assert not any('benchmarks' in name or 'tests/' in name for name in names)


def test_demo_table_and_report_run_from_it(python, tmp_path):
  shutil.copyfile(ROOT / 'tests/models/own_nets.py', tmp_path / 'net.py')
  rng = np.random.default_rng(0)
  labels = np.tile([0, 1], 60)  # of nobody known
  np.savez(tmp_path / 'mine.npz', smile=labels, images=(
      rng.integers(0, 100, (120, 12, 12, 3)) + 80 * labels[
          :, None, None, None]).astype(np.uint8))
  environment = {name: value for name, value in os.environ.items()
                 if name != 'PYTHONPATH'} | {
                     'JAX_PLATFORMS': 'cpu',
                     'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}

  def run(*words):
    found = subprocess.run(
        [python, *words], cwd=tmp_path, env=environment, check=False,
        capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert found.returncode == 0, found.stderr[-4000:]
    return found.stdout

  places = run('-c', 'import dlfd_jax, experiments as e; '
               'print(dlfd_jax.__file__, e.__file__)').split()
  home = pathlib.Path(python).parents[1]
  assert all(home in pathlib.Path(place).parents for place in places)
  tiny = ['--architecture=net.py:Own', '--epochs=1']
  run('-m', 'dlfd_jax', 'demo', *tiny, '--batch_size=256', '--workdir=demo')
  run('-m', 'dlfd_jax', 'report', '--evaluation=demo/evaluation',
      '--workdir=again')
  for folder in ('demo', 'again'):
    assert 'Forgotten?' in (
        tmp_path / folder / 'report.html').read_text('utf-8')
  said = run(
      '-m', 'experiments.paper.table1', *tiny, '--data=mine.npz',
      '--labels=smile', '--name=mine', '--split_by=image', '--image_size=16',
      '--methods=finetune', '--seeds=1', '--trials=2', '--bootstrap=20',
      '--workdir=runs', '--out=table')
  assert said.splitlines()[:2] == [
      'mine: 120 images, 16 x 16 px.', 'Images of mine.npz are 12 x 12 px and '
      'are resized to 16 x 16 (--image_size).']
  table = json.loads((tmp_path / 'table.json').read_text('utf-8'))
  assert {cell['task'] for cell in table['cells']} == {'mine'}
  assert table['cells'][-1]['metrics']['lira_auc_person']['value'] is None
  page = (tmp_path / 'table.md').read_text('utf-8')
  assert '## mine' in page and 'Fine-tuning' in page


pytestmark = pytest.mark.slow
