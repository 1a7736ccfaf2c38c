"""Three ways to fit the attack of a check."""

import numpy as np
import pytest

from dlfd_jax.utils import runs
from experiments.benchmarks import attack_speed


@pytest.mark.parametrize('scale', attack_speed.SCALES)
@pytest.mark.parametrize('name', ['numpy', 'jax'])
def test_all_folds_at_once_answer_as_scikit_learn_does(name, scale):
  values = attack_speed.losses(60, scale, 1)
  wanted = attack_speed.scikit_learn(60, tol=1e-10, max_iter=10_000)(values)
  right = attack_speed.WAYS[name](60)(values)
  assert right.shape == (120,)
  if name == 'numpy':
    np.testing.assert_array_equal(right, wanted)
  else:  # float32: an example at the boundary may fall either way
    assert np.sum(right != wanted) <= 1


@pytest.mark.slow
def test_its_files_have_every_size(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(attack_speed, 'SIDES', (20, 30))
  out = tmp_path / 'speed'
  assert attack_speed.main([f'--out={out}', '--repeats=2']) == 0
  rows = runs.read_json(f'{out}.json')['sides']
  assert [row['side'] for row in rows] == [20, 30]
  for row in rows:
    assert row['attacks'] == 6
    assert set(row['seconds']) == set(attack_speed.WAYS)
    assert all(0 < seconds < 60 for seconds in row['seconds'].values())
    assert row['largest_difference']['numpy'] == 0
  assert (tmp_path / 'speed.md').read_text('utf-8') in capsys.readouterr().out
