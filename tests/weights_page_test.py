"""The code of docs/weights.md, and that all ways out give the same answer."""

import pathlib
import re
import shutil
import sys
import types

import numpy as np
import pytest
from PIL import Image

import dlfd_jax
from dlfd_jax.cli import weights
from dlfd_jax.models import torch_weights
from tests.pipeline import setups_test

torch = pytest.importorskip('torch', reason='needs the extra torch')
from tests.models import torch_nets  # noqa: E402

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'weights.md'
WIDTH, SIZE = setups_test.WIDTH, setups_test.SIZE
_WORDS = ('torchvision', 'load_classifier', 'deserialize')
BLOCKS = {next(word for word in _WORDS if word in block): block
          for block in re.findall(
              r'```python\n(.*?)```', PAGE.read_text('utf-8'), re.DOTALL)}
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A model as a run would leave it, two images, and where to write."""
  folder = tmp_path_factory.mktemp('page')
  state, images, labels = setups_test._made()
  setups_test._write(folder, state, images, labels)
  assert weights.IMPORT.main([
      f'--weights={folder}/model.pth', f'--data={folder}/faces.npz',
      '--labels=age', f'--width={WIDTH}', *setups_test.SIZED,
      *setups_test.HALF, f'--workdir={folder}/runs/unlearned']) == 0
  for name, image in zip(('face.png', 'photo.jpg'), images):
    Image.fromarray(image).save(folder / name)
  return folder


def _exported(folder, name, capsys):
  if not (folder / name).exists():
    assert weights.EXPORT.main([f'--model={folder}/runs/unlearned',
                                f'--weights={folder}/{name}']) == 0
  return capsys.readouterr().out


def _known(folder):
  """The answer for face.png by the class of the library."""
  model = dlfd_jax.load_classifier(folder / 'runs/unlearned')
  image = Image.open(folder / 'face.png').resize(
      (SIZE, SIZE), Image.Resampling.BOX)
  return dict(zip(model.task.names, model.predict(np.array(image)[None])[0]))


def _run(word, folder, monkeypatch):
  monkeypatch.chdir(folder)
  names = {}
  exec(BLOCKS[word], names)  # noqa: S102
  return names


def test_pytorch(folder, monkeypatch, capsys):
  _exported(folder, 'unlearned.safetensors', capsys)
  monkeypatch.setitem(sys.modules, 'torchvision', types.SimpleNamespace(
      models=types.SimpleNamespace(  # the environment has no torchvision
          resnet18=lambda num_classes: torch_nets.ResNet18(
              num_classes, WIDTH))))
  names = _run('torchvision', folder, monkeypatch)
  assert dict(zip(names['names'], names['answer'].tolist())) == pytest.approx(
      _known(folder), abs=1e-4)


def test_serving(folder, monkeypatch, capsys):
  answer = _run('load_classifier', folder, monkeypatch)['answer']
  first, second = answer(['face.png', 'photo.jpg'])
  assert first == pytest.approx(_known(folder), abs=1e-4)
  assert sum(second.values()) == pytest.approx(1, abs=1e-5)


def test_a_program_answers_like_the_model(folder, monkeypatch, capsys):
  pytest.importorskip('flatbuffers', reason='needs the extra stablehlo')
  said = _exported(folder, 'unlearned.stablehlo', capsys)
  assert 'unnormalised' in said and 'Outputs: age 0, age 1' in said
  names = _run('deserialize', folder, monkeypatch)
  assert {name: float(values[0]) for name, values in names['found'].items()
          } == pytest.approx(_known(folder), abs=1e-4)
  model = dlfd_jax.load_classifier(folder / 'runs/unlearned')
  for count in (1, 5):  # any number of images
    images = np.random.default_rng(count).integers(
        0, 256, (count, SIZE, SIZE, 3), np.uint8)
    found = names['program'].call(images)
    np.testing.assert_allclose(np.stack(
        [found[name] for name in model.task.names], 1),
        model.predict(images), atol=1e-4)


def test_a_program_needs_flatbuffers(folder, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'flatbuffers', None)
  for name in [n for n in sys.modules if n.startswith('jax._src.export.seri')]:
    monkeypatch.delitem(sys.modules, name)
  assert weights.EXPORT.main([f'--model={folder}/runs/unlearned',
                              f'--weights={folder}/no.stablehlo']) == 2
  assert 'install the extra stablehlo' in capsys.readouterr().err
  assert not (folder / 'no.stablehlo').exists()


def test_an_export_is_imported_by_what_it_says(folder, capsys):
  said = _exported(folder, 'told.safetensors', capsys)
  assert f'Images: {SIZE} x {SIZE} pixels' in said
  assert 'less 0.5, 0.5, 0.5, divided by 0.5, 0.5, 0.5.' in said
  assert 'Outputs: age 0, age 1, age 2' in said
  assert weights.IMPORT.main([
      f'--weights={folder}/told.safetensors', f'--data={folder}/faces.npz',
      '--labels=age', f'--workdir={folder}/again']) == 0
  assert 'took from the file mean 0.5, 0.5, 0.5' in capsys.readouterr().out
  first, again = (dlfd_jax.load_model(folder / name) for name in (
      'runs/unlearned', 'again'))
  assert (first.config, first.task, first.image_size) == (
      again.config, again.task, again.image_size)
  states = [torch_weights.to_state(one.variables, one.config)
            for one in (first, again)]
  assert all((states[0][name] == states[1][name]).all() for name in states[0])
  shutil.rmtree(folder / 'again')
  assert weights.IMPORT.main([  # a flag wins, and the difference is said
      f'--weights={folder}/told.safetensors', f'--data={folder}/faces.npz',
      '--labels=age', '--image_size=24', '--allow_unverified',
      f'--workdir={folder}/again']) == 0
  assert (f'trained at {SIZE} x {SIZE} pixels; the images are of 24 x 24'
          in capsys.readouterr().out)
