"""The inner problem of DLFD: move retain images away from the forget set.

    J(x*) = w_f * S_eps(h(x*), h(x_f)) - lambda * CE(f(x*), y)
    x* <- project(x* + alpha * sign(grad J(x*))),   K times

The projection stands outside the derivative: a clip inside it has no gradient
at a saturated pixel, which would then never move again.

Source: Choi and Na (2024), arXiv:2409.14747; the projection, the divergence and
the pixel-space step are our choices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import ot, parallel, tasks
from dlfd_jax.models import Outputs, Variables


def represent(outputs: Outputs, representation: str) -> jax.Array:
  """``features`` or ``logits``, ``[n, d]``."""
  return getattr(outputs, representation)


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
  return ot.prepare_target(
      parallel.gather_rows(
          represent(outputs, config.representation), axis_name),
      parallel.gather_rows(weights, axis_name), config.sinkhorn)


def objective(model: nn.Module, task: tasks.Task, variables: Variables,
              labels: jax.Array, weights: jax.Array, target: ot.Target,
              ce_weight: jax.Array, config: Any, axis_name: str | None
              ) -> Callable[[jax.Array], tuple[jax.Array, ot.Transport]]:
  """J as a function of this device's images.

  Only the transport term is gathered, and the gradient through the gather is
  as many times too large as there are devices, so each device counts its part.

  Returns:
    ``x* -> (this device's part of J, the solved transport problem)``.
  """
  count = parallel.sum_over_devices(weights.sum(), axis_name)
  everyone = parallel.gather_rows(weights, axis_name)
  devices = parallel.axis_size(axis_name)

  def evaluate(images):
    outputs: Any = model.apply(variables, images, train=False)
    features = parallel.gather_rows(
        represent(outputs, config.representation), axis_name)
    solved = ot.transport(features, everyone, target, config.sinkhorn)
    losses = tasks.example_loss(task, outputs.logits, labels)
    ce = jnp.where(weights > 0, losses, 0.0).sum() / jnp.maximum(count, 1.0)
    value = config.ot_weight * solved.value / devices - ce_weight * ce
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

  def step(perturbed, _):
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
