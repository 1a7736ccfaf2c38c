"""DLFD: distribution-level feature distancing (Choi and Na, AAAI 2025).

Per retain batch, K sign-gradient steps move the images away from a forget batch
in optimal-transport distance of features while their labels stay predictable,

    J(x*) = w_f * S_eps(h(x*), h(x_f)) - lambda * CE(f(x*), y)
    x* <- project(x* + alpha * sign(grad J(x*))),   K times,

then the weights take one step on the perturbed images. The projection stands
outside the derivative: a clip inside it has no gradient at a saturated pixel,
which would then never move again. A live attack on val decides whether the next
steps do that or train on clean images. Reads retain with labels, forget images,
and val and forget labels for the monitor. Cost: about K + 1 passes over retain
per epoch of distance steps, and the checks.

Source: Choi and Na (2024), arXiv:2409.14747. Ours: pixel-space steps projected
to [0, 1], the debiased divergence on penultimate features, frozen BatchNorm, a
member-balanced attack every few batches, its signed stop rule and thresholds
from its permutation null. :mod:`~dlfd_jax.methods.dlfd_released` runs the
authors' code instead.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import ot, parallel, tasks, training as train
from dlfd_jax.methods import base
from dlfd_jax.models import Variables
from dlfd_jax.utils import memo, validate

DISTANCE, FINETUNE = 'distance', 'finetune'


@dataclasses.dataclass(frozen=True, kw_only=True)
class DLFDConfig(base.ProportionateConfig):
  """DLFD's options, beside those of every method.

  Attributes:
    ot_weight: w_f, weight of the transport term, at least 0.
    ce_weight_start: lambda, weight of the cross-entropy, at the first batch, at
      least 0.
    ce_weight_end: lambda at the last batch, at least 0; linear in between.
    perturb_steps: K, gradient steps on the images of a batch, at least 1.
    perturb_step_size: alpha, size of such a step in pixel units, above 0.
    perturb_radius: rho, largest change of a pixel in pixel units; None = no
      bound.
    representation: ``'features'`` or ``'logits'``: the transport's space.
    sinkhorn: the solver, its epsilon, and entropic cost or divergence.
    update_loss: ``'ce'``: cross-entropy on the perturbed images;
      ``'combined'``: the weights also follow the objective, min of -J.
    dynamic_phases: switch to clean images below ``forget_threshold``; False
      perturbs every batch.
    forget_threshold: as ``select_threshold``.

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

  def __post_init__(self) -> None:
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
    progress = jnp.asarray(step, jnp.float32) / last
    return self.ce_weight_start + progress * (
        self.ce_weight_end - self.ce_weight_start)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Distance and fine-tune steps, switched by the live attack."""
    problem = setting.problem
    batches = setting.pairs(self)
    return base.Plan(
        steps={DISTANCE: make_distance_step(problem.model, problem.task, self),
               FINETUNE: setting.supervised_step(self)},
        batches=batches, num_steps=self.num_steps(
            batches.steps_per_epoch, len(problem.splits.forget)),
        passes=2 * self.perturb_steps + 5,
        phases=base.PhaseRule(
            active=DISTANCE, resting=FINETUNE, threshold=self.forget_threshold)
        if self.dynamic_phases else None)


def project(images: jax.Array, clean: jax.Array,
            radius: float | None) -> jax.Array:
  """Images clipped to [0, 1] and, if set, to ``clean`` +- ``radius``.

  Args:
    images: ``[n, h, w, 3]``, pixel units.
    clean: the images before any perturbation.
    radius: of the maximum norm, pixel units; None = no ball.
  """
  if radius is not None:
    images = jnp.clip(images, clean - radius, clean + radius)
  return jnp.clip(images, 0.0, 1.0)


def forget_target(model: nn.Module, variables: Variables, images: jax.Array,
                  weights: jax.Array, config: Any,
                  axis_name: str | None) -> ot.Target:
  """The forget side of the transport problem, of the global batch.

  Args:
    model: the classifier.
    variables: its current variables, evaluation mode.
    images: this device's forget images ``[b, h, w, 3]``.
    weights: ``[b]``, 0 = padding.
    config: a ``DLFDConfig``.
    axis_name: device axis, or None.
  """
  outputs: Any = model.apply(variables, images, train=False)
  return ot.prepare_target(getattr(outputs, config.representation), weights,
                           config.sinkhorn, axis_name)


def objective(model: nn.Module, task: tasks.Task, variables: Variables,
              labels: jax.Array, weights: jax.Array, target: ot.Target,
              ce_weight: jax.Array, config: Any, axis_name: str | None
              ) -> Callable[[jax.Array], tuple[jax.Array, ot.Transport]]:
  """J as a function of this device's images.

  Each device counts its part of the transport term, which is one of all images.

  Returns:
    ``x* -> (this device's part of J, the solved transport problem)``.
  """
  count = parallel.sum_over_devices(weights.sum(), axis_name)

  def evaluate(images: jax.Array) -> tuple[jax.Array, ot.Transport]:
    outputs: Any = model.apply(variables, images, train=False)
    solved = ot.transport(
        getattr(outputs, config.representation), weights, target,
        config.sinkhorn, axis_name=axis_name)
    losses = tasks.example_loss(task, outputs.logits, labels)
    ce = jnp.where(weights > 0, losses, 0.0).sum() / jnp.maximum(count, 1.0)
    value = config.ot_weight * solved.part - ce_weight * ce
    return value, solved

  return evaluate


def perturb(evaluate: Callable[[jax.Array], tuple[jax.Array, ot.Transport]],
            images: jax.Array, config: Any
            ) -> tuple[jax.Array, dict[str, jax.Array]]:
  """K sign-gradient ascent steps on the objective.

  Args:
    evaluate: from :func:`objective`.
    images: clean retain images ``[b, h, w, 3]`` in [0, 1].
    config: a ``DLFDConfig``.

  Returns:
    The perturbed images, gradients stopped, and values of this step: the
    transport value before the first and before the last of the K steps, and the
    means over them of convergence, iterations and marginal error.
  """
  gradient = jax.grad(evaluate, has_aux=True)

  def step(perturbed: jax.Array, _: None) -> tuple[jax.Array, ot.Transport]:
    ascent, solved = gradient(perturbed)
    perturbed = perturbed + config.perturb_step_size * jnp.sign(ascent)
    return project(perturbed, images, config.perturb_radius), solved

  steps = config.perturb_steps
  perturbed, solved = jax.lax.scan(
      step, images, length=steps, unroll=parallel.inner_unroll(steps))
  return jax.lax.stop_gradient(perturbed), {
      'ot_start': solved.value[0],
      'ot_end': solved.value[-1],
      'sinkhorn_converged': solved.converged.mean(),
      'sinkhorn_iterations': solved.iterations.mean(),
      'sinkhorn_marginal_error': solved.marginal_error.mean(),
  }


@memo.one_for_equal
def make_distance_step(model: nn.Module, task: tasks.Task, config: DLFDConfig,
                       num_steps: int | None = None) -> parallel.StepFn:
  """One DLFD step on a ``batching.Pair``; see ``train.length``, too."""
  def distance_step(state: train.TrainState, constants: Any, batch: Any, *,
                    axis_name: str | None = None) -> train.Stepped:
    rows, forget = train.read_pair(
        state, constants, batch, task, config.augment)
    target = forget_target(
        model, state.variables, forget.images, batch.forget.mask, config,
        axis_name)
    run_steps = train.length(constants, num_steps)
    ce_weight = config.ce_weight(state.step, run_steps)
    perturbed, metrics = perturb(
        objective(
            model, task, state.variables, rows.labels, rows.weights, target,
            ce_weight, config, axis_name), rows.images, config)
    update = (train.supervised_update if config.update_loss == 'ce' else
              functools.partial(_combined_update, target=target,
                                ce_weight=ce_weight, config=config))
    state, updated = update(
        model, task, state, rows._replace(images=perturbed),
        optimizer=config.optimizer, num_steps=run_steps,
        train_mode=config.train_mode, axis_name=axis_name)
    change = jnp.abs(perturbed - rows.images).mean((1, 2, 3)) * rows.weights
    change = parallel.sum_over_devices(
        train.mean(change.sum(), rows.weights, axis_name), axis_name)
    return state, updated.replace(step={
        **metrics, **updated.step, 'ce_weight': ce_weight,
        'pixel_change': change})

  return distance_step


def _combined_update(model: nn.Module, task: tasks.Task,
                     state: train.TrainState, rows: train.Rows, *,
                     target: ot.Target, ce_weight: jax.Array,
                     config: DLFDConfig, optimizer: train.OptimizerConfig,
                     num_steps: jax.typing.ArrayLike, train_mode: bool,
                     axis_name: str | None) -> train.Stepped:
  """A step of the weights on -J: cross-entropy and transport distance."""
  def local_loss(params: Any) -> Any:
    metrics, stats, outputs = train.cross_entropy(
        model, task, params, state.batch_stats, rows, train=train_mode,
        axis_name=axis_name)
    solved = ot.transport(
        getattr(outputs, config.representation), rows.weights, target,
        config.sinkhorn, axis_name=axis_name)
    loss = train.mean(metrics.rows['loss'], rows.weights, axis_name)
    return ce_weight * loss - config.ot_weight * solved.part, (stats, metrics)

  return train.descend(
      state, local_loss, optimizer, num_steps, axis_name=axis_name)
