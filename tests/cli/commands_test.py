"""The command line as a whole: its list, its codes, its output for programs."""

import json
import subprocess
import sys

import jax
import pytest

import dlfd_jax
from dlfd_jax.cli import command, commands, exit_codes


def test_without_a_command_the_list_is_shown(capsys):
  assert commands.main([]) == 0
  text = capsys.readouterr().out
  assert all(f'  {name} ' in text for name in commands.COMMANDS)
  assert all(f'  {code} ' in text for code in exit_codes.MEANINGS)
  assert commands.main(['--version']) == 0
  assert dlfd_jax.__version__ in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys):
  assert commands.main(['unlern', '--workdir=x']) == 2
  out = capsys.readouterr()
  assert "got 'unlern'. Did you mean unlearn?" in out.err and not out.out


@pytest.mark.parametrize('name', commands.COMMANDS)
def test_every_command_is_found_under_its_name(name, capsys):
  assert commands.main([name, '--help']) == 0
  assert f'dlfd {name} ' in capsys.readouterr().out


def test_the_module_is_the_command_line():
  out = subprocess.run(
      [sys.executable, '-m', 'dlfd_jax', 'report', '--json'],
      capture_output=True, text=True, check=False)
  assert out.returncode == 2
  found = json.loads(out.stdout)
  assert found['exit_code'] == 2 and '--evaluation' in found['error']
  assert found['error'] in out.stderr


def _small(execute):
  return command.Command('small', 'Does little.', lambda values: None, execute)


def test_json_is_alone_on_stdout(capsys):
  lines = []

  def execute(values, line):
    lines.append(line)
    print('for people')
    return {'answer': 42}

  assert _small(execute).main(['--json']) == 0
  out = capsys.readouterr()
  assert json.loads(out.out) == {'answer': 42} and 'for people' in out.err
  assert lines == ['python -m dlfd_jax small --json']
  assert _small(execute).main([]) == 0
  assert capsys.readouterr().out == 'for people\n'


@pytest.mark.parametrize('error, code', [
    (ValueError('Expected\nless.'), exit_codes.USER_ERROR),
    (command.Stop(exit_codes.INTERRUPTED, 'Expected less.'),
     exit_codes.INTERRUPTED)])
def test_a_failure_is_json_too(error, code, capsys):
  def execute(values, line):
    raise error

  assert _small(execute).main(['--json']) == code
  found = json.loads(capsys.readouterr().out)
  assert found == {'error': 'Expected less.', 'exit_code': code}


def test_an_unknown_flag_is_json_too(capsys):
  assert _small(lambda values, line: None).main(['--json', '--no_such=1']) == 2
  assert 'no_such' in json.loads(capsys.readouterr().out)['error']


def test_a_recorded_line_can_be_pasted():
  lines = []
  words = _small(lambda values, line: lines.append(line))
  words = command.Command(
      'small', 'x', lambda values: command.flags.DEFINE_string(
          'data', '', 'x', flag_values=values), words.execute)
  assert words.main(['--data=my faces']) == 0
  assert lines == ["python -m dlfd_jax small '--data=my faces'"]


def test_splitting_a_cpu_in_use_is_refused(tmp_path, capsys):
  jax.local_devices()
  assert commands.main(
      ['demo', '--cpu_devices=2', f'--workdir={tmp_path / "run"}']) == 2
  assert '--cpu_devices in a process of its own' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()
