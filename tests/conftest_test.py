"""The test settings themselves."""

import jax
import jax.numpy as jnp
import numpy as np


def test_a_step_is_counted_once_however_often_it_runs(count_compilations):
  @jax.jit
  def double_step(x):
    return 2 * x

  with count_compilations() as counts:
    double_step(np.zeros(3, np.float32))
    double_step(np.ones(3, np.float32))
  assert counts['double_step'] == 1

  with count_compilations() as counts:
    double_step(np.zeros(4, np.float32))
  assert counts.total() == 1


def test_a_pmapped_step_is_counted(count_compilations):
  with count_compilations() as counts:
    jax.pmap(lambda x: 3 * x, axis_name='batch')(np.zeros((2, 3), np.float32))
  assert counts['_fun'] == 1


def test_computation_is_float32_on_eight_cpu_devices():
  assert jax.device_count() == 8
  assert jax.devices()[0].platform == 'cpu'
  assert jnp.asarray(np.zeros(2)).dtype == jnp.float32
