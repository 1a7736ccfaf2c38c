"""Align: the step against a transport plan of NumPy, and its cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import ot, training as train
from dlfd_jax.methods import align
from tests import ot_test
from tests.methods import problems, steps

RETAIN = np.float32([1, 1, 1, 1, 1, 1, 0, 0])
FORGET = np.float32([1, 1, 1, 1, 1, 0, 0, 0])
EPSILON = 0.1
SINKHORN = ot.SinkhornConfig(
    epsilon=EPSILON, objective='entropic', threshold=1e-6, max_iterations=5000)


def config(**fields):
  return align.AlignConfig(**{
      'batch_size': 8, 'epochs': 1, 'optimizer': steps.PLAIN,
      'sinkhorn': SINKHORN, **fields})


def share_by_hand(task, left, right):
  if not task.is_multilabel:
    return np.float64([[a == b for b in right] for a in left])
  found = np.zeros((len(left), len(right)))
  for i, a in enumerate(left):
    for j, b in enumerate(right):
      known = (a != -1) & (b != -1)
      found[i, j] = (a == b)[known].mean() if known.any() else 0
  return found


def test_equal_labels_of_classes_and_of_attributes():
  classes = problems.task()
  np.testing.assert_array_equal(
      align.equal_share(classes, jnp.int32([0, 2]), jnp.int32([2, 0, 1])),
      [[0, 1, 0], [1, 0, 0]])
  left = np.int32([[1, 0, -1], [-1, -1, -1]])
  right = np.int32([[1, 1, 1], [-1, 0, 0], [1, 0, 1]])
  found = align.equal_share(problems.task('multilabel'), left, right)
  np.testing.assert_allclose(found, [[.5, 1, 1], [0, 0, 0]])
  np.testing.assert_allclose(
      found, share_by_hand(problems.task('multilabel'), left, right))


@pytest.mark.parametrize('kind, batch_norm, objective', [
    ('multiclass', 'frozen', 'entropic'), ('multiclass', 'batch', 'entropic'),
    ('multilabel', 'frozen', 'divergence')])
def test_a_step_by_hand(kind, batch_norm, objective):
  """By the plan of NumPy, held fixed: the envelope theorem."""
  problem = problems.flat(kind)
  pair = problems.batch(problem.splits)
  pair = pair._replace(retain=pair.retain.replace(mask=RETAIN),
                       forget=pair.forget.replace(mask=FORGET))
  kept, gone = pair.retain.index[RETAIN > 0], pair.forget.index[FORGET > 0]
  kept = kept[(problem.dataset.labels[kept].reshape(len(kept), -1) >= 0).any(1)]
  x = jnp.concatenate([problems.pixels(problem.dataset, rows)
                       for rows in (kept, gone)])
  labels = problem.dataset.labels
  n, kappa, weight = len(kept), 0.3, 0.7
  params = problem.original['params']

  def outputs_of(params):
    return problem.model.apply(
        {**problem.original, 'params': params}, x,
        train=batch_norm == 'batch', mask=jnp.ones(len(x)),
        mutable=['batch_stats'])[0]

  features = np.asarray(outputs_of(params).features, np.float64)
  share = share_by_hand(problem.task, labels[gone], labels[kept])
  uniform = [np.full(len(rows), 1 / len(rows)) for rows in (gone, kept)]
  cost = ot_test._cost(features[n:], features[:n]) + kappa * share
  plan = ot_test._plan(cost, *uniform, EPSILON)
  within = ot_test._plan(
      ot_test._cost(features[n:], features[n:]), uniform[0], uniform[0],
      EPSILON)

  def unit(rows):
    return rows / jnp.linalg.norm(rows, axis=1, keepdims=True)

  def loss(params):
    outputs = outputs_of(params)
    there = unit(outputs.features[n:])
    here = unit(jnp.float32(features[:n]))  # constants: no gradient
    found = (jnp.float32(plan) * (1 - there @ here.T)).sum()
    if objective == 'divergence':
      found -= (jnp.float32(within) * (1 - there @ there.T)).sum() / 2
    ce = train.tasks.example_loss(
        problem.task, outputs.logits[:n], labels[kept]).mean()
    return found + weight * ce

  options = config(
      class_cost=kappa, retain_weight=weight, batch_norm=batch_norm,
      sinkhorn=ot.SinkhornConfig(**{
          **vars(SINKHORN), 'objective': objective}))
  new, metrics = steps.take(
      align.make_step(problem.model, problem.task, options), problem, pair)
  expected = steps.descended(loss, params)
  assert problems.largest_difference(new.params, expected) < 2e-5
  assert metrics.count == n
  value = ot_test._sinkhorn(cost, *uniform, EPSILON)
  if objective == 'divergence':
    value -= sum(ot_test._sinkhorn(ot_test._cost(c, c), w, w, EPSILON) / 2
                 for c, w in zip((features[n:], features[:n]), uniform,
                                 strict=True))
  np.testing.assert_allclose(metrics.step['ot'], value, atol=1e-4)
  assert metrics.step['sinkhorn_converged'] == 1


def gradient(problem, pair, **fields):
  """Of one step without cross-entropy, by what moved."""
  new, _ = steps.take(align.make_step(
      problem.model, problem.task, config(retain_weight=0.0, **fields)),
                      problem, pair)
  return jax.tree.map(lambda a, b: (a - b) / steps.RATE,
                      problem.original['params'], new.params)


def test_the_features_of_retain_are_no_variables():
  """Exchanged sides have another slope; with a gradient into both they'd not.

  The cost is symmetric, and so would be its whole gradient.
  """
  problem = problems.flat()
  pair = problems.batch(problem.splits)
  there = gradient(problem, pair)
  back = gradient(problem, pair._replace(
      retain=pair.forget, forget=pair.retain))
  scale = max(np.abs(leaf).max() for leaf in problems.leaves(there))
  assert problems.largest_difference(there, back) > 0.1 * scale


def test_kappa_moves_mass_to_other_classes():
  problem = problems.flat()
  pair = problems.batch(problem.splits)
  labels = [problem.dataset.labels[side.index] for side in (
      pair.forget, pair.retain)]
  same = share_by_hand(problem.task, *labels)
  features = [np.float64(problem.model.apply(
      problem.original, problems.pixels(problem.dataset, side.index),
      train=False).features) for side in (pair.forget, pair.retain)]
  uniform = [np.full(8, 1 / 8)] * 2

  def share(kappa):
    plan = ot_test._plan(
        ot_test._cost(*features) + kappa * same, *uniform, EPSILON)
    return (plan * same).sum()

  assert share(0.9) < share(0.3) < share(0.0)
  there, apart = (gradient(problem, pair, class_cost=k) for k in (0.0, 0.9))
  assert problems.largest_difference(there, apart) > 1e-4


@pytest.mark.parametrize('fields, match', [
    ({'class_cost': 1.0}, r'class_cost in \[0, 1\), got 1.0'),
    ({'class_cost': -.1}, r'class_cost in \[0, 1\)'),
    ({'retain_weight': -1.0}, 'retain_weight >= 0, got -1'),
    ({'representation': 'pixels'}, "representation in .*'pixels'"),
    ({'sinkhorn': None}, 'sinkhorn to be a SinkhornConfig, got None')])
def test_bad_fields_are_refused(fields, match):
  with pytest.raises(ValueError, match=match):
    align.AlignConfig(**fields)
