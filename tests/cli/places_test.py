"""Paths in stored files lead to the same files from wherever one types."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil

import pytest

from dlfd_jax.cli import commands
from dlfd_jax.pipeline import evaluation_result
from dlfd_jax.utils import places, runs
from tests.bad_cases import place as template_of
from tests.cli import runs_of


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  return template_of.build(tmp_path_factory.mktemp('places') / 'template')


@pytest.fixture
def project(template, tmp_path):
  """Project P, and Q beside it with other faces under the same names."""
  for name in 'PQ':
    shutil.copytree(template, tmp_path / name)
  shutil.copy(tmp_path / 'Q/other.npz', tmp_path / 'Q/faces.npz')
  return tmp_path


def _check(folder, project):
  """The config that ``check`` writes, started in a folder."""
  out, err = io.StringIO(), io.StringIO()
  with (contextlib.chdir(folder), contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err)):
    code = commands.main([
        'check', f'--original={project}/original', '--forget_people=2',
        '--repeats=0', '--workdir=out'])
  if code:
    return err.getvalue()
  return runs.read_json(pathlib.Path(folder, 'out', runs.CONFIG))


@pytest.mark.slow
def test_a_run_reads_its_own_data_from_wherever_it_is_named(project):
  own = runs.read_config(project / 'P/original', 'train')['fingerprint']
  found = _check(project / 'Q', '../P')
  assert found['fingerprint'] == own
  assert found['data']['source'] == '../../P/faces.npz'
  assert _check(project, 'P')['fingerprint'] == own


def test_a_moved_project_finds_its_own_data_or_says_what_is_missing(project):
  own = runs.read_config(project / 'P/original', 'train')['fingerprint']
  (project / 'P').rename(project / 'R')
  assert _check(project / 'Q', '../R')['fingerprint'] == own
  (project / 'R/faces.npz').unlink()
  shutil.rmtree(project / 'Q/out')
  said = _check(project / 'Q', '../R')
  assert '../R/faces.npz, found none' in said and '--data names' in said
  assert not (project / 'Q/out').exists()


def test_a_report_takes_no_log_of_another_project(project):
  record = {'models': {'unlearned': '../unlearned', places.KEY: places.HERE}}
  for name in 'PQ':
    (project / name / 'unlearned' / runs.METRICS).write_text(
        json.dumps({'event': name, 'step': 1}) + '\n')
    result = project / name / 'unlearned' / runs.RESULT
    result.write_text(json.dumps({
        'kind': 'unlearn', 'stop': 'finished', 'steps': 1, 'selected_step': 1,
        'reason': '', 'findings': {}, 'history': [], 'time': {},
        'log_lines': 1}))
  with contextlib.chdir(project / 'Q'):
    found = evaluation_result.EvaluationResult(
        record=record, config={}, folder=pathlib.Path('../P/evaluation'))
    assert found._history()[0]['event'] == 'P'
    (project / 'P/unlearned' / runs.METRICS).unlink()
    with pytest.raises(ValueError, match='Expected 1 lines in .*got no file'):
      found._history()
    record['models'].pop(places.KEY)  # an earlier version: typed somewhere
    assert found._history() is None


@pytest.mark.parametrize('path, expected', [
    ('faces.npz', '../../faces.npz'), ('runs/a', '../a'), ('..', '../../..'),
    ('/data/faces.npz', '/data/faces.npz'), ('~/faces', '~/faces')])
def test_a_path_comes_back_through_links_and_moves(path, expected, tmp_path):
  real = tmp_path / 'project'
  (real / 'runs/b').mkdir(parents=True)
  (tmp_path / 'link').symlink_to(real / 'runs')
  with contextlib.chdir(real):
    for run in ('runs/b', tmp_path / 'link/b'):
      assert places.stored(path, run) == expected
      assert os.path.normpath(places.found(expected, run)) == (
          os.path.normpath(path))


def test_names_of_data_are_no_paths():
  config = {'data': {'source': 'synthetic', 'root': None},
            'original_path': None}
  kept = places.config_stored(config, 'runs/a')
  assert kept == {**config, places.KEY: places.HERE}
  assert places.config_found(kept, 'runs/a') == kept


def test_a_config_of_an_earlier_version_is_as_it_was_typed():
  config = {'data': {'source': 'faces.npz'}, 'original_path': 'runs/a'}
  assert places.config_found(config, '/elsewhere') == config


@pytest.mark.parametrize('damage, words', [
    (lambda run: (run / runs.METRICS).unlink(), 'lines in .*got no file'),
    (lambda run: (run / runs.METRICS).write_text(
        (run / runs.METRICS).read_text().partition('\n')[0] + '\n'),
     'lines in .*got 1: put the whole log back'),
    (lambda run: shutil.rmtree(run / 'checkpoints/model'),
     'Expected a saved model'),
    (lambda run: next((run / 'checkpoints/model/variables').rglob(
        'd/*')).write_bytes(b'x'), 'altered or is not whole')])
def test_a_finished_run_that_lost_a_part_does_not_report_success(
    damage, words, original, faces, tmp_path, capsys):
  copy = tmp_path / 'original'
  shutil.copytree(original, copy)
  argv = ['train', *runs_of.data_flags(faces), *runs_of.NETWORK,
          *runs_of.RECIPE, '--on=all', f'--workdir={copy}']
  assert commands.main(argv) == 0
  damage(copy)
  capsys.readouterr()
  assert commands.main(argv) == 2
  assert re.search(words, capsys.readouterr().err)
