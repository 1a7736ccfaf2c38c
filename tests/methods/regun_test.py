"""ReGUn: what forget images are to be answered as, and the joint step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.methods import regun
from dlfd_jax.utils import runs
from tests.methods import problems, steps

MASK = np.float32([1, 1, 1, 1, 1, 0, 0, 0])


def config(**fields):
  return regun.ReGUnConfig(**{
      'batch_size': 8, 'epochs': 1, 'check_every': 100,
      'optimizer': steps.PLAIN, **fields})


def expected(task, logits, labels):
  """The mean predictions by class, written anew, as probabilities."""
  if not task.is_multilabel:
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return np.array([p[labels == y].mean(0) if (labels == y).any()
                     else p.mean(0) for y in range(p.shape[1])])
  p = 1 / (1 + np.exp(-logits))
  return np.array([[p[labels[:, a] == y, a].mean()
                    if (labels[:, a] == y).any() else p[:, a].mean()
                    for a in range(p.shape[1])] for y in (0, 1, None)])


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_references_are_means_of_predictions(kind):
  task, rng = problems.task(kind), np.random.default_rng(0)
  logits = rng.normal(0, 3, (20, 3))
  if kind == 'multiclass':
    labels = rng.integers(0, 2, 20)  # nobody is of class 2
    found = jax.nn.softmax(regun.references(task, logits, labels))
  else:
    labels = rng.integers(-1, 2, (20, 3))
    labels[:, 1] = np.minimum(labels[:, 1], 0)  # nobody has attribute 1
    found = jax.nn.sigmoid(regun.references(task, logits, labels))
  np.testing.assert_allclose(
      found, expected(task, logits, labels), rtol=1e-5)
  sure = regun.references(task, 1e4 * logits, labels)
  assert np.isfinite(sure).all()


@pytest.mark.parametrize('kind, batch_norm, reference', [
    ('multiclass', 'batch', 'batch'), ('multilabel', 'frozen', 'class'),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ('multiclass', 'frozen', 'class'), ('multilabel', 'batch', 'batch')))])
def test_a_joint_step_by_hand(kind, batch_norm, reference):
  problem = problems.problem(kind)
  options = config(
      batch_norm=batch_norm, retain_weight=.6, reference_per=reference)
  setting = problems.setting(problem, config=options)
  plan, _ = methods.prepare(setting, options)
  pair = problems.batch(problem.splits)
  pair = pair._replace(forget=pair.forget.replace(mask=MASK))
  new, metrics = steps.take(
      plan.steps['refer'], problem, pair,
      constants={**setting.constants, **plan.constants})
  rows, labels = setting.held_out.rows, problem.dataset.labels
  q = expected(problem.task, np.asarray(problem.model.apply(
      problem.original, problems.pixels(problem.dataset, rows),
      train=False).logits, np.float64), labels[rows])
  gone = pair.forget.index[MASK > 0]
  x_r, x_f = (problems.pixels(problem.dataset, rows)
              for rows in (pair.retain.index, gone))

  def of(each):  # what every image is drawn to
    return each if reference == 'class' else np.tile(
        each.mean(0), (len(each), 1))

  def losses(params):
    outputs, _ = problem.model.apply(
        {**problem.original, 'params': params}, jnp.concatenate([x_r, x_f]),
        train=batch_norm == 'batch', mutable=['batch_stats'])
    on_r, on_f = outputs.logits[:len(x_r)], outputs.logits[len(x_r):]
    y_r, y_f = labels[pair.retain.index], labels[gone]
    if kind == 'multilabel':
      known = y_r >= 0
      each = jax.nn.softplus(jnp.where(y_r == 1, -on_r, on_r)) * known
      retain = (each.sum(1) / known.sum(1)).mean()
      wanted = of(q[y_f, np.arange(3)])
      kl = (wanted * (np.log(wanted) - jax.nn.log_sigmoid(on_f)) + (1 - wanted)
            * (np.log(1 - wanted) - jax.nn.log_sigmoid(-on_f))).mean(1)
    else:
      retain = -jax.nn.log_softmax(on_r)[np.arange(len(y_r)), y_r].mean()
      wanted = of(q[y_f])
      kl = (wanted * (np.log(wanted) - jax.nn.log_softmax(on_f))).sum(1)
    return retain, kl.mean()

  def loss(params):
    retain, forget = losses(params)
    return .6 * retain + forget

  wanted = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, wanted) < 1e-5
  np.testing.assert_allclose(
      metrics.step['forget_kl'], losses(problem.original['params'])[1],
      rtol=1e-4)


def test_forget_images_come_to_be_answered_as_unseen_ones():
  log = runs.MetricsLog()
  out = methods.unlearn(
      problems.problem(), config(epochs=8), devices=problems.devices(), log=log)
  kl = [event['forget_kl'] for event in log.events if 'forget_kl' in event]
  assert kl[-1] < .7 * kl[0]
  assert out.history[-1]['forget_loss'] > out.history[0]['forget_loss']


def test_the_weight_is_checked():
  with pytest.raises(ValueError, match='Expected retain_weight'):
    config(retain_weight=-1)
