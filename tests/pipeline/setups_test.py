"""Weights in a wrong set-up are refused, with the flags of the right one."""

import dataclasses
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from scipy import special, stats

from dlfd_jax import checkpoint, models, tasks
from dlfd_jax.cli import audit, weights
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.models import torch_weights
from dlfd_jax.pipeline import setups
from tests import grids, tiny

torch = pytest.importorskip('torch', reason='needs the extra torch')
from tests.models import torch_nets  # noqa: E402

CLASSES, WIDTH, SIZE, STORED, N, USED = 12, 8, 32, 48, 240, 12
TEXT_ORDER = sorted(map(str, range(CLASSES)))
SHUFFLED = np.random.default_rng(3).permutation(CLASSES).astype(str).tolist()


def _pixels(images, mean, std):
  return torch.from_numpy(((images / np.float32(255) - np.float32(mean))
                           / np.float32(std)).transpose(0, 3, 1, 2).copy())


def _made(mean=(.5,) * 3, std=(.5,) * 3, turn=1):
  """A state dict, stored images, and the classes that it tells them apart by.

  The head reads the largest components of the features, so that the answers
  depend on every detail of how the images come in.
  """
  small = np.random.default_rng(0).integers(0, 256, (N, 6, 6, 3), np.uint8)
  images = images_lib.resize_array(small, (STORED, STORED))
  torch.manual_seed(0)
  net = torch_nets.shake(torch_nets.ResNet18(CLASSES, WIDTH))
  head, net.fc = net.fc, torch.nn.Identity()
  seen = _pixels(
      images_lib.resize_array(images, (SIZE, SIZE))[..., ::turn], mean, std)
  with torch.no_grad():
    features = net(seen)
    _, scale, parts = torch.linalg.svd(
        features - features.mean(0), full_matrices=False)
    head.weight.copy_(torch.randn(CLASSES, USED) @ torch.diag(
        N**.5 / scale[:USED]) @ parts[:USED])
    head.bias.copy_(-head.weight @ features.mean(0))
    net.fc = head
    return dict(net.state_dict()), images, net(seen).argmax(1).numpy()


def _rows(state, order):
  rows = [int(name) for name in order]
  return {name: value[rows] if name.startswith('fc.') else value
          for name, value in state.items()}


def _write(folder, state, images, labels, beside=None):
  torch.save({'state_dict': state, **(beside or {})}, folder / 'model.pth')
  np.savez(folder / 'faces.npz', images=images, age=labels,
           identity=np.arange(N) // 2,
           split=np.repeat(['train', 'val', 'test'], [200, 20, 20]))


def _import(folder, capsys, *flags, code=0):
  """What was printed, and the record."""
  capsys.readouterr()
  assert weights.IMPORT.main([
      f'--weights={folder}/model.pth', f'--data={folder}/faces.npz',
      '--labels=age', f'--width={WIDTH}', f'--workdir={folder}/out', '--json',
      *flags]) == code
  out, err = capsys.readouterr()
  return err, json.loads(out)


@pytest.fixture(autouse=True)
def _few_sizes(monkeypatch):
  monkeypatch.setattr(setups, '_SIDES', (16, SIZE))  # each is compiled


@pytest.fixture(scope='module')
def made():
  return _made()


HALF = ['--mean=.5,.5,.5', '--std=.5,.5,.5']
SIZED = [f'--image_size={SIZE}']
ORDER = ','.join(TEXT_ORDER)


def _same(made):
  return made


def _as(order):
  return lambda made: (_rows(made[0], order), *made[1:])


WRONG = {  # what of the model, flags that were given, those that are named
    'normalisation': (_same, SIZED, HALF),
    'order of the classes': (
        _as(TEXT_ORDER), [*SIZED, *HALF], [f'--head_classes={ORDER}']),
    'any order of the classes': (_as(SHUFFLED), [*SIZED, *HALF], [
        f'--head_classes={",".join(SHUFFLED)}']),
    'order of the file': (
        lambda made: (*_as(SHUFFLED)(made), {'classes': TEXT_ORDER}),
        [*SIZED, *HALF], [f'--head_classes={",".join(SHUFFLED)}']),
    'size': (_same, ['--image_size=16', *HALF], SIZED),
    'size and normalisation': (
        _same, ['--image_size=24'], [*HALF, *SIZED]),
    '0 to 255': (lambda made: _made((0.,) * 3, (1 / 255,) * 3), SIZED,
                 ['--mean=0,0,0', '--std=0.00392157,0.00392157,0.00392157']),
    'unnormalised': (lambda made: _made((0.,) * 3, (1.,) * 3), SIZED,
                     ['--mean=0,0,0', '--std=1,1,1']),
    'channels': (lambda made: _made(turn=-1), [*SIZED, *HALF],
                 ['--channel_order=bgr']),
    'channels, given the other way': (
        _same, [*SIZED, *HALF, '--channel_order=bgr'],
        ['--channel_order=rgb']),
    'channels and normalisation': (
        lambda made: _made((.406, .456, .485), (.225, .224, .229), -1),
        [*SIZED, *HALF], ['--mean=0.406,0.456,0.485',
                          '--std=0.225,0.224,0.229', '--channel_order=bgr']),
}


def _is_refused(name, made, tmp_path, capsys):
  change, given, named = WRONG[name]
  _write(tmp_path, *change(made))
  said, record = _import(tmp_path, capsys, *given, code=2)
  assert said.splitlines()[-1].startswith(
      'error: Expected the set-up that ')
  assert not (tmp_path / 'out').exists()
  found = re.search(
      r'an accuracy of ([\d.]+) on 200 training images.*: with (.*) it is 1\.00'
      r'\. --allow', record['error'])
  assert found and float(found[1]) < .5, said
  flags = shlex.split(found[2].replace('0.5', '.5'))
  assert flags == [flag.replace('0.5', '.5') for flag in named]
  return [*given, *flags]  # the last of two flags counts


@pytest.mark.parametrize('name', [
    'normalisation', *grids.some(['size', 'order of the classes'], 2)])
def test_the_set_up_that_fits_is_named(name, made, tmp_path, capsys):
  _is_refused(name, made, tmp_path, capsys)


@pytest.mark.long
@pytest.mark.parametrize('name', WRONG)
def test_the_set_up_that_is_named_imports_the_model(
    name, made, tmp_path, capsys):
  flags = _is_refused(name, made, tmp_path, capsys)
  _, record = _import(tmp_path, capsys, *flags)
  assert record['accuracy'] > .98 and not record['allowed']


@pytest.mark.slow
def test_chance_is_no_set_up_unless_it_is_allowed(made, tmp_path, capsys):
  state, images, _ = made
  _write(tmp_path, state, images, np.arange(N) % CLASSES)
  said, record = _import(tmp_path, capsys, *SIZED, *HALF, code=2)
  assert re.search(
      r'where chance is 0\.0\d; \d+ others were tried .* none fits',
      record['error']), said
  _, record = _import(tmp_path, capsys, *SIZED, *HALF, '--allow_unverified')
  allowed, = record['allowed']
  assert 'where chance is 0.0' in allowed
  assert checkpoint.imported(tmp_path / 'out')['allowed'] == [allowed]


def test_an_audit_of_a_file_notices_it_too(made, tmp_path, capsys):
  state, images, labels = made
  _write(tmp_path, state, images, labels)
  flags = [f'--model={tmp_path}/model.pth', f'--data={tmp_path}/faces.npz',
           '--labels=age', f'--width={WIDTH}', '--forget_people=4',
           '--bootstrap=20', f'--workdir={tmp_path}/out']
  assert audit.main(flags) == 2
  assert 'Expected --image_size, the pixels' in capsys.readouterr().err
  assert audit.main([*flags, *SIZED]) == 2
  assert 'with --mean=0.5,0.5,0.5' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('right, near', [
    ((95, 0), True),  # the commonest class always: 19 of 20 are right
    ((85, 5), False),  # right less often than that, and knows the rare one
    ((50, 2), True)])
def test_chance_is_that_of_the_same_answers_dealt_at_random(right, near):
  labels = np.repeat(np.array([0, 1], np.int32), (95, 5))
  said = np.concatenate([np.arange(95) >= right[0], np.arange(5) < right[1]])
  data = dataclasses.replace(tiny.dataset(100, outputs=2), labels=labels)
  chance, p, least = setups._by_chance(
      data, np.eye(2, dtype=np.float32)[said.astype(int)], np.arange(100))
  # Dealing answers at random draws those to the five of the rare class.
  drawn = stats.hypergeom(100, said.sum(), 5)
  assert chance == pytest.approx(
      .95 - .9 * said.mean(), abs=1e-9)  # all 0 has .95 right, all 1 has .05
  exact = drawn.sf(right[1] - 1)
  assert abs(p - exact) < 4 * (exact * (1 - exact) / 999)**.5 + .0011
  assert least == pytest.approx(1 / special.comb(100, 5))
  assert (p > .01) == near


def test_several_attributes_are_dealt_together():
  labels = np.array([[0, 1], [1, -1], [1, 0], [0, 0]], np.int32)
  data = dataclasses.replace(
      tiny.dataset(4, tasks.MULTILABEL, 2), labels=labels)
  logits = np.array([[-1, 1], [1, 1], [1, -1], [1, 1]], np.float32)
  pairs = [[np.mean([(a > 0) == bool(b) for a, b in zip(answer, label)
                     if b >= 0]) for label in labels] for answer in logits]
  chance, _, least = setups._by_chance(data, logits, np.arange(4))
  assert chance == pytest.approx(np.mean(pairs))
  assert least == pytest.approx(1 / 24)


def test_a_model_that_answers_well_is_tried_once(made, tmp_path, capsys):
  state, images, labels = made
  _write(tmp_path, state, images, labels)
  said, record = _import(tmp_path, capsys, *SIZED, *HALF)
  assert record['accuracy'] > .98 and 'tried' not in said


def test_too_few_images_accuse_nobody(made):
  state, images, labels = made
  some = np.array([np.flatnonzero(labels == c)[0] for c in (0, 1)])
  data = dataclasses.replace(
      tiny.dataset(2, outputs=CLASSES), labels=labels[some][::-1].astype('i4'),
      images=images_lib.resize_array(images[some], (SIZE, SIZE)))
  config = models.ModelConfig(outputs=CLASSES, width=WIDTH)
  found, said = setups.check(checkpoint.SavedModel(
      torch_weights.to_variables(
          {name: value.numpy() for name, value in state.items()}, config),
      config, data.task, data.image_size), data, 'model.pth')
  assert not found.differences and 'too few to tell' in said[0]


@pytest.mark.parametrize('kind', [tasks.MULTICLASS, tasks.MULTILABEL])
def test_outputs_are_matched_and_judged_on_other_images(kind):
  random = np.random.default_rng(0)
  task = tasks.Task(kind, tuple('abcde'))
  several = kind == tasks.MULTILABEL
  labels = random.integers(-1 if several else 0, 2 if several else 5,
                           (60, 5) if several else 60)
  true = random.permutation(5)  # the output of each class
  logits = np.zeros((60, 5), np.float32)
  logits[:, true] = labels - .5 if several else np.eye(5)[labels]
  rows, right = setups._matched(task, logits, labels)
  assert (rows == true).all() and (right == 1).all()
  noise = random.normal(size=(60, 5)).astype(np.float32)
  chance = .5 if several else .2
  assert abs(setups._matched(task, noise, labels)[1].mean() - chance) < .15
  every = setups._right(task, noise[:, setups._matched(task, noise, labels)[0]],
                        labels)  # on the images that chose the order
  assert every.mean() > setups._matched(task, noise, labels)[1].mean()


def test_the_order_of_data_and_outputs_may_be_a_file(made, tmp_path, capsys):
  state, images, labels = made
  torch.save({'state_dict': _rows(state, SHUFFLED)}, tmp_path / 'model.pth')
  (tmp_path / 'images').mkdir()
  lines = ['path,identity,age']
  for i in range(N):
    Image.fromarray(images[i]).save(tmp_path / 'images' / f'{i}.png')
    lines.append(f'{i}.png,{i // 2},c{labels[i]}')
  (tmp_path / 'faces.csv').write_text('\n'.join(lines) + '\n')
  (tmp_path / 'order.txt').write_text(''.join(f'c{c}\n' for c in SHUFFLED))
  _, record = _import(
      tmp_path, capsys, *SIZED, *HALF, f'--data={tmp_path}/faces.csv',
      f'--root={tmp_path}/images', f'--class_names={tmp_path}/order.txt')
  assert record['accuracy'] > .98
  assert record['classes'] == [f'c{c}' for c in SHUFFLED]
  assert record['class_order'] == 'class_names'


def test_the_stored_size_of_an_npz_file_has_to_be_asked_for(
    made, tmp_path, capsys):
  state, images, labels = made
  _write(tmp_path, state, images_lib.resize_array(images, (SIZE, SIZE)), labels)
  _, record = _import(tmp_path, capsys, *HALF, code=2)
  assert '(none: as the images are stored)' in record['error']
  _, record = _import(tmp_path, capsys, *HALF, '--image_size=none')
  assert record['accuracy'] > .98
