"""Relearning: eval mode decides, one program serves all, nothing changes."""

import jax
import numpy as np
import pytest

from dlfd_jax import fit, models, parallel, training as train
from dlfd_jax.metrics import accuracy, forgetting
from dlfd_jax.pipeline import relearn
from tests import tiny

pytestmark = pytest.mark.usefixtures('shared_compilations')

DATA = tiny.dataset(36)
FORGET = np.arange(12)
MODEL = tiny.TinyNet()
CONFIG = relearn.RelearnConfig(
    optimizer=train.OptimizerConfig(learning_rate=.05, schedule='cosine'),
    max_steps=40, batch_size=8, seeds=(0, 1))


@pytest.fixture(scope='module')
def relearner(shared_compilations):
  return relearn.Relearner(
      MODEL, DATA, FORGET, CONFIG, devices=tiny.devices())


@pytest.fixture(scope='module')
def fresh():
  return models.init(MODEL, jax.random.key(0), DATA.image_size)


@pytest.fixture(scope='module')
def learnt(shared_compilations):
  out = fit.fit(
      MODEL, DATA, FORGET, np.array([], int), train.TrainConfig(
          epochs=20, batch_size=8, optimizer=train.OptimizerConfig(
              learning_rate=.1)), devices=tiny.devices())
  return parallel.fetch(out.variables)


def _times(relearner, variables, accuracy_original):
  return [relearner.time(variables, accuracy_original, seed)
          for seed in relearner.config.seeds]


def test_a_model_that_knows_needs_no_step(relearner, learnt):
  assert relearner.accuracy(learnt) == 1
  assert _times(relearner, learnt, 1.) == [forgetting.RelearnTime(0)] * 2


def test_a_fresh_model_needs_some_and_stays_as_it_is(relearner, fresh):
  before = jax.tree.map(np.array, fresh)
  times = _times(relearner, fresh, 1.)
  assert all(0 < time.steps < 40 and not time.capped for time in times)
  assert _times(relearner, fresh, 1.) == times
  assert tiny.same(fresh, before)


def test_a_target_out_of_reach_is_known_early(relearner, fresh):
  exact = relearner.accuracy(fresh)
  outputs = MODEL.apply(fresh, DATA.images[FORGET] / np.float32(255),
                        train=False)
  assert exact == pytest.approx(
      (outputs.logits.argmax(-1) == DATA.labels[FORGET]).mean())
  assert exact <= relearner.accuracy(fresh, .9) < .9
  assert relearner.accuracy(fresh, exact) == exact


def test_attributes_count_alike_with_unknown_labels():
  data = tiny.dataset(12, kind='multilabel')
  data.labels[:5, 0] = -1
  model = tiny.TinyNet()
  fresh = models.init(model, jax.random.key(0), data.image_size)
  got = relearn.Relearner(
      model, data, FORGET, CONFIG, devices=tiny.devices()).accuracy(fresh)
  logits = model.apply(fresh, data.images / np.float32(255),
                       train=False).logits
  expected = accuracy.accuracy(data.task, logits, data.labels).value
  assert got == pytest.approx(expected)


def test_a_lower_target_is_met_sooner(relearner, fresh):
  full, half = _times(relearner, fresh, 1.), _times(relearner, fresh, .6)
  assert all(b.steps <= a.steps for a, b in zip(full, half))


def test_one_program_serves_all_models_and_seeds(
    relearner, fresh, learnt, count_compilations):
  _times(relearner, fresh, 1.)
  with count_compilations() as counts:
    _times(relearner, learnt, 1.)
    _times(relearner, fresh, .9)
  assert counts['_fun'] == 0


def test_the_target_is_judged_in_evaluation_mode(relearner, learnt):
  """Live statistics would call a model with wrong running ones ready."""
  wrong = {'params': learnt['params'], 'batch_stats': jax.tree.map(
      lambda x: 50 * x + 20, learnt['batch_stats'])}
  live, _ = MODEL.apply(
      wrong, DATA.images[FORGET] / np.float32(255), train=True,
      mutable=['batch_stats'])
  assert (live.logits.argmax(-1) == DATA.labels[FORGET]).mean() == 1
  assert relearner.accuracy(wrong) < .95
  assert all(time.steps > 0 for time in _times(relearner, wrong, 1.))


def test_a_run_that_does_not_get_there_is_capped(fresh):
  short = relearn.RelearnConfig(
      optimizer=train.OptimizerConfig(learning_rate=1e-6), max_steps=2,
      batch_size=8, seeds=(0,))
  got = _times(relearn.Relearner(
      MODEL, DATA, FORGET, short, devices=tiny.devices()), fresh, 1.)
  assert got == [forgetting.RelearnTime(2, capped=True)]


@pytest.mark.parametrize('field, value, message', [
    ('max_steps', 0, 'max_steps of at least 1, got 0'),
    ('batch_size', 0, 'batch_size of at least 1, got 0'),
    ('seeds', (), 'at least one seed'), ('seeds', (-1,), 'every seed >= 0'),
    ('tolerance', 1., r'tolerance in \[0, 1\)')])
def test_bad_settings_are_refused(field, value, message):
  with pytest.raises(ValueError, match=message):
    relearn.RelearnConfig(**{field: value})
