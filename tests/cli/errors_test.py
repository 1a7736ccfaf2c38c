"""Commands say what their flags do; what an own network lacks is a sentence.

What else a user can do wrong stands in ``tests.bad_cases``.
"""

import subprocess
import sys

import pytest

from dlfd_jax import presets
from dlfd_jax.cli import demo, evaluate, report, train, unlearn


def test_a_network_without_features_is_refused(tmp_path, capsys):
  assert train.main([
      '--people=8', '--images_per_person=2', f'--workdir={tmp_path / "out"}',
      '--architecture=tests.models.own_nets:LogitsAlone']) == 2
  err = capsys.readouterr().err.strip()
  assert '`features` are missing' in err
  assert len(err.splitlines()) == 1 and not (tmp_path / 'out').exists()


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
