"""Accuracies as counts, and what a constant guess would score.

Every accuracy here is a mean of ratios: hits over tries, one column per ratio.
Plain accuracy has one column, the mean over attributes one per attribute,
balanced accuracy one per true value. Keeping hits and tries per example lets
one bootstrap serve all of them. Last come the people whom unlearning costs
accuracy against retraining.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.metrics import per_example, stats
from dlfd_jax.utils import validate

HARM_LIMIT = .05


@dataclasses.dataclass(frozen=True)
class Counts:
  """Hits and tries per example.

  Attributes:
    hits: float ``[n, k]``, at most ``tries``.
    tries: float ``[n, k]``, at least 0.
  """

  hits: np.ndarray
  tries: np.ndarray

  @property
  def value(self) -> float:
    """Mean over the columns with tries of hits / tries; NaN if none has."""
    return float(mean_of_ratios(self.hits.sum(0), self.tries.sum(0)))


def mean_of_ratios(hits: np.ndarray, tries: np.ndarray) -> np.ndarray:
  """Mean over the last axis of ``hits / tries`` where there are tries."""
  tried = tries > 0
  ratios = np.divide(hits, tries, out=np.zeros(hits.shape), where=tried)
  columns = tried.sum(axis=-1)
  return np.divide(
      ratios.sum(axis=-1), columns, out=np.full(columns.shape, np.nan),
      where=columns > 0)


def accuracy(task: tasks.Task, logits: np.ndarray,
             labels: np.ndarray) -> Counts:
  """Top-1 accuracy; multilabel: the mean of the attributes' accuracies (z > 0).

  Args:
    task: the task.
    logits: ``[n, outputs]``.
    labels: ``[n]``, or ``[n, outputs]`` with -1 unknown (left out).

  Raises:
    ValueError: if shapes do not fit the task, or a logit is not finite.
  """
  logits, labels = per_example.check(task, logits, labels)
  if not task.is_multilabel:
    return _one_column(logits.argmax(axis=-1) == labels)
  known = labels != tasks.UNKNOWN
  right = ((logits > 0) == (labels == 1)) & known
  return Counts(right.astype(np.float64), known.astype(np.float64))


def top2_accuracy(task: tasks.Task, logits: np.ndarray,
                  labels: np.ndarray) -> Counts:
  """Share whose true class is among the two largest logits.

  Raises:
    ValueError: as ``accuracy``, or if the task has not three classes or more.
  """
  if task.is_multilabel or task.num_outputs < 3:
    raise ValueError(
        'Expected a multiclass task of at least 3 classes for top-2 accuracy, '
        f'got {task.kind} with {task.num_outputs} outputs.')
  logits, labels = per_example.check(task, logits, labels)
  best = np.argsort(-logits, axis=-1, kind='stable')[:, :2]
  return _one_column((best == labels[:, None]).any(axis=-1))


def exact_match(task: tasks.Task, logits: np.ndarray,
                labels: np.ndarray) -> Counts:
  """Share of examples with all known attributes right.

  Raises:
    ValueError: as ``accuracy``, or if the task is not multilabel.
  """
  _check_multilabel(task)
  counts = accuracy(task, logits, labels)
  labelled = per_example.has_label(task, labels)
  return _one_column((counts.hits == counts.tries).all(axis=-1), labelled)


def balanced_accuracy(task: tasks.Task, logits: np.ndarray, labels: np.ndarray,
                      attribute: int) -> Counts:
  """Mean of one attribute's accuracies on its 0s and on its 1s.

  Raises:
    ValueError: as ``accuracy``, or if the task is not multilabel.
  """
  _check_multilabel(task)
  logits, labels = per_example.check(task, logits, labels)
  validate.integer('attribute', attribute, 0, task.num_outputs - 1)
  guess, truth = logits[:, attribute] > 0, labels[:, attribute]
  tries = truth[:, None] == np.array([0, 1])
  right = (guess == (truth == 1))[:, None]
  return Counts((tries & right).astype(np.float64), tries.astype(np.float64))


def constant_accuracy(task: tasks.Task, labels: np.ndarray,
                      *, top: int = 1) -> float:
  """Accuracy of the best constant guess: the share of the most common class.

  Multilabel: the mean of the attributes' majority shares.

  Args:
    task: the task.
    labels: ``[n]``, or ``[n, outputs]`` with -1 unknown (left out).
    top: guesses allowed (multiclass).

  Raises:
    ValueError: if there is no label, or one is none of the task's.
  """
  labels = np.asarray(labels)
  if not labels.size:
    raise ValueError('Expected at least one label, got none.')
  _, labels = per_example.check(
      task, np.zeros((len(labels), task.num_outputs)), labels)
  validate.integer('top', top)
  if not task.is_multilabel:
    counts = np.sort(np.bincount(labels, minlength=task.num_outputs))
    return float(counts[-top:].sum() / len(labels))
  ones, zeros = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
  return float(mean_of_ratios(np.maximum(ones, zeros), ones + zeros))


def constant_exact_match(task: tasks.Task, labels: np.ndarray) -> float:
  """Exact-match rate of the best constant guess among the label vectors seen.

  An unknown entry of a vector is filled with its attribute's majority.

  Raises:
    ValueError: if the task is not multilabel, or no label is known.
  """
  _check_multilabel(task)
  labels = np.asarray(labels)
  labels = labels[per_example.has_label(task, labels)]
  if not len(labels):
    raise ValueError('Expected at least one known label, got none.')
  majority = (labels == 1).sum(axis=0) > (labels == 0).sum(axis=0)
  unknown = labels == tasks.UNKNOWN
  guesses = np.unique(np.where(unknown, majority, labels), axis=0)
  shares = [((labels == guess) | unknown).all(axis=-1).mean()
            for guess in guesses]
  return float(max(shares))


def _one_column(right: np.ndarray, tried: np.ndarray | None = None) -> Counts:
  tried = np.ones(right.shape, bool) if tried is None else tried
  return Counts((right & tried)[:, None].astype(np.float64),
                tried[:, None].astype(np.float64))


def _check_multilabel(task: tasks.Task) -> None:
  if not task.is_multilabel:
    raise ValueError(f'Expected a multilabel task, got {task.kind}.')


def person_losses(reference: np.ndarray, correct: np.ndarray,
                  identity: np.ndarray) -> np.ndarray:
  """Accuracy that each person loses against retraining.

  Args:
    reference: correctness of each image under the retrained model (or the mean
      over several), ``[n]`` in [0, 1].
    correct: under the model to judge, ``[n]`` in [0, 1].
    identity: person of each image ``[n]``; -1 = an image for itself.

  Returns:
    ``[people]`` in [-1, 1], in the order of ``stats.units_of``; above 0 = worse
    than after retraining.

  Raises:
    ValueError: if the lengths differ or a value is out of its range.
  """
  reference, correct = (
      validate.floats('correctness', values) for values in (reference, correct))
  identity = validate.array('persons', identity)
  if reference.ndim != 1 or not (
      reference.shape == correct.shape == identity.shape):
    raise ValueError(
        'Expected one value per image on both sides, got '
        f'{list(reference.shape)}, {list(correct.shape)} and '
        f'{list(identity.shape)}.')
  for values in (reference, correct):
    if not ((values >= 0) & (values <= 1)).all():
      raise ValueError('Expected correctness in [0, 1], got other values.')
  units = stats.units_of(identity)
  return np.bincount(units, reference - correct) / np.bincount(units)


def harmed(losses: np.ndarray, limit: float = HARM_LIMIT) -> np.ndarray:
  """Who loses more than ``limit``, bool as ``losses``.

  Example:
    >>> print(harmed(np.array([0, .1, .3, 0])).mean())
    0.5
  """
  return np.asarray(losses) > limit + 1e-9


def worst_people(losses: np.ndarray, people: np.ndarray, images: np.ndarray,
          count: int = 10) -> list[dict]:
  """The people who lose most, by code, as JSON; those who lose nothing are out.

  Args:
    losses: ``[people]``.
    people: code of each ``[people]``.
    images: number of images of each ``[people]``.
    count: at most that many.
  """
  order = np.lexsort((people, -losses))[:count]
  return [{'person': int(people[i]), 'images': int(images[i]),
           'loss': float(losses[i])} for i in order if losses[i] > 1e-9]
