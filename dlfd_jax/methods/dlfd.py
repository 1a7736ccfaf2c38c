"""DLFD: distribution-level feature distancing (Choi and Na, AAAI 2025).

Per retain batch, K sign-gradient steps move the images away from a forget batch
in optimal-transport distance of features while their labels stay predictable
(:mod:`~dlfd_jax.methods.perturb`), then the weights take one step on the moved
images. A live attack on val decides whether the next steps do that or train on
clean images. Reads retain with labels, forget images, and val and forget labels
for the monitor. Cost: about K + 1 passes over retain per epoch of distance
steps, and the checks.

Source: Choi and Na (2024), arXiv:2409.14747. Ours: pixel-space steps projected
to [0, 1], the debiased divergence on penultimate features, frozen BatchNorm, a
member-balanced attack every few batches, its signed stop rule and thresholds
from its permutation null. :mod:`~dlfd_jax.methods.dlfd_released` runs the
authors' code instead.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import ot, parallel, tasks, training as train
from dlfd_jax.data import augment as augment_lib, feed
from dlfd_jax.methods import base, perturb
from dlfd_jax.utils import memo, validate

DISTANCE, FINETUNE = 'distance', 'finetune'


@dataclasses.dataclass(frozen=True, kw_only=True)
class DLFDConfig(base.MethodConfig):
  """DLFD's options, beside those of every method.

  Attributes:
    ot_weight: w_f, weight of the transport term, at least 0.
    ce_weight_start: lambda, weight of the cross-entropy, at the first batch, at
      least 0.
    ce_weight_end: lambda at the last batch, at least 0; linear in between.
    perturb_steps: K, gradient steps on the images of a batch, at least 1.
    perturb_step_size: alpha, size of such a step in pixel units, above 0.
    perturb_radius: rho, largest change of a pixel in pixel units; None = none.
    representation: ``'features'`` or ``'logits'``: the transport's space.
    sinkhorn: the solver, its epsilon, and entropic cost or divergence.
    update_loss: ``'ce'``: cross-entropy on the moved images; ``'combined'``:
      the weights also follow the objective, min of -J.
    dynamic_phases: switch to clean images below ``forget_threshold``; False
      perturbs every batch.
    forget_threshold: forgetting score, or ``'null_mean'`` or ``'null_95'`` of
      the live attack's permutation null.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'DLFD'

  selection: str = 'one_se'
  ot_weight: float = 1.0
  ce_weight_start: float = 0.5
  ce_weight_end: float = 1.0
  perturb_steps: int = 5
  perturb_step_size: float = 2 / 255
  perturb_radius: float | None = None
  representation: str = 'features'
  sinkhorn: ot.SinkhornConfig = ot.SinkhornConfig()
  update_loss: str = 'ce'
  dynamic_phases: bool = True
  forget_threshold: float | str = 'null_95'

  def __post_init__(self):
    super().__post_init__()
    for name in ('ot_weight', 'ce_weight_start', 'ce_weight_end'):
      validate.number(name, getattr(self, name), 0)
    validate.integer('perturb_steps', self.perturb_steps)
    validate.number('perturb_step_size', self.perturb_step_size, 0, ends='(]')
    if self.perturb_radius is not None:
      validate.number('perturb_radius', self.perturb_radius, 0, ends='(]')
    validate.one_of(
        'representation', self.representation, ('features', 'logits'))
    validate.one_of('update_loss', self.update_loss, ('ce', 'combined'))
    validate.instance('sinkhorn', self.sinkhorn, ot.SinkhornConfig)
    validate.boolean('dynamic_phases', self.dynamic_phases)
    base.check_threshold('forget_threshold', self.forget_threshold)

  def ce_weight(self, step: jax.typing.ArrayLike,
                num_steps: jax.typing.ArrayLike) -> jax.Array:
    """The weight lambda of batch ``step`` of ``num_steps``."""
    last = jnp.maximum(jnp.asarray(num_steps) - 1, 1)
    share = jnp.asarray(step, jnp.float32) / last
    return self.ce_weight_start + share * (
        self.ce_weight_end - self.ce_weight_start)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Distance and fine-tune steps, switched by the live attack."""
    problem = setting.problem
    return base.Plan(
        steps={DISTANCE: make_distance_step(problem.model, problem.task, self),
               FINETUNE: setting.supervised_step(self)},
        batches=setting.pairs(self), passes=2 * self.perturb_steps + 5,
        phases=base.PhaseRule(
            active=DISTANCE, resting=FINETUNE, threshold=self.forget_threshold)
        if self.dynamic_phases else None)


@memo.one_for_equal
def make_distance_step(model: nn.Module, task: tasks.Task, config: DLFDConfig,
                       num_steps: int | None = None) -> parallel.StepFn:
  """One DLFD step: ``(state, frozen, batch, *, axis_name)``.

  ``batch`` holds ``index``, ``mask`` and ``position`` of retain, and the same
  with the prefix ``forget_``. See ``train.length`` for ``num_steps``.
  """
  live = config.batch_norm == 'live'

  def distance_step(state, frozen, batch, *, axis_name=None):
    images, labels = feed.read(frozen, batch)
    forget, _ = feed.read(frozen, batch, 'forget_')
    if config.augment is not None:
      images = augment_lib.augment(
          images, train.example_keys(state, batch['position'], 0),
          config.augment)
      forget = augment_lib.augment(
          forget, train.example_keys(state, batch['forget_position'], 2),
          config.augment)
    weights = batch['mask'] * tasks.has_label(task, labels)
    target = perturb.forget_target(
        model, state.variables, forget, batch['forget_mask'], config,
        axis_name)
    run_steps = train.length(frozen, num_steps)
    ce_weight = config.ce_weight(state.step, run_steps)
    moved, metrics = perturb.perturb(
        perturb.objective(
            model, task, state.variables, labels, weights, target, ce_weight,
            config, axis_name), images, config)
    keys = train.example_keys(state, batch['position'], 1)
    if config.update_loss == 'ce':
      new, update_metrics = train.supervised_update(
          model, task, state, moved, labels, weights,
          optimizer=config.optimizer, num_steps=run_steps, live=live,
          keys=keys, axis_name=axis_name)
    else:
      new, update_metrics = _combined_update(
          model, task, state, moved, labels, weights, target, ce_weight,
          config, run_steps, keys, axis_name)
    change = jnp.abs(moved - images).mean((1, 2, 3))
    change, rows = parallel.sum_over_devices(
        ((change * weights).sum(), weights.sum()), axis_name)
    return new, {**metrics, **update_metrics, 'ce_weight_sum': ce_weight,
                 'pixel_change_sum': change / jnp.maximum(rows, 1.0)}

  return distance_step


def _combined_update(model, task, state, images, labels, weights, target,
                     ce_weight, config, num_steps, keys, axis_name):
  """A step of the weights on -J: cross-entropy and transport distance."""
  devices = parallel.axis_size(axis_name)
  count = parallel.sum_over_devices(weights.sum(), axis_name)
  everyone = parallel.gather_rows(weights, axis_name)

  def share(params):
    loss, (stats, correct, outputs) = train.forward_loss(
        model, task, params, state.batch_stats, images, labels, weights,
        train=config.batch_norm == 'live', keys=keys, axis_name=axis_name)
    features = parallel.gather_rows(
        perturb.represent(outputs, config.representation), axis_name)
    solved = ot.transport(features, everyone, target, config.sinkhorn)
    value = (ce_weight * loss / jnp.maximum(count, 1.0)
             - config.ot_weight * solved.value / devices)
    return value, (stats, {'loss_sum': loss, 'correct_sum': correct})

  new, metrics = train.descend(
      state, share, config.optimizer, num_steps, axis_name=axis_name)
  return new, {**metrics, 'count': count}
