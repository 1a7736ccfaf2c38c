"""PyTorch twins of our networks, named as torchvision names them."""

import collections

import numpy as np
import torch
from torch import nn

from dlfd_jax import models
from experiments.benchmarks import torch_reference


class ResNet18(torch_reference.ResNet18):
  """The benchmark's network on plain pixels, its logits alone."""

  def __init__(self, outputs, width):
    super().__init__(outputs, width, 'imagenet', (0., 0., 0.), (1., 1., 1.))

  def forward(self, x):
    return super().forward(x)[0]


class DenseLayer(nn.Module):

  def __init__(self, inputs, growth):
    super().__init__()
    self.norm1 = nn.BatchNorm2d(inputs)
    self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
    self.norm2 = nn.BatchNorm2d(4 * growth)
    self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

  def forward(self, x):
    y = self.conv1(torch.relu(self.norm1(x)))
    return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)


class DenseNet121(nn.Module):

  def __init__(self, outputs, width):
    super().__init__()
    growth, channels = width // 2, width
    trunk = collections.OrderedDict(
        conv0=nn.Conv2d(3, width, 7, 2, 3, bias=False),
        norm0=nn.BatchNorm2d(width), relu0=nn.ReLU(),
        pool0=nn.MaxPool2d(3, 2, 1))
    for block, depth in enumerate((6, 12, 24, 16), start=1):
      if block > 1:
        trunk[f'transition{block - 1}'] = nn.Sequential(
            collections.OrderedDict(
                norm=nn.BatchNorm2d(channels), relu=nn.ReLU(),
                conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
                pool=nn.AvgPool2d(2, 2)))
        channels //= 2
      layers = collections.OrderedDict()
      for layer in range(1, depth + 1):
        layers[f'denselayer{layer}'] = DenseLayer(channels, growth)
        channels += growth
      trunk[f'denseblock{block}'] = nn.Sequential(layers)
    trunk['norm5'] = nn.BatchNorm2d(channels)
    self.features = nn.Sequential(trunk)
    self.classifier = nn.Linear(channels, outputs)

  def forward(self, x):
    return self.classifier(torch.relu(self.features(x)).mean((2, 3)))


class SqueezeExcitation(nn.Module):

  def __init__(self, channels, squeezed):
    super().__init__()
    self.fc1 = nn.Conv2d(channels, squeezed, 1)
    self.fc2 = nn.Conv2d(squeezed, channels, 1)

  def forward(self, x):
    y = nn.functional.silu(self.fc1(x.mean((2, 3), keepdim=True)))
    return x * torch.sigmoid(self.fc2(y))


def _conv_norm(inputs, outputs, size, stride=1, groups=1, act=True):
  layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups,
                      bias=False), nn.BatchNorm2d(outputs)]
  return nn.Sequential(*layers, *([nn.SiLU()] if act else []))


class MBConv(nn.Module):

  def __init__(self, inputs, outputs, expand, size, stride):
    super().__init__()
    wide = inputs * expand
    layers = [] if expand == 1 else [_conv_norm(inputs, wide, 1)]
    layers += [
        _conv_norm(wide, wide, size, stride, wide),
        SqueezeExcitation(wide, max(1, inputs // 4)),
        _conv_norm(wide, outputs, 1, act=False)]
    self.block = nn.Sequential(*layers)
    self.shortcut = stride == 1 and inputs == outputs

  def forward(self, x):
    y = self.block(x)
    return x + y if self.shortcut else y


class EfficientNetB0(nn.Module):
  """``channels``: of the stem and of the seven stages."""

  def __init__(self, outputs, channels=(32, 16, 24, 40, 80, 112, 192, 320)):
    super().__init__()
    stages = [_conv_norm(3, channels[0], 3, 2)]
    table = ((1, 3, 1, 1), (6, 3, 2, 2), (6, 5, 2, 2), (6, 3, 2, 3),
             (6, 5, 1, 3), (6, 5, 2, 4), (6, 3, 1, 1))
    inputs = channels[0]
    for (expand, size, stride, depth), out in zip(
        table, channels[1:], strict=True):
      blocks = []
      for k in range(depth):
        blocks.append(MBConv(inputs, out, expand, size, 1 if k else stride))
        inputs = out
      stages.append(nn.Sequential(*blocks))
    stages.append(_conv_norm(inputs, 4 * inputs, 1))
    self.features = nn.Sequential(*stages)
    self.classifier = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(4 * inputs, outputs))

  def forward(self, x):
    return self.classifier(self.features(x).mean((2, 3)))


class Released(nn.Module):
  """A trunk without its last layer and the head of the authors' code."""

  def __init__(self, trunk, pooled, outputs):
    super().__init__()
    setattr(trunk, 'fc' if hasattr(trunk, 'fc') else 'classifier',
            nn.Identity())
    self.base_model = trunk
    self.features = nn.Sequential(
        nn.Linear(pooled, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, outputs))

  def forward(self, x):
    return self.features(self.base_model(x))


def shake(net, seed=0):
  """Random statistics and affine values, so that none can be mixed up.

  Linear layers become stronger, so that the logits are not near 0.
  """
  generator = torch.Generator().manual_seed(seed)
  for module in net.modules():
    if isinstance(module, nn.Linear):
      with torch.no_grad():
        module.weight.mul_(4)
    if isinstance(module, nn.BatchNorm2d):
      size = module.weight.shape
      with torch.no_grad():
        module.weight.copy_(torch.rand(size, generator=generator) + .5)
        module.bias.copy_(torch.randn(size, generator=generator) * .1)
      module.running_mean.copy_(torch.randn(size, generator=generator) * .1)
      module.running_var.copy_(torch.rand(size, generator=generator) + .5)
  return net.eval()


def fit_head(net, images, labels):
  """Makes the last layer of a ResNet tell the classes apart, untrained.

  Least squares on its features of uint8 images ``[n, h, w, 3]``, normalised by
  ImageNet's statistics.
  """
  config = models.ModelConfig(outputs=1)
  seen = (images / np.float32(255) - np.array(config.mean, np.float32)
          ) / np.array(config.std, np.float32)
  head, net.fc = net.fc, nn.Identity()
  with torch.no_grad():
    features = net(torch.from_numpy(seen.transpose(0, 3, 1, 2).copy())).double()
    middle = features.mean(0)
    wanted = nn.functional.one_hot(torch.from_numpy(labels)).double() - .5
    weight = torch.linalg.lstsq(
        (features - middle), wanted, driver='gelsd').solution.T
    head.weight.copy_(weight)
    head.bias.copy_(-weight @ middle)
  net.fc = head
