"""What the jobs share: runs that another version began, hashes of models."""

import pytest

from dlfd_jax import checkpoint, presets, training
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.pipeline import chain, chain_checks, job, train
from dlfd_jax.utils import runs
from tests import tiny


@pytest.mark.slow
def test_a_run_that_another_version_began_says_so(tmp_path):
  dataset = tiny.dataset()
  splits = splits_lib.draw_partition(dataset, seed=0)
  made = (dataset, splits, training.TrainConfig(epochs=3, batch_size=8),
          presets.Network(architecture='tests.models.own_nets:Own'))

  def stop(event):
    if event['event'] == 'check' and event['step'] > 2:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    train.train(*made, workdir=tmp_path, hooks=[stop], checkpoint_seconds=0)
  config = runs.read_json(tmp_path / runs.CONFIG)
  del config['train']['optimizer']['clip_norm']  # as if it were added later
  runs.write_json(tmp_path / runs.CONFIG, config)
  known = runs.read_json(tmp_path / runs.VERSIONS)
  runs.write_json(tmp_path / runs.VERSIONS, {
      **known, 'dlfd_jax_source': '0' * 64, 'jax': '0.1'})
  said = "begun with other versions of jax, dlfd_jax's code: its steps"
  with pytest.warns(UserWarning, match=said):
    run = train.train(*made, workdir=tmp_path)
  assert any(said in note for note in run.record['notes'])
  again = train.train(*made, workdir=tmp_path)
  assert again.record == run.record
  for one in (run, again, tmp_path):  # config and result belong together
    assert not chain_checks.check_run(
        job.judged(one), 'model', dataset).differences


def test_a_model_is_hashed_once(monkeypatch):
  asked = []
  monkeypatch.setattr(checkpoint, 'fingerprint',
                      lambda variables: asked.append(variables) or 'hash')
  one = chain.Judged(checkpoint.SavedModel({}, None, None, (8, 8)), 'here')
  assert one.weights == one.weights == 'hash' and len(asked) == 1
