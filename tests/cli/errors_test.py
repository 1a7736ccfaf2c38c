"""What an own network lacks is a sentence; the scripts are the commands.

What else a user can do wrong stands in ``tests.bad_cases``.
"""

import subprocess
import sys

from dlfd_jax import presets
from dlfd_jax.cli import train


def test_a_network_without_features_is_refused(tmp_path, capsys):
  assert train.main([
      '--people=8', '--images_per_person=2', f'--workdir={tmp_path / "out"}',
      '--architecture=tests.models.own_nets:LogitsAlone']) == 2
  err = capsys.readouterr().err.strip()
  assert '`features` are missing' in err
  assert len(err.splitlines()) == 1 and not (tmp_path / 'out').exists()


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
