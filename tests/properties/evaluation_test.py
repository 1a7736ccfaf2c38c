"""Figures of any scores and logits: in range, symmetric, blind to the order."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as sps

from dlfd_jax import tasks
from dlfd_jax.metrics import (
  accuracy,
  attack,
  distances,
  features as features_lib,
  forgetting,
  per_example,
  stats,
)
from tests.properties import said

FINITE = st.floats(-1e6, 1e6)
# Few values, so that ties are common.
SCORES = st.lists(st.one_of(FINITE, st.integers(-2, 2)), min_size=1,
                  max_size=12).map(lambda x: np.array(x, float))
ARRAYS = st.one_of(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0,
                                            max_side=5)),
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0,
                                          max_side=5)),
    hnp.arrays(np.dtype('U2'), hnp.array_shapes(max_dims=1, max_side=4)),
    st.none(), st.just('abc'), st.just([[1], [1, 2]]), st.just([1 + 2j]))
TASKS = st.sampled_from([
    tasks.Task('multiclass', ('a', 'b')),
    tasks.Task('multiclass', ('a', 'b', 'c', 'd')),
    tasks.Task('multilabel', ('x',)), tasks.Task('multilabel', ('x', 'y'))])


@st.composite
def examples(draw):
  """A task with logits and labels that fit it, and a permutation."""
  task = draw(TASKS)
  n = draw(st.integers(1, 8))
  logits = draw(hnp.arrays(
      np.float32, (n, task.num_outputs), elements=st.floats(-80, 80, width=32)))
  shape, low, high = ((n, task.num_outputs), -1, 1) if task.is_multilabel else (
      (n,), 0, task.num_outputs - 1)
  labels = draw(hnp.arrays(np.int32, shape, elements=st.integers(low, high)))
  return task, logits, labels, np.array(draw(st.permutations(range(n))))


@given(SCORES, SCORES)
def test_auc_is_antisymmetric_and_that_of_mann_and_whitney(a, b):
  value = attack.auc(a, b)
  assert 0 <= value <= 1
  assert math.isclose(value + attack.auc(b, a), 1, abs_tol=1e-12)
  u = sps.mannwhitneyu(a, b).statistic / (a.size * b.size)
  assert math.isclose(value, u, abs_tol=1e-9)
  assert math.isclose(value, attack.auc(a[::-1], b[::-1]), abs_tol=1e-12)


@given(SCORES, SCORES)
def test_distances_of_losses_are_symmetric_and_in_range(a, b):
  distance = distances.ks(a, b)
  assert 0 <= distance <= 1
  assert math.isclose(distance, distances.ks(b, a), abs_tol=1e-12)
  shares = [[(side <= x).mean() for x in (*a, *b)] for side in (a, b)]
  assert math.isclose(distance, np.abs(np.subtract(*shares)).max(),
                      abs_tol=1e-9)
  assert 0 <= forgetting.tail_share(a, b) <= 1


@given(SCORES, SCORES, st.integers(0, 3))
def test_matched_auc_without_classes_is_the_plain_one(a, b, seed):
  keys = [np.zeros(len(x), int) for x in (a, b)]
  assert math.isclose(attack.class_matched_auc(a, b, *keys, draws=None),
                      attack.auc(a, b), abs_tol=1e-9)
  drawn = attack.class_matched_auc(a, b, *keys, draws=2, seed=seed)
  assert 0 <= drawn <= 1


SCORERS = (per_example.loss, per_example.margin, per_example.entropy,
           per_example.modified_entropy, per_example.likelihood)


@given(st.sampled_from(SCORERS), examples())
def test_scores_of_examples_are_finite_and_keep_their_order(function, given_):
  task, logits, labels, order = given_
  values = function(task, logits, labels)
  assert values.shape == labels.shape[:1] and np.isfinite(values).all()
  if function is not per_example.margin:
    assert (values >= 0).all()
  np.testing.assert_allclose(
      function(task, logits[order], labels[order]), values[order])
  padded = function(task, np.concatenate([logits, logits[:1]]),
                    np.concatenate([labels, labels[:1]]))
  np.testing.assert_allclose(padded[:-1], values)


@given(examples(), examples())
def test_distances_of_answers(first, second):
  task, logits = first[0], first[1]
  other = np.resize(second[1], logits.shape)
  p, q = (per_example.probabilities(task, z) for z in (logits, other))
  js = distances.js(task, p, q)
  assert ((js >= -1e-12) & (js <= math.log(2) + 1e-9)).all()
  np.testing.assert_allclose(js, distances.js(task, q, p), atol=1e-12)
  np.testing.assert_allclose(distances.js(task, p, p), 0, atol=1e-12)
  kl = distances.kl(task, logits, other)
  assert np.isfinite(kl).all() and (kl >= 0).all()
  agreement = distances.agreement(task, logits, other)
  assert ((agreement >= 0) & (agreement <= 1)).all()


FEATURES = hnp.arrays(np.float64, st.tuples(st.integers(4, 8), st.integers(
    1, 3)), elements=st.integers(-3, 3).map(float))


@given(FEATURES, st.floats(.1, 10), st.floats(-5, 5), st.randoms())
def test_cka_does_not_see_scale_shift_or_order(x, scale, shift, random):
  y = np.roll(x, 1, axis=0)
  for function in (features_lib.cka_biased, features_lib.cka_unbiased):
    value = function(x, y)
    order = np.array(random.sample(range(len(x)), len(x)))
    for again in (function(y, x), function(scale * x + shift, y),
                  function(x[order], y[order])):
      np.testing.assert_allclose(again, value, atol=1e-6)
  biased = features_lib.cka_biased(x, y)
  assert np.isnan(biased) or -1e-9 <= biased <= 1 + 1e-9


@given(said.NUMBERS, said.NUMBERS, st.one_of(st.just(.95), said.NUMBERS))
def test_intervals_of_proportions(successes, trials, confidence):
  ends, sentence = said.outcome(
      stats.clopper_pearson, successes, trials, confidence)
  if sentence is None:
    share = successes / trials
    assert -1e-9 <= ends[0] <= share + 1e-9
    assert share - 1e-9 <= ends[1] <= 1 + 1e-9


@given(said.NUMBERS, said.NUMBERS, said.NUMBERS, said.NUMBERS)
def test_differences_and_verdicts(value, variance, units, margin):
  spread, sentence = said.outcome(stats.standard_error, variance, units)
  if sentence is None:
    ends, sentence = said.outcome(stats.t_interval, value, *spread)
  if sentence is None:
    assert ends[0] <= value <= ends[1]
    said.outcome(stats.verdict, *ends, margin, may_be_equal=True)


def _between(low, high):
  return lambda value: bool(
      ((np.asarray(value) >= low) & (np.asarray(value) <= high)).all())


def _finite(value):
  return bool(np.isfinite(value).all())


# Functions, their arguments, and what holds for a value that is not refused.
ANY = [
    ((attack.auc, distances.ks, forgetting.tail_share,
      attack.balanced_accuracy, functools.partial(
          attack.balanced_accuracy, two_sided=True)),
     2 * (ARRAYS,), _between(0, 1)),
    ((attack.class_matched_auc, attack.person_auc),
     4 * (ARRAYS,), _between(0, 1)),
    ((*SCORERS, distances.js, distances.kl,
      distances.agreement, distances.zrf),
     (TASKS, ARRAYS, ARRAYS), _finite),
    ((accuracy.accuracy,), (TASKS, ARRAYS, ARRAYS),
     lambda value: _finite(value.hits)),
    ((features_lib.cka_biased, features_lib.cka_unbiased,
      features_lib.silhouettes), 2 * (ARRAYS,),
     lambda value: True),
    ((features_lib.out_of_fold,), 3 * (ARRAYS,),
     lambda value: np.isin(value, (0, .5, 1)).all()),
    ((accuracy.person_losses,), 3 * (ARRAYS,), _between(-1, 1)),
    *(((function,), count * (said.NUMBERS,), _between(0, 1))
      for function, count in ((forgetting.forgetting_score, 1),
                              (forgetting.nomus, 2), (distances.average_gap, 4),
                              (distances.tow, 3)))]


@pytest.mark.parametrize('functions, arguments, holds', ANY,
                         ids=[functions[0].__name__ for functions, *_ in ANY])
@given(data=st.data())
def test_any_arguments_are_used_or_refused(functions, arguments, holds, data):
  arguments = [data.draw(argument) for argument in arguments]
  value, sentence = said.outcome(
      data.draw(st.sampled_from(functions)), *arguments)
  # A replicate without data is NaN, and so is what is made of it.
  assert sentence is not None or holds(value) or (
      isinstance(value, float) and math.isnan(value)
      and any(isinstance(x, float) and math.isnan(x) for x in arguments))
