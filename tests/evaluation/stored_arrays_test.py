"""docs/extending.md names every array of ``per_example.npz``, and no other."""

import dataclasses
import pathlib
import re

import numpy as np

from dlfd_jax.evaluation import (
  arrays as arrays_lib,
  inputs,
  kept,
  nearer,
  references as references_lib,
  run,
  shadows,
)
from dlfd_jax.metrics import forgetting, recovery
from tests.evaluation import fakes, shadows_test

PAGE = (pathlib.Path(__file__).parents[2] / 'docs' / 'extending.md').read_text(
    'utf-8')
_PLACES = {'MODEL': r'(?:original|unlearned|retrained_\d+)',
           'SPLIT': '(?:retain|forget|val|test)', 'TREATMENT': r'\w+',
           'random_0': r'random_\d+'}


def documented():
  """Regular expression of each key -> its type, as the page has them."""
  table = PAGE.partition('<!-- keys')[2].partition('<!-- end')[0]
  found = {}
  for keys, kind in re.findall(r'^\| (`.*?) \| (.*?) \|', table, re.M):
    names = re.findall('`([^`]*)`', keys)
    for name in names:
      if '/' not in name and '/' in names[0]:  # the others of one folder
        name = f'{names[0].rpartition("/")[0]}/{name}'
      for place, pattern in _PLACES.items():
        name = name.replace(place, pattern)
      found[name] = kind
  return found


def check(arrays, every=False):
  """Each array is one of the page and of its type; maybe all of the page."""
  known, met = documented(), set()
  for name, array in arrays.items():
    pattern, = (p for p in known if re.fullmatch(p, name))
    kind = known[pattern]
    met.add(pattern)
    word = 'text' if array.dtype.kind == 'U' else str(array.dtype)
    shapes = [len(shape.split(',')) for shape in re.findall(
        r'\[(.*?)\]', kind)] or [0]
    assert kind.startswith(word) and array.ndim in shapes, (name, kind)
  assert met == set(known) or not every, set(known) - met


def _stored(task):
  data = fakes.dataset(task, people=40)
  data = dataclasses.replace(data, columns={
      'age': np.arange(len(data), dtype=np.int32)})
  splits = fakes.splits(data)
  if not task.is_multilabel:
    gone = np.flatnonzero(data.labels == 1)
    splits = dataclasses.replace(
        splits, classes=('b',), of_classes=gone, by_person=False)
  models = {name: fakes.logits(data, splits, seed) for seed, name in enumerate(
      ('original', 'unlearned', 'retrained_0', 'retrained_1'))}
  outputs = {'original': models['original'], 'unlearned': models['unlearned'],
             'retrained': [models['retrained_0'], models['retrained_1']]}
  references = references_lib.References(
      features=models, random_logits=[models['original']['forget']],
      relearned=dict.fromkeys(models, [forgetting.RelearnTime(3)]),
      recovery=references_lib.Recovery(
          {name: {recovery.RETAIN: of} for name, of in models.items()},
          taught={'5 %': np.zeros(len(splits.forget), bool)}),
      shadows=dataclasses.replace(
          shadows_test.drawn(len(splits.forget), 36, keep=True),
          accuracies=dict.fromkeys(
              ('unlearned', 'before', 'retrained'), np.ones((36, 2)))))
  prepared = inputs.prepare(
      outputs, data, splits, inputs.EvaluationConfig(bootstrap=20), references)
  learnt = kept.arrays(data, splits, data.sample_id[splits.val[:3]].tolist())
  return {**run.per_example_arrays(outputs, data, splits),
          **{f'{part}/{kept.LEARNT}': of for part, of in learnt.items()},
          **run.reference_arrays(references),
          **nearer.stored(prepared, splits),
          **shadows.stored(prepared, splits)}


def test_every_array_is_on_the_page_and_the_page_has_no_other():
  arrays = _stored(fakes.CLASSES)
  arrays_lib.check(arrays, 'the test')
  check(arrays, every=True)
  check(_stored(fakes.ATTRIBUTES))
