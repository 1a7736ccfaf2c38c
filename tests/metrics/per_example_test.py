"""Scores of single examples: closed forms, traps, and the JAX twins."""

import jax
import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.metrics import attack, per_example

_THREE = tasks.Task('multiclass', ('a', 'b', 'c'))
_TWO = tasks.Task('multiclass', ('a', 'b'))
_ATTRIBUTES = tasks.Task('multilabel', ('x', 'y', 'z'))
_ONE = tasks.Task('multilabel', ('x',))
_SCORES = (per_example.margin, per_example.loss, per_example.entropy,
           per_example.modified_entropy)


def _close(got, expected, atol=1e-6):
  np.testing.assert_allclose(got, expected, rtol=0, atol=atol)


@pytest.mark.parametrize('score, expected', list(zip(
    _SCORES, (.686738, .407606, .832396, .213634))))
def test_three_class_example(score, expected):
  _close(score(_THREE, [[2., 1., 0.]], [0]), [expected])


def test_modified_entropy_uses_each_row_s_own_label():
  # Indexing [:, labels], with log p for log(1 - p), gives .659149 for the first
  # row alone and 3.466879 for every row.
  logits = np.log([[.7, .2, .1]] * 3)
  got = per_example.modified_entropy(_THREE, logits, [0, 1, 2])
  _close(got, [.162167, 2.140867, 2.959736])


def test_memorised_example_keeps_its_loss():
  # logsumexp(z) - z_y in float32 is 0.
  logits = np.array([[20., 0., 0.]], np.float32)
  _close(per_example.margin(_THREE, logits, [0]), [19.306853])
  loss = per_example.loss(_THREE, logits, [0])
  np.testing.assert_allclose(loss, [4.1223e-9], rtol=1e-4)
  assert np.log(np.exp(logits).sum(-1)).astype(np.float32) - 20 == 0


def test_lost_digits_move_the_auc_of_memorised_data():
  rng = np.random.default_rng(5)
  margins = np.concatenate([rng.normal(18, 3, 3000), rng.normal(14, 4, 3000)])
  logits = np.stack([margins, *np.zeros((2, 6000))], -1).astype(np.float32)
  labels = np.zeros(6000, int)
  right = -per_example.loss(_THREE, logits, labels)
  top = logits.max(-1, keepdims=True)
  lossy = logits[:, 0] - (np.log(np.exp(logits - top).sum(-1)) + top[:, 0])
  assert lossy.dtype == np.float32
  aucs = [attack.auc(s[:3000], s[3000:]) for s in (right, lossy)]
  exact = attack.auc(margins[:3000], margins[3000:])
  assert aucs[0] == pytest.approx(exact, abs=1e-5)
  assert abs(aucs[1] - exact) > .003


def test_margin_does_not_saturate():
  # log(p + 1e-45) - log(1 - p + 1e-45) stops at 103.
  logits = [[200., 0., 0.], [0., 200., 0.]]
  _close(per_example.margin(_THREE, logits, [0, 0]), [199.306853, -200.])


@pytest.mark.parametrize('score, expected', list(zip(
    _SCORES + (per_example.likelihood,),
    (1.166667, .304756, .536795, .185575, .400810))))
def test_multilabel_example(score, expected):
  _close(score(_ATTRIBUTES, [[2., -1., .5]], [[1, 0, 1]]), [expected])


@pytest.mark.parametrize('score', _SCORES + (per_example.likelihood,))
def test_an_unknown_attribute_has_no_effect(score):
  labels = [[1, 0, -1]] * 2
  a, b = score(_ATTRIBUTES, [[2., -1., .5], [2., -1., -40.]], labels)
  assert a == b
  two = tasks.Task('multilabel', ('x', 'y'))
  _close(a, score(two, [[2., -1.]], [[1, 0]])[0])


@pytest.mark.parametrize('score', _SCORES)
def test_per_attribute_values_average_to_the_example_s(score):
  rng = np.random.default_rng(0)
  logits, labels = rng.normal(size=(9, 3)), rng.integers(-1, 2, (9, 3))
  labels[:, 0] = 1
  each = score(_ATTRIBUTES, logits, labels, per_attribute=True)
  np.testing.assert_array_equal(np.isnan(each), labels == -1)
  _close(np.nanmean(each, axis=-1), score(_ATTRIBUTES, logits, labels))


@pytest.mark.parametrize('score', _SCORES)
def test_two_classes_are_one_attribute(score):
  rng = np.random.default_rng(1)
  logits = rng.normal(0, 3, (20, 2)).astype(np.float32)
  signed = (logits[:, :1] - logits[:, 1:]).astype(np.float64)
  one = score(_ONE, signed.astype(np.float32), np.ones((20, 1), int))
  _close(score(_TWO, logits, np.zeros(20, int)), one, atol=1e-5)


def test_binary_modified_entropy_at_four_fifths():
  logit = np.log(4.)
  _close(per_example.modified_entropy(_ONE, [[logit]], [[1]]), [.089257])


def test_loss_is_minus_log_likelihood_and_ranks_like_the_margin():
  rng = np.random.default_rng(2)
  logits, labels = rng.normal(0, 4, (50, 3)), rng.integers(0, 3, 50)
  loss = per_example.loss(_THREE, logits, labels)
  p = per_example.probabilities(_THREE, logits)[np.arange(50), labels]
  _close(loss, -np.log(p))
  _close(per_example.likelihood(_THREE, logits, labels), p)
  np.testing.assert_array_equal(
      np.argsort(-loss), np.argsort(per_example.margin(_THREE, logits, labels)))


def test_ranges():
  rng = np.random.default_rng(3)
  logits = rng.normal(0, 60, (200, 3))
  labels = rng.integers(0, 3, 200)
  entropy = per_example.entropy(_THREE, logits, labels)
  assert (entropy >= 0).all() and (entropy <= np.log(3)).all()
  assert (per_example.modified_entropy(_THREE, logits, labels) >= 0).all()
  _close(per_example.entropy(_THREE, [[5., 5., 5.]], [0]), [np.log(3)])
  sigmoids = per_example.probabilities(_ATTRIBUTES, logits)
  assert ((sigmoids >= 0) & (sigmoids <= 1)).all()


@pytest.mark.parametrize('task', [_THREE, _ATTRIBUTES])
def test_twins_agree_with_the_jax_functions(task):
  rng = np.random.default_rng(4)
  logits = rng.normal(0, 8, (64, 3)).astype(np.float32)
  labels = rng.integers(0, 3, 64).astype(np.int32)
  if task.is_multilabel:
    labels = rng.integers(-1, 2, (64, 3)).astype(np.int32)
    labels[0] = -1
  for twin, function in ((per_example.margin, tasks.example_margin),
                         (per_example.loss, tasks.example_loss)):
    jitted = jax.jit(lambda z, y, function=function: function(task, z, y))
    np.testing.assert_allclose(
        twin(task, logits, labels), jitted(logits, labels), rtol=2e-5,
        atol=1e-6)
  np.testing.assert_array_equal(
      per_example.has_label(task, labels), tasks.has_label(task, labels) > 0)


@pytest.mark.parametrize('task, logits, labels, message', [
    (_THREE, np.zeros((2, 4)), [0, 1], r'logits \[n, 3\], got \[2, 4\]'),
    (_THREE, np.zeros((2, 3)), [0], r'labels \[2\], got \[1\]'),
    (_ATTRIBUTES, np.zeros((2, 3)), [0, 1], r'labels \[2, 3\], got \[2\]'),
    (_THREE, [[np.nan, 0, 0], [0, 0, 0]], [0, 1],
     'finite logits, got 1 of 2 rows'),
])
def test_bad_input_is_refused(task, logits, labels, message):
  for score in _SCORES:
    with pytest.raises(ValueError, match=message):
      score(task, logits, labels)
