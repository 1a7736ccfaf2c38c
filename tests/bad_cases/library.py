"""Calls of the library with arguments that cannot be meant."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.metrics import (
  accuracy,
  attack,
  distances,
  features as features_lib,
  forgetting,
  nearer,
  per_example,
  person_rank,
  reference_attack,
  stats,
)
from dlfd_jax.pipeline import (
  classifier as inference,
  evaluation_result,
  signing,
)
from dlfd_jax.utils import runs
from tests.bad_cases.case import Case

THEME = 'Python'
_TASK = tasks.Task('multiclass', ('a', 'b', 'c'))
_BOTH = tasks.Task('multilabel', ('x', 'y'))
_N = 6


def _call(mistake: str, call: Callable[[], Any]) -> Case:
  return Case(THEME, mistake, call=call)


def dataset(**changes: Any) -> dataset_lib.Dataset:
  """Six images of three people."""
  return dataset_lib.Dataset(**{
      'images': np.zeros((_N, 4, 4, 3), np.uint8),
      'labels': np.arange(_N, dtype=np.int32) % 3,
      'identity': np.arange(_N, dtype=np.int32) // 2,
      'sample_id': np.array([f'i{k}' for k in range(_N)]),
      'task': _TASK, **changes})


def _data(mistake: str, **changes: Any) -> Case:
  return _call(f'Dataset: {mistake}', lambda: dataset(**changes))


def _logits(mistake: str, logits: Any, labels: Any, task=_TASK) -> Case:
  return _call(f'loss: {mistake}',
               lambda: per_example.loss(task, logits, labels))


def _parts(mistake: str, *parts: Any) -> Case:
  return _call(f'Partition: {mistake}', lambda: splits_lib.check_splits(
      dataset(), splits_lib.Partition(*map(np.array, parts))))


_ONES = np.ones((3, 3))

CASES = [
    _call('Task: one class', lambda: tasks.Task('multiclass', ('a',))),
    _call('Task: names are one text', lambda: tasks.Task('multiclass', 'ab')),
    _call('Task: a name is HTML with a line break',
          lambda: tasks.Task('multiclass', ('a', '<b>\n</b>'))),
    _data('images are a list', images=[1, 2]),
    _data('images are floats', images=np.zeros((_N, 4, 4, 3))),
    _data('images are grey', images=np.zeros((_N, 4, 4), np.uint8)),
    _data('labels are int64', labels=np.arange(_N) % 3),
    _data('a label is no class', labels=np.full(_N, 3, np.int32)),
    _data('labels are of another task', task=_BOTH),
    _data('a person is -2', identity=np.full(_N, -2, np.int32)),
    _data('sample ids are numbers', sample_id=np.arange(_N)),
    _data('sample ids are equal', sample_id=np.full(_N, 'a')),
    _data('two persons have one name', people={0: 'Ann', 1: 'Bob', 2: 'Ann'}),
    _data('a column is short', columns={'age': np.zeros(2, np.int32)}),
    _data('a column is a list', columns={'age': [1] * _N}),
    _call('ForgetRequest: a number that another person is called',
          lambda: resolution.resolve_request(
              dataset(people={0: '1', 1: '2', 2: '3'}), splits_lib.Partition(
                  *map(np.array, ([0, 1, 2], [3], [4, 5]))),
              requests.ForgetRequest(identities=[1]))),
    _parts('a part is empty', [0, 1], [], [4, 5]),
    _parts('two parts share an image', [0, 1], [1, 2], [4, 5]),
    _parts('two parts share a person', [0, 1, 2], [3], [4, 5]),
    _parts('a position is below 0', [-1, 1], [2, 3], [4, 5]),
    _parts('a position is no row', [0, 1], [2, 3], [99]),
    _parts('positions are floats', [0., 1.], [2, 3], [4, 5]),
    _logits('a logit is not finite', _ONES * np.nan, [0, 1, 2]),
    _logits('there is a class too many', np.ones((3, 4)), [0, 1, 2]),
    _logits('a label is no class', _ONES, [0, 1, 3]),
    _logits('a label is below 0', _ONES, [0, 1, -1]),
    _logits('an attribute is 2', np.ones((1, 2)), [[0, 2]], _BOTH),
    _logits('there are more labels than logits', _ONES, [0, 1, 2, 2]),
    _logits('labels have a point', _ONES, [.5, 1, 2]),
    _call('auc: nobody is a member', lambda: attack.auc([], [1.])),
    _call('auc: a score is not finite', lambda: attack.auc([np.inf], [1.])),
    _call('auc: scores are words', lambda: attack.auc(['a'], [1.])),
    _call('class_matched_auc: no class on both sides',
          lambda: attack.class_matched_auc([1.], [2.], [0], [1])),
    _call('class_matched_auc: there are fewer keys than scores',
          lambda: attack.class_matched_auc([1., 2.], [2.], [0], [0])),
    _call('class_matched_auc: no draw', lambda: attack.class_matched_auc(
        [1., 2.], [2.], [0, 0], [0], draws=0)),
    _call('person_auc: there are fewer people than scores',
          lambda: attack.person_auc([1., 2.], [2.], [0], [0])),
    _call('pooled_spread: as many models on every side',
          lambda: reference_attack.pooled_spread(_ONES, _ONES[:2])),
    _call('pooled_spread: margins are no matrix',
          lambda: reference_attack.pooled_spread([1., 2.])),
    _call('deviations: there is a margin too few',
          lambda: reference_attack.deviations([1.], _ONES)),
    _call('deviations: a margin is not finite',
          lambda: reference_attack.deviations([1., np.nan, 1.], _ONES)),
    _call('deviations: no spread',
          lambda: reference_attack.deviations([1., 1., 1.], _ONES, 0.)),
    _call('to_anchors: anchors of another width',
          lambda: nearer.to_anchors(_ONES, _ONES[:, :2])),
    _call('to_anchors: a feature is NaN',
          lambda: nearer.to_anchors(_ONES * np.nan, _ONES)),
    _call('side: one person is missing', lambda: nearer.side(
        _ONES[0], _ONES, [0, 1], np.random.default_rng(0))),
    _call('side: a distance is negative', lambda: nearer.side(
        -_ONES[0], _ONES, [0, 1, 2], np.random.default_rng(0))),
    _call('side: no draw', lambda: nearer.side(
        _ONES[0], _ONES, [0, 1, 2], np.random.default_rng(0), 0)),
    _call('rank: there is no image', lambda: person_rank.rank(
        [], [1.], [], [0], [0])),
    _call('rank: there are fewer units than images', lambda: person_rank.rank(
        [1.], [1., 2.], [0], [0, 0], [0])),
    _call('rank: no draw', lambda: person_rank.rank(
        [1.], [1., 2.], [0], [0, 0], [0, 1], draws=0)),
    _call('rank: the level is 1', lambda: person_rank.rank(
        [1.], [1., 2.], [0], [0, 0], [0, 1], level=1.)),
    _call('balanced_accuracy: one score a side',
          lambda: attack.balanced_accuracy([1.], [2.])),
    _call('balanced_accuracy: no draw', lambda: attack.balanced_accuracy(
        [1., 2.], [2., 3.], draws=0)),
    _call('top2_accuracy: two classes', lambda: accuracy.top2_accuracy(
        tasks.Task('multiclass', ('a', 'b')), np.ones((1, 2)), [0])),
    _call('balanced_accuracy: there is no such attribute',
          lambda: accuracy.balanced_accuracy(
              _BOTH, np.ones((1, 2)), [[0, 1]], 5)),
    _call('constant_accuracy: there is no label',
          lambda: accuracy.constant_accuracy(_TASK, np.array([], int))),
    _call('forgetting_score: an accuracy of 120',
          lambda: forgetting.forgetting_score(120)),
    _call('forgetting_score: no number',
          lambda: forgetting.forgetting_score(float('nan'))),
    _call('js: probabilities are above 1',
          lambda: distances.js(_TASK, 2 * _ONES, _ONES / 3)),
    _call('js: rows do not sum to 1',
          lambda: distances.js(_TASK, _ONES, _ONES / 3)),
    _call('kl: a logit is not finite',
          lambda: distances.kl(_TASK, _ONES * np.inf, _ONES)),
    _call('cka: three images', lambda: features_lib.cka_biased(_ONES, _ONES)),
    _call('cka: a feature is not finite', lambda: features_lib.cka_unbiased(
        np.full((5, 2), np.nan), np.ones((5, 2)))),
    _call('probe: one fold', lambda: features_lib.person_folds(
        np.arange(4), np.zeros(4, int), 1, 0)),
    _call('probe: there are fewer labels than images',
          lambda: features_lib.out_of_fold(
              np.ones((4, 2)), [0, 1], [0, 1, 0, 1])),
    _call('clopper_pearson: more successes than trials',
          lambda: stats.clopper_pearson(5, 3)),
    _call('clopper_pearson: confidence of 95',
          lambda: stats.clopper_pearson(1, 3, 95)),
    _call('difference: a variance below 0',
          lambda: stats.standard_error(-1., 5)),
    _call('verdict: a margin of 0', lambda: stats.verdict(
        0, 1, 0, may_be_equal=True)),
    _call('verdict: ends in the wrong order', lambda: stats.verdict(
        1, 0, .05, may_be_equal=True)),
    _call('load_classifier: no run', lambda: inference.load_classifier(
        'nowhere')),
    _call('predict: images of another size',
          lambda: inference.load_classifier('original').predict(
              np.zeros((1, 8, 8, 3), np.uint8))),
    _call('predict: floats', lambda: inference.load_classifier(
        'original').predict(np.zeros((1, 16, 16, 3)))),
    _call('sign: the evaluation is in memory alone', lambda: signing.sign(
        evaluation_result.EvaluationResult(config={}, record={}), 'key.pem')),
    _call('RunFolder: a number that JSON cannot hold', lambda: runs.RunFolder(
        pathlib.Path('out'), {'rate': float('nan')})),
]
