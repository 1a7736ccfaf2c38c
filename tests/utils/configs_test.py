"""Fields by dotted path."""

import pytest

from dlfd_jax import fit
from dlfd_jax.methods import rewind, scrub
from dlfd_jax.utils import configs


def test_nested_fields_are_replaced_and_the_rest_stays():
  before = fit.TrainConfig()
  after = configs.replace(
      before, {'optimizer.learning_rate': .5, 'optimizer.momentum': .1,
               'epochs': 3})
  assert (after.optimizer.learning_rate, after.optimizer.momentum,
          after.epochs) == (.5, .1, 3)
  assert after.optimizer.weight_decay == before.optimizer.weight_decay
  assert before == fit.TrainConfig()


def test_an_unknown_path_is_refused():
  with pytest.raises(ValueError, match="TrainConfig, got 'optimizer.rate'"):
    configs.replace(fit.TrainConfig(), {'optimizer.rate': .5})


def test_what_the_config_refuses_stays_refused():
  with pytest.raises(ValueError, match='epochs'):
    configs.replace(fit.TrainConfig(), {'epochs': 0})


def test_a_wrapper_lends_the_fields_of_its_method_but_not_its_properties():
  wrapped = rewind.ScrubRConfig(method=scrub.ScrubConfig())
  assert configs.find(wrapped, 'every') == 'every'
  assert configs.find(wrapped, 'alpha') == 'method.alpha'
  assert configs.find(wrapped, 'epochs') == 'method.epochs'
  assert configs.find(wrapped, 'nothing') is None
