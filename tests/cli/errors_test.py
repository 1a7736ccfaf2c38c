"""What an own network lacks is a sentence; the scripts are the commands.

What else a user can do wrong stands in ``tests.bad_cases``.
"""

import json
import re
import subprocess
import sys

import pytest

from dlfd_jax import presets
from dlfd_jax.cli import commands, train
from dlfd_jax.utils import runs
from tests.cli import runs_of


def test_a_network_without_features_is_refused(tmp_path, capsys):
  assert train.main([
      '--people=8', '--images_per_person=2', f'--workdir={tmp_path / "out"}',
      '--architecture=tests.models.own_nets:LogitsAlone']) == 2
  err = capsys.readouterr().err.strip()
  assert '`features` are missing' in err
  assert len(err.splitlines()) == 1 and not (tmp_path / 'out').exists()


MISSING = '--data is missing, so the faces are drawn.'


@pytest.mark.parametrize('argv, said', [
    ('train --labels=gender,age', f'one task of the drawn faces, .* {MISSING}'),
    ('train --root=faces', f'no --root with --data=synthetic: .* {MISSING}'),
    pytest.param('check --forget_classes=ann', rf"got \['ann'\]. {MISSING}",
                 marks=pytest.mark.slow),
    ('train --data=synthetic --labels=gender,age', r"'age'\]\.$"),
    ('train --preset=demo --labels=gender,age', r"'age'\]\.$"),
    ('train --epochs=x', r'at least 1\)\.$'),
    ('import_weights --weights=model.pth --labels=gender',
     'Expected --data to be given'),
    ('prepare --out=shards --shards=2', 'Expected --data to be given')])
def test_who_forgot_the_data_is_told(argv, said, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert commands.main([*argv.split(), *(
      [] if 'prepare' in argv else ['--workdir=out'])]) == 2
  assert re.search(said, capsys.readouterr().err.strip())
  assert not list(tmp_path.iterdir())


def test_data_read_otherwise_than_the_original_are_said_to_be_so(
    original, faces, tmp_path, capsys):
  assert commands.main([
      'unlearn', f'--original={original}', '--preset=demo', f'--data={faces}',
      '--image_size=32', '--forget_people=2', f'--workdir={tmp_path}/out']) == 2
  assert ('got data with other pixels, read with other options: image_size was '
          '12, is now 32. --allow' in capsys.readouterr().err)
  assert commands.main([
      'train', *runs_of.data_flags(faces)[:-1], '--image_size=16',
      *runs_of.NETWORK, *runs_of.RECIPE, '--on=all',
      f'--workdir={original}']) == 2
  assert 'options: image_size was 12, is now 16.' in capsys.readouterr().err


def test_an_option_that_an_earlier_version_did_not_know_is_not_blamed(
    original, faces, tmp_path, capsys):
  config = runs.read_json(original / runs.CONFIG)
  del config['data']['multilabel']
  (tmp_path / runs.CONFIG).write_text(json.dumps(config))
  assert commands.main([
      'train', *runs_of.data_flags(faces)[:-1], '--image_size=16',
      *runs_of.NETWORK, *runs_of.RECIPE, '--on=all',
      f'--workdir={tmp_path}']) == 2
  assert 'read with other options: image_size was 12, is now 16.' in (
      capsys.readouterr().err)


@pytest.mark.slow
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
