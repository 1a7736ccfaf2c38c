"""What commands read: progress while pixels are decoded."""

import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image
from rich import console as rich_console

from dlfd_jax.cli import command, inputs
from dlfd_jax.data import sources
from dlfd_jax.pipeline import job
from tests.data.tfds import layouts


def manifest(root):
  for k in range(3):
    Image.fromarray(np.full((8, 8, 3), 80 * k, np.uint8)).save(
        root / f'{k}.png')
  (root / 'a.csv').write_text('path,identity,smile\n' + ''.join(
      f'{k}.png,{k},{k % 2}\n' for k in range(3)))
  return sources.DataOptions(
      source=str(root / 'a.csv'), labels=('smile',), image_size=8)


def download(root):
  layouts.mucac_download(root)
  return sources.DataOptions(
      source='mucac', root=str(root), labels=('smile',), image_size=16)


@pytest.mark.parametrize('made, mapped', [(manifest, False), (download, True)])
def test_decoding_tells_how_far_it_is(tmp_path, made, mapped, capsys):
  options = made(tmp_path)
  told = []
  for _ in range(2):
    images = inputs.load_data(options).images
    assert isinstance(images, np.memmap) is mapped
    told.append(capsys.readouterr().out)
  assert re.search(r'read images .* (\d+)/\1 ', told[0])
  # Pixels that are on disk already are mapped: nothing is decoded.
  assert ('read images' in told[1]) is not mapped


@pytest.mark.parametrize('terminal', [True, False])
def test_the_bar_moves_on_a_terminal_and_is_one_line_elsewhere(
    monkeypatch, terminal):
  out = io.StringIO()
  monkeypatch.setattr(command.screen, 'console', lambda: rich_console.Console(
      file=out, force_terminal=terminal, width=60))
  hook = command.Progress()
  with job.shown([hook], 'read images', ''):
    for done in range(1, 4):
      hook({'event': 'tick', 'step': done, 'num_steps': 3})
  said = out.getvalue()
  assert 'read images' in said and '3/3' in said
  assert ('\x1b[' in said) is terminal
  if not terminal:
    assert said.strip().count('\n') == 0


@pytest.mark.parametrize('width', [60, 80, 120])
def test_a_bar_says_what_is_left_within_the_terminal(monkeypatch, width):
  out = io.StringIO()
  monkeypatch.setattr(command.screen, 'console', lambda: rich_console.Console(
      file=out, force_terminal=True, width=width, color_system=None,
      get_time=lambda: float(next(clock))))
  clock = itertools.count()  # a second passes with every look
  hook = command.Progress()
  with job.shown([hook], 'train the retrained model', ''):
    for done in range(1000, 5000, 1000):
      hook({'event': 'tick', 'step': done, 'num_steps': 5000})
      hook({'event': 'check', 'step': done, 'val_accuracy': .8123,
            'mia_auc': .5123, 'next_phase': 'distance'})
    hook._bar.refresh()
    running = out.getvalue()
    hook({'event': 'tick', 'step': 5000, 'num_steps': 5000})
  last = re.sub(r'\x1b\[[^A-Za-z]*[A-Za-z]', '\n', running).split('\n\n')[-1]
  assert max(map(len, last.split('\n'))) <= width
  assert re.search(r'4000/5000 0:00:\d\d left', last)
  assert '0.812' in last and '0.512' in last and '…' not in last
  assert re.search(r'5000/5000 0:0\d:\d\d (?!left)', out.getvalue())


def test_what_decodes_nothing_shows_no_bar(tmp_path, capsys):
  np.savez(tmp_path / 'a.npz', images=np.full((2, 8, 8, 3), 99, np.uint8),
           smile=np.array([0, 1]))
  inputs.load_data(sources.DataOptions(
      source=str(tmp_path / 'a.npz'), labels=('smile',)))
  assert capsys.readouterr().out == ''
