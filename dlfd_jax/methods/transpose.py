"""CT, convolution transpose: kernels lie down, and retain raises them again.

Height and width of every convolution's kernel are swapped once; then
cross-entropy on retain. Reads retain alone, so its forgetting is not aimed at
anybody; cost: a pass over retain per epoch.

Source: an entry to the NeurIPS 2023 challenge on unlearning
(arXiv:2406.09073), named and measured by Cadet et al. (2024),
arXiv:2410.01276. Ours: the cosine falls with every step, not every epoch.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from dlfd_jax import training as train
from dlfd_jax.methods import base
from dlfd_jax.models import Variables


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransposeConfig(base.MethodConfig):
  """CT; BatchNorm uses batch statistics, as all features have changed.

  Raises:
    ValueError: if a field is out of its range, or BatchNorm is frozen.
  """

  title = 'CT'

  epochs: int = 3
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=1e-3, schedule='cosine')
  batch_norm: str = 'batch'

  def __post_init__(self) -> None:
    super().__post_init__()
    base.check_batch_statistics(self, 'all features change')

  def plan(self, setting: base.Setting) -> base.Plan:
    """The supervised step on retain, from the transposed original."""
    start = transposed(setting.problem.original)
    return base.Plan(
        steps={'repair': setting.supervised_step(self)},
        batches=setting.stream('retain', self),
        start=setting.state(self, start))


def transposed(variables: Variables) -> Variables:
  """Variables whose convolution kernels ``(h, w, in, out)`` are ``(w, h, ..)``.

  Raises:
    ValueError: if a kernel is not square, or none is larger than 1 x 1.
  """
  turned = 0

  def turn(path: tuple, leaf: jax.Array) -> jax.Array:
    nonlocal turned
    if not base.is_kernel(path, leaf):
      return leaf
    if leaf.shape[0] != leaf.shape[1]:
      raise ValueError(
          'Expected square convolutions to transpose, got a kernel of '
          f'{leaf.shape[0]} x {leaf.shape[1]}.')
    turned += leaf.shape[0] > 1
    return jnp.swapaxes(leaf, 0, 1)

  params = jax.tree_util.tree_map_with_path(turn, variables['params'])
  if not turned:
    raise ValueError('Expected a network with convolutions larger than 1 x 1 '
                     'to transpose, got one without.')
  return {**variables, 'params': params}
