"""Training from scratch: it learns, compiles once and can be resumed."""

import contextlib
import dataclasses
import os
import signal

import numpy as np
import pytest

from dlfd_jax import checkpoint, fit, loop, tasks, training as train
from dlfd_jax.data import augment
from tests import reads, tiny

pytestmark = pytest.mark.usefixtures('shared_compilations')

DATA = tiny.dataset(36)
TRAIN, VAL = np.arange(24), np.arange(24, 36)
MODEL = tiny.TinyNet()
CONFIG = train.TrainConfig(
    epochs=3, batch_size=8, optimizer=train.OptimizerConfig(
        learning_rate=0.1, schedule='cosine'))


def _fit(config=CONFIG, *, data=DATA, val=VAL, model=MODEL, **kwargs):
  kwargs.setdefault('devices', tiny.devices())
  with reads.by_fetch_alone():
    return fit.fit(model, data, TRAIN, val, config, **kwargs)


@pytest.fixture(scope='module')
def fitted(shared_compilations):
  return _fit()


def test_a_separable_problem_is_learnt():
  out = _fit(dataclasses.replace(CONFIG, epochs=12))
  accuracies = [figures['val_accuracy'] for figures in out.history]
  assert len(accuracies) == 13  # before the first epoch, and after each
  assert accuracies[-1] == 1.0
  assert out.stop == loop.FINISHED and out.steps == 12 * 3


def test_each_step_compiles_once_over_all_epochs(count_compilations):
  with count_compilations() as counts:
    _fit(dataclasses.replace(CONFIG, epochs=4), devices=tiny.devices(2))
  assert counts['_fun'] == 2  # the train step and the evaluation step


def test_another_seed_length_and_set_compile_nothing_more(count_compilations):
  _fit()
  with count_compilations() as counts:
    fit.fit(tiny.TinyNet(), DATA, TRAIN[:17], VAL, dataclasses.replace(
        CONFIG, epochs=4, seed=1), devices=tiny.devices())
  assert counts['_fun'] == 0


def test_the_seed_decides_the_result(fitted):
  assert tiny.same(_fit().variables, fitted.variables)
  other = _fit(dataclasses.replace(CONFIG, seed=1))
  assert not tiny.same(other.variables, fitted.variables)


def test_streamed_data_give_the_same_bits(fitted):
  streamed = _fit(devices=tiny.devices(image_bytes=0))
  assert tiny.same(streamed.variables, fitted.variables)
  assert streamed.history == fitted.history


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path, fitted):
  def stop(event):
    if event['event'] == 'tick' and event['step'] == 5:
      os.kill(os.getpid(), signal.SIGTERM)

  for hooks in ([stop], []):
    with contextlib.closing(checkpoint.LoopCheckpoints(tmp_path)) as saver:
      out = _fit(checkpoints=saver, hooks=hooks)
    assert out.stop == (loop.INTERRUPTED if hooks else loop.FINISHED)
  assert tiny.same(out.variables, fitted.variables)
  assert out.history == fitted.history


def test_augmentation_reaches_the_step(fitted):
  out = _fit(dataclasses.replace(CONFIG, augment=augment.AugmentConfig()))
  assert out.stop == loop.FINISHED
  assert not tiny.same(out.variables, fitted.variables)


def test_nothing_is_measured_without_val():
  out = _fit(dataclasses.replace(CONFIG, epochs=1), val=np.array([], int))
  assert out.history == [{'step': 0}, {'step': 3}]


def test_val_without_any_known_label_has_no_accuracy():
  data = tiny.dataset(36, tasks.MULTILABEL)
  labels = data.labels.copy()
  labels[VAL] = tasks.UNKNOWN
  out = _fit(dataclasses.replace(CONFIG, epochs=1),
             data=dataclasses.replace(data, labels=labels))
  assert [f['val_accuracy'] for f in out.history] == [None, None]


def test_logits_that_are_not_finite_have_no_accuracy():
  class Overflowing(tiny.TinyNet):

    def __call__(self, images, *, train, **kwargs):
      out = super().__call__(images, train=train, **kwargs)
      return out if train else out._replace(logits=out.logits + np.inf)

  out = _fit(dataclasses.replace(CONFIG, epochs=1), model=Overflowing())
  assert [f['val_accuracy'] for f in out.history] == [None, None]
  assert out.stop == loop.FINISHED


def test_a_batch_that_does_not_split_is_refused_before_anything_runs():
  with pytest.raises(ValueError, match='divisible by the 3 devices, got 8'):
    _fit(devices=tiny.devices(3))
