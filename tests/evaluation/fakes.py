"""A small data set with people, and logits whose memory can be set."""

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import registry

CLASSES = tasks.Task('multiclass', ('a', 'b', 'c', 'd'))
ATTRIBUTES = tasks.Task('multilabel', ('x', 'y', 'z'))


def dataset(task=CLASSES, people=120, images=4, seed=0, known=True):
  """``people`` persons with ``images`` images each and random labels."""
  rng = np.random.default_rng(seed)
  n = people * images
  shape = (n, task.num_outputs) if task.is_multilabel else n
  labels = rng.integers(0, 2 if task.is_multilabel else task.num_outputs, shape)
  identity = np.repeat(np.arange(people), images)
  return dataset_lib.Dataset(
      images=np.zeros((n, 2, 2, 3), np.uint8), labels=labels.astype(np.int32),
      identity=(identity if known else np.full(n, -1)).astype(np.int32),
      sample_id=np.array([f'image_{i}' for i in range(n)]), task=task)


def splits(data, shares=(.4, .6, .75), by_person=True):
  """Retain, forget, val and test, cut at shares of the images."""
  cuts = [round(share * len(data)) for share in shares]
  parts = np.split(np.arange(len(data)), cuts)
  return splits_lib.Splits(*parts, by_person=by_person)


def logits(data, parts, seed, *, forget=0., retain=2., skill=1., noise=1.5):
  """Logits by split; ``forget`` and ``retain`` raise the true label's."""
  rng = np.random.default_rng(seed)
  memory = {'retain': retain, 'forget': forget}
  found = {}
  for name, part in parts.parts.items():
    values = rng.normal(0, noise, (len(part), data.task.num_outputs))
    lift = skill + memory.get(name, 0.)
    labels = data.labels[part]
    if data.task.is_multilabel:
      values += (2 * labels - 1) * lift
    else:
      values[np.arange(len(part)), labels] += lift
    found[name] = values.astype(np.float32)
  return found


def _members(inputs, metric):
  return [(m,) for m in metric.members(inputs)] if metric.members else [()]


def _names(inputs, function):
  """``function(metric, *member)`` by name, of every metric of tier 0."""
  return {
      '/'.join((metric.name, *member)): function(metric, *member)
      for metric in registry.METRICS
      if not metric.tier and metric.form == 'single'
      and metric.is_for(inputs) for member in _members(inputs, metric)}


def values(inputs, model=None):
  """Tier 0's estimates of a model (the unlearned one) by metric name."""
  model = model or inputs.unlearned
  return _names(inputs, lambda metric, *member: metric.value(
      inputs, model, *member))


def nulls(inputs):
  """Tier 0's nulls by metric name."""
  return _names(inputs, lambda metric, *member: metric.null(inputs, *member))
