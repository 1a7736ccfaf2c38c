"""The benchmark: what it counts, and all its parts from flags to files."""

import math

import jax
import numpy as np
import pytest

from dlfd_jax import models, ot
from dlfd_jax.methods import dlfd
from dlfd_jax.utils import runs
from experiments.benchmarks import (
  scaling as benchmark_scaling,
  share as benchmark_share,
  step as benchmark_step,
  suite as benchmark,
)


def test_flops_are_those_of_torchvisions_resnet18():
  model = models.build(models.ModelConfig(outputs=1000, stem='imagenet'))
  variables = jax.eval_shape(
      lambda key: models.init(model, key, (224, 224)), jax.random.key(0))
  calls = benchmark_step.convolutions(model, variables, 1, 224)
  assert len(calls) == 20
  # 1.814 G multiplications by the common count, of which .5 M are the last
  # layer's, which is no convolution.
  assert sum(c.flops for c in calls) == pytest.approx(2 * 1.8136e9, rel=2e-3)


def test_an_exponent_is_the_slope_of_the_larger_half():
  cells = [{'size': n, 'seconds': 5.0 if n < 100 else 3e-4 * n**1.5}
           for n in (10, 50, 100, 400, 1600)]
  assert benchmark_scaling.exponent(cells, 'seconds') == pytest.approx(1.5)
  assert benchmark_scaling.exponent(cells[:1], 'seconds') is None


def test_an_axis_stops_after_the_cell_over_the_cap():
  found = benchmark_scaling.grow(
      'n', (1, 2, 3), lambda n: {'seconds': float(n), 'bytes': 8.0 * n}, 0.0)
  assert [c['size'] for c in found['cells']] == [1]
  assert found['left_out'] == [2, 3] and found['exponent_bytes'] is None


def test_the_transport_is_measured():
  found = benchmark_scaling.transport(8, 16, 4, ot.SinkhornConfig(), 1)
  assert found['seconds'] > 0 and found['bytes'] > 0


def test_ratios_are_means_over_seeds_scaled_to_100_epochs(tmp_path):
  cells = [{'task': 't', 'model': 'dlfd', 'method': 'dlfd', 'state': 'model',
            'epochs': 3, 'perturb_steps': 5, 'train_epochs': 20,
            'time_share': share} for share in (.2, .4)]
  other = [{**cells[0], 'state': 'last'}, {'task': 't', 'model': 'original',
                                           'state': 'model'}]
  runs.write_json(tmp_path / 'table.json', {'cells': cells + other})
  [row] = benchmark_share.ratio([str(tmp_path / 'table.json')])
  assert row['seeds'] == 2 and math.isclose(row['share'], .3)
  assert math.isclose(row['share_of_100_epochs'], .06)


def test_an_unknown_part_is_one_sentence(tmp_path, capsys):
  assert benchmark.main(
      ['--parts=speed', f'--workdir={tmp_path / "run"}']) == 2
  assert "got ['speed']" in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


@pytest.mark.long
def test_the_timed_problems_are_those_of_a_step():
  config = dlfd.DLFDConfig(perturb_steps=2)
  here, there = (np.random.default_rng(seed).normal(
      size=(12, 5)).astype(np.float32) for seed in range(2))
  values = benchmark_share.solver(config, 12, 12)(here, there)
  weights = np.ones(12)
  wanted = ot.transport(here, weights, ot.prepare_target(
      there, weights, config.sinkhorn), config.sinkhorn).value
  np.testing.assert_allclose(values[0], wanted, rtol=1e-4)
  assert values[1] > values[0]  # the rows went up the slope


@pytest.mark.long
def test_parts_are_measured_once(tmp_path, capsys):
  parts = ('step', 'share', 'scaling')
  flags = ['--quick', f'--parts={",".join(parts)}', '--repeats=1',
           '--image_size=16', '--width=4', '--batch_size=8',
           '--perturb_steps=1', '--people=40', '--devices=1',
           f'--workdir={tmp_path / "run"}', f'--out={tmp_path / "out"}']
  assert benchmark.main(flags) == 0
  first = runs.read_json(tmp_path / 'out.json')
  assert set(first['parts']) == set(parts)
  assert all(np.isfinite(first['parts']['step'][name]) for name in (
      'ratio', 'of_convolutions', 'of_matmul'))
  [share] = first['parts']['share']
  assert all(0 < share[part] < 1 for part in (
      'transport', 'attack', 'evaluation'))
  assert all(len(one['cells']) >= 1 for one in first['parts']['scaling'])
  text = (tmp_path / 'out.md').read_text('utf-8')
  assert 'A distance step' in text and 'Growth' in text
  assert benchmark.main(flags) == 0  # nothing is measured again
  assert runs.read_json(tmp_path / 'out.json')['parts'] == first['parts']
  capsys.readouterr()
