"""Figures of what comes back: by hand, and never from fewer than three."""

import dataclasses
import json

import numpy as np
import pytest

from dlfd_jax.evaluation import (
  again,
  inputs as inputs_lib,
  references as references_lib,
  registry,
  run,
  verdicts,
)
from dlfd_jax.metrics import recovery
from tests.evaluation import fakes

_CONFIG = run.EvaluationConfig(bootstrap=200, permutations=20, draws=1)
_DATA = fakes.dataset(people=60, images=4)
_SPLITS = fakes.splits(_DATA, (.4, .7, .75))
_FORGET = _SPLITS.forget
_TAUGHT = _DATA.identity[_FORGET] < 26  # of 24 to 41
_WORDS = 'One retrained model cannot tell'


def _answers(share, seed, split='forget', data=_DATA, splits=_SPLITS):
  """Logits that are right on a share of the people's images, by chance."""
  rows = splits.parts[split]
  rng = np.random.default_rng(seed)
  labels = data.labels[rows]
  right = rng.random(len(rows)) < share
  if data.task.is_multilabel:
    return np.where(right[:, None], 1., -1.) * (2 * labels - 1)
  said = np.where(right, labels, (labels + 1) % data.task.num_outputs)
  return 3. * np.eye(data.task.num_outputs)[said]


def _inputs(after, retrained=3, original=.99, data=_DATA, splits=_SPLITS,
            of=recovery.RETAIN, **more):
  """Models that look alike, but for what they answer after a treatment."""
  shares = {'original': original, 'unlearned': after}
  shares |= {f'retrained_{i}': .5 for i in range(retrained)}
  logits = {name: {of: {split: _answers(
      share if split == 'forget' else .5, 10 + i, split, data, splits)
      for split in ('forget', 'test')}}
            for i, (name, share) in enumerate(shares.items())}
  plain = {name: fakes.logits(data, splits, i) for i, name in enumerate(shares)}
  return inputs_lib.prepare(
      {'original': plain['original'], 'unlearned': plain['unlearned'],
       'retrained': [plain[f'retrained_{i}'] for i in range(retrained)]},
      data, splits, _CONFIG, references_lib.References(
          recovery=references_lib.Recovery(logits=logits, **more)))


def _record(inputs, name='recovery_accuracy'):
  found = [record for metric in registry.METRICS
           if metric.name == name.partition('/')[0]
           for record in run.records(inputs, metric)]
  return {record.metric: record for record in found}[name]


def test_what_comes_back_is_told_apart_and_accuses():
  record = _record(_inputs(.97))
  assert record.unlearned.value == pytest.approx(.97, abs=.05)
  assert record.retrained.value == pytest.approx(.5, abs=.1)
  assert record.null.value == record.retrained.value
  assert record.null.low < record.null.value < record.null.high
  assert (record.verdict, record.gate) == ('distinguishable', verdicts.SEES)
  found = verdicts.overall([record], roles=registry.roles(), retrained=3)
  assert found['verdict'] == 'distinguishable'
  assert found['because'] == 'told apart by recovery_accuracy'


def test_what_stays_like_retraining_is_not_and_blocks_nothing():
  record = _record(_inputs(.45))
  assert record.verdict not in ('distinguishable', None)
  other = dataclasses.replace(
      record, metric='gap_accuracy_forget', verdict='indistinguishable')
  found = verdicts.overall(
      [other, record], roles=registry.roles(), retrained=3, people=18)
  assert found['verdict'] == 'indistinguishable'  # no word on people


def test_damage_is_no_trace():
  record = _record(_inputs(.05))
  assert record.delta.high < 0 and record.verdict == 'inconclusive'
  assert 'a sign of damage' in record.notes[-1]


@pytest.mark.parametrize('retrained, said', [
    (0, None), (1, _WORDS), (2, 'there is no verdict; it takes three')])
@pytest.mark.parametrize('name, of', [
    ('recovery_accuracy', recovery.RETAIN), ('recovery_rest/5 %', '5 %'),
    ('recovery_copies_accuracy/crop 10 %', 'crop 10 %'),
    ('recovery_copies_auc/noise 5 %', 'noise 5 %')])
def test_fewer_than_three_retrained_models_judge_nothing(
    retrained, said, name, of):
  record = _record(_inputs(.97, retrained, of=of, taught={'5 %': _TAUGHT}),
                   name)
  assert record.unlearned.value is not None
  assert (record.verdict, record.p_value) == (None, None)
  assert (record.delta.value is None) == (not retrained)
  assert said is None or any(said in note for note in record.notes)
  if name == 'recovery_accuracy' and retrained:
    found = verdicts.overall(
        [record], roles=registry.roles(), retrained=retrained)
    assert found['verdict'] != 'distinguishable'
    assert found['metrics'] == {name: verdicts.NEEDS_THREE}
    if retrained == 1:
      assert found['because'].startswith(f'{name} differs')


def test_only_the_rest_counts():
  right = _answers(1, 0)
  right[_TAUGHT] = _answers(0, 0)[_TAUGHT]
  inputs = _inputs(.5, of='5 %', taught={'5 %': _TAUGHT})
  model = dataclasses.replace(inputs.unlearned, treated={
      '5 %': dataclasses.replace(
          inputs.unlearned, logits={'forget': right.astype(np.float32)})})
  entry = registry.find('recovery_rest/5 %')
  assert entry.value(inputs, model, '5 %').value == 1
  rest = len(np.unique(_DATA.identity[_FORGET][~_TAUGHT]))
  assert _record(inputs, 'recovery_rest/5 %').n_units == rest


def test_a_robust_model_does_not_look_like_one_that_remembers():
  """Right on all copies, of forget and of unseen images: no difference."""
  inputs = _inputs(.97, of='noise 5 %')
  robust = {side: _answers(1, 0, split).astype(np.float32)
            for side, split in (('forget', 'forget'), ('unseen', 'test'))}
  model = dataclasses.replace(inputs.unlearned, treated={
      'noise 5 %': dataclasses.replace(inputs.unlearned, logits=robust)})
  value = registry.find('recovery_copies_accuracy/noise 5 %').value
  assert value(inputs, model, 'noise 5 %').value == 0
  record = _record(inputs, 'recovery_copies_accuracy/noise 5 %')
  shares = [(_answers(share, 11, split).argmax(1) == _DATA.labels[
      _SPLITS.parts[split]]).mean() for share, split in (
          (.97, 'forget'), (.5, 'test'))]
  assert record.unlearned.value == pytest.approx(shares[0] - shares[1])
  assert record.verdict == 'distinguishable'


def test_attributes_have_them_too():
  data = fakes.dataset(fakes.ATTRIBUTES, people=60)
  splits = fakes.splits(data, (.4, .7, .75))
  inputs = _inputs(.9, data=data, splits=splits)
  assert _record(inputs).unlearned.value == pytest.approx(.9, abs=.06)


def test_one_image_is_too_few():
  splits = dataclasses.replace(_SPLITS, forget=_FORGET[:1])
  record = _record(_inputs(1., splits=splits))
  assert record.unlearned.value == 1 and record.unlearned.low is None
  assert record.verdict == 'too few to say' and record.p_value is None


@pytest.mark.parametrize('more, name, reason', [
    ({}, 'recovery_rest/1 %', 'not finite'),
    ({'left_out': {'1 %': '1 % of 18 people is nobody'}}, 'recovery_rest/1 %',
     'is nobody'), (None, 'recovery_accuracy', 'no recovery was run')])
def test_what_was_not_run_says_why(more, name, reason):
  inputs = _inputs(.5, **(more or {}))
  if more is None:
    inputs = inputs_lib.prepare(
        {'unlearned': fakes.logits(_DATA, _SPLITS, 0)}, _DATA, _SPLITS, _CONFIG)
  assert reason in _record(inputs, name).unlearned.reason


@pytest.mark.parametrize('logits, taught, message', [
    ({'other': {}}, {}, "got 'other'"),
    ({'unlearned': {'hypnosis': {}}}, {}, 'treatment'),
    ({}, {'5 %': np.ones(3, bool)}, r'\[72\] for the part 5 %, got bool \[3\]'),
    ({'unlearned': {'retain': {'forget': np.zeros((3, 4))}}}, {},
     r'unlearned, retain logits \[72, 4\] on forget')])
def test_bad_answers_are_refused(logits, taught, message):
  with pytest.raises(ValueError, match=message):
    inputs_lib.prepare(
        {'unlearned': fakes.logits(_DATA, _SPLITS, 0)}, _DATA, _SPLITS, _CONFIG,
        references_lib.References(recovery=references_lib.Recovery(
            logits=logits, taught=taught)))


def test_figures_follow_from_what_is_stored():
  names = ('unlearned', 'retrained_0', 'retrained_1')
  logits = {name: {of: {split: _answers(.3 + .1 * i, i, split)
                        for split in ('forget', 'test')}
                   for of in (recovery.RETAIN, '5 %', 'crop 10 %')}
            for i, name in enumerate(names)}
  plain = [fakes.logits(_DATA, _SPLITS, i) for i in range(3)]
  found = run.evaluate(
      {'unlearned': plain[0], 'retrained': plain[1:]}, _DATA, _SPLITS, _CONFIG,
      tier=1, references=references_lib.References(
          recovery=references_lib.Recovery(
              logits=logits, taught={'5 %': _TAUGHT},
              left_out={'1 %': '1 % of 18 people is nobody'},
              notes={'5 %': ['5 %: some.'], 'retain': ['One.', 'Two.']})))
  record = {**found, 'config': {
      **dataclasses.asdict(_CONFIG), 'tier': 1,
      'tier_1': dataclasses.asdict(run.ReferenceConfig())}}
  record = json.loads(json.dumps(
      {name: value for name, value in record.items() if name != 'per_example'}))
  arrays = found['per_example']
  checked = again.check(record, arrays)
  assert not [name for name in checked.left if name.startswith('recovery')]
  altered = {**arrays, 'unlearned/forget/after_retain': _answers(
      .9, 5).astype(np.float32)}
  with pytest.raises(ValueError, match='recovery_accuracy'):
    again.check(record, altered)
