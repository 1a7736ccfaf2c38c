"""DLFD in PyTorch, written from the paper's description: what ours races.

One epoch of distance steps on a ResNet18: K sign-gradient steps of the images
on transport distance and cross-entropy, then one step of SGD with momentum. It
is meant to be quick, as an experienced PyTorch user would write it: features of
the forget batch once a batch, channels-last memory, frozen statistics, no
gradient of the weights in the inner steps, inference mode in the attack, and a
Sinkhorn in the kernel domain, which is quicker than one of logarithms. On a GPU
cuDNN searches its algorithms, and bfloat16 is PyTorch's own autocast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_CHECK_EVERY = 10  # Sinkhorn iterations between two looks at the marginals


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut, named as torchvision names them."""

  def __init__(self, inputs: int, width: int, stride: int):
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

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
    y = self.bn2(self.conv2(y))
    y = y + (x if self.downsample is None else self.downsample(x))
    return functional.relu(y, inplace=True)


class ResNet18(nn.Module):
  """The network of ``dlfd_jax.models.resnet`` with the plain head.

  Args:
    outputs: number of logits.
    width: channels of the first stage.
    stem: ``'imagenet'`` or ``'small'``.
    mean: of the channels, pixel units.
    std: of the channels, pixel units.
  """

  def __init__(self, outputs: int, width: int, stem: str,
               mean: Sequence[float], std: Sequence[float]):
    super().__init__()
    self.stem = stem
    size, stride = (7, 2) if stem == 'imagenet' else (3, 1)
    self.conv1 = nn.Conv2d(3, width, size, stride, size // 2, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    inputs = width
    for stage in range(4):
      channels = width * 2**stage
      setattr(self, f'layer{stage + 1}', nn.Sequential(
          BasicBlock(inputs, channels, 2 if stage else 1),
          BasicBlock(channels, channels, 1)))
      inputs = channels
    self.fc = nn.Linear(inputs, outputs)
    for name, value in (('mean', mean), ('std', std)):
      self.register_buffer(
          name, torch.tensor(value).reshape(1, 3, 1, 1), persistent=False)

  def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images ``[n, 3, h, w]`` in [0, 1] to logits and features."""
    x = self.conv1((images - self.mean) / self.std)
    x = functional.relu(self.bn1(x), inplace=True)
    if self.stem == 'imagenet':
      x = functional.max_pool2d(x, 3, 2, 1)
    for stage in range(4):
      x = getattr(self, f'layer{stage + 1}')(x)
    features = x.mean((2, 3))
    return self.fc(features), features


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What both sides of the race share; fields as in ``DLFDConfig``."""

  perturb_steps: int
  perturb_step_size: float
  ot_weight: float
  ce_weight: float
  epsilon: float
  max_iterations: int
  threshold: float
  learning_rate: float
  momentum: float
  weight_decay: float
  bfloat16: bool = False

  def precision(self, device: torch.device) -> torch.autocast:
    """Networks run inside of it."""
    return torch.autocast(device.type, torch.bfloat16, self.bfloat16)


def model_of(state: Mapping[str, np.ndarray], outputs: int, width: int,
             stem: str, mean: Sequence[float], std: Sequence[float],
             device: str = 'cpu') -> ResNet18:
  """The network with given weights, in channels-last memory."""
  torch.backends.cudnn.benchmark = True
  model = ResNet18(outputs, width, stem, mean, std)
  model.load_state_dict({
      name: torch.from_numpy(np.array(value)) for name, value in state.items()})
  return model.to(device, memory_format=torch.channels_last).eval()


def images_of(images: np.ndarray, device: str = 'cpu') -> torch.Tensor:
  """uint8 ``[n, h, w, 3]`` as ``[n, 3, h, w]`` in channels-last memory."""
  return torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2)


def _pixels(images: torch.Tensor) -> torch.Tensor:
  return images.float().div_(255.0)


def _plan(cost: torch.Tensor, settings: Settings) -> torch.Tensor:
  """The entropic plan between two uniform clouds (Cuturi 2013)."""
  kernel = torch.exp(-cost / settings.epsilon)
  n, m = cost.shape
  u, v = cost.new_full((n,), 1 / n), cost.new_full((m,), 1 / m)
  for i in range(1, settings.max_iterations + 1):
    u = (1 / n) / (kernel @ v)
    v = (1 / m) / (kernel.T @ u)
    if i % _CHECK_EVERY == 0:
      rows = u * (kernel @ v)
      if float((rows - 1 / n).abs().sum()) < settings.threshold:
        break
  return u[:, None] * kernel * v[None, :]


def distance(features: torch.Tensor, target: torch.Tensor,
             settings: Settings) -> torch.Tensor:
  """What the Sinkhorn divergence's gradient is that of, plans held fixed.

  Args:
    features: ``[n, d]``.
    target: unit rows ``[m, d]`` of the forget batch.
    settings: of the solver.
  """
  unit = functional.normalize(features.float(), dim=1, eps=1e-4)
  between, itself = 1 - unit @ target.T, 1 - unit @ unit.T
  with torch.no_grad():
    plans = _plan(between, settings), _plan(itself, settings)
  return (plans[0] * between).sum() - 0.5 * (plans[1] * itself).sum()


def perturb(model: ResNet18, images: torch.Tensor, labels: torch.Tensor,
            forget: torch.Tensor, settings: Settings) -> torch.Tensor:
  """K sign-gradient steps of a batch of images in [0, 1]."""
  precision = settings.precision(images.device)
  with torch.inference_mode(), precision:
    features = model(forget)[1]
  target = functional.normalize(features.float(), dim=1, eps=1e-4)
  target = target.clone()  # an inference tensor may not be saved for backward
  for parameter in model.parameters():
    parameter.requires_grad_(False)
  perturbed = images
  for _ in range(settings.perturb_steps):
    perturbed = perturbed.detach().requires_grad_(True)
    with precision:
      logits, features = model(perturbed)
    value = (settings.ot_weight * distance(features, target, settings)
             - settings.ce_weight * functional.cross_entropy(
                 logits.float(), labels))
    gradient, = torch.autograd.grad(value, perturbed)
    step_of_images = settings.perturb_step_size * gradient.sign()
    perturbed = (perturbed.detach() + step_of_images).clamp_(0.0, 1.0)
  for parameter in model.parameters():
    parameter.requires_grad_(True)
  return perturbed


def optimizer_of(model: ResNet18, settings: Settings) -> torch.optim.SGD:
  """SGD with momentum and weight decay."""
  return torch.optim.SGD(
      model.parameters(), settings.learning_rate, settings.momentum,
      weight_decay=settings.weight_decay)


def step(model: ResNet18, optimizer: torch.optim.SGD, images: torch.Tensor,
         labels: torch.Tensor, forget: torch.Tensor,
         settings: Settings) -> torch.Tensor:
  """One distance step on uint8 batches; returns the perturbed images."""
  perturbed = perturb(
      model, _pixels(images), labels, _pixels(forget), settings)
  optimizer.zero_grad(set_to_none=True)
  with settings.precision(images.device):
    logits, _ = model(perturbed)
  functional.cross_entropy(logits.float(), labels).backward()
  optimizer.step()
  return perturbed


def losses(model: ResNet18, images: torch.Tensor, labels: torch.Tensor,
           settings: Settings, batch_size: int = 256) -> np.ndarray:
  """Cross-entropy of every image, nats ``[n]``."""
  found = []
  with torch.inference_mode(), settings.precision(images.device):
    for start in range(0, len(images), batch_size):
      rows = slice(start, start + batch_size)
      found.append(functional.cross_entropy(
          model(_pixels(images[rows]))[0].float(), labels[rows],
          reduction='none'))
  return torch.cat(found).cpu().numpy()
