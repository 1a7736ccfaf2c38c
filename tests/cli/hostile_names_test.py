"""What a name may hold reaches neither a terminal nor a file as it is."""

import contextlib
import csv
import io
import logging
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from absl import logging as absl_logging

from dlfd_jax.cli import command, commands, screen
from dlfd_jax.report import render, tables
from dlfd_jax.utils import text, validate
from tests.bad_cases import edits, place

ODD = {
    'colour': '\x1b[8m', 'clipboard': '\x1b]52;c;ZWNobyB4\x07',
    'C1': '\x9b2J', 'bell': '\x07', 'return': 'x\rerror: fine',
    'backspace': 'a\b\b', 'NUL': 'a\0b', 'override': '\u202egnp.exe',
    'isolate': '\u2066a\u2069', 'zero width': 'a\u200bb', 'mark': '\ufeffa',
    'tag': 'a\U000e0041', 'line separator': 'a\u2028b', 'half': 'a\ud800'}
_RAW = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069\ufeff'
    '\ud800-\udfff\U000e0000-\U000e007f]')


def _clean(written, most=20_000):
  assert not _RAW.search(written), _RAW.search(written)
  assert len(written) < most


@pytest.mark.parametrize('name', ODD)
def test_a_shown_text_has_no_codes_and_stays_when_shown_again(name):
  shown = text.visible(f'Ann{ODD[name]}Zo\u00eb \u0646\u200c\u0645\t\n')
  _clean(shown)
  assert text.visible(shown) == shown and 'Ann' in shown
  assert shown.endswith('Zo\u00eb \u0646\u200c\u0645\t\n')


@pytest.mark.parametrize('name', ODD)
def test_nothing_that_a_command_writes_passes_codes_on(name, capfd):
  odd = ODD[name]

  def execute(values, line):
    print('printed', odd)
    print('error', odd, file=sys.stderr)
    absl_logging.warning('absl %s', odd)
    logging.getLogger('jax').warning('jax %s', odd)
    screen.console().print(f'rich {odd}')
    progress = command.Progress()
    progress({'event': 'begin', 'title': f'bar {odd}', 'state': ''})
    progress({'event': 'end'})
    raise ValueError(f'Expected no {odd}.')

  assert command.Command(
      'hostile', 'x', lambda values: None, execute).main([]) == 2
  out, err = capfd.readouterr()
  for stream in (out, err):
    _clean(stream)
  assert all(word in out for word in ('printed', 'rich', 'bar'))
  assert err.splitlines()[-1].startswith('error: Expected no')


def test_a_traceback_shows_codes(capsys, monkeypatch):
  monkeypatch.setattr(sys, 'excepthook', None)

  def execute(values, line):
    raise KeyError('a') from RuntimeError('b\x1b[2J\x9b8m')

  with pytest.raises(KeyError) as caught:
    command.Command('hostile', 'x', lambda values: None, execute).main([])
  sys.excepthook(KeyError, caught.value, caught.tb)
  said = capsys.readouterr().err
  assert r'RuntimeError: b\x1b[2J\x9b8m' in said
  _clean(said)


def test_rich_still_draws_on_a_terminal(monkeypatch):
  monkeypatch.setenv('TERM', 'xterm')
  monkeypatch.setenv('COLUMNS', '100')
  monkeypatch.delenv('NO_COLOR', raising=False)

  def execute(values, line):
    progress = command.Progress()
    progress({'event': 'begin', 'title': 'a\x1b[8mb', 'state': ''})
    print('c\x1b]52;c;eA==\x07d')
    progress({'event': 'end'})

  ours, theirs = pty.openpty()
  with open(theirs, 'w', encoding='utf-8') as terminal, (
      contextlib.redirect_stdout(terminal)):
    assert command.Command(
        'hostile', 'x', lambda values: None, execute).main([]) == 0
  seen = b''
  with contextlib.suppress(OSError):  # the other end is closed
    while data := os.read(ours, 4096):
      seen += data
  os.close(ours)
  assert b'\x1b[?25l' in seen  # rich hides the cursor
  assert b'a\\x1b[8mb' in seen and b'\x1b[8m' not in seen
  assert b'c\\x1b]52;c;eA==\\x07d' in seen and b'\x1b]' not in seen


@pytest.mark.parametrize('long', ['x' * 10**6, 'a b ' * 250_000, '\x1b' * 10**6,
                                  ', '.join(f'name{i}' for i in range(10_000))])
def test_sentences_are_bounded(long, capsys):
  def execute(values, line):
    print(f'note {long}')
    raise ValueError(f'Expected a name, got {long!r} in line 3.')

  assert command.Command(
      'hostile', 'x', lambda values: None, execute).main(['--json']) == 2
  out, err = capsys.readouterr()
  note, said = err.splitlines()
  assert len(note) <= 4000 and note.startswith('note ')
  assert len(said) <= 2020 and len(out) < 6 * 2020
  assert said.startswith('error: Expected a name') and said.endswith('line 3.')


def test_lists_in_messages_are_visible_and_short():
  _clean(validate.listed([*ODD.values(), 'x' * 10**6], 20), 20 * 170)


# What a command can be given, by the odd text in it.
def _csv(old, new):
  return lambda odd: edits.replace('photos/faces.csv', old, new.format(odd))()


def _entry(odd):
  edits.arrays('faces.npz', ('smile',), **{
      odd.replace('\0', '\x1b'): lambda _=None: np.zeros(3)})()


def _tensor(odd):
  state = safetensors.numpy.load_file('weights.safetensors')
  state[odd] = np.zeros(3, np.float32)
  safetensors.numpy.save_file(state, 'weights.safetensors')


_PHOTOS = ('train --data=photos/faces.csv --image_size=16 --width=2 '
           '--stem=small --workdir=out --labels=smile')
_IMPORT = ('import_weights --weights=weights.safetensors --data=faces.npz '
           '--labels=smile --image_size=16 --width=2 --stem=small '
           '--workdir=out')
REFUSED = {
    'identity': (_PHOTOS, _csv('person11', '"{}"')),
    'column': (_PHOTOS + ' --labels=laugh', _csv('age,', '"{}",')),
    'label': (_PHOTOS + ' --labels=laugh', _csv('smile,', '"{}",')),
    'value': (_PHOTOS, _csv('person11,1', 'person11,"{}"')),
    'part': (_PHOTOS, _csv('test', '"{}"')),
    'image': (_PHOTOS, _csv('23.png', '"{}.png"')),
    'tensor': (_IMPORT, _tensor),
    'head_classes': (_IMPORT + ' --head_classes={}', None),
    'state': (_IMPORT + ' --state={}', None),
    'mean': (_IMPORT + ' --mean={}', None),
    'data': ('train --data={} --labels=x --workdir=out', None),
    'class_names': (_PHOTOS + ' --class_names={},b', None),
    'workdir': ('report --evaluation={} --workdir=out', None),
    'flag': ('train --{}=1', None),
    'command': ('{}', None),
    'method': ('unlearn --original=original --forget_people=2 --workdir=out '
               '--method={}', None),
    'model': (_IMPORT + ' --model={}:Net', None),
    'names': ('compare --evaluations=evaluation,again --names={},b '
              '--workdir=out', lambda odd: os.symlink('evaluation', 'again')),
    'request_id': ('report --evaluation=evaluation --workdir=out '
                   '--request_id={}', None),
    'forget': ('unlearn --original=original --workdir=out '
               '--forget_identities=people.txt',
               lambda odd: edits.write('people.txt', odd.encode(
                   'utf-8', 'surrogateescape'))()),
}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  return place.build(tmp_path_factory.mktemp('hostile') / 'template')


@pytest.mark.parametrize('where', REFUSED)
def test_a_name_in_any_place_is_refused_or_shown(
    where, template, tmp_path, monkeypatch, capfd):
  line, edit = REFUSED[where]
  for odd in (ODD['clipboard'] + ODD['C1'] + ODD['override'], 'y' * 100_000):
    folder = tmp_path / str(len(odd))
    subprocess.run(['cp', '-r', str(template), str(folder)], check=True)
    monkeypatch.chdir(folder)
    if edit is not None:
      edit(odd)
    code = commands.main([word.format(odd) for word in line.split()])
    out, err = capfd.readouterr()
    assert code == 2, (out, err)
    for stream in (out, err):
      _clean(stream, 1000)
    assert len(err.splitlines()) == 1 and 'Traceback' not in err


FORMULAS = ['=cmd|" /C calc"!A0', '+1+cmd', '-2+3', '@SUM(A1)', '\t=1', ' =1',
            '\uff1d1', '=HYPERLINK("http://x")']


@pytest.mark.parametrize('name', FORMULAS)
def test_a_cell_of_a_table_is_no_formula(name):
  cell, = next(csv.reader(io.StringIO(render.csv_text([[name]]))))
  assert cell == f"'{text.visible(name)}"
  number, = next(csv.reader(io.StringIO(render.csv_text([['-1.5e-3']]))))
  assert float(number) == -1.5e-3


@pytest.mark.parametrize('odd', [
    '\x1b[2J', '\u202eb', '<script>', '[a](javascript:x)', '![a](http://x)',
    '\\|<b>', '$\\frac$', '\\input{x}', '_a', '{% raw %}', '{{ 7 * 7 }}'])
def test_a_name_of_a_column_is_plain_in_every_notation(odd):
  table = tables.Table('t', (odd,), ())
  for write in (render.to_markdown, render.to_csv, render.to_latex):
    written = write(table)
    _clean(written)
    assert '<script' not in written or write is not render.to_markdown
  written = render.to_markdown(table)
  assert not re.search(r'(?<!\\)\[[^]]*\]\(', written)
  assert '\\input' not in render.to_latex(table)


@pytest.mark.slow
def test_names_that_are_accepted_are_shown_on_screen_and_pages(
    template, tmp_path, monkeypatch, capfd):
  """Marks of direction are part of names, and spreadsheets read reports."""
  folder = tmp_path / 'here'
  shutil.copytree(template, folder)
  monkeypatch.chdir(folder)
  names = {'person11': '\u202eAnn', 'person10': '=1+1',
           'person09': '<b>Zo\u00eb',
           'person08': '$x$ [a](http://b) ' + 'n' * 3000}
  for old, new in names.items():
    text = (folder / 'photos/faces.csv').read_text('utf-8')
    (folder / 'photos/faces.csv').write_text(text.replace(old, new), 'utf-8')
  edits.write('people.txt', '\n'.join(f'person0{i}' for i in range(3)))()
  data = ['--data=photos/faces.csv', '--labels=smile', '--image_size=16']
  assert commands.main([
      'check', *data, '--forget_identities=people.txt', '--width=2',
      '--repeats=0', '--stem=small', '--workdir=checked']) == 0
  assert commands.main([
      'import_weights', *data, '--weights=weights.safetensors', '--width=2',
      '--stem=small', '--allow_unverified', '--workdir=imported']) == 0
  shutil.copytree('evaluation', 'second')
  edits.fields('second/config.json', 'models', {'unlearned': '0' * 64})()
  assert commands.main([
      'compare', '--evaluations=evaluation,second', '--workdir=compared',
      '--allow_unverified', '--names==1+1 <b>,$x$ [a](http://b)']) == 0
  assert commands.main(['report', '--evaluation=evaluation',
                        '--request_id==1 <b>', '--workdir=reported']) == 0
  for stream in capfd.readouterr():
    _clean(stream, 30_000)
  for page in (p for made in ('checked', 'compared', 'reported')
               for p in pathlib.Path(made).rglob('*')):
    if page.suffix in ('.md', '.csv', '.tex', '.html', '.svg'):
      written = page.read_text('utf-8')
      _clean(written, 10**7)
      assert '<b>' not in written or page.suffix in ('.csv', '.tex')
      assert not re.search(r'(?<!\\)\[a\]\(', written) or page.suffix != '.md'
  table = pathlib.Path('compared/comparison.csv').read_text('utf-8')
  assert ",'=1+1 <b>," in table and ',=' not in table
