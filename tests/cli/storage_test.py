"""Everything in a bucket, on servers of S3 and Google's that run here."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from dlfd_jax.cli import commands, exit_codes
from dlfd_jax.pipeline import finished_runs
from dlfd_jax.utils import runs, storage
from tests import grids, processes, stores
from tests.cli import runs_of

ROOT = pathlib.Path(__file__).parents[2]
_STORES = {'s3': stores.s3, 'gs': stores.gcs}


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  """Where copies lie."""
  with pytest.MonkeyPatch.context() as patch:
    folder = tmp_path_factory.mktemp('cache')
    patch.setenv('XDG_CACHE_HOME', str(folder))
    yield folder / 'dlfd_jax/stores'


def _bucket(scheme, faces):
  """A URL, its server and its objects, among them data and runs."""
  with _STORES[scheme]() as (server, objects):
    url = f'{scheme}://{stores.BUCKET}'
    objects.put_file(str(faces), f'{stores.BUCKET}/faces.npz')
    assert _train(url, 'original', '--on=all') == 0
    assert commands.main(_unlearning(url, 'whole')) == 0
    yield url, server, objects


@pytest.fixture(scope='module')
def s3(cache, faces):
  yield from _bucket('s3', faces)


@pytest.fixture(scope='module')
def gs(cache, faces):
  yield from _bucket('gs', faces)


def _train(url, name, *flags):
  return commands.main([
      'train', *runs_of.data_flags(f'{url}/faces.npz'), *runs_of.NETWORK,
      *runs_of.RECIPE, '--devices=1', f'--workdir={url}/{name}', *flags])


def _unlearning(url, name):
  return ['unlearn', f'--original={url}/original', '--method=neggrad_plus',
          '--forget_fraction=0.25', '--learning_rate=0.001', '--epochs=4',
          '--checkpoint_seconds=0', '--devices=1', f'--workdir={url}/{name}']


def _read(objects, name):
  return json.loads(objects.cat_file(f'{stores.BUCKET}/{name}'))


def _steps(objects, name):
  """The log of a run without its times."""
  text = objects.cat_file(f'{stores.BUCKET}/{name}/metrics.jsonl').decode()
  return [{k: v for k, v in json.loads(line).items() if not k.endswith('_s')}
          for line in text.splitlines()]


def _below(objects, name=''):
  return sorted(path.removeprefix(f'{stores.BUCKET}/')
                for path in objects.find(f'{stores.BUCKET}/{name}'))


def _one_sentence(capsys):
  said = capsys.readouterr().err.strip().splitlines()[-1]
  assert said.startswith('error: Expected ')
  assert 'stores/copy' not in said
  return said


@pytest.mark.slow
@pytest.mark.parametrize('scheme', _STORES)
def test_the_whole_job_in_a_bucket(request, scheme, cache, capsys):
  url, _, objects = request.getfixturevalue(scheme)
  assert commands.main([
      'train', '--on=retain', f'--original={url}/original', '--devices=1',
      f'--splits={url}/whole/splits.npz', f'--workdir={url}/again']) == 0
  assert commands.main([
      'evaluate', f'--original={url}/original', f'--unlearned={url}/whole',
      f'--retrained={url}/again', '--devices=1',
      f'--workdir={url}/evaluation']) in exit_codes.DONE
  assert commands.main([
      'report', f'--evaluation={url}/evaluation', '--json']) == 0
  said = capsys.readouterr()
  assert json.loads(said.out.splitlines()[-1]) == {
      'report': f'{url}/evaluation/report.html',
      'key': f'{url}/evaluation/report_key.json'}
  assert 'stores/copy' not in said.out + said.err
  assert _read(objects, 'whole/config.json')['original_path'] == (
      f'{url}/original')
  assert _read(objects, 'evaluation/result.json')['models']['retrained'] == [
      f'{url}/again']
  for name in _below(objects):
    assert not name.endswith('.lock') and '.tmp' not in name
    if not name.endswith('commit_success.txt'):  # orbax says where it was
      assert b'stores/copy' not in objects.cat_file(f'{stores.BUCKET}/{name}')
  assert os.listdir(cache) == ['.lock']  # nothing of the data stays


@pytest.mark.slow
def test_images_beside_a_table_are_read_by_their_names(s3, tmp_path, capsys):
  url, _, objects = s3
  from PIL import Image
  lines = ['path,identity,shade']
  for i in range(16):
    Image.new('RGB', (8, 8), (16 * i,) * 3).save(tmp_path / f'{i}.png')
    objects.put_file(
        str(tmp_path / f'{i}.png'), f'{stores.BUCKET}/faces/a/{i}.png')
    lines.append(f'a/{i}.png,p{i // 2},{i % 2}')
  objects.pipe_file(f'{stores.BUCKET}/faces/table.csv',
                    '\n'.join(lines).encode())
  people = tmp_path / 'people.txt'
  people.write_text('p1\n')
  check = ['check', f'--data={url}/faces/table.csv', '--labels=shade',
           '--image_size=8', f'--forget_identities={people}']
  assert commands.main([*check, f'--workdir={url}/check']) == 0
  assert f'{url}/faces/table.csv' in capsys.readouterr().out
  assert 'check/check.html' in _below(objects)
  objects.rm_file(f'{stores.BUCKET}/faces/a/3.png')
  assert commands.main([*check, f'--workdir={url}/other']) == (
      exit_codes.USER_ERROR)
  assert f'got no file at {url}/faces/a/3.png' in _one_sentence(capsys)


# Ends the process without a word when its second checkpoint was sent, but not
# yet the file that makes it count.
_KILLED = """
import os, sys
from dlfd_jax.cli import commands
from dlfd_jax.utils import runs, storage
push, sums = storage.push, []
def dying(path, **more):
  sums.extend([path] * str(path).endswith('checkpoints/sha256.json'))
  if len(sums) == 2:
    os._exit(9)
  push(path, **more)
storage.push = dying
sys.exit(commands.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_killed_run_in_a_bucket_ends_like_one_that_was_not(s3):
  url, _, objects = s3
  killed = subprocess.run(
      [sys.executable, '-c', _KILLED, *_unlearning(url, 'killed')], cwd=ROOT,
      env={**os.environ, 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}, check=False)
  assert killed.returncode == 9
  assert 'killed/.lock' in _below(objects, 'killed')
  sums = _read(objects, 'killed/checkpoints/sha256.json')
  steps = {name.split('/')[3] for name in _below(
      objects, 'killed/checkpoints/loop/')}
  assert len(sums) == 1 and len(steps) == 2  # one was not sent whole
  assert commands.main(_unlearning(url, 'killed')) == 0
  assert _steps(objects, 'killed') == _steps(objects, 'whole')
  ends = [_read(objects, f'{name}/result.json')['weights']
          for name in ('killed', 'whole')]
  assert ends[0] == ends[1]
  assert 'killed/.lock' not in _below(objects, 'killed')


@pytest.mark.slow
def test_a_killed_evaluation_in_a_bucket_goes_on(s3, monkeypatch):
  url, _, objects = s3
  write, written = finished_runs.FinishedRuns._write, []

  def dying(self, folder, name, *more):
    write(self, folder, name, *more)
    written.append(name)
    if len(written) == 1:
      raise KeyboardInterrupt

  def evaluate():
    return commands.main([
        'evaluate', f'--original={url}/original', f'--unlearned={url}/whole',
        '--bootstrap=20', '--devices=1', f'--workdir={url}/judged'])

  monkeypatch.setattr(finished_runs.FinishedRuns, '_write', dying)
  with pytest.raises(KeyboardInterrupt):
    evaluate()
  kept, = (name for name in _below(objects, 'judged') if name.endswith('npz'))
  assert kept.startswith('judged/checkpoints/outputs-original')
  assert evaluate() in exit_codes.DONE
  assert written == ['outputs/original', 'outputs/unlearned']
  assert 'judged/result.json' in _below(objects, 'judged')
  assert not _below(objects, 'judged/checkpoints')


@pytest.mark.parametrize('step', grids.some(
    ['loop', 'sha256.json', 'result.json'], 3))
def test_a_network_that_goes_away_loses_nothing(
    s3, step, capsys, monkeypatch):
  url, server, objects = s3
  name = f'cut_{step}'
  push, times = storage.push, []

  def cut(path, **more):
    if path.name == step or (step == 'loop' and path.parent.name == step):
      times.append(path)
      if len(times) == (1 if step == 'result.json' else 2):
        server.stop()
    push(path, **more)

  with monkeypatch.context() as patch:
    patch.setattr(storage, 'push', cut)
    assert commands.main(_unlearning(url, name)) == exit_codes.USER_ERROR
  said = _one_sentence(capsys)
  assert f'Expected to write {url}/{name}/' in said
  assert 'the same command goes on.' in said
  # Nor is anything read meanwhile.
  assert commands.main(_unlearning(url, name)) == exit_codes.USER_ERROR
  assert 'Expected to read ' in _one_sentence(capsys)
  server.start()
  assert commands.main(_unlearning(url, name)) == 0
  assert _steps(objects, name) == _steps(objects, 'whole')
  assert (_read(objects, f'{name}/result.json')['weights']
          == _read(objects, 'whole/result.json')['weights'])


@pytest.mark.slow
def test_a_store_that_cannot_be_used_is_one_sentence(
    s3, tmp_path, capsys, monkeypatch):
  url, server, objects = s3
  before = _below(objects)

  def refused(*flags):
    assert commands.main([
        'train', *runs_of.data_flags(f'{url}/faces.npz'), *runs_of.NETWORK,
        '--on=all', *flags]) == exit_codes.USER_ERROR
    return _one_sentence(capsys)

  assert 'Expected the bucket s3://elsewhere to read s3://elsewhere/run' in (
      refused('--workdir=s3://elsewhere/run'))
  assert 'Expected s3://bucket/path, got s3://.' in refused('--workdir=s3://')
  assert 'got no file at s3://bucket/none.npz' in refused(
      f'--data={url}/none.npz', f'--workdir={url}/new')
  server.ask_for_permission(True)
  try:
    assert f'Expected the permission to read {url}' in refused(
        f'--workdir={url}/new')
  finally:
    server.ask_for_permission(False)
  with monkeypatch.context() as patch:
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
      patch.delenv(name)
    patch.setenv('AWS_CONFIG_FILE', str(tmp_path / 'none'))
    patch.setenv('AWS_SHARED_CREDENTIALS_FILE', str(tmp_path / 'none'))
    assert f'Expected credentials to read {url}' in refused(
        f'--workdir={url}/new')
  assert _below(objects) == before


@pytest.mark.slow
def test_a_run_in_a_bucket_is_for_one_process(s3, capsys):
  url, _, objects = s3
  lock = json.dumps({'host': 'elsewhere', 'pid': 1, 'token': 'x',
                     'time': 4e9}).encode()
  objects.pipe_file(f'{stores.BUCKET}/taken/.lock', lock)
  assert _train(url, 'taken', '--on=all') == exit_codes.USER_ERROR
  assert f'Expected {url}/taken for one process' in _one_sentence(capsys)
  assert _below(objects, 'taken') == ['taken/.lock']


@pytest.mark.long
def test_two_processes_write_a_run_into_a_bucket(s3, tmp_path):
  """Killed at a checkpoint and gone on with, it ends as on a disk."""
  url, _, objects = s3

  def both(workdir, until=None):
    address = processes.address()
    made = [processes.start(
        'dlfd_jax', 'train', *runs_of.data_flags(f'{url}/faces.npz'),
        *runs_of.NETWORK, '--batch_size=16', '--on=all', '--epochs=8',
        '--checkpoint_seconds=0', f'--workdir={workdir}', '--num_processes=2',
        f'--coordinator={address}', f'--process_id={i}') for i in range(2)]
    if until is not None:
      end = time.monotonic() + processes.PATIENCE_S
      while time.monotonic() < end and not until() and all(
          one.poll() is None for one in made):
        time.sleep(.05)
      made[0].send_signal(signal.SIGKILL)
      processes.ended(made)
      return
    said = processes.ended(made)
    assert {one.returncode for one in made} == {exit_codes.OK}, said

  saved = 'by_two/checkpoints/sha256.json'
  both(f'{url}/by_two', until=lambda: saved in _below(objects, 'by_two'))
  left = _below(objects, 'by_two')
  assert saved in left and 'by_two/result.json' not in left, left
  both(f'{url}/by_two')
  both(tmp_path / 'by_two')
  result = _read(objects, 'by_two/result.json')
  assert result['weights'] == runs.read_result(tmp_path / 'by_two')['weights']
  assert not [name for name in _below(objects, 'by_two') if 'lock' in name]
