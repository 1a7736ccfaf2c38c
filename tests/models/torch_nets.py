"""PyTorch twins of our networks, named as torchvision names them."""

import torch
from torch import nn


class BasicBlock(nn.Module):

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.downsample = None
    if stride != 1 or inputs != width:
      self.downsample = nn.Sequential(
          nn.Conv2d(inputs, width, 1, stride, bias=False),
          nn.BatchNorm2d(width))

  def forward(self, x):
    y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
    return torch.relu(y + (x if self.downsample is None
                           else self.downsample(x)))


class ResNet18(nn.Module):

  def __init__(self, outputs, width):
    super().__init__()
    self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    inputs = width
    for stage in range(4):
      size = width * 2**stage
      setattr(self, f'layer{stage + 1}', nn.Sequential(
          BasicBlock(inputs, size, 2 if stage else 1),
          BasicBlock(size, size, 1)))
      inputs = size
    self.fc = nn.Linear(inputs, outputs)

  def forward(self, x):
    x = torch.relu(self.bn1(self.conv1(x)))
    x = nn.functional.max_pool2d(x, 3, 2, 1)
    for stage in range(4):
      x = getattr(self, f'layer{stage + 1}')(x)
    return self.fc(x.mean((2, 3)))


class Released(nn.Module):
  """A trunk without its last layer and the head of the authors' code."""

  def __init__(self, trunk, pooled, outputs):
    super().__init__()
    trunk.fc = nn.Identity()
    self.base_model = trunk
    self.features = nn.Sequential(
        nn.Linear(pooled, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, outputs))

  def forward(self, x):
    return self.features(self.base_model(x))


def shake(net, seed=0):
  """Random statistics and affine values, so that none can be mixed up."""
  generator = torch.Generator().manual_seed(seed)
  for module in net.modules():
    if isinstance(module, nn.BatchNorm2d):
      size = module.weight.shape
      with torch.no_grad():
        module.weight.copy_(torch.rand(size, generator=generator) + .5)
        module.bias.copy_(torch.randn(size, generator=generator) * .1)
      module.running_mean.copy_(torch.randn(size, generator=generator) * .1)
      module.running_var.copy_(torch.rand(size, generator=generator) + .5)
  return net.eval()
