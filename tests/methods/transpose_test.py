"""CT: which arrays are transposed, and which networks it takes."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from dlfd_jax import methods, models
from dlfd_jax.methods import transpose
from tests.methods import problems


def test_kernels_are_swapped_and_nothing_else():
  variables = models.init(
      models.build(models.ModelConfig(outputs=3, width=4, stem='small')),
      jax.random.key(0), (16, 16))
  turned = problems.by_path(transpose.transposed(variables))
  for path, leaf in problems.by_path(variables).items():
    if leaf.ndim == 4:
      np.testing.assert_array_equal(turned[path], leaf.transpose(1, 0, 2, 3))
    else:
      np.testing.assert_array_equal(turned[path], leaf)
  kernels = [path for path, leaf in turned.items() if leaf.ndim == 4]
  assert len(kernels) == 20
  again = transpose.transposed(transpose.transposed(variables))
  assert problems.same(again, variables)


@pytest.mark.parametrize('size, message', [
    ((1, 3), 'square convolutions to transpose, got a kernel of 1 x 3'),
    ((1, 1), 'convolutions larger than 1 x 1 to transpose')])
def test_other_networks_are_refused(size, message):
  params = nn.Conv(2, size).init(jax.random.key(0), np.zeros((1, 8, 8, 3)))
  with pytest.raises(ValueError, match=message):
    transpose.transposed({**params, 'batch_stats': {}})


def test_the_run_starts_there():
  problem = problems.problem()
  plan, _ = methods.prepare(
      problems.setting(problem), transpose.TransposeConfig(batch_size=8))
  assert problems.same(
      plan.start.variables, transpose.transposed(problem.original))


def test_frozen_statistics_are_refused():
  with pytest.raises(ValueError, match="of 'batch', as all features change"):
    transpose.TransposeConfig(batch_norm='frozen')
