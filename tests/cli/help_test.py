"""Help fits the terminal, and shows what most need before everything."""

import re

import pytest
from absl import flags

from dlfd_jax.cli import commands, layout, options, unlearn
from experiments.paper import passes, sweep, table1, table2, table3

COMMANDS = {name: entry.load() for name, entry in commands.COMMANDS.items()}


def shown(capsys, monkeypatch, argv, width=80):
  monkeypatch.setenv('COLUMNS', str(width))
  assert commands.main(argv) == 0
  text = capsys.readouterr().out
  assert max(map(len, text.split('\n'))) <= width, argv
  assert not set(text) & set('\x1b\r\t')
  return text


def flags_in(text):
  return re.findall(r'^  (?:-h, )?--([\w-]+)',
                    text.partition('\nModels and folders:\n')[2], re.M)


@pytest.mark.parametrize('name', COMMANDS)
def test_every_line_fits_and_few_flags_come_first(name, capsys, monkeypatch):
  few = flags_in(shown(capsys, monkeypatch, [name, '--help']))
  every = flags_in(shown(capsys, monkeypatch, [name, '--help-all']))
  assert len(few) == len(set(few)) and len(every) == len(set(every))
  assert set(few) <= set(every) and {'help', 'help-all', 'config'} <= set(few)
  assert len(every) < 20 or 12 <= len(few) - 2 <= 20
  assert set(COMMANDS[name].most) <= set(few)  # none was renamed or misspelt
  for width in (60, 120):
    for flag in ('-h', '--help-all'):
      shown(capsys, monkeypatch, [name, flag], width)


@pytest.mark.parametrize('table', [
    passes.COMMAND, sweep.COMMAND, table1.COMMAND, table2.COMMAND,
    table3.COMMAND],
                         ids=lambda table: table.name)
def test_tables_show_few_flags_first_and_break_no_name(table, capsys):
  assert table.main(['-h']) == 0
  said = capsys.readouterr().out
  few = flags_in(said)
  assert set(table.most) <= set(few) and 12 <= len(few) - 2 <= 20
  if table is table1.COMMAND:
    for name in ('neggrad_plus', 'margin_matching'):
      assert f' {name},' in ' '.join(said.split())


@pytest.mark.parametrize('width', [60, 80, 120])
def test_the_list_of_commands_fits(width, capsys, monkeypatch):
  said = shown(capsys, monkeypatch, ['--help'], width)
  assert shown(capsys, monkeypatch, ['--help-all'], width) == said


@pytest.mark.parametrize('argv, said', [
    (['train', '-h'], r'--epochs=N .*\[25\]'),
    (['train', '-h', '--preset=london'], r'--epochs=N .*\[40\]'),
    (['unlearn', '-h', '--preset=demo', '--method=finetune'],
     r'--learning_rate=X .*\[0\.\d+\]'),
    (['evaluate', '-h'], r'--bootstrap=N .*\(default 2000\)'),
    (['train', '-h'], r'--on=NAME +who is trained on \(one of all, retain;')])
def test_values_that_would_hold_are_shown(argv, said, capsys, monkeypatch):
  assert re.search(said, shown(capsys, monkeypatch, argv))


def test_other_methods_have_their_flags_with_their_name(capsys, monkeypatch):
  own = shown(capsys, monkeypatch, ['unlearn', '--help-all'])
  assert '--perturb_steps=N' in own and '--alpha' not in own
  others = shown(capsys, monkeypatch,
                 ['unlearn', '--help-all', '--method=scrub'])
  assert '--alpha=X' in others and '--perturb_steps' not in others


def test_every_flag_says_what_it_does():
  for command in COMMANDS.values():
    values = flags.FlagValues()
    command.declare(values)
    assert all(values[name].help == ' ' or len(values[name].help) > 3
               for name in values)


@pytest.mark.parametrize('words', [
    ['--forget-people=2', '--forget-seed', '3'],
    ['--forget_people', '2', '--forget-seed=3']])
def test_hyphens_are_underscores(words, capsys):
  assert commands.main(['unlearn', *words, '--test-fraction=.2']) == 2
  assert 'got --test_fraction' in capsys.readouterr().err
  assert commands.main(['unlearn', *words]) == 2
  assert 'Expected --workdir to be given' in capsys.readouterr().err


def test_commands_may_be_typed_with_hyphens(capsys):
  assert commands.main(['export-weights']) == 2
  assert 'Expected --model to be given' in capsys.readouterr().err


def test_settings_are_shown_as_they_are_typed():
  for config in (unlearn.presets.own_config(),
                 unlearn.presets.PRESETS['london'].data,
                 *(c() for c in unlearn.methods.METHODS.values())):
    texts = options.texts_of(config)
    assert len(texts) > 5
    assert options.replaced(config, texts, 'it') == config


def test_long_names_and_texts_are_broken():
  text = layout.entry('x' * 90, 'y' * 90, 60)
  assert max(map(len, text.split('\n'))) <= 60
  assert text.count('x') == text.count('y') == 90


@pytest.mark.parametrize('given, method', [
    ([], 'dlfd_restore'), (['--preset=fgnet_age'], 'dlfd_restore'),
    (['--preset=mufac_age'], 'dlfd'), (['--preset=rafdb_emotion'], 'dlfd'),
    (['--preset=mufac_age', '--method=dlfd_restore'], 'dlfd_restore')])
def test_the_presets_of_the_paper_end_with_its_own_phases(
    given, method, capsys):
  assert unlearn.main([*given, '--help-all']) == 0
  said = capsys.readouterr().out
  assert ('--restore_epochs' in said) == (method == 'dlfd_restore')
  if not any(flag.startswith('--method') for flag in given):
    assert re.search(rf'\(default\s+{method}\)', said)
