"""The notebooks: one first cell, right in its choices; every cell runs."""

import json
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from colab import runtime, show
from experiments.publish import colab_session, notebooks

# What is preinstalled in Colab, of what we require (November 2026).
_COLAB = {'jax': '0.7.2', 'flax': '0.11.2', 'numpy': '2.1.3',
          'matplotlib': '3.10.0', 'optax': '0.2.6'}


def _read(name):
  return (notebooks.FOLDER / f'{name}.ipynb').read_text('utf-8')


def _cells(name):
  return [cell for cell in json.loads(_read(name))['cells']
          if cell['cell_type'] == 'code']


def test_every_notebook_is_known():
  assert {path.stem for path in notebooks.FOLDER.glob('*.ipynb')} == set(
      notebooks.NAMES)


def test_first_cells_and_badges_have_the_one_address():
  url = colab_session.address()
  first = colab_session.FIRST.format(url)
  for name in notebooks.NAMES:
    assert ''.join(_cells(name)[0]['source']) == first
    assert (f'colab.research.google.com/github/{url.split("/", 3)[3]}/blob/main'
            f'/colab/{name}.ipynb') in _read(name)
    assert colab_session.addressed(_read(name), url) == _read(name)
  readme = (colab_session.ROOT / 'README.md').read_text('utf-8')
  assert colab_session.addressed(readme, url) == readme
  assert readme.count('/blob/main/colab/') == len(notebooks.NAMES)


def test_links_to_files_are_those_of_the_address_once_there_is_one():
  for name in notebooks.NAMES:
    text = colab_session.addressed(_read(name), 'https://github.com/OWNER/n')
    here = re.findall(r'\]\((\.\./[^)]*)\)', text)
    assert all((notebooks.FOLDER / path).is_file() for path in here)
    for place in ('a-b/c.d', 'e/f'):
      text = colab_session.addressed(text, f'https://github.com/{place}')
      assert '](../' not in text  # Colab takes them for its own pages
      assert text.count(f'](https://github.com/{place}/blob/main/') == len(here)


def test_another_address_is_written_everywhere():
  moved = colab_session.addressed(
      _read('quickstart'), 'https://github.com/a-b/c.d')
  assert "ADDRESS = 'https://github.com/a-b/c.d'" in moved
  assert '/github/a-b/c.d/blob/main/colab/quickstart.ipynb' in moved
  assert colab_session.addressed(
      moved, colab_session.address()) == _read('quickstart')
  with pytest.raises(ValueError, match='Expected url = https://github.com/'):
    colab_session.addressed(moved, 'https://example.org/a/b')


@pytest.mark.parametrize('place', ['.', 'colab', 'empty'])
def test_the_first_cell_finds_the_code_or_clones_it(
    place, tmp_path, monkeypatch):
  """With a checkout that has nothing but a runtime that notes its call."""
  checkout = tmp_path / ('origin' if place == 'empty' else 'here')
  (checkout / 'colab').mkdir(parents=True)
  (checkout / 'colab' / '__init__.py').touch()
  (checkout / 'colab' / 'runtime.py').write_text(
      'called = []\ndef prepare():\n  called.append(True)\n')
  start = tmp_path / 'empty' if place == 'empty' else checkout / place
  start.mkdir(exist_ok=True)
  git = ['git', '-c', 'user.name=n', '-c', 'user.email=e']
  if place == 'empty':
    for line in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'one']):
      subprocess.run([*git, *line], cwd=checkout, check=True)
  monkeypatch.chdir(start)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  for name in ('colab', 'colab.runtime'):
    monkeypatch.delitem(sys.modules, name)
  names = {}
  exec(colab_session.FIRST.format(f'file://{checkout}'), names)  # noqa: S102
  assert names['runtime'].called
  assert os.path.samefile(
      os.getcwd(), start / 'dlfd_jax' if place == 'empty' else checkout)


def test_colab_has_jax_and_flax_upgraded_and_keeps_its_numpy():
  needed = runtime.required()
  versions = {one.name: _COLAB.get(one.name) for one in needed}
  lacking = [one.name for one in runtime.unmet(needed, versions)]
  assert {'jax', 'flax', 'optax', 'ott-jax'} <= set(lacking)
  assert not {'numpy', 'matplotlib'} & set(lacking)
  asked = runtime.wanted(runtime.unmet(needed, versions), versions, 'cuda12')
  assert asked == [
      '--editable', f'{colab_session.ROOT}[cuda12]', 'numpy==2.1.3']
  versions['numpy'] = '1.26.4'
  asked = runtime.wanted(runtime.unmet(needed, versions), versions, '')
  assert asked == ['--editable', str(colab_session.ROOT)]


def test_plugins_of_another_jax_are_orphans():
  installed = [('jax', '0.11.2'), ('jax-cuda12-plugin', '0.7.2'),
               ('jax_cuda12_pjrt', '0.7.2'), ('flax', '0.12.8')]
  assert runtime.orphans(installed) == ['jax-cuda12-pjrt', 'jax-cuda12-plugin']
  assert not runtime.orphans(
      [('jax', '0.12.0.1'), ('jax_cuda12_pjrt', '0.12.0')])


def test_this_environment_lacks_nothing(capsys):
  runtime.prepare()
  assert re.fullmatch(
      r'Ready: jax [\d.]+, flax [\d.]+, numpy [\d.]+\.\n',
      capsys.readouterr().out)


@pytest.fixture
def pip(tmp_path, monkeypatch):
  """A session that lacks jax; its pip replaces one loaded module's file."""
  file = tmp_path / 'old_package.py'
  file.write_text('')
  loaded = types.ModuleType('old_package.part')
  loaded.__file__ = str(file)
  monkeypatch.setitem(sys.modules, loaded.__name__, loaded)
  monkeypatch.setattr(runtime, '_stale', set())
  real = runtime._versions
  found = {'jax': '0.7.2'}
  monkeypatch.setattr(
      runtime, '_versions', lambda needed: real(needed) | found)

  def run(command, **_):
    assert command[1:4] == ['-m', 'pip', 'install']
    found.clear()
    run.change()
    return types.SimpleNamespace(returncode=run.code, stderr='why not')

  run.code, run.change, run.file = 0, lambda: None, file
  monkeypatch.setattr(runtime.subprocess, 'run', run)
  return run


def test_it_goes_on_where_nothing_that_is_loaded_was_replaced(pip, capsys):
  runtime.prepare()
  said = capsys.readouterr().out
  assert 'Installing or upgrading (some minutes): jax 0.7.2.' in said
  assert 'Ready: jax' in said


@pytest.mark.parametrize('how', ['written anew', 'removed'])
def test_it_asks_for_a_restart_until_there_was_one(pip, how):
  def change():
    pip.file.unlink()
    if how == 'written anew':
      pip.file.write_text('new = True')

  pip.change = change
  for _ in range(2):
    with pytest.raises(runtime.SessionError, match=(
        'Restart the session.*: old_package.$')) as error:
      runtime.prepare()
    assert error.value._render_traceback_() == [str(error.value)]


def test_a_pip_that_fails_is_told(pip):
  pip.code = 1
  with pytest.raises(runtime.SessionError, match='why not\npip could not'):
    runtime.prepare()


def test_faces_are_side_by_side_in_rows():
  images = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones(
      (1, 2, 2, 3), np.uint8)
  shown = np.asarray(show.faces(images, columns=2, pixels=3).convert('RGB'))
  np.testing.assert_array_equal(
      shown[..., 0], np.kron([[0, 1], [2, 3]], np.ones((3, 3))))


def test_what_to_do_stands_out_from_the_answers():
  result = types.SimpleNamespace(answers=lambda: ['A? No.', 'B? Yes.', 'Stop.'])
  assert show.answers(result).data == '- A? No.\n- B? Yes.\n\n**Stop.**'


def test_a_page_is_shown_whole_and_apart(tmp_path):
  path = tmp_path / 'page.html'
  path.write_text('<b title="x">&amp;</b>')
  assert ('srcdoc="&lt;b title=&quot;x&quot;&gt;&amp;amp;&lt;/b&gt;"'
          in show.page(path).data)


@pytest.mark.parametrize('name', notebooks.NAMES)
def test_the_outputs_are_there_small_and_of_nobodys_machine(name):
  path = notebooks.FOLDER / f'{name}.ipynb'
  assert path.stat().st_size < 1_000_000
  outputs = [output for cell in _cells(name) for output in cell['outputs']]
  assert outputs
  text = json.dumps(outputs)
  for word in ('"error"', 'Traceback', 'Warning', '/home/', '/root/',
               'site-packages', '/tmp/'):
    assert word not in text, word


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow if name == 'quickstart' else
                 pytest.mark.long) for name in notebooks.NAMES])
def test_every_cell_runs_with_small_settings(name, tmp_path):
  done = subprocess.run(
      [sys.executable, '-m', 'experiments.publish.notebooks', '--quick',
       f'--notebooks={name}', f'--workdir={tmp_path}'],
      cwd=colab_session.ROOT, capture_output=True, text=True, check=False,
      env={**os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',
           'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'})
  assert done.returncode == 0, done.stderr[-3000:]
  assert f'{name}: ' in done.stdout
