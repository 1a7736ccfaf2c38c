"""The script for a machine with a GPU fits its time, and names what exists."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from dlfd_jax import presets
from experiments.benchmarks import evaluation_rate

_SCRIPT = pathlib.Path('experiments/benchmarks/gpu.sh')


def test_its_parts_fit_twelve_minutes_and_are_programs():
  parts = re.findall(r'^(part|suite) (\w+) (\d+) (\w+)', _SCRIPT.read_text(),
                     re.M)
  assert len(parts) == 7
  assert sum(int(most) for _, _, most, _ in parts) <= 720
  for kind, _, _, module in parts:
    name = 'suite' if kind == 'suite' else module
    assert importlib.util.find_spec(f'experiments.benchmarks.{name}')


@pytest.mark.long
def test_evaluation_is_measured_by_the_rows_of_a_call():
  found = evaluation_rate.measure(
      presets.Network(width=4, stem='small'), 16, 4, [8, 64], 1)
  assert [row['rows'] for row in found] == [8, 32]
  for row in found:
    assert row['images_per_s'] == pytest.approx(32 / row['seconds'])


@pytest.mark.long
def test_it_runs_at_tiny_size_on_a_cpu(tmp_path):
  subprocess.run(
      ['bash', _SCRIPT, tmp_path], check=True,
      env={**os.environ, 'DRY_RUN': '1', 'PYTHON': sys.executable})
  parts = json.loads((tmp_path / 'summary.json').read_text())
  assert {part['exit_code'] for part in parts} == {0}
  for part in parts:
    assert json.loads((tmp_path / f'{part["part"]}.json').read_text())
  for row in json.loads((tmp_path / 'ensembles.json').read_text())['rows']:
    assert row['models_per_minute'] > 0  # not: no time was left
