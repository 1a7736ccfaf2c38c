"""SSD and LFSSD: the factors, and whole runs against NumPy."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import batching
from dlfd_jax.methods import ssd
from dlfd_jax.utils import runs
from tests.methods import problems
from tests.methods.importance_test import summed


@pytest.mark.parametrize('of_all, of_forget, alpha, weight, factor', [
    (1., 11., 10., 1., 1 / 11), (1., 10., 10., 1., 1.), (1., 20., 10., 5., .25),
    (1., 20., 10., 50., 1.), (0., 1., 10., 1., 0.), (0., 0., 10., 1., 1.)])
def test_a_factor(of_all, of_forget, alpha, weight, factor):
  found = ssd.dampening(
      np.float32(of_all), np.float32(of_forget), alpha, weight)
  np.testing.assert_allclose(found, factor, rtol=1e-6)


def run(config, problem=None):
  log = runs.MetricsLog()
  out = methods.unlearn(problem or problems.problem(), config, log=log,
                        devices=problems.devices())
  dampened = [event['dampened'] for event in log.events
              if event.get('phase') == 'dampen' and 'dampened' in event]
  return out, dampened[-1]


@pytest.mark.parametrize('kind, config', [
    ('fisher', ssd.SSDConfig), ('output', ssd.LFSSDConfig)])
def test_a_run_by_hand(kind, config):
  problem = problems.problem()
  splits, size = problem.splits, 8
  assert config.importance == kind
  found, share = run(config(batch_size=size, alpha=1.2, dampening=.5), problem)

  def of(rows):
    stream = batching.Stream(rows, size, shuffle=False)
    return summed(problem, kind, [
        stream.batch(i) for i in range(stream.steps_per_epoch)])

  retain, forget = of(splits.retain), of(splits.forget)
  n, m = len(splits.retain), len(splits.forget)
  hits = total = 0
  for old, new, r, f in zip(*map(problems.leaves, (
      problem.original['params'], found.last['params'], retain, forget)),
                            strict=True):
    of_all, of_forget = (r + f) / (n + m), f / m
    factor = np.where(of_forget > 1.2 * of_all, np.minimum(
        .5 * of_all / np.maximum(of_forget, 1e-30), 1), 1)
    np.testing.assert_allclose(new, old * factor, rtol=1e-4, atol=1e-7)
    hits, total = hits + (factor < 1).sum(), total + factor.size
  assert 0 < hits < total
  np.testing.assert_allclose(share, hits / total, rtol=1e-5)
  assert problems.same(found.last['batch_stats'],
                       problem.original['batch_stats'])


def test_a_large_alpha_changes_nothing_and_says_so():
  found, share = run(ssd.SSDConfig(batch_size=8, alpha=1e9))
  assert share == 0
  assert problems.same(found.last, problems.problem().original)


@pytest.mark.parametrize('fields', [
    {'epochs': 2}, {'batch_norm': 'batch'}])
@pytest.mark.parametrize('config', [ssd.SSDConfig, ssd.LFSSDConfig])
def test_settings_of_training_are_refused(config, fields):
  with pytest.raises(ValueError, match=f'no training in {config.title}'):
    config(**fields)


def test_lfssd_reads_no_label():
  problem = problems.problem()
  config = ssd.LFSSDConfig(batch_size=8, alpha=1.0)
  other = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, labels=np.zeros_like(problem.dataset.labels)))
  assert problems.same(run(config)[0].last, run(config, other)[0].last)
