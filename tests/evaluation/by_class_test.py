"""Requests that forget classes whole: what counts as test, and what as unseen.

Models are made of numbers: all know the classes that stay; the original and
``under`` know the forgotten one, too, and its training images by heart.
"""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import again, inputs, run
from dlfd_jax.methods import live
from dlfd_jax.metrics import attack, stats
from dlfd_jax.pipeline import chain
from tests.evaluation import fakes

GONE = 1
QUICK = inputs.EvaluationConfig(bootstrap=40, permutations=20, draws=2)


def _world(unseen=True, task=fakes.CLASSES):
  """All of class b is forgotten; val and test have images of it, or none."""
  data = fakes.dataset(task, people=240, images=1, known=False)
  thirds = np.array_split(np.arange(240), 3)
  labels = data.labels if not task.is_multilabel else data.labels[:, 0]
  gone = np.flatnonzero(labels == GONE)
  val, test = (part if unseen else np.setdiff1d(part, gone)
               for part in thirds[1:])
  return data, splits_lib.Splits(
      np.setdiff1d(thirds[0], gone), np.intersect1d(thirds[0], gone), val, test,
      by_person=False, classes=('b',), of_classes=gone)


def _model(data, splits, seed, *, knows, by_heart=0.0):
  """Logits that are right with a lift of 4 on classes that a model knows."""
  rng = np.random.default_rng(seed)
  found = {}
  for name, rows in splits.parts.items():
    labels = data.labels[rows]
    if data.task.is_multilabel:
      lift = np.where(labels[:, :1] == GONE, knows - 1.5, 2.5)
      values = rng.normal(size=labels.shape) + (2 * labels - 1) * lift
    else:
      values = rng.normal(size=(len(rows), 4))
      values[np.arange(len(rows)), labels] += np.where(
          labels == GONE, knows - 4.0, 4.0)
      values[:, GONE] += by_heart * (name == 'forget')
    found[name] = values.astype(np.float32)
  return found


def _evaluated(data, splits, unlearned, tier=1):
  retrained = [_model(data, splits, seed, knows=0) for seed in (5, 6, 7)]
  return {'retrained': retrained, 'unlearned': unlearned, 'original': _model(
      data, splits, 1, knows=8, by_heart=4)}, run.evaluate(
          {'retrained': retrained, 'unlearned': unlearned,
           'original': _model(data, splits, 1, knows=8, by_heart=4)},
          data, splits, QUICK, tier=tier)


def _by_name(result):
  return {one['metric']: one for one in result['metrics']}


@pytest.mark.parametrize('task', [fakes.CLASSES, fakes.ATTRIBUTES])
def test_test_is_what_stays_and_unseen_is_the_class(task):
  data, splits = _world(task=task)
  unlearned = _model(data, splits, 2, knows=0)
  outputs, result = _evaluated(data, splits, unlearned)
  found = _by_name(result)
  right = ((unlearned['test'] > 0) == data.labels[splits.test]
           if task.is_multilabel else
           unlearned['test'].argmax(1) == data.labels[splits.test])
  gone = np.isin(splits.test, splits.of_classes)
  for name, rows in (('accuracy_test', ~gone),
                     ('accuracy_test_forgotten', gone)):
    assert found[name]['unlearned']['value'] == pytest.approx(
        right[rows].mean())
  # Attacks hold forget against unseen images of the class: none is a member.
  one = inputs.prepare(outputs, data, splits, QUICK)
  losses = one.unlearned.losses
  assert len(losses['unseen']) == gone.sum()
  assert found['mia_auc']['unlearned']['value'] == pytest.approx(
      attack.auc(-losses['forget'], -losses['unseen']))
  assert abs(found['mia_auc']['unlearned']['value'] - .5) < .2
  whole = attack.auc(-losses['forget'], -np.concatenate(
      [losses['test'], losses['unseen']]))
  assert whole < .4  # this would tell the class
  assert 'distinguishable from unseen' not in str(result['metrics'])
  said = next(note for note in result['notes'] if 'Forgotten whole: b' in note)
  assert f'The {gone.sum()} test images of it are a figure of their own' in said


def test_verdicts_tell_who_still_knows_the_class():
  data, splits = _world()
  _, forgot = _evaluated(data, splits, _model(data, splits, 2, knows=0))
  _, knows = _evaluated(data, splits, _model(data, splits, 2, knows=8))
  verdicts = [one['verdicts']['forgetting'] for one in (forgot, knows)]
  assert verdicts[1]['verdict'] == stats.DISTINGUISHABLE
  assert 'gap_accuracy_test_forgotten' in verdicts[1]['because']
  assert stats.DISTINGUISHABLE not in verdicts[0]['verdict'].split()[:1]
  for one in (forgot, knows):  # what stays is as after retraining
    assert _by_name(one)['gap_accuracy_test']['unlearned']['low'] < .02
    assert one['verdicts']['utility']['verdict'] != stats.DISTINGUISHABLE


@pytest.mark.parametrize('unseen', [True, False])
def test_an_evaluation_by_class_follows_from_what_it_stores(unseen):
  data, splits = _world(unseen)
  _, result = _evaluated(data, splits, _model(data, splits, 2, knows=0))
  arrays = result.pop('per_example')
  record = {**result, 'config': {**dataclasses.asdict(QUICK), 'tier': 1,
                                 'tier_1': dataclasses.asdict(
                                     inputs.ReferenceConfig())}}
  again.check(record, arrays)
  flipped = {**arrays, 'test/of_classes': ~arrays['test/of_classes']}
  with pytest.raises(ValueError, match='Expected'):
    again.check(record, flipped)


def test_without_unseen_images_of_the_class_nothing_is_pretended():
  data, splits = _world(unseen=False)
  _, result = _evaluated(data, splits, _model(data, splits, 2, knows=0))
  found = _by_name(result)
  for name in ('mia_auc', 'mia_auc_matched', 'forgetting_score', 'nomus',
               'gap_mia_auc_matched', 'accuracy_test_forgotten'):
    one = found[name]['unlearned']
    assert one['value'] is None
    assert one['reason'] == 'test has no image of the forgotten class'
  assert found['accuracy_test']['unlearned']['value'] > .9
  assert found['gap_accuracy_forget']['unlearned']['value'] is not None
  verdict = result['verdicts']['forgetting']
  assert verdict['verdict'] == stats.INCONCLUSIVE
  assert result['verdicts']['utility']['verdict'] != stats.TOO_FEW
  assert any('no attack can be computed' in note for note in result['notes'])
  # What it answers on forget is left, and tells.
  _, result = _evaluated(data, splits, _model(data, splits, 2, knows=8))
  verdict = result['verdicts']['forgetting']
  assert verdict['verdict'] == stats.DISTINGUISHABLE
  assert 'gap_accuracy_forget' in verdict['because']


def test_the_run_is_steered_by_the_class_and_val_is_what_stays():
  data, splits = _world()
  rule = live.choose_rule(data, splits)
  assert rule.kind == live.BALANCED
  assert set(rule.val) <= set(splits.unseen('val'))
  # A sub-class: the task's class is on both sides, the sub-class is compared.
  data = dataclasses.replace(data, labels=np.zeros_like(data.labels))
  assert set(live.choose_rule(data, splits).val) <= set(splits.unseen('val'))
  data, splits = _world(unseen=False)
  rule = live.choose_rule(data, splits)
  assert rule.kind == live.PASSES
  assert 'Val has no image of what is forgotten whole' in rule.because


def test_runs_record_what_is_forgotten_whole():
  data, splits = _world()
  whole, fewer, nothing = (
      chain.entry(data, one, one.retain) for one in (
          splits,
          dataclasses.replace(splits, of_classes=splits.of_classes[1:]),
          dataclasses.replace(splits, classes=(), of_classes=[])))
  assert whole['parts']['of_classes'] != fewer['parts']['of_classes']
  assert 'of_classes' not in nothing['parts']  # as versions before wrote it
  assert whole['ids'] == fewer['ids'] == nothing['ids']


def test_tasks_without_classes_forgotten_whole_have_no_such_figure():
  data = fakes.dataset(tasks.Task('multiclass', ('a', 'b')), people=40)
  splits = fakes.splits(data)
  result = run.evaluate({'unlearned': fakes.logits(data, splits, 0)}, data,
                        splits, QUICK)
  assert 'accuracy_test_forgotten' not in _by_name(result)
