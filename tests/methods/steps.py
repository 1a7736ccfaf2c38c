"""One step of a method on one device, and an independent cross-entropy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import training as train

RATE = 0.05
PLAIN = train.OptimizerConfig(
    learning_rate=RATE, momentum=0.0, weight_decay=0.0)


def data_of(problem):
  return {'images': problem.dataset.images, 'labels': problem.dataset.labels,
          'num_steps': 9}


def take(step, problem, batch, optimizer=PLAIN, constants=None, state=None):
  """The state after ``step`` from the original, and the metrics."""
  if state is None:
    state = train.create_state(
        problem.original, optimizer, jax.random.key(problem.seed))
  return jax.jit(step)(state, {**data_of(problem), **(constants or {})}, batch)


def logits_of(problem, params, images):
  return problem.model.apply(
      {**problem.original, 'params': params}, images, train=False).logits


def mean_loss(problem, params, images, labels, weights):
  """Cross-entropy written anew: weighted mean, unknown attributes left out."""
  logits = logits_of(problem, params, images)
  if problem.task.is_multilabel:
    known = labels != -1
    each = -jax.nn.log_sigmoid(jnp.where(labels == 1, logits, -logits))
    losses = (each * known).sum(1) / jnp.maximum(known.sum(1), 1)
    weights = weights * known.any(1)
  else:
    losses = -jax.nn.log_softmax(logits)[np.arange(len(labels)), labels]
  return (losses * weights).sum() / weights.sum()


def mean_kl(problem, params, images, weights, temperature, teacher=None):
  """T^2 KL(teacher || student), written anew; the original teaches."""
  if teacher is None:
    teacher = logits_of(problem, problem.original['params'], images)
  student = logits_of(problem, params, images) / temperature
  teacher = teacher / temperature
  if problem.task.is_multilabel:
    p, q = jax.nn.sigmoid(teacher), jax.nn.sigmoid(student)
    each = p * jnp.log(p / q) + (1 - p) * jnp.log((1 - p) / (1 - q))
    rows = each.mean(1)
  else:
    p, q = jax.nn.softmax(teacher), jax.nn.softmax(student)
    rows = (p * jnp.log(p / q)).sum(1)
  return temperature**2 * (rows * weights).sum() / weights.sum()


def descended(loss, params, rate=RATE):
  """Parameters after plain descent by ``rate`` on ``loss(params)``."""
  return jax.tree.map(
      lambda p, g: p - rate * g, params, jax.jit(jax.grad(loss))(params))


def with_images(problem, rows):
  """The problem with the images of these rows inverted."""
  images = problem.dataset.images.copy()
  images[rows] = 255 - images[rows]
  return dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, images=images))


def with_labels(problem, rows):
  """The problem with other labels on these rows."""
  labels = problem.dataset.labels.copy()
  if problem.task.is_multilabel:
    labels[rows] = np.where(labels[rows] < 0, labels[rows], 1 - labels[rows])
  else:
    labels[rows] = (labels[rows] + 1) % 3
  return dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, labels=labels))
