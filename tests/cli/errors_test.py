"""A user's mistake: one sentence, a code that is not 0, nothing changed."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from dlfd_jax import presets
from dlfd_jax.cli import demo, evaluate, report, train, unlearn
from dlfd_jax.utils import runs
from tests.cli import runs_of


def _refused(main, argv, tmp_path, capsys, words):
  before = runs_of.tree(tmp_path)
  code = main(argv)
  err = capsys.readouterr().err.strip()
  assert code == 2
  assert words in err
  assert len(err.splitlines()) == 1 and 'Traceback' not in err
  assert runs_of.tree(tmp_path) == before
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('flags, words', [
    (['--no_such_flag=1'], 'Expected a flag of train, got --no_such_flag'),
    (['--preset=demo', 'word'], 'Expected flags only'),
    (['--preset=lfw_gender'], 'Expected --data'),
    (['--data=absent.npz', '--labels=x'], 'absent.npz'),
    (['--data=faces.txt', '--labels=x'], '.npz file, a .csv'),
    (['--epochs=0'], 'Expected epochs of at least 1'),
    (['--epochs=many'], 'Expected --epochs'),
    (['--learning_rate=-1'], 'learning_rate above 0'),
    (['--stem=large'], 'Expected stem in'),
    (['--devices=512'], 'Expected --devices of at most'),
    (['--batch_size=0'], 'batch_size'),
    (['--people=8', '--images_per_person=2', '--on=retain'],
     'Expected exactly one of'),
    (['--original=absent'], 'config.json'),
    (['--people=8', '--images_per_person=2',
      '--architecture=tests.models.own_nets:LogitsAlone'],
     '`features` are missing'),
])
def test_train_refuses(flags, words, tmp_path, capsys):
  _refused(train.main, [*flags, f'--workdir={tmp_path / "out"}'], tmp_path,
           capsys, words)


def test_every_command_needs_a_workdir_or_its_input(capsys):
  for main in (train.main, unlearn.main, evaluate.main, report.main):
    assert main([]) == 2
    assert 'to be given' in capsys.readouterr().err


def _unlearn(original, tmp_path, *flags):
  return [f'--original={original}', f'--workdir={tmp_path / "out"}', *flags]


@pytest.mark.parametrize('flags, words', [
    ([], 'Expected exactly one of'),
    (['--forget_people=3', '--forget_fraction=.5'], 'Expected exactly one of'),
    (['--forget_people=1000'], '1000'),
    (['--forget_identities=absent.txt'], 'absent.txt'),
    (['--forget_people=3', '--method=finetune', '--ot_weight=2'],
     'has no such field'),
    (['--forget_people=3', '--forget_threshold=high'], 'forget_threshold'),
    (['--forget_people=3', '--perturb_steps=0'], 'perturb_steps'),
    (['--forget_people=3', '--image_size=16'], 'Expected data for'),
])
def test_unlearn_refuses(flags, words, tmp_path, original, capsys):
  _refused(unlearn.main, _unlearn(original, tmp_path, *flags), tmp_path,
           capsys, words)


@pytest.mark.parametrize('text, words', [
    ('999\n', '999'), ('', 'Expected'), ('somebody\n', 'somebody')])
def test_unlearn_refuses_a_bad_list(text, words, tmp_path, original, capsys):
  (tmp_path / 'list.txt').write_text(text)
  _refused(unlearn.main, _unlearn(
      original, tmp_path, f'--forget_identities={tmp_path / "list.txt"}'),
      tmp_path, capsys, words)


def test_a_model_whose_split_nobody_knows_is_refused(
    tmp_path, original, faces, capsys):
  _refused(unlearn.main, [
      f'--original={original / "checkpoints" / "model"}',
      *runs_of.data_flags(faces), '--forget_people=3',
      f'--workdir={tmp_path / "out"}'], tmp_path, capsys,
      'Expected the split of')


def test_labels_out_of_range_are_refused(tmp_path, capsys):
  path = tmp_path / 'bad.npz'
  np.savez(path, images=np.zeros((4, 12, 12, 3), np.uint8),
           a=np.array([0, 1, 2, 0], np.int32), b=np.zeros(4, np.int32),
           identity=np.arange(4, dtype=np.int32))
  _refused(train.main, [
      f'--data={path}', '--labels=a,b', f'--workdir={tmp_path / "out"}'],
      tmp_path, capsys, 'Expected')


def test_a_foreign_folder_and_another_config_are_refused(
    tmp_path, original, faces, capsys):
  (tmp_path / 'theirs').mkdir()
  (tmp_path / 'theirs' / 'letter.txt').write_text('mine')
  _refused(train.main, [
      *runs_of.data_flags(faces), *runs_of.NETWORK,
      f'--workdir={tmp_path / "theirs"}'], tmp_path, capsys,
      'holds other files')
  before = runs_of.tree(original)
  assert train.main([
      *runs_of.data_flags(faces), *runs_of.NETWORK, '--epochs=7',
      f'--workdir={original}']) == 2
  assert 'train.epochs was 2, is now 7' in capsys.readouterr().err
  assert runs_of.tree(original) == before


def test_evaluate_refuses_what_is_no_unlearning_run(
    tmp_path, original, capsys):
  _refused(evaluate.main, [
      f'--original={original}', f'--unlearned={original}',
      f'--workdir={tmp_path / "out"}'], tmp_path, capsys,
      'Expected an unlearning run')
  _refused(report.main, [f'--evaluation={tmp_path / "none"}'], tmp_path,
           capsys, runs.RESULT)


def test_evaluate_refuses_a_split_without_a_forget_set(
    tmp_path, original, capsys):
  unlearned = tmp_path / 'unlearned'
  unlearned.mkdir()
  config = runs.read_json(original / runs.CONFIG)
  (unlearned / runs.CONFIG).write_text(
      json.dumps({**config, 'kind': 'unlearn'}))
  shutil.copy(original / runs.SPLITS, unlearned)
  _refused(evaluate.main, [
      f'--original={original}', f'--unlearned={unlearned}',
      f'--workdir={tmp_path / "out"}'], tmp_path, capsys,
      'Expected the split of an unlearning run')


@pytest.mark.parametrize('command', [
    train.COMMAND, unlearn.COMMAND, evaluate.COMMAND, report.COMMAND,
    demo.COMMAND], ids=lambda c: c.name)
def test_help_says_what_every_flag_does(command, capsys):
  assert command.main(['--help']) == 0
  lines = capsys.readouterr().out.splitlines()
  flags = [line for line in lines if line.startswith('  --')]
  assert len(flags) > 2
  assert all(len(line.split(': ', 1)[1]) > 3 for line in flags
             if ': ' in line)


def test_the_scripts_are_the_commands():
  out = subprocess.run(
      [sys.executable, '-m', 'experiments.report'], capture_output=True,
      text=True, check=False)
  assert out.returncode == 2
  assert 'Expected --evaluation to be given' in out.stderr


def test_presets_for_files_ask_for_the_file():
  for name, preset in presets.PRESETS.items():
    assert preset.about and set(preset.methods) >= {
        'dlfd', 'finetune', 'official_compat'}, name
