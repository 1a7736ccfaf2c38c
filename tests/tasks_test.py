"""Losses, margins and correctness against optax and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from dlfd_jax import tasks

CLASSES = tasks.Task(tasks.MULTICLASS, ('a', 'b', 'c'))
ATTRIBUTES = tasks.Task(tasks.MULTILABEL, ('a', 'b', 'c'))
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)
BITS = np.array([[0, 1, -1], [1, 1, 0], [-1, -1, -1], [0, 0, 0], [1, -1, 0],
                 [-1, 1, 1]], np.int32)


def test_multiclass_loss_is_optaxs_cross_entropy():
  got = jax.jit(lambda z, y: tasks.example_loss(CLASSES, z, y))(LOGITS, LABELS)
  wanted = optax.softmax_cross_entropy_with_integer_labels(LOGITS, LABELS)
  np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_multiclass_margin_is_the_logit_of_the_true_probability():
  p = np.asarray(jax.nn.softmax(LOGITS))[np.arange(6), LABELS].astype(float)
  got = tasks.example_margin(CLASSES, LOGITS, LABELS)
  np.testing.assert_allclose(got, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)


def test_a_tiny_loss_keeps_its_precision():
  # -log p = log(1 + 2 e^-40): 8.5e-18, where logsumexp(z) - z_y gives 0.
  loss = tasks.example_loss(
      CLASSES, jnp.array([[40.0, 0.0, 0.0]]), jnp.array([0]))
  np.testing.assert_allclose(loss, 2 * np.exp(-40), rtol=1e-4)


def test_the_gradient_of_the_loss_is_probabilities_minus_one_hot():
  gradient = jax.grad(lambda z: tasks.example_loss(CLASSES, z, LABELS).sum())(
      LOGITS)
  wanted = jax.nn.softmax(LOGITS) - np.eye(3)[LABELS]
  np.testing.assert_allclose(gradient, wanted, atol=1e-6)


def test_multilabel_loss_is_the_mean_over_known_attributes():
  got = jax.jit(lambda z, y: tasks.example_loss(ATTRIBUTES, z, y))(LOGITS, BITS)
  every = np.asarray(optax.sigmoid_binary_cross_entropy(LOGITS, BITS))
  for i, bits in enumerate(BITS):
    known = bits != -1
    wanted = every[i, known].mean() if known.any() else 0.0
    np.testing.assert_allclose(got[i], wanted, rtol=1e-5)


def test_multilabel_margin_is_the_mean_signed_logit():
  got = tasks.example_margin(ATTRIBUTES, LOGITS, BITS)
  np.testing.assert_allclose(
      got[0], (-LOGITS[0, 0] + LOGITS[0, 1]) / 2, rtol=1e-6)
  assert got[2] == 0


def test_an_unknown_attribute_has_no_gradient():
  gradient = jax.grad(lambda z: tasks.example_loss(ATTRIBUTES, z, BITS).sum())(
      LOGITS)
  assert not gradient[BITS == -1].any()
  assert gradient[BITS != -1].all()


def test_correctness():
  logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], np.float32)
  np.testing.assert_array_equal(
      tasks.example_correct(CLASSES, logits, np.array([0, 1])), [1, 0])
  bits = np.array([[1, 0, -1], [-1, -1, -1]])
  np.testing.assert_array_equal(
      tasks.example_correct(ATTRIBUTES, logits, bits), [0.5, 0])


def test_examples_without_a_label_are_told():
  np.testing.assert_array_equal(
      tasks.has_label(ATTRIBUTES, BITS), [1, 1, 0, 1, 1, 1])
  np.testing.assert_array_equal(tasks.has_label(CLASSES, LABELS), np.ones(6))


def test_bfloat16_logits_give_float32_values():
  logits = jnp.asarray(LOGITS, jnp.bfloat16)
  for task, labels in ((CLASSES, LABELS), (ATTRIBUTES, BITS)):
    for value in (tasks.example_loss, tasks.example_margin,
                  tasks.example_correct):
      assert value(task, logits, labels).dtype == jnp.float32


@pytest.mark.parametrize('kind, names, words', [
    ('binary', ('a', 'b'), "Expected kind to be .* got 'binary'"),
    (tasks.MULTICLASS, ('a',), 'at least 2 names for a multiclass task, got 1'),
    (tasks.MULTILABEL, (), 'at least 1 names for a multilabel task, got 0'),
    (tasks.MULTICLASS, ('a', 'a'), 'Expected distinct names'),
])
def test_a_wrong_task_is_refused(kind, names, words):
  with pytest.raises(ValueError, match=words):
    tasks.Task(kind, names)


TEACHER = np.float32([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [30.0, -30.0, 0.0]])
STUDENT = np.float32([[0.3, 0.2, -1.0], [1.0, -2.0, 0.5], [-30.0, 30.0, 0.0]])


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_divergence_of_classes_is_scipys_times_the_squared_temperature(
    temperature):
  p, q = (special.softmax(z.astype(np.float64) / temperature, axis=1)
          for z in (TEACHER, STUDENT))
  wanted = temperature**2 * special.rel_entr(p, q).sum(1)
  np.testing.assert_allclose(
      tasks.example_kl(CLASSES, TEACHER, STUDENT, temperature), wanted,
      rtol=1e-5)


def test_divergence_of_attributes_is_the_mean_of_bernoullis():
  p, q = (special.expit(z.astype(np.float64) / 2) for z in (TEACHER, STUDENT))
  each = special.rel_entr(p, q) + special.rel_entr(1 - p, 1 - q)
  np.testing.assert_allclose(
      tasks.example_kl(ATTRIBUTES, TEACHER, STUDENT, 2.0), 4 * each.mean(1),
      rtol=1e-5)


def test_divergence_is_the_teachers_from_the_student_and_not_back():
  there = tasks.example_kl(CLASSES, TEACHER, STUDENT)
  back = tasks.example_kl(CLASSES, STUDENT, TEACHER)
  assert abs(there[0] - back[0]) > 0.05
  for task in (CLASSES, ATTRIBUTES):
    np.testing.assert_allclose(
        tasks.example_kl(task, TEACHER, TEACHER), np.zeros(3), atol=1e-6)


def test_a_uniform_teacher_has_logits_of_zero():
  for task, outcomes in ((CLASSES, 3), (ATTRIBUTES, 2)):
    zeros = np.zeros_like(TEACHER)
    np.testing.assert_allclose(
        tasks.example_entropy(task, zeros), np.log([outcomes] * 3), rtol=1e-6)
    # KL(u || q) for attributes: mean of -log(2 sqrt(q (1 - q))).
    gradient = jax.grad(lambda z, t=task, u=zeros: tasks.example_kl(
        t, u, z).sum())(zeros)
    np.testing.assert_allclose(gradient, zeros, atol=1e-7)


def test_entropy_is_scipys():
  p = special.softmax(TEACHER.astype(np.float64), axis=1)
  np.testing.assert_allclose(
      tasks.example_entropy(CLASSES, TEACHER), special.entr(p).sum(1),
      rtol=1e-5, atol=1e-7)
  q = special.expit(TEACHER.astype(np.float64))
  np.testing.assert_allclose(
      tasks.example_entropy(ATTRIBUTES, TEACHER),
      (special.entr(q) + special.entr(1 - q)).mean(1), rtol=1e-5, atol=1e-7)
