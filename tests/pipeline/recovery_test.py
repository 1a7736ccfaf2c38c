"""What was only hidden comes back; what was never learnt does not."""

import dataclasses

import jax
import numpy as np
import pytest

from dlfd_jax import (
  checkpoint,
  fit,
  loop,
  models,
  parallel,
  training as train,
)
from dlfd_jax.data import leakage, splits as splits_lib
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  references as references_lib,
  registry,
  run,
)
from dlfd_jax.metrics import recovery as treatments
from dlfd_jax.pipeline import (
  finished_runs,
  job,
  predictors,
  recovery,
  relearn,
)
from tests import tiny

pytestmark = pytest.mark.usefixtures('shared_compilations')


class Net(tiny.TinyNet):
  """Wide enough to know single images by heart."""

  hidden: int = 64


_NETWORK = models.ModelConfig(
    architecture='tests.pipeline.recovery_test:Net', outputs=3)
_ADAM = train.OptimizerConfig(
    kind='adam', learning_rate=.02, weight_decay=0.0)
_TUNING = relearn.RelearnConfig(
    optimizer=train.OptimizerConfig(learning_rate=.05, weight_decay=0.0),
    max_steps=100, batch_size=32)


def _data():
  """Noise, whose labels are best known by heart."""
  data = tiny.dataset(190)
  noise = np.random.default_rng(1).integers(0, 150, data.images.shape)
  images = noise + 8 * data.labels[:, None, None, None]
  parts = np.split(np.arange(190), [120, 150, 160])
  return dataclasses.replace(
      data, images=images.astype(np.uint8)), splits_lib.Splits(*parts)


DATA, SPLITS = _data()


def _saved(variables):
  return checkpoint.SavedModel(variables, _NETWORK, DATA.task, DATA.image_size)


def _trained(rows, seed):
  out = fit.fit(models.build(_NETWORK), DATA, rows, SPLITS.val,
                train.TrainConfig(epochs=30, batch_size=30, optimizer=_ADAM,
                                  seed=seed), devices=tiny.devices())
  return parallel.fetch(out.variables)


def _with_head(variables, change):
  """The model with another classifier upon the same features."""
  params = variables['params']
  head = next(name for name in params if name == 'classifier')
  return {**variables, 'params': {
      **params, head: jax.tree.map(change, params[head])}}


@pytest.fixture(scope='module')
def loaded(shared_compilations):
  """An original, three retrained models, and what may stand to be judged."""
  both = np.concatenate([SPLITS.retain, SPLITS.forget])
  original = _trained(both, 0)
  found = {'original': original, 'permuted': _with_head(
      original, lambda leaf: np.roll(leaf, 1, -1))}
  found['zeroed'] = _with_head(original, np.zeros_like)
  found['honest'] = _trained(SPLITS.retain, 9)
  found |= {f'retrained_{i}': _trained(SPLITS.retain, 1 + i) for i in range(3)}
  return {name: _saved(variables) for name, variables in found.items()}


def _predictors(data=DATA):
  return predictors.Predictors(data, tiny.devices())


@pytest.fixture(scope='module')
def recovered(loaded):
  events = []
  found = recovery.recover(
      loaded, DATA, SPLITS, _predictors(), _TUNING, [events.append])
  return found, events


def _record(name, loaded, recovered, judged):
  roles = {'original': 'original', 'unlearned': judged,
           **{f'retrained_{i}': f'retrained_{i}' for i in range(3)}}
  logits = {role: recovered.logits[model] for role, model in roles.items()}
  plain = {role: {split: out.logits for split, out in _predictors().run(
      _NETWORK, loaded[model].variables, SPLITS.parts).items()}
           for role, model in roles.items()}
  inputs = inputs_lib.prepare(
      {'original': plain['original'], 'unlearned': plain['unlearned'],
       'retrained': [plain[f'retrained_{i}'] for i in range(3)]}, DATA, SPLITS,
      run.EvaluationConfig(bootstrap=200, permutations=20, draws=1),
      references_lib.References(recovery=dataclasses.replace(
          recovered, logits=logits)))
  metric = registry.find(name)
  return next(record for record in run.records(inputs, metric)
              if record.metric == name), inputs


@pytest.mark.long
@pytest.mark.parametrize('name, judged, apart', [
    ('recovery_accuracy', 'permuted', True),
    ('recovery_accuracy', 'zeroed', True),
    ('recovery_accuracy', 'honest', False),
    ('recovery_rest/10 %', 'original', True),
    ('recovery_rest/10 %', 'honest', False)])
def test_what_was_hidden_is_told_apart_and_an_honest_model_is_not(
    loaded, recovered, name, judged, apart):
  record, inputs = _record(name, loaded, recovered[0], judged)
  assert (record.verdict == 'distinguishable') == apart
  if judged == 'permuted':  # the published case: nothing, then all of it
    before = registry.find('accuracy_forget').value(inputs, inputs.unlearned)
    assert before.value < .1 and record.unlearned.value > .9
  if apart:
    assert record.retrained.value < .6


@pytest.mark.slow
def test_every_model_gets_the_same_and_stays_as_it_is(loaded, recovered):
  found, events = recovered
  assert set(found.logits) == set(loaded)
  assert set(found.left_out) == {'1 %'}  # of 30
  ticks = [event for event in events if event['event'] == 'tick']
  assert ticks[-1]['step'] == ticks[-1]['num_steps'] == 7 * 7
  assert found.taught['5 %'].sum() == 2 and found.taught['10 %'].sum() == 3
  assert found.notes['10 %'] == [
      '10 %: 3 people of forget, drawn at random (3 images), taught in 100 '
      'steps; the rest has 27 images.']
  again = recovery.recover(
      {'permuted': loaded['permuted']}, DATA, SPLITS, _predictors(), _TUNING)
  for treatment, by_split in again.logits['permuted'].items():
    for split, logits in by_split.items():
      np.testing.assert_allclose(
          logits, found.logits['permuted'][treatment][split], atol=1e-5)


def test_one_program_serves_all_models_and_all_copies(
    loaded, recovered, count_compilations):
  two = {name: loaded[name] for name in ('zeroed', 'honest')}
  with count_compilations() as counts:
    recovery.recover(two, DATA, SPLITS, _predictors(), _TUNING)
  assert not any('train_step' in name or 'evaluation_step' in name
                 for name in counts)


_SHORT = dataclasses.replace(_TUNING, max_steps=2)


def _recover(loaded, data=DATA, splits=SPLITS):
  return recovery.recover({'unlearned': loaded['zeroed']}, data, splits,
                          _predictors(data), _SHORT)


def test_copies_of_forget_images_in_retain_teach_nothing(loaded):
  images = DATA.images.copy()
  images[:2] = images[SPLITS.forget[:2]]
  data = dataclasses.replace(DATA, images=images)
  found = _recover(loaded, data)
  assert ('2 images of retain that are copies of forget images were left out.'
          in found.notes['retain'])
  apart = dataclasses.replace(SPLITS, retain=SPLITS.retain[2:])
  np.testing.assert_allclose(
      found.logits['unlearned']['retain']['forget'],
      _recover(loaded, data, apart).logits['unlearned']['retain']['forget'])
  images[0] = images[SPLITS.forget[0]][:, ::-1]
  assert ('2 images of retain that are copies of forget images were left out.'
          in recovery.plan(leakage.Search(
              dataclasses.replace(DATA, images=images), SPLITS),
                           _SHORT).notes['retain'])
  images[:] = images[SPLITS.forget[0]]
  alone = _recover(loaded, dataclasses.replace(DATA, images=images))
  assert 'no copy of a forget image' in alone.left_out['retain']
  assert 'retain' not in alone.logits['unlearned']


def test_a_class_that_retain_lacks_is_named(loaded):
  keep = SPLITS.retain[DATA.labels[SPLITS.retain] != 2]
  found = _recover(loaded, splits=dataclasses.replace(SPLITS, retain=keep))
  assert ('Retain has no image of the class of 10 of 30 forget images: nothing '
          'in it can bring them back.') in found.notes['retain']


def test_one_image_has_no_part(loaded):
  found = _recover(loaded, splits=dataclasses.replace(
      SPLITS, forget=SPLITS.forget[:1]))
  assert set(found.left_out) == set(treatments.PARTS)
  assert set(found.logits['unlearned']) == {'retain', *treatments.COPIES}


def test_people_on_both_sides_are_named(loaded):
  identity = DATA.identity.copy()
  identity[SPLITS.forget[0]] = identity[SPLITS.retain[0]]
  found = _recover(
      loaded, dataclasses.replace(DATA, identity=identity),
      dataclasses.replace(SPLITS, by_person=False))
  assert any('shows people of forget' in note for note in found.notes['retain'])


def test_two_shares_of_the_same_people_are_taught_once(loaded, monkeypatch):
  runs = []
  run_of = relearn.Tuner.run
  monkeypatch.setattr(relearn.Tuner, 'run', lambda self, *args, **more: (
      runs.append(1), run_of(self, *args, **more))[1])
  found = _recover(loaded, splits=dataclasses.replace(
      SPLITS, forget=SPLITS.forget[:12]))  # 5 and 10 % are one of 12
  assert len(runs) == 2
  logits = found.logits['unlearned']
  assert np.array_equal(logits['5 %']['forget'], logits['10 %']['forget'])


def test_what_was_brought_back_before_a_kill_is_not_brought_back_again(
    loaded, tmp_path, monkeypatch):
  models = {name: loaded[name] for name in ('zeroed', 'honest')}

  def recover(folder=None):
    finished = finished_runs.FinishedRuns(folder)
    return finished, recovery.recover(
        models, DATA, SPLITS, _predictors(), _SHORT, finished=finished)

  _, whole = recover()
  write = finished_runs.FinishedRuns._write
  written = []

  def dying(self, folder, name, *more):
    write(self, folder, name, *more)
    written.append(name)
    if len(written) == 3:
      raise KeyboardInterrupt

  monkeypatch.setattr(finished_runs.FinishedRuns, '_write', dying)
  with pytest.raises(KeyboardInterrupt):
    recover(tmp_path / 'kept')
  finished, resumed = recover(tmp_path / 'kept')
  assert finished.names == set(written[:3])
  plan = recovery.plan(leakage.Search(DATA, SPLITS), _SHORT)
  assert written == [run.name for run in recovery.runs(
      plan, models, SPLITS, _SHORT)]  # each once, as it was announced
  for name, values in whole.arrays().items():
    assert np.array_equal(values, resumed.arrays()[name]), name


def test_a_model_that_is_not_finite_has_no_answers(loaded):
  broken = _saved(jax.tree.map(
      lambda leaf: np.full_like(leaf, np.nan), loaded['zeroed'].variables))
  found = recovery.recover(
      {'unlearned': broken}, DATA, SPLITS, _predictors(), _SHORT)
  assert found.logits == {'unlearned': {}}


def test_a_signal_stops_it(loaded, monkeypatch):
  monkeypatch.setattr(loop, 'run', lambda *args, **more: loop.LoopResult(
      {}, [], [], loop.INTERRUPTED, 1, loop.Clock()))
  with pytest.raises(job.Interrupted, match='starts the evaluation again'):
    _recover(loaded)
