"""Flags reach the field they name, also inside a wrapped method."""

import dataclasses
from collections.abc import Callable

import pytest
from absl import flags

from dlfd_jax import methods
from dlfd_jax.cli import options
from dlfd_jax.data import augment, sources
from dlfd_jax.methods import (
  cf_k,
  dlfd,
  dlfd_released,
  finetune,
  rewind,
  scrub,
  unsir,
)


def apply_to(group, config, given):
  values = flags.FlagValues()
  options.define(group, values)
  values(['unlearn', *given])
  return options.apply(config, group, values, 'the method')


def apply(config, *given):
  return apply_to(options.METHOD, config, given)


def test_flags_set_fields_and_fields_of_fields():
  got = apply(unsir.UnsirConfig(), '--noise_steps=3', '--optimizer=sgd',
              '--learning_rate=0.5', '--repair_learning_rate=0.25')
  assert got.noise_steps == 3
  assert (got.optimizer.kind, got.optimizer.learning_rate) == ('sgd', 0.5)
  assert got.repair_optimizer.learning_rate == 0.25
  assert got.repair_optimizer.kind == 'adam'
  assert apply(cf_k.CFKConfig(), '--k=2').k == 2


def test_flags_of_a_wrapped_method_reach_it():
  got = apply(rewind.ScrubRConfig(), '--alpha=0.2', '--learning_rate=0.5',
              '--epochs=4', '--rewind_every=9', '--rewind_measure=loss')
  assert (got.every, got.measure) == (9, 'loss')
  assert isinstance(got.method, scrub.ScrubConfig)
  assert (got.method.alpha, got.method.epochs) == (0.2, 4)
  assert got.optimizer.learning_rate == 0.5  # the wrapper's is the method's
  assert apply(got, '--rewind_every=none').every is None


@pytest.mark.parametrize('config', [
    finetune.FinetuneConfig(),
    rewind.RewindConfig(method=finetune.FinetuneConfig())])
def test_a_flag_that_the_method_lacks_is_refused(config):
  with pytest.raises(ValueError, match='no --k: the method has no such field'):
    apply(config, '--k=2')


def test_texts_are_read_by_type():
  got = apply(dlfd.DLFDConfig(), '--augment=yes', '--augment_flip=0',
              '--clip_norm=None', '--forget_threshold=null_mean',
              '--select_threshold=.5', '--sinkhorn_iterations=9',
              '--transport=auto')
  assert got.augment == augment.AugmentConfig(flip=False)
  assert got.optimizer.clip_norm is None
  assert (got.forget_threshold, got.select_threshold) == ('null_mean', .5)
  assert got.sinkhorn.max_iterations == 9
  assert got.sinkhorn.transport == 'auto'  # a flag without its config's name
  assert apply(got, '--augment=false').augment is None
  got = apply(dlfd_released.DLFDReleasedConfig(), '--mean=.5, .4,.3')
  assert got.mean == (.5, .4, .3)
  data = apply_to(options.DATA, sources.DataOptions(), [
      '--data=x.npz', '--labels=age, smile', '--thresholds=age:30,smile:1'])
  assert data.source == 'x.npz' and data.labels == ('age', 'smile')
  assert data.thresholds == (('age', 30), ('smile', 1))


def test_a_part_of_what_is_off_is_refused():
  with pytest.raises(ValueError, match='--augment_flip with augment, got none'):
    apply(finetune.FinetuneConfig(), '--augment_flip=true')


@dataclasses.dataclass(frozen=True)
class Unexplained:
  """A config of a user's.

  Attributes:
    named: what
      it is, see :func:`~of.it`.
  """

  named: int | None = None
  bare: float = 1.0
  function: Callable[[], int] | None = None


def test_help_is_the_entry_of_the_docstring_or_what_the_text_must_be():
  texts = {option.flag: option.help for option in options.of(Unexplained)}
  assert texts == {'named': 'what it is, see of.it', 'bare': 'a number'}


@pytest.mark.parametrize('name', methods.METHODS)
def test_every_field_of_every_method_is_a_flag_with_help(name):
  config = methods.METHODS[name]()
  reached = {option.path.split('.')[0] for option in options.of(config)}
  assert reached == {
      field.name for field in dataclasses.fields(config)
      if field.metadata.get('flag', field.name) is not None
      or getattr(config, field.name) is not None}
  for option in options.of(config):
    assert option.help != option.takes, option.flag


def test_text_that_cannot_be_read_is_refused():
  with pytest.raises(ValueError, match="--k to be .*got 'two'"):
    apply(cf_k.CFKConfig(), '--k=two')
