"""Fields by dotted path."""

import pytest

from dlfd_jax import training
from dlfd_jax.data import augment
from dlfd_jax.utils import configs


def test_nested_fields_are_replaced_and_the_rest_stays():
  before = training.TrainConfig()
  after = configs.replace(
      before, {'optimizer.learning_rate': .5, 'optimizer.momentum': .1,
               'epochs': 3})
  assert (after.optimizer.learning_rate, after.optimizer.momentum,
          after.epochs) == (.5, .1, 3)
  assert after.optimizer.weight_decay == before.optimizer.weight_decay
  assert before == training.TrainConfig()


def test_a_config_that_was_none_is_set_with_its_fields():
  after = configs.replace(training.TrainConfig(), {
      'augment.flip': False, 'augment': augment.AugmentConfig(shift=.3)})
  assert after.augment == augment.AugmentConfig(flip=False, shift=.3)
  with pytest.raises(ValueError, match="NoneType, got 'flip'"):
    configs.replace(training.TrainConfig(), {'augment.flip': False})


def test_an_unknown_path_is_refused():
  with pytest.raises(ValueError, match="OptimizerConfig, got 'rate'"):
    configs.replace(training.TrainConfig(), {'optimizer.rate': .5})


def test_what_the_config_refuses_stays_refused():
  with pytest.raises(ValueError, match='epochs'):
    configs.replace(training.TrainConfig(), {'epochs': 0})
