"""Flags reach the field they name, also inside a wrapped method."""

import pytest
from absl import flags

from dlfd_jax.cli import options
from dlfd_jax.methods import cf_k, finetune, rewind, scrub, unsir


def apply(config, *given):
  values = flags.FlagValues()
  options.define(options.METHOD, values)
  values(['unlearn', *given])
  return options.apply(config, options.METHOD, values, 'the method')


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


def test_text_that_cannot_be_read_is_refused():
  with pytest.raises(ValueError, match="--k to be .*got 'two'"):
    apply(cf_k.CFKConfig(), '--k=two')
