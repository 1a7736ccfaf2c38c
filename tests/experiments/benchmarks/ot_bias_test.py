"""Transport in parts and the attack on a sample."""

import math

import numpy as np
import pytest

from dlfd_jax import ot
from dlfd_jax.utils import runs
from experiments.benchmarks import ot_bias
from tests.cli import runs_of

CONFIG = ot.SinkhornConfig()


@pytest.mark.long
def test_one_part_is_the_whole_problem():
  population = ot_bias.gaussian(32, 4)
  for row in ot_bias.transport_errors(
      population, 8, 1, CONFIG, groups=(1,)):
    assert row['relative_error'] == pytest.approx(0, abs=1e-4)
    assert row['gradient_cosine'] == pytest.approx(1, abs=1e-4)
    assert row['gradient_norm'] == pytest.approx(1, abs=1e-3)


@pytest.mark.long
def test_equal_parts_cost_nothing():
  x, y = (np.tile(side[:8], (2, 1)) for side in (
      ot_bias.gaussian(8, 4).retain, ot_bias.gaussian(8, 4).forget))
  whole, slope = ot_bias.split_transport(x, y, 'per_device', 1, CONFIG)
  for scheme in ot_bias.SCHEMES:
    value, gradient = ot_bias.split_transport(x, y, scheme, 2, CONFIG)
    assert value == pytest.approx(float(whole), rel=1e-2)
    np.testing.assert_allclose(gradient, slope, atol=2e-3)


def test_delong_agrees_with_the_spread_of_samples():
  population = ot_bias.gaussian(4000, 2)
  for row in ot_bias.attack_errors(population, 300, (100, 400)):
    assert row['sd'] == pytest.approx(row['delong'], rel=.2)
    assert row['delong'] < row['bound']
  # Of two equal sides the placements are uniform: variance 1 / 12.
  same = ot_bias.gaussian(4000, 2).unseen
  assert ot_bias.delong_components(same, same) == pytest.approx(
      (1 / 12, 1 / 12), rel=1e-3)


def test_a_batch_that_the_parts_do_not_divide_is_refused(tmp_path, capsys):
  assert ot_bias.main(['--batch=24', f'--out={tmp_path / "bias"}']) == 2
  assert 'multiple of 16, got 24' in capsys.readouterr().err


@pytest.mark.long
def test_from_a_run_to_files(tmp_path, capsys):
  run = runs_of.train_original(tmp_path, runs_of.write_data(tmp_path))
  assert ot_bias.main([
      f'--originals={run}', f'--out={tmp_path / "bias"}', '--batch=16',
      '--draws=1', '--attack_draws=2', '--devices=1']) == 0
  found = runs.read_json(tmp_path / 'bias.json')
  assert len(found['parts']) == 2
  for part in found['parts'].values():
    assert len(part['transport']) == len(ot_bias.SCHEMES) * len(ot_bias.GROUPS)
    assert all(math.isfinite(row['relative_error'])
               for row in part['transport'])
  assert '| mean_of_plans | 16 | 1 |' in (tmp_path / 'bias.md').read_text()
