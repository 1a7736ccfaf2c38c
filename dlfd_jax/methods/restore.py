"""Restore: gives a model back the utility that forgetting cost it.

Many methods forget and lose utility. Here such a method serves as a *teacher on
forget* alone. The student starts at the original, which still has it, and takes
joint steps over a retain batch and a forget batch as large,

    min over theta of  mean CE(y, S(x_r)) + w mean KL(T(x_f) || S(x_f)),

one forward pass over both. Utility returns with the labels of retain; memory
does not, as the teacher anchors the forget images. While the live attack finds
forget images at most as well known as unseen ones, the next steps anchor with
``resting_weight`` instead, and with weight 0 read retain alone: a fixed weight
would forget too much. Memory comes and goes within few of these steps, so the
attack looks at least four times an epoch. Images too few to fill a batch do not
come back while it rests, as nothing else is like them: of these it rests within
the threshold alone, and the anchor holds them from both sides. See
docs/decisions.md.

Reads retain with labels, forget images, and what the teacher's method and the
monitor read; cost: the method's, and about 2 1/3 passes over retain per epoch.

Source: ours; the divergence is that of Hinton et al. (2015), arXiv:1503.02531.
Where the teacher itself is trained on, utility returns less and later than
memory; see docs/decisions.md.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.methods import base, dlfd, finetune, joint
from dlfd_jax.utils import memo, validate

JOINT, RESTING = 'restore', 'restore_resting'
_CHECKS = 4  # of the live attack in an epoch, at least


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageConfig(base.ProportionateConfig):
  """The student's joint steps.

  Attributes:
    weight: w of the divergence from the teacher on forget, at least 0.
    resting_weight: w while the attack finds forget images no better known than
      unseen ones, at least 0; with 0 these steps read retain alone.
    dynamic: let the live attack choose between the two; False = ``weight``
      throughout.
    forget_threshold: ``resting_weight`` counts below it, see
      ``select_threshold``.
    statistics: batch statistics of which images: ``'joint'`` = retain and
      forget, ``'retain'``.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'Joint steps'

  epochs: int = 3
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=0.02, schedule='cosine', clip_norm=1.0)
  batch_norm: str = 'batch'
  selection: str = 'one_se'
  weight: float = 3.0
  resting_weight: float = 0.0
  dynamic: bool = True
  forget_threshold: float | str = 'null_mean'
  statistics: str = 'joint'

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ('weight', 'resting_weight'):
      validate.number(name, getattr(self, name), 0)
    validate.boolean('dynamic', self.dynamic)
    validate.one_of('statistics', self.statistics, ('joint', 'retain'))
    base.check_threshold('forget_threshold', self.forget_threshold)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Joint steps from the original, anchored by the setting's teacher."""
    problem = setting.problem
    if setting.teacher is None:
      raise ValueError('Expected joint steps inside RestoreConfig, which has '
                       'a teacher, got them alone.')
    weights = {JOINT: self.weight}
    steps = {JOINT: make_step(problem.model, problem.task, self)}
    if self.dynamic and self.resting_weight:
      weights[RESTING] = self.resting_weight
      steps[RESTING] = steps[JOINT]
    elif self.dynamic:
      steps[RESTING] = setting.supervised_step(self)
    few = len(problem.splits.forget) < self.batch_size
    # Copies of the same few would be half of what batch statistics count.
    batches = setting.pairs(self, once=True)
    return base.Plan(
        steps=steps, batches=batches, num_steps=self.num_steps(
            batches.steps_per_epoch, len(problem.splits.forget)), passes=7,
        check_within=-(-batches.steps_per_epoch // _CHECKS),
        phases=base.PhaseRule(
            active=JOINT, resting=RESTING, threshold=self.forget_threshold,
            opening=JOINT, signed=not few) if self.dynamic else None,
        constants={'teacher': setting.teacher},
        phase_constants={
            phase: {'weight': setting.devices.share(np.float32(weight))}
            for phase, weight in weights.items()})

  def answers(self, model: nn.Module, teacher: Any,
              rows: train.Rows) -> jax.Array:
    """The teacher's logits on forget rows, inside a step.

    Args:
      model: the classifier.
      teacher: of the constants, here variables of ``model``.
      rows: of forget, ``[b]``.
    """
    return train.logits(model, teacher, rows.images)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoreConfig(base.Wrapper):
  """A method, and the stage that gives its utility back.

  Attributes:
    method: config of the method that forgets: its selected state teaches.
    restore: the joint steps.

  Raises:
    ValueError: if one is no such config.
  """

  title = 'Restore'

  method: base.MethodConfig = finetune.FinetuneConfig()
  restore: StageConfig = StageConfig()

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.instance('restore', self.restore, StageConfig)

  @property
  def inner(self) -> base.MethodConfig:
    return self.restore

  @property
  def stages(self) -> tuple[base.Method, ...]:
    return self.method, self

  @property
  def teachers(self) -> tuple[base.Method, ...]:
    return (self.method,)

  def plan(self, setting: base.Setting) -> base.Plan:
    """That of the joint steps."""
    return self.restore.plan(setting)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DLFDRestoreConfig(RestoreConfig):
  """DLFD, restored."""

  title = 'DLFD + restore'

  method: base.MethodConfig = dlfd.DLFDConfig()


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: StageConfig) -> parallel.StepFn:
  """A joint step on a ``batching.Pair``.

  ``constants`` hold the ``teacher`` and its ``weight``.
  """
  def joint_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    retain, forget = train.read_pair(
        state, constants, batch, task, config.augment)
    forget = forget._replace(weights=batch.forget.mask)  # no label is read
    teacher = config.answers(model, constants['teacher'], forget)
    return joint.descend(
        model, task, config, state, constants, retain, forget,
        lambda student: tasks.example_kl(task, teacher, student),
        name='forget_kl', weight=constants['weight'], axis_name=axis_name,
        counted=None if config.statistics == 'joint' else (
            jnp.zeros_like(forget.weights)))

  return joint_step
