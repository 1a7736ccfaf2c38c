"""The inner problem: gradients, projection and the K steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import ot, parallel, tasks
from dlfd_jax.methods import dlfd
from tests.methods import problems

EXACT = ot.SinkhornConfig(epsilon=0.1, threshold=1e-5, max_iterations=3000)


def config(**fields):
  return dlfd.DLFDConfig(**{'batch_size': 8, 'sinkhorn': EXACT, **fields})


class Case:
  """Eight retain images, of which six count, against eight forget images."""

  def __init__(self, kind='multiclass'):
    problem = problems.problem(kind)
    data, splits = problem.dataset, problem.splits
    self.model, self.task = problem.model, problem.task
    self.variables = problem.original
    self.labels = data.labels[splits.retain[:8]]
    self.weights = np.float32([1, 1, 1, 1, 1, 1, 0, 0])
    self.images = problems.pixels(data, splits.retain[:8])
    self.forget = problems.pixels(data, splits.forget[:8])

  def objective(self, config, ce_weight=0.7):
    """J of the package."""
    target = dlfd.forget_target(
        self.model, self.variables, self.forget, np.ones(8, np.float32),
        config, None)
    return dlfd.objective(
        self.model, self.task, self.variables, self.labels,
        jnp.asarray(self.weights), target, jnp.float32(ce_weight), config,
        None)


@pytest.mark.parametrize('fields, ce_weight', [
    ({}, 0.0),
    ({'ot_weight': 3.0}, 0.7),
    ({'representation': 'logits'}, 0.0),
    ({'sinkhorn': dataclasses.replace(EXACT, objective='entropic')}, 0.0),
])
def test_gradient_of_the_objective_agrees_with_finite_differences(
    fields, ce_weight):
  case = Case()
  evaluate = case.objective(config(**fields), ce_weight)
  both = jax.jit(jax.value_and_grad(lambda x: evaluate(x)[0]))
  value = lambda x: both(x)[0]
  slope = np.asarray(both(case.images)[1])
  per_image = np.abs(slope).max((1, 2, 3))
  assert (per_image[:6] > 1e-6).all()  # with ce_weight 0 the transport's own
  np.testing.assert_array_equal(per_image[6:], 0)  # padding
  rng = np.random.default_rng(0)
  width = 5e-3  # float32 leaves about 1e-5 of a slope at this width
  for _ in range(4):
    direction = rng.choice([-1.0, 1.0], slope.shape).astype(np.float32)
    rise = float(value(case.images + width * direction)
                 - value(case.images - width * direction)) / (2 * width)
    expected = float(np.vdot(slope, direction))
    assert abs(rise - expected) < 0.01 * np.linalg.norm(slope) + 2e-4


def slow_plan(cost, a, b, epsilon):
  """The entropic plan by Sinkhorn's plain scaling in float64."""
  kernel = np.exp(-np.asarray(cost, np.float64) / epsilon)
  a, b = a / a.sum(), b / b.sum()
  v = np.ones(len(b))
  for _ in range(2000):
    u = a / (kernel @ v)
    v = b / (kernel.T @ u)
  return u[:, None] * kernel * v


def cosine_cost(x, y):
  unit = lambda z: z / jnp.sqrt((z * z).sum(-1, keepdims=True))
  return 1 - unit(x) @ unit(y).T


def slow_slope(case, config, ce_weight, images):
  """dJ/dx with the plans held fixed, step by step."""
  @jax.jit
  def features(x):
    outputs = case.model.apply(case.variables, x, train=False)
    return getattr(outputs, config.representation)

  def cross_entropy(x):
    logits = case.model.apply(case.variables, x, train=False).logits
    if case.task.is_multilabel:
      known = case.labels != tasks.UNKNOWN
      signed = (2 * case.labels - 1) * logits
      losses = jnp.where(known, jnp.log1p(jnp.exp(-signed)), 0)
      losses = losses.sum(1) / known.sum(1)
    else:
      rows = np.arange(len(logits))
      losses = -jax.nn.log_softmax(logits)[rows, case.labels]
    return losses[:6].mean()

  a, b = case.weights, np.ones(8)
  moving, still = features(images), features(case.forget)
  epsilon = config.sinkhorn.epsilon
  across = slow_plan(cosine_cost(moving, still), a, b, epsilon)
  inside = slow_plan(cosine_cost(moving, moving), a, a, epsilon)

  @jax.jit
  def surrogate(x):
    h = features(x)
    distance = jnp.vdot(across.astype(np.float32), cosine_cost(h, still))
    if config.sinkhorn.objective == 'divergence':
      distance -= jnp.vdot(inside.astype(np.float32), cosine_cost(h, h)) / 2
    return config.ot_weight * distance - ce_weight * cross_entropy(x)

  return np.asarray(jax.grad(surrogate)(images))


@pytest.mark.parametrize('kind, fields', [
    ('multiclass', {}),
    pytest.param('multiclass', {'perturb_radius': 0.03},
                 marks=pytest.mark.slow),
    pytest.param('multilabel', {'representation': 'logits', 'sinkhorn': (
        dataclasses.replace(EXACT, objective='entropic'))},
                 marks=pytest.mark.slow),
])
def test_k_steps_agree_with_a_slow_loop(kind, fields):
  case = Case(kind)
  options = config(
      perturb_steps=3, perturb_step_size=0.02, ot_weight=2.0, **fields)
  moved, metrics = jax.jit(lambda x: dlfd.perturb(
      case.objective(options, 0.7), x, options))(case.images)

  images, clean = np.asarray(case.images), np.asarray(case.images)
  smallest = np.full(images.shape, np.inf)
  for _ in range(3):
    slope = slow_slope(case, options, 0.7, images)
    smallest = np.minimum(smallest, np.abs(slope) / np.abs(slope).max())
    images = images + np.float32(0.02) * np.sign(slope)
    if options.perturb_radius is not None:
      images = np.minimum(images, clean + np.float32(0.03))
      images = np.maximum(images, clean - np.float32(0.03))
    images = np.minimum(np.maximum(images, 0), 1)

  clear = smallest > 1e-4
  clear[6:] = True  # padding does not move
  assert clear.mean() > 0.9
  np.testing.assert_allclose(
      np.asarray(moved)[clear], images[clear], atol=1e-6)
  assert np.abs(moved - clean).max() > 0.019
  np.testing.assert_array_equal(moved[6:], clean[6:])
  assert metrics['sinkhorn_converged'] == 1
  assert metrics['ot_end'] > metrics['ot_start']


def towards(aim):
  """An objective whose gradient points from every pixel to ``aim``."""
  nothing = ot.Transport(*[jnp.float32(0)] * 5)
  return lambda x: (-jnp.square(x - aim).sum(), nothing)


def test_saturated_pixels_move_again():
  clean = jnp.array([0.0, 1.0, 0.0, 1.0]).reshape(1, 2, 2, 1)
  options = config(perturb_steps=2, perturb_step_size=0.1)
  moved, _ = jax.jit(
      lambda x: dlfd.perturb(towards(0.5), x, options))(clean)
  np.testing.assert_allclose(moved.ravel(), [0.2, 0.8, 0.2, 0.8], atol=1e-6)


@pytest.mark.parametrize('radius, expected', [
    (None, [0.9, 1.0, 0.3]), (0.25, [0.75, 1.0, 0.25])])
def test_images_stay_in_range_and_in_the_ball(radius, expected):
  clean = jnp.array([0.5, 0.9, 0.0]).reshape(1, 1, 3, 1)
  options = config(
      perturb_steps=4, perturb_step_size=0.1, perturb_radius=radius)
  aim = jnp.array([2.0, 2.0, 0.3001]).reshape(1, 1, 3, 1)
  moved, _ = jax.jit(lambda x: dlfd.perturb(towards(aim), x, options))(clean)
  if radius is None:
    expected = [0.9, 1.0, 0.4]  # 0.3 lies below the aim, so one step beyond
  np.testing.assert_allclose(moved.ravel(), expected, atol=1e-6)


def test_no_gradient_flows_through_the_perturbed_images():
  options = config(perturb_steps=2, perturb_step_size=0.1)
  slope = jax.jit(jax.grad(lambda x: dlfd.perturb(
      towards(0.5), x, options)[0].sum()))(jnp.full((1, 1, 1, 3), 0.2))
  np.testing.assert_array_equal(slope, 0)


@pytest.mark.long
def test_an_unrolled_loop_equals_a_plain_scan(monkeypatch):
  case = Case()
  options = config(perturb_steps=3, perturb_step_size=0.02)
  run = lambda: jax.jit(lambda x: dlfd.perturb(
      case.objective(options), x, options))(case.images)
  lengths = []

  def unroll(length):
    lengths.append(length)
    return 1

  unrolled, _ = run()
  monkeypatch.setattr(parallel, 'inner_unroll', unroll)
  scanned, _ = run()
  assert lengths == [3]
  assert not np.array_equal(scanned, case.images)
  # A sign may flip where the slope is next to nothing.
  assert np.mean(np.abs(unrolled - scanned) > 1e-6) < 1e-3
