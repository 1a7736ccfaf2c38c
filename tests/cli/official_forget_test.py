"""A forget set of the data themselves: the original was trained on it."""

import numpy as np
import pytest

from dlfd_jax.cli import check, train, unlearn
from dlfd_jax.data import split_files, splits as splits_lib
from dlfd_jax.pipeline import job, run_configs
from dlfd_jax.utils import runs
from tests.cli import runs_of

_PARTS = ['retain'] * 12 + ['forget'] * 3 + ['val'] * 4 + ['test'] * 5
_QUICK = ['--method=finetune', '--epochs=1', '--batch_size=16']


@pytest.mark.slow
def test_it_joins_train_where_another_request_follows(tmp_path, capsys):
  data = runs_of.write_data(tmp_path)
  arrays = dict(np.load(data))
  np.savez(data, **arrays, split=np.repeat(_PARTS, runs_of.EACH))
  original = runs_of.train_original(tmp_path, data)
  dataset = job.load_data(run_configs.data_of(original))
  assert isinstance(split_files.load_splits(
      original / runs.SPLITS, dataset), splits_lib.Splits)
  capsys.readouterr()
  for name, people, left in (
      ('of_retain', '2\n3\n', 13), ('of_both', '3\n12\n', 13)):
    (tmp_path / 'people.txt').write_text(people)
    request = [f'--original={original}',
               f'--forget_identities={tmp_path / "people.txt"}']
    assert check.main([*request, '--repeats=0',
                       f'--workdir={tmp_path / name}_check']) == 0
    out = capsys.readouterr().out
    assert 'earlier requests' not in out and '13.3 %' in out
    assert unlearn.main([*request, *_QUICK,
                         f'--workdir={tmp_path / name}']) in (0, 5, 7)
    found = runs.read_json(tmp_path / name / runs.RESULT)['request']
    assert (found['people'], found['retain_people']) == (2, left)
    assert found['earlier_images'] == 0
  # A model that never saw them has forgotten them.
  assert train.main([
      '--on=retain', f'--original={original}',
      f'--splits={original / runs.SPLITS}',
      f'--workdir={tmp_path / "retrained"}']) == 0
  (tmp_path / 'people.txt').write_text('2\n13\n')
  assert check.main([
      f'--original={tmp_path / "retrained"}', '--repeats=0',
      f'--forget_identities={tmp_path / "people.txt"}',
      f'--workdir={tmp_path / "later"}']) == 0
  assert 'earlier requests' in capsys.readouterr().out
