"""The commands of the documentation, run as they are printed."""

import pathlib
import re
import shlex
import shutil

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from PIL import Image

from dlfd_jax.cli import commands, exit_codes
from dlfd_jax.models import weight_files
from dlfd_jax.utils import runs

torch = pytest.importorskip('torch', reason='needs the extra torch')
from tests.models import torch_nets  # noqa: E402

_DOCS = pathlib.Path(__file__).parents[1] / 'docs'
_SMALL = {  # what a test on a CPU changes
    'check': ['--image_size=32', '--width=4', '--repeats=0'],
    'import_weights': ['--image_size=32', '--width=4'],
    'train': ['--image_size=32', '--width=4', '--epochs=1', '--batch_size=16'],
    'unlearn': ['--image_size=32', '--epochs=1', '--batch_size=16',
                '--perturb_steps=1'],
    'evaluate': ['--bootstrap=20'],
    'audit': ['--image_size=32', '--width=4', '--bootstrap=20']}


def _commands(name):
  text = (_DOCS / name).read_text('utf-8')
  for block in re.findall(r'```sh\n(.*?)```', text, re.DOTALL):
    for line in block.replace('\\\n', ' ').splitlines():
      words = shlex.split(line)
      assert words[0] == 'dlfd', line
      yield words[1], words[2:]


def _write_inputs():
  """A folder, a manifest, a checkpoint and a list in the current folder."""
  rng = np.random.default_rng(0)
  pathlib.Path('faces').mkdir()
  lines, images, labels = ['path,identity,gender,split'], [], []
  for person in range(24):
    split = 'train' if person < 14 else 'val' if person < 19 else 'test'
    for k in range(4):
      name = f'{person}_{k}.png'
      level = 60 + 100 * (person % 2)
      image = Image.fromarray(
          rng.integers(level, level + 60, (40, 40, 3), np.uint8))
      image.save(f'faces/{name}')
      images.append(image.resize((32, 32), Image.Resampling.BOX))
      labels.append(person % 2)
      lines.append(f'{name},{person},{person % 2},{split}')
  pathlib.Path('faces.csv').write_text('\n'.join(lines) + '\n')
  pathlib.Path('delete.txt').write_text('2\n3\n')
  torch.manual_seed(0)
  net = torch_nets.shake(torch_nets.ResNet18(2, 4))
  torch_nets.fit_head(net, np.stack(images), np.array(labels))
  torch.save(net.state_dict(), 'model.pth')


@pytest.mark.long
def test_the_walk_through_of_a_deletion_request(
    tmp_path, monkeypatch, capsys, shared_compilations):
  monkeypatch.chdir(tmp_path)
  _write_inputs()
  pathlib.Path('key.pem').write_bytes(
      ed25519.Ed25519PrivateKey.generate().private_bytes(
          serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
          serialization.NoEncryption()))
  ran = []
  for name, flags in _commands('deletion-request.md'):
    small = [flag.split('=')[0] for flag in _SMALL.get(name, ())]
    flags = [flag for flag in flags if flag.split('=')[0] not in small]
    # One epoch of a network of width 4 may cost too much: that is not judged.
    code = commands.main([name, *flags, *_SMALL.get(name, ())])
    assert code in exit_codes.DONE, capsys.readouterr().err
    ran.append(name)
  assert ran == ['check', 'import_weights', 'unlearn', 'evaluate', 'report',
                 'train', 'evaluate', 'audit', 'export_weights',
                 'report', 'verify']
  assert 'train 56 images ' in capsys.readouterr().out
  retrained = runs.read_json('runs/evaluation_retrained/result.json')
  assert retrained['models']['retrained']
  result = runs.read_json('runs/check/result.json')
  assert result['request']['images_by_person'] == {'2': 4, '3': 4}
  page = pathlib.Path('runs/evaluation/report.html').read_text('utf-8')
  assert 'R-2026-012' in page and '2026-05-04' in page
  before, after = (weight_files.read(name).tensors
                   for name in ('model.pth', 'unlearned.pth'))
  assert sorted(before) == sorted(after)
  assert any((before[name] != after[name]).any() for name in before)
  # The next request comes when the original is deleted, as the text says.
  shutil.rmtree('runs/original')
  pathlib.Path('delete.txt').write_text('4\n')
  assert commands.main([
      'check', '--original=runs/unlearned', '--repeats=0',
      '--workdir=runs/next', '--forget_identities=delete.txt']) == 0
  assert 'stay out of retain. Names: 2, 3.' in capsys.readouterr().out
  assert commands.main([
      'unlearn', '--original=runs/unlearned', '--workdir=runs/again',
      '--forget_identities=delete.txt', *_SMALL['unlearn'][1:]]) in (
          exit_codes.OK, exit_codes.UNUSABLE)
  capsys.readouterr()
