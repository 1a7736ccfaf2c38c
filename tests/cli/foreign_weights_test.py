"""What people's checkpoints hold beside, around and instead of a state dict."""

import argparse
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import warnings

import flax.serialization
import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax.training import train_state

import dlfd_jax
from dlfd_jax import checkpoint, models
from dlfd_jax.cli import weights
from dlfd_jax.data import requests, resolution, splits as splits_lib
from dlfd_jax.models import torch_weights
from dlfd_jax.utils import runs
from tests import grids, tiny
from tests.cli import runs_of

torch = pytest.importorskip('torch', reason='needs the extra torch')
import safetensors.numpy  # noqa: E402

from tests.models import own_nets, torch_nets  # noqa: E402

CLASSES, WIDTH, SIZE = 12, 8, 16
TEXT_ORDER = sorted(map(str, range(CLASSES)))
FLAGS = [f'--width={WIDTH}', f'--image_size={SIZE}', '--labels=age']


@pytest.fixture(scope='module')
def state():
  """A network whose twelve outputs are in no special order."""
  torch.manual_seed(0)
  return dict(torch_nets.shake(
      torch_nets.ResNet18(CLASSES, WIDTH)).state_dict())


@pytest.fixture(scope='module')
def data(tmp_path_factory, state):
  """Images labelled by what the network says in the order of numbers."""
  folder = tmp_path_factory.mktemp('data')
  images = np.random.default_rng(0).integers(
      0, 256, (60, SIZE, SIZE, 3), np.uint8)
  net = torch_nets.ResNet18(CLASSES, WIDTH)
  net.load_state_dict(state)
  # Half a class each, so that all twelve occur; the others are the network's.
  labels = np.arange(60) % CLASSES
  mean, std = (np.float32(x) for x in (
      models.ModelConfig(outputs=2).mean, models.ModelConfig(outputs=2).std))
  with torch.no_grad():
    said = net.eval()(torch.from_numpy(
        ((images / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy()
    )).argmax(1).numpy()
  labels[24:] = said[24:]
  np.savez(folder / 'faces.npz', images=images, age=labels,
           identity=np.arange(60) // 2)
  return folder / 'faces.npz', float((labels == said).mean())


def _import(data, file, folder, capsys, *flags):
  """Exit code, what was printed, and the record for programs."""
  capsys.readouterr()
  code = weights.IMPORT.main([
      f'--weights={file}', f'--data={data}', *FLAGS, '--json',
      '--allow_unverified',  # half of the labels are not the network's
      f'--workdir={folder}', *flags])
  out, err = capsys.readouterr()
  return code, err, json.loads(out)


def _front(prefix, state):
  return {prefix + name: value for name, value in state.items()}


def _average(state):
  return {name: value + 1 if value.is_floating_point() else value
          for name, value in state.items()}


def _renamed(state, **names):
  for old, new in names.items():
    state = {name.replace(old, new): value for name, value in state.items()}
  return state


def _encoder(state, front='encoder.', head='fc'):
  return {(head + name[2:] if name.startswith('fc') else front + name): value
          for name, value in state.items()}


LOSS = torch.ones(CLASSES)
READ = {  # what is saved of a state dict, words said, flags
    'plain': (lambda s: s, ''),
    'module': (lambda s: _front('module.', s), ''),
    'lightning': (lambda s: {
        'state_dict': {**_front('model.', s), 'criterion.weight': LOSS},
        'pytorch-lightning_version': '2.4', 'epoch': 3,
        'optimizer_states': [{'state': {0: {'exp_avg': LOSS}}}],
        'hyper_parameters': {'lr': .1}}, 'left out criterion.weight'),
    'averaged model': (lambda s: {
        'n_averaged': torch.tensor(3), **_front('module.', s)},
                       'left out n_averaged'),
    'counter beside plain names': (
        lambda s: {**s, 'n_averaged': torch.tensor(3)}, 'left out n_averaged'),
    'optimizer beside': (lambda s: {
        'model': s, 'optimizer': {'state': {0: {'exp_avg': LOSS}}}}, ''),
    'compiled and parallel': (
        lambda s: {'net': _front('_orig_mod.module.', s)}, ''),
    'network': (lambda s: {'network': s, 'step': 5}, ''),
    'attribute of another name': (
        lambda s: {'state_dict': _front('resnet.', s)}, ''),
    'encoder and fc': (lambda s: _encoder(s), 'took fc for the last layer'),
    'backbone and classifier': (
        lambda s: _front('model.', _encoder(s, 'backbone.', 'classifier')),
        'took model.classifier for the last layer'),
    'dropout in the head': (
        lambda s: _renamed(s, fc='fc.1'), 'took fc.1 for the last layer'),
    'cifar names': (
        lambda s: _renamed(s, downsample='shortcut', fc='linear'),
        'took linear for the last layer'),
    'cifar names, parallel': (lambda s: {'net': _front(
        'module.', _renamed(s, downsample='shortcut', fc='linear')),
        'acc': 95.2, 'epoch': 100}, 'took linear'),
    'average beside': (
        lambda s: {'state_dict': s, 'state_dict_ema': _average(s)},
        'took state_dict for the state dict; --state=state_dict_ema takes'),
    'the average is asked for': (
        lambda s: {'model': _average(s), 'model_ema': s}, '',
        '--state=model_ema'),
    'average of timm': (
        lambda s: {'state_dict': _average(s), 'ema': {'module': s}}, '',
        '--state=ema'),
    'average below a prefix': (
        lambda s: {**_front('model.', s), **_front('ema_model.', _average(s))},
        'took model for the network; --state=ema_model takes'),
    'a prefix is asked for': (
        lambda s: {**_front('student.', s), **_front('teacher.', _average(s))},
        'left out', '--state=student'),
    'Namespace, NumPy and paths': (lambda s: {
        'model': s, 'args': argparse.Namespace(
            lr=np.float64(.1), out=pathlib.Path('/runs'), seeds={1, 2},
            table=np.arange(3.), n=np.int64(4))}, ''),
    'bfloat16 and parameters': (lambda s: {
        name: torch.nn.Parameter(value.bfloat16().float().to(torch.bfloat16))
        if name == 'fc.bias' else value for name, value in s.items()}, ''),
    'ordered': (lambda s: collections.OrderedDict(s), ''),
}


@pytest.mark.parametrize('name', grids.some(READ, 6))
def test_the_network_is_found_in_what_training_stored(
    name, state, data, tmp_path, capsys):
  change, words, *flags = READ[name]
  torch.save(change(state), tmp_path / 'w.pth')
  code, said, record = _import(
      data[0], tmp_path / 'w.pth', tmp_path / 'out', capsys, *flags)
  assert code == 0, said
  assert words in said
  assert record['accuracy'] == pytest.approx(data[1], abs=.02)
  assert record['class_order'] == 'assumed'
  assert 'ImageFolder' in said  # twelve numbers: two orders are likely


def _rows(state, order):
  """The head with its outputs in the order of these names."""
  rows = [int(name) for name in order]
  return {name: value[rows] if name.startswith('fc.') else value
          for name, value in state.items()}


SHUFFLED = [str(i) for i in np.random.default_rng(3).permutation(CLASSES)]
ORDERS = {  # who says the order: saved beside the state dict, flags
    'class_to_idx': ('file', lambda o: {
        'class_to_idx': {name: i for i, name in enumerate(o)}}),
    'idx_to_class': ('file', lambda o: {'idx_to_class': dict(enumerate(o))}),
    'NumPy numbers in meta': ('file', lambda o: {
        'meta': {'class_to_idx': {n: np.int64(i) for i, n in enumerate(o)}}}),
    'classes': ('file', lambda o: {'classes': list(o)}),
    'arguments': ('file', lambda o: {
        'args': argparse.Namespace(class_names=list(o))}),
    'flag': ('head_classes', lambda o: {}),
    'flag before the file': ('head_classes', lambda o: {
        'classes': list(reversed(o))}),
    'flag names a file': ('head_classes', lambda o: {}),
}


@pytest.mark.parametrize('order', [TEXT_ORDER, SHUFFLED], ids=['text', 'any'])
@pytest.mark.parametrize('name', grids.some(ORDERS, 6))
def test_outputs_are_put_into_the_order_of_the_data(
    name, order, state, data, tmp_path, capsys):
  who, beside = ORDERS[name]
  torch.save({'state_dict': _rows(state, order), **beside(order)},
             tmp_path / 'w.pth')
  (tmp_path / 'order.txt').write_text('\n'.join(order) + '\n')
  flags = [] if who == 'file' else [
      f'--head_classes={tmp_path}/order.txt' if 'a file' in name else
      f'--head_classes={",".join(order)}']
  code, said, record = _import(
      data[0], tmp_path / 'w.pth', tmp_path / 'out', capsys, *flags)
  assert code == 0, said
  assert record['accuracy'] == pytest.approx(data[1], abs=.02)
  assert record['class_order'] == who
  back = torch_weights.to_state(
      (saved := checkpoint.load_model(tmp_path / 'out')).variables,
      saved.config)
  np.testing.assert_array_equal(back['fc.weight'], state['fc.weight'])
  np.testing.assert_array_equal(back['fc.bias'], state['fc.bias'])


def test_safetensors_say_the_order_in_their_metadata(
    state, data, tmp_path, capsys):
  safetensors.numpy.save_file(
      {n: np.ascontiguousarray(v) for n, v in _rows(state, SHUFFLED).items()},
      tmp_path / 'w.safetensors', metadata={'classes': json.dumps(SHUFFLED)})
  code, said, record = _import(
      data[0], tmp_path / 'w.safetensors', tmp_path / 'out', capsys)
  assert code == 0, said
  assert record['class_order'] == 'file'
  assert record['accuracy'] == pytest.approx(data[1], abs=.02)


def _quantised(tensor):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # PyTorch will drop them
    return torch.quantize_per_tensor(tensor, .1, 0, torch.qint8)


def _with(state, **tensors):
  return {**state, **tensors}


REFUSED = {  # what is saved of a state dict, the sentence, flags
    'another number of outputs': (lambda s: {
        **s, 'fc.weight': s['fc.weight'][:10], 'fc.bias': s['fc.bias'][:10]},
        'Expected 12 outputs, .* got a head of 10'),
    'unknown class': (
        lambda s: s, 'the data have no old; age 11 is missing',
        f'--head_classes={",".join(map(str, range(11)))},old'),
    'too few classes': (
        lambda s: s, 'each class of the data once', '--head_classes=1,2,3'),
    'a class twice': (
        lambda s: s, 'to name every output once', '--head_classes=1,1'),
    'order of another data set': (lambda s: {
        'state_dict': s, 'classes': [f'c{i}' for i in range(CLASSES)]},
        'the data have no c0'),
    'orders that differ': (lambda s: {
        'state_dict': s, 'classes': TEXT_ORDER, 'class_names': SHUFFLED},
        'one order of classes .* give the right one as --head_classes'),
    'numbers that are no outputs': (lambda s: {
        'state_dict': s, 'class_to_idx': {str(i): i + 1 for i in range(12)}},
        'to number its 12 classes from 0'),
    'two networks': (
        lambda s: {'generator': s, 'discriminator': _average(s)},
        'Expected one network .* name one with --state'),
    'two prefixes': (
        lambda s: {**_front('encoder_q.', s), **_front('encoder_k.', s)},
        "got 'encoder_k', 'encoder_q': name one with --state"),
    'no such state': (
        lambda s: {'state_dict': s}, 'Expected a resnet18 below --state=ema',
        '--state=ema'),
    'quantised tensor': (lambda s: _with(s, **{
        'fc.weight': _quantised(s['fc.weight'])}), 'the quantised fc.weight'),
    'packed parameters': (lambda s: _with(s, **{
        'fc._packed_params.dtype': torch.qint8}), 'the quantised fc._packed'),
    'bytes for weights': (lambda s: _with(s, **{
        'fc.weight': s['fc.weight'].to(torch.int8)}), 'a quantised network'),
    'meta tensor': (lambda s: _with(s, **{
        'fc.weight': s['fc.weight'].to('meta')}), 'the meta device'),
    'four bits': (lambda s: _with(s, **{
        'fc.weight': torch.zeros(12, 32, dtype=torch.uint8).view(
            torch.float4_e2m1fn_x2)}), 'kind of numbers that can be read'),
    'a whole module': (
        lambda s: torch.nn.Linear(2, 2), 'an object of torch.nn.modules'),
    'a deeper network': (lambda s: _with(s, **{
        'layer1.2.conv1.weight': s['layer1.0.conv1.weight']}),
        'a deeper ResNet'),
    'a first kernel of 3 x 3': (lambda s: _with(s, **{
        'conv1.weight': torch.zeros(WIDTH, 3, 3, 3)}), '--stem=small'),
    'a narrower network': (lambda s: _with(s, **{
        'conv1.weight': torch.zeros(WIDTH // 2, 3, 7, 7)}),
        f'--width={WIDTH // 2} '),
    'a layer between trunk and head': (lambda s: _with(
        _encoder(s), **{'projection.weight': torch.zeros(64, 64)}),
        'has no place for projection.weight'),
    'a network of another kind': (
        lambda s: {'layers.0.weight': LOSS}, 'lacks bn1.bias'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_cannot_be_read_is_one_sentence(
    name, state, data, tmp_path, capsys):
  change, sentence, *flags = REFUSED[name]
  torch.save(change(state), tmp_path / 'w.pth')
  code, said, _ = _import(
      data[0], tmp_path / 'w.pth', tmp_path / 'out', capsys, *flags)
  assert code == 2
  assert said.startswith('error: Expected') and said.count('\n') == 1
  assert re.search(sentence, said), said
  assert not (tmp_path / 'out').exists()


def test_numbers_of_eight_bits_are_read(state, data, tmp_path, capsys):
  small = _with(state, **{
      'fc.weight': state['fc.weight'].to(torch.float8_e4m3fn)})
  torch.save(small, tmp_path / 'w.pth')
  assert _import(data[0], tmp_path / 'w.pth', tmp_path / 'out', capsys)[0] == 0
  saved = checkpoint.load_model(tmp_path / 'out')
  np.testing.assert_array_equal(
      torch_weights.to_state(saved.variables, saved.config)['fc.weight'],
      small['fc.weight'].float())


class Trained(train_state.TrainState):
  batch_stats: dict
  key: jax.Array
  ema_params: dict


@pytest.fixture(scope='module')
def own():
  """Variables of a flax module, and a train state around them."""
  model = models.build(models.ModelConfig(
      architecture='tests.models.own_nets:Own', outputs=CLASSES,
      mean=(0.,) * 3, std=(1.,) * 3))
  variables = dict(models.init(model, jax.random.key(0), (SIZE, SIZE)))
  return variables, Trained.create(
      apply_fn=None, tx=optax.adam(.1), **variables, key=jax.random.key(1),
      ema_params=jax.tree.map(lambda x: x + 1, variables['params']))


def _is_float(leaf):
  return getattr(leaf, 'dtype', None) in (np.float32, 'bfloat16')


def _standard(place, tree):
  with ocp.StandardCheckpointer() as saver:
    saver.save(place, tree)


def _manager(place, tree, **items):
  with ocp.CheckpointManager(place) as manager:
    for step, scale in ((3, 2), (12, 1)):
      saved = ocp.args.StandardSave(jax.tree.map(
          lambda x: x * scale if _is_float(x) else x, tree))  # noqa: B023
      manager.save(step, args=ocp.args.Composite(
          state=saved, meta=ocp.args.JsonSave({'a': 1}))
          if items else saved)


OWN = {
    'variables': lambda p, v, t: _standard(p, v),
    'in a model': lambda p, v, t: _standard(p, {'model': v, 'step': 3}),
    'train state': lambda p, v, t: _standard(p, t),
    'manager': lambda p, v, t: _manager(p, t),
    'manager of items': lambda p, v, t: _manager(p, t, meta=1),
    'msgpack': lambda p, v, t: p.write_bytes(flax.serialization.to_bytes(v)),
    'msgpack of a train state': lambda p, v, t: p.write_bytes(
        flax.serialization.to_bytes(t.replace(key=None))),
}


@pytest.mark.slow
@pytest.mark.parametrize('half', [False, True], ids=['float32', 'bfloat16'])
@pytest.mark.parametrize('name', OWN)
def test_flax_variables_are_found_in_what_training_stored(
    name, half, own, data, tmp_path, capsys):
  def kind(tree):
    return jax.tree.map(
        lambda x: x.astype('bfloat16') if _is_float(x) else x,
        tree) if half else tree

  OWN[name](tmp_path / 'mine', *map(kind, own))
  code, said, _ = _import(data[0], tmp_path / 'mine', tmp_path / 'out', capsys,
                          '--model=tests.models.own_nets:Own')
  assert code == 0, said
  assert ('left out' in said) == ('state' in name or 'manager' in name)
  assert ('read step 12 of 3, 12' in said) == ('manager' in name)
  found = checkpoint.load_model(tmp_path / 'out').variables
  jax.tree.map(np.testing.assert_array_equal, dict(found), jax.tree.map(
      lambda x: x.astype(np.float32), kind(own[0])))


def test_another_set_of_flax_parameters_can_be_named(
    own, data, tmp_path, capsys):
  _standard(tmp_path / 'mine', own[1])
  assert _import(
      data[0], tmp_path / 'mine', tmp_path / 'out', capsys,
      '--model=tests.models.own_nets:Own', '--state=ema_params')[0] == 0
  found = checkpoint.load_model(tmp_path / 'out').variables
  jax.tree.map(np.testing.assert_array_equal, found['params'],
               own[1].ema_params)


@pytest.mark.parametrize('save, sentence, flags', [
    (lambda p, v, t: _standard(p, {'a': v, 'b': v}), "one 'params' in", []),
    (lambda p, v, t: _standard(p, {'w': v['params']}), 'the collections', []),
    (lambda p, v, t: _standard(p, v['params']), 'got absent', []),
    (lambda p, v, t: p.mkdir(), 'the folder of a CheckpointManager', []),
    (lambda p, v, t: p.write_bytes(b'abc'), 'flax.serialization.to_bytes', []),
    (lambda p, v, t: _standard(p, v), 'not put into another order',
     [f'--head_classes={",".join(SHUFFLED)}']),
], ids=['two', 'no collections', 'params alone', 'empty', 'text', 'order'])
def test_what_is_no_flax_checkpoint_is_one_sentence(
    save, sentence, flags, own, data, tmp_path, capsys):
  save(tmp_path / 'mine', *own)
  code, said, _ = _import(
      data[0], tmp_path / 'mine', tmp_path / 'out', capsys,
      '--model=tests.models.own_nets:Own', *flags)
  assert code == 2 and said.startswith('error: Expected')
  assert sentence in said and said.count('\n') == 1


def test_a_network_that_returns_probabilities_is_refused(
    data, tmp_path, capsys):
  model = own_nets.Softmax(CLASSES)
  _standard(tmp_path / 'mine', model.init(
      jax.random.key(0), np.zeros((1, SIZE, SIZE, 3)), train=False))
  code, said, _ = _import(
      data[0], tmp_path / 'mine', tmp_path / 'out', capsys,
      '--model=tests.models.own_nets:Softmax')
  assert code == 2 and 'to return logits, got probabilities' in said


def test_python_refuses_a_network_that_returns_probabilities():
  model, dataset = own_nets.Softmax(3), tiny.dataset()
  splits, _ = resolution.resolve_request(
      dataset, splits_lib.draw_partition(dataset, seed=0),
      requests.ForgetRequest(people=1))
  with pytest.raises(ValueError, match='Softmax to return logits, got prob'):
    dlfd_jax.Problem(
        model, models.init(model, jax.random.key(0), dataset.image_size),
        dataset, splits)


_X64 = """
import sys
from dlfd_jax.cli import train, unlearn, weights
data, file, folder = sys.argv[1:]
flags = [f'--data={data}', '--labels=shade', '--image_size=12']
short = ['--epochs=1', '--batch_size=16']
assert train.main([
    *flags, *short, '--preset=demo', '--on=all', f'--workdir={folder}/trained',
    '--architecture=tests.models.own_nets:Double']) == 0
assert unlearn.main([
    *flags, *short, f'--original={folder}/trained', '--forget_people=3',
    '--perturb_steps=1', f'--workdir={folder}/unlearned']) == 0
assert weights.IMPORT.main([
    f'--weights={file}', *flags, '--width=8', '--allow_unverified',
    f'--workdir={folder}/imported']) == 0
"""


@pytest.mark.long
def test_models_are_float32_under_x64_and_read_without_it(state, tmp_path):
  data = runs_of.write_data(tmp_path)
  torch.save({name: value[:2].double() if name.startswith('fc.') else value
              for name, value in state.items()}, tmp_path / 'w.pth')
  subprocess.run(
      [sys.executable, '-c', _X64, str(data), str(tmp_path / 'w.pth'),
       str(tmp_path)], check=True,
      env={**os.environ, 'JAX_ENABLE_X64': '1', 'JAX_PLATFORMS': 'cpu'})
  for name in ('trained', 'unlearned', 'imported'):
    found = checkpoint.load_model(tmp_path / name)
    assert {leaf.dtype for leaf in jax.tree.leaves(found.variables)} == {
        np.dtype(np.float32)}
  assert runs.read_json(tmp_path / 'trained' / runs.RESULT)
