"""Models a minute of one program."""

import pytest

from dlfd_jax.utils import runs
from experiments.benchmarks import ensembles


@pytest.mark.long
def test_its_files_have_every_number_of_models(tmp_path, capsys):
  out = tmp_path / 'ensembles'
  assert ensembles.main([
      f'--out={out}', '--at_once=1,2', '--width=1', '--image_size=16',
      '--people=4', '--batch_size=8', '--images=80', '--epochs=2',
      '--repeats=1', '--limit_s=1000']) == 0
  result = runs.read_json(f'{out}.json')
  assert result['steps'] == 20
  assert [row['models'] for row in result['rows']] == [1, 1, 2]
  for row in result['rows']:
    assert row['models_per_minute'] * row['step_s'] * 20 == pytest.approx(
        60 * row['models'])
  assert (tmp_path / 'ensembles.md').read_text() in capsys.readouterr().out
