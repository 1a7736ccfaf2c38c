"""How a gradient becomes a step: SGD or Adam, as in PyTorch."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax

from dlfd_jax.utils import validate

SCHEDULES = ('constant', 'cosine')
KINDS = ('sgd', 'adam')


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """SGD or Adam as in PyTorch: weight decay joins the gradient first.

  Attributes:
    kind: ``'sgd'`` or ``'adam'`` (Kingma and Ba, 2015, arXiv:1412.6980; second
      moment's decay .999, epsilon 1e-8).
    learning_rate: learning rate at step 0, above 0.
    momentum: of SGD, or the decay of Adam's first moment; in [0, 1).
    weight_decay: times each parameter joins its gradient; at least 0.
    schedule: ``'constant'``, or ``'cosine'``: one half period from
      ``learning_rate`` at step 0 to 0 at the end of the run.
    clip_norm: largest global norm of a gradient, before weight decay; None =
      no clipping.

  Raises:
    ValueError: if a field is out of its range.
  """

  kind: str = dataclasses.field(default='sgd', metadata={'flag': 'optimizer'})
  learning_rate: float = 0.01
  momentum: float = 0.9
  weight_decay: float = 5e-4
  schedule: str = 'constant'
  clip_norm: float | None = None

  def __post_init__(self) -> None:
    validate.one_of('kind', self.kind, KINDS)
    validate.number('learning_rate', self.learning_rate, 0, ends='(]')
    validate.number('momentum', self.momentum, 0, 1, ends='[)')
    validate.number('weight_decay', self.weight_decay, 0)
    validate.one_of('schedule', self.schedule, SCHEDULES)
    if self.clip_norm is not None:
      validate.number('clip_norm', self.clip_norm, 0, ends='(]')

  def transform(self) -> optax.GradientTransformation:
    """Gradient to direction; the step multiplies it by the learning rate."""
    parts = []
    if self.clip_norm is not None:
      parts.append(optax.clip_by_global_norm(self.clip_norm))
    if self.weight_decay:
      parts.append(optax.add_decayed_weights(self.weight_decay))
    if self.kind == 'adam':
      parts.append(optax.scale_by_adam(b1=self.momentum))
    elif self.momentum:
      parts.append(optax.trace(decay=self.momentum))
    return optax.chain(*parts) if parts else optax.identity()

  def rate(self, step: jax.typing.ArrayLike,
           num_steps: jax.typing.ArrayLike) -> jax.Array:
    """Learning rate of ``step`` (from 0) in a run of ``num_steps``."""
    if self.schedule == 'constant':
      return jnp.float32(self.learning_rate)
    progress = jnp.asarray(step, jnp.float32) / num_steps
    return self.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * progress))
