"""DLFD in one file is DLFD: its step is the library's."""

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

from dlfd_jax import ot, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import dlfd
from dlfd_jax.models import Outputs
from experiments import dlfd_in_one_file as one

N, SIZE, STEPS = 8, 16, 11


class Wrapped(nn.Module):
  """The file's network behind the library's interface."""

  outputs: int

  @nn.compact
  def __call__(self, images, *, train, mask=None, keys=None, axis_name=None):
    return Outputs(*one.Net(self.outputs, name='net')(images))


@pytest.mark.long
def test_a_step_equals_that_of_the_library(monkeypatch):
  monkeypatch.setattr(one, 'K', 2)  # compiles quicker than 5
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2 * N, SIZE, SIZE, 3), np.uint8)
  labels = rng.integers(0, 3, 2 * N).astype(np.int32)
  net, model = one.Net(3), Wrapped(3)
  params = net.init(jax.random.key(0), images[:1] / 255.0)
  opt = optax.chain(optax.add_decayed_weights(5e-4),
                    optax.sgd(0.02, momentum=0.9))
  config = dlfd.DLFDConfig(
      batch_size=N, ot_weight=one.W_F, ce_weight_start=one.LAMBDA[0],
      ce_weight_end=one.LAMBDA[1], perturb_steps=one.K,
      perturb_step_size=one.ALPHA, optimizer=train.OptimizerConfig(
          learning_rate=0.02, momentum=0.9, weight_decay=5e-4),
      sinkhorn=ot.SinkhornConfig(epsilon=one.EPSILON))
  step = jax.jit(dlfd.make_distance_step(
      model, tasks.Task(tasks.MULTICLASS, ('a', 'b', 'c')), config, STEPS))
  theirs = train.create_state(
      {'params': {'net': params['params']}, 'batch_stats': {}},
      config.optimizer, jax.random.key(1))
  ours = params, opt.init(params)
  rows = np.arange(N)
  batch = batching.Pair(batching.pad(rows, N), batching.pad(rows + N, N))
  pixels = images.astype(np.float32) / 255
  for b in range(2):  # momentum and the ramp of lambda begin with the second
    theirs, _ = step(theirs, {'images': images, 'labels': labels}, batch)
    lambda_b = np.interp(b, (0, STEPS - 1), one.LAMBDA)
    ours = one.dlfd_step(net, opt, ours, pixels[:N], labels[:N], pixels[N:],
                         np.float32(lambda_b))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=2e-6),
        ours[0]['params'], theirs.params['net'])
  change = jax.tree.map(lambda a, b: np.abs(a - b).max(), ours[0], params)
  assert min(jax.tree.leaves(change)) > 1e-5
