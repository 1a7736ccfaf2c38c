"""Logits against splits: what is refused, left out and resampled."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax.evaluation import inputs
from tests.evaluation import fakes

_DATA = fakes.dataset(people=20)
_SPLITS = fakes.splits(_DATA)
_LOGITS = fakes.logits(_DATA, _SPLITS, 1)
_QUICK = inputs.EvaluationConfig(bootstrap=50, permutations=20, draws=1)


def _prepare(outputs, data=_DATA, splits=_SPLITS):
  return inputs.prepare(outputs, data, splits, _QUICK)


def test_models_in_the_order_of_the_tables():
  got = _prepare({'retrained': [_LOGITS, _LOGITS], 'unlearned': _LOGITS,
                  'original': None})
  assert [model.name for model in got.models] == [
      'unlearned', 'retrained_0', 'retrained_1']
  assert got.original is None


def test_people_are_resampled_and_images_where_nobody_is_known():
  got = _prepare({'unlearned': _LOGITS})
  assert got.parts['forget'].unit == 'person'
  assert got.units_behind('forget', 'test') == (4 + 5, 'person')
  unknown = fakes.dataset(people=20, known=False)
  loose = dataclasses.replace(_SPLITS, by_person=False)
  got = _prepare({'unlearned': _LOGITS}, unknown, loose)
  assert got.units_behind('forget', 'test') == (16 + 20, 'image')


def test_a_single_person_is_resampled_by_image():
  splits = fakes.splits(_DATA, (.4, .45, .6))
  got = inputs.prepare(
      {'unlearned': fakes.logits(_DATA, splits, 1)}, _DATA, splits, _QUICK)
  assert got.parts['forget'].unit == 'image'
  assert got.parts['forget'].n_units == 4


def test_images_of_one_person_move_together():
  got = _prepare({'unlearned': _LOGITS})
  part = got.parts['test']
  seen = got.bootstrap(lambda weights: weights, 'test')
  assert seen.shape == (50, 20)
  for unit in range(part.n_units):
    columns = seen[:, part.units == unit]
    assert (columns == columns[:, :1]).all()
  assert (seen.sum(1) == 16).all()  # one unit less than there are


def test_resampled_sums_are_those_of_the_weights(monkeypatch):
  got = _prepare({'unlearned': _LOGITS})
  values = np.random.default_rng(0).normal(size=(20, 2))
  expected = got.bootstrap(lambda weights: weights @ values, 'test')
  np.testing.assert_allclose(
      got.parts['test'].resampled_sums(values), expected)
  monkeypatch.setattr(inputs, '_AT_ONCE', 60)
  np.testing.assert_allclose(
      got.parts['test'].resampled_sums(values), expected)
  np.testing.assert_allclose(
      got.bootstrap(lambda weights: weights @ values, 'test'), expected)


def test_images_without_a_label_are_left_out():
  data = fakes.dataset(fakes.ATTRIBUTES, people=20)
  data.labels[_SPLITS.test[3]] = -1
  got = _prepare(
      {'unlearned': fakes.logits(data, _SPLITS, 1)}, data, _SPLITS)
  assert len(got.parts['test']) == 19
  assert 3 not in got.parts['test'].rows
  assert got.unlearned.losses['test'].shape == (19,)


def test_uses_of_the_seed_do_not_share_draws():
  a, b = (inputs.generator(_QUICK, use).random() for use in ('one', 'two'))
  assert a != b
  assert a == inputs.generator(_QUICK, 'one').random()


def _changed(**logits):
  return {'unlearned': {**_LOGITS, **logits}}


@pytest.mark.parametrize('outputs, message', [
    ({'teacher': _LOGITS}, "models .* got 'teacher'"),
    ({}, 'at least one model, got none'),
    ({'original': None, 'retrained': []}, 'at least one model, got none'),
    (_changed(train=np.zeros((1, 4))), "splits .* got 'train' of unlearned"),
    (_changed(test=np.zeros((3, 4))),
     r'unlearned logits \[20, 4\] on test, got \[3, 4\]'),
    (_changed(test=np.full((20, 4), np.nan)),
     'finite unlearned logits on test, got 80 that are not'),
])
def test_bad_outputs_are_refused(outputs, message):
  with pytest.raises(ValueError, match=message):
    _prepare(outputs)


def test_a_split_without_labels_is_refused():
  data = fakes.dataset(fakes.ATTRIBUTES, people=20)
  data.labels[_SPLITS.val] = -1
  with pytest.raises(ValueError, match='a known label in val, got none'):
    _prepare({'unlearned': fakes.logits(data, _SPLITS, 1)}, data)


def test_splits_must_fit_the_data():
  with pytest.raises(ValueError, match='positions below 40'):
    _prepare({'unlearned': _LOGITS}, fakes.dataset(people=10))


@pytest.mark.parametrize('field, value, message', [
    ('bootstrap', 1, 'bootstrap of at least 20, got 1'),
    ('draws', 0, 'draws of at least 1, got 0'),
    ('permutations', 3, 'permutations of at least 20, got 3'),
    ('seed', -1, 'seed >= 0, got -1'),
    ('auc_margin', 0., r'auc_margin in \(0, 1\), got 0'),
    ('accuracy_margin', 1., r'accuracy_margin in \(0, 1\), got 1')])
def test_bad_settings_are_refused(field, value, message):
  with pytest.raises(ValueError, match=message):
    inputs.EvaluationConfig(**{field: value})
