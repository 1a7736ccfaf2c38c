"""Models a minute of one program."""

import pytest

from dlfd_jax.utils import runs
from experiments.benchmarks import ensembles


@pytest.mark.long
@pytest.mark.parametrize('limit_s, measured', [(1000, [1, 1, 2]), (1e-3, [1])])
def test_its_files_have_every_number_of_models(
    limit_s, measured, tmp_path, capsys):
  out = tmp_path / 'ensembles'
  assert ensembles.main([
      f'--out={out}', '--at_once=1,2', '--width=1', '--image_size=16',
      '--people=4', '--batch_size=8', '--images=80', '--epochs=2',
      '--repeats=1', f'--limit_s={limit_s}']) == 0
  result = runs.read_json(f'{out}.json')
  assert result['steps'] == 20
  assert [row['models'] for row in result['rows']] == [1, 1, 2]
  found = [row for row in result['rows'] if 'reason' not in row]
  assert [row['models'] for row in found] == measured
  for row in found:
    assert row['models_per_minute'] * row['step_s'] * 20 == pytest.approx(
        60 * row['models'])
  assert (tmp_path / 'ensembles.md').read_text() in capsys.readouterr().out
