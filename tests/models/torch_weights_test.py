"""State dicts in and out; logits against PyTorch's own."""

import io

import jax
import numpy as np
import pytest

from dlfd_jax import models
from dlfd_jax.models import efficientnet, torch_weights, weight_files

torch = pytest.importorskip('torch', reason='needs the extra torch')
import safetensors.torch  # noqa: E402

from tests.models import torch_nets  # noqa: E402

# Pixels such that DenseNet halves an odd number, whose edge is dropped.
OUTPUTS, WIDTH, SIZE = 5, 8, 72


@pytest.fixture(autouse=True)
def seeded():
  torch.manual_seed(0)


def _channels(width):
  return tuple(efficientnet.channels_of(c, width)
               for c in (32, 16, 24, 40, 80, 112, 192, 320))


def _twin(head, architecture='resnet18'):
  net, pooled = {
      'resnet18': lambda: (torch_nets.ResNet18(OUTPUTS, WIDTH), 8 * WIDTH),
      'densenet121': lambda: (
          torch_nets.DenseNet121(OUTPUTS, WIDTH), 16 * WIDTH),
      'efficientnet_b0': lambda: (
          torch_nets.EfficientNetB0(OUTPUTS, _channels(WIDTH)),
          4 * _channels(WIDTH)[-1])}[architecture]()
  if head == 'paper':
    net = torch_nets.Released(net, pooled, OUTPUTS)
  return torch_nets.shake(net)


def _config(head='plain', **fields):
  return models.ModelConfig(
      outputs=OUTPUTS, width=WIDTH, head=head, **fields)


def _state(net):
  return {name: value.numpy() for name, value in net.state_dict().items()}


def _both_logits(net, config, variables):
  images = np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
  model = models.build(config)
  ours = jax.jit(lambda v, x: model.apply(v, x, train=False).logits)(
      variables, images)
  normal = (images - np.float32(config.mean)) / np.float32(config.std)
  with torch.no_grad():
    theirs = net(torch.from_numpy(normal.transpose(0, 3, 1, 2).copy()))
  return np.asarray(ours), theirs.numpy()


@pytest.mark.slow
@pytest.mark.parametrize('head', ['plain', 'paper'])
@pytest.mark.parametrize('architecture', [
    'resnet18', pytest.param('densenet121', marks=pytest.mark.long),
    pytest.param('efficientnet_b0', marks=pytest.mark.long)])
def test_logits_equal_those_of_pytorch_and_so_do_tensors_on_the_way_back(
    architecture, head):
  net = _twin(head, architecture)
  config, state = _config(head, architecture=architecture), _state(net)
  variables = torch_weights.to_variables(state, config)
  ours, theirs = _both_logits(net, config, variables)
  assert np.abs(theirs).max() > .01  # the nets say something
  np.testing.assert_allclose(ours, theirs, atol=1e-4)
  back = torch_weights.to_state(variables, config)
  assert sorted(back) == sorted(state)
  for name, value in state.items():
    np.testing.assert_array_equal(back[name], value)
    assert back[name].dtype == value.dtype
  net.load_state_dict(
      {n: torch.from_numpy(v) for n, v in back.items()}, strict=True)


@pytest.mark.parametrize('architecture, twin', [
    ('resnet18', lambda: torch_nets.ResNet18(1000, 64)),
    pytest.param('densenet121', lambda: torch_nets.DenseNet121(1000, 64),
                 marks=pytest.mark.slow),
    pytest.param('efficientnet_b0', lambda: torch_nets.EfficientNetB0(1000),
                 marks=pytest.mark.slow)])
def test_full_networks_take_the_tensors_of_torchvision(architecture, twin):
  config = models.ModelConfig(outputs=1000, architecture=architecture)
  assert torch_weights.account(_state(twin()), config).fits


def test_a_network_without_a_twin_is_named():
  with pytest.raises(ValueError, match=(
      "for PyTorch weights, got 'vit_s', which has no twin in torchvision")):
    torch_weights.names_of(_config(architecture='vit_s'))


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors', '.pt'])
def test_files_are_read_as_they_were_written(tmp_path, suffix):
  state, path = _state(_twin('plain')), tmp_path / f'w{suffix}'
  weight_files.write(path, state)
  theirs = (safetensors.torch.load_file(path) if suffix == '.safetensors'
            else torch.load(path, weights_only=True))
  for read in (weight_files.read(path).tensors, theirs):
    assert sorted(read) == sorted(state)
    assert all((np.asarray(read[name]) == state[name]).all() for name in state)
  with pytest.raises(FileExistsError, match='is there already'):
    weight_files.write(path, state)


def test_parameters_that_ask_for_gradients_are_read(tmp_path):
  torch.save(dict(_twin('plain').named_parameters()), tmp_path / 'w.pth')
  assert 'conv1.weight' in weight_files.read(tmp_path / 'w.pth').tensors


def test_a_folder_that_is_not_there_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match='Expected the folder .*new for'):
    weight_files.write(tmp_path / 'new' / 'w.pth', {'a': np.ones(2)})
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind, suffix, prefix, key', [
    ('float16', '.pth', 'module.', 'state_dict'),
    ('bfloat16', '.pth', '', 'model'),
    ('float64', '.pth', 'model._orig_mod.module.', 'model_state_dict'),
    ('bfloat16', '.safetensors', 'module.', None)])
def test_wrappers_and_other_precision_are_understood(
    tmp_path, kind, suffix, prefix, key):
  net, path = _twin('plain'), tmp_path / f'w{suffix}'
  wrapped = {f'{prefix}{n}': v.to(getattr(torch, kind))
             if v.is_floating_point() else v
             for n, v in net.state_dict().items()}
  if key is None:
    safetensors.torch.save_file(wrapped, path)
  else:
    torch.save({'epoch': 3, key: wrapped, 'optimizer': {'lr': .1}}, path)
  variables = torch_weights.to_variables(
      weight_files.read(path).tensors, _config())
  found = variables['params']['conv1']['kernel']
  assert found.dtype == np.float32
  wanted = net.conv1.weight.detach().numpy().transpose(2, 3, 1, 0)
  np.testing.assert_allclose(found, wanted, atol=4e-3)


def test_every_tensor_that_does_not_fit_is_named():
  state = _state(_twin('plain'))
  del state['bn1.bias']
  state['extra.weight'] = np.zeros(3)
  state['fc.weight'] = np.zeros((7, 8 * WIDTH), np.float32)
  found = torch_weights.account(state, _config())
  assert found.missing == ('bn1.bias',)
  assert found.unexpected == ('extra.weight',)
  assert found.misshapen == (
      ('fc.weight', (7, 64), (OUTPUTS, 64)),)
  with pytest.raises(ValueError, match=(
      r'fc.weight has shape \[7, 64\], wanted \[5, 64\]; lacks bn1.bias; has '
      'no place for extra.weight')):
    torch_weights.to_variables(state, _config())


class _Evil:

  def __reduce__(self):
    return (print, ('code ran',))


def _saved(value):
  held = io.BytesIO()
  torch.save(value, held)
  return held.getvalue()


@pytest.mark.parametrize('name, content, sentence', [
    ('w.bin', b'', 'Expected weights to end in'),
    ('w.pth', b'nonsense', 'Expected a state dict of tensors in'),
    ('w.safetensors', b'nonsense', 'Expected safetensors'),
    ('w.pth', _saved([torch.zeros(2)]), 'got a list'),
    ('w.pth', _saved({'weight': _Evil()}), 'Expected a state dict of tensors'),
    ('none.pth', None, 'got no file')])
def test_other_files_are_refused_and_run_no_code(
    tmp_path, capsys, name, content, sentence):
  if content is not None:
    (tmp_path / name).write_bytes(content)
  with pytest.raises((ValueError, FileNotFoundError), match=sentence):
    weight_files.read(tmp_path / name)
  assert 'code ran' not in capsys.readouterr().out


def test_without_pytorch_the_extra_is_named(tmp_path, monkeypatch):
  (tmp_path / 'w.pth').write_bytes(b'x')
  monkeypatch.setitem(__import__('sys').modules, 'torch', None)
  with pytest.raises(ValueError, match=r'install the extra torch'):
    weight_files.read(tmp_path / 'w.pth')
