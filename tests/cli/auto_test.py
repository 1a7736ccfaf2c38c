"""--method=auto as a user types it: a model, or none and a code for it."""

import json
import os

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from dlfd_jax.cli import (
  audit,
  check,
  compare,
  evaluate,
  exit_codes,
  references,
  report,
  unlearn,
  verify,
)
from dlfd_jax.report import answers
from dlfd_jax.utils import runs
from tests.cli import runs_of

OWN = """
import dataclasses
from dlfd_jax import OptimizerConfig
from dlfd_jax.methods import finetune


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nothing(finetune.FinetuneConfig):
  title = 'Nothing'
  optimizer: OptimizerConfig = OptimizerConfig(
      learning_rate=1e-46, weight_decay=0.0)
"""


def start(original, folder, *flags):
  return unlearn.main([
      f'--original={original}', '--method=auto', '--budget=5', '--devices=1',
      f'--workdir={folder}', *flags])


def test_a_change_of_nothing_is_never_a_deletion_of_one_image(
    original, tmp_path, capsys):
  pytest.importorskip('tensorboardX', reason='needs the extra tensorboard')
  own, ids, folder = (tmp_path / name for name in ('own.py', 'ids', 'run'))
  own.write_text(OWN)
  with np.load(original / runs.SPLITS) as parts:
    ids.write_text(f'{parts["train"][0]}\n')
  flags = [f'--forget_sample_ids={ids}', f'--candidates={own}:Nothing',
           '--tracker=tensorboard']
  assert start(original, folder, *flags) == exit_codes.NO_MODEL
  said = capsys.readouterr().out
  assert 'Cannot say' in said and 'No model' in said
  result = json.loads((folder / runs.RESULT).read_text())
  assert result['auto']['taken'] is None and result['weights'] == {}
  assert not (folder / runs.CHECKPOINTS).exists()
  told, = (folder / 'tensorboard').iterdir()
  assert b'final/time/total_s' in told.read_bytes()
  before = runs_of.tree(folder)
  assert start(original, folder, *flags) == exit_codes.NO_MODEL  # it is read
  assert runs_of.tree(folder) == before
  for main, *words in (
      (evaluate.main, f'--original={original}', f'--unlearned={folder}'),
      (unlearn.main, f'--original={folder}', '--forget_people=2')):
    assert main([*words, f'--workdir={tmp_path / "next"}']
                ) == exit_codes.USER_ERROR
    assert 'its run handed none back. Cannot say' in capsys.readouterr().err


@pytest.mark.long
def test_later_commands_take_what_it_took(original, tmp_path, capsys):
  folder = tmp_path / 'run'
  flags = ['--forget_people=3', '--candidates=finetune,retrain']
  code = start(original, folder, *flags)
  result = json.loads((folder / runs.RESULT).read_text())
  assert code == (exit_codes.UNUSABLE if result['do_not_use']
                  else exit_codes.OK)
  assert result['auto']['taken'] == 'retrain'
  said = capsys.readouterr().out.splitlines()
  assert answers.before_after(result) in said
  assert set(answers.said(answers.of_run(result))) <= set(said)
  assert ('Forgotten? Not shown: trained from new weights on those who stay '
          'alone') in ' '.join(said)
  assert [one['outcome'] for one in result['auto']['candidates']] == [
      'skipped', 'taken']
  assert (folder / runs.CANDIDATES / '2_retrain' / runs.RESULT).is_file()
  other = tmp_path / 'other'
  assert unlearn.main([
      f'--original={original}', '--forget_people=3', '--method=finetune',
      '--epochs=1', '--batch_size=16', '--devices=1',
      f'--workdir={other}']) in (exit_codes.OK, exit_codes.UNUSABLE)
  judged = []
  for name, run in (('auto', folder), ('finetune', other)):
    judged.append(tmp_path / f'judged_{name}')
    assert evaluate.main([
        f'--original={original}', f'--unlearned={run}', '--devices=1',
        '--bootstrap=20', f'--workdir={judged[-1]}']) in (
            exit_codes.OK, exit_codes.UNUSABLE)
  key = tmp_path / 'key.pem'
  key.write_bytes(ed25519.Ed25519PrivateKey.generate().private_bytes(
      serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption()))
  assert report.main([f'--evaluation={judged[0]}', f'--sign={key}',
                      f'--workdir={tmp_path / "page"}']) == exit_codes.OK
  capsys.readouterr()
  assert verify.main([str(tmp_path / 'page' / 'bundle')]) == exit_codes.OK
  said = capsys.readouterr().out
  assert 'Chosen among 2 candidates. Taken: exact retraining' in said
  assert 'finetune): skipped. Nothing could tell' in said
  page = (tmp_path / 'page' / 'report.html').read_text()
  assert 'auto, which took exact retraining' in page
  assert 'skipped: Nothing could tell' in page and 'taken: Trained' in page
  assert compare.main([f'--evaluations={",".join(map(str, judged))}',
                       f'--workdir={tmp_path / "both"}']) == exit_codes.OK
  for main, *words in (
      [check.main, f'--original={folder}', '--forget_people=2', '--repeats=0'],
      [audit.main, f'--model={folder}', f'--splits={folder / runs.SPLITS}',
       '--bootstrap=20', '--devices=1'],
      [references.main, f'--original={original}', f'--unlearned={folder}',
       '--n=1', '--repeats=0', '--devices=1']):
    place = tmp_path / f'after_{main.__self__.name}'
    assert main([*words, f'--workdir={place}']) == exit_codes.OK, (
        capsys.readouterr().err)
  os.remove(folder / runs.RESULT)  # as if killed before its last line
  assert start(original, folder, *flags) == code
  again = json.loads((folder / runs.RESULT).read_text())
  assert again['weights'] == result['weights']
  assert again['auto']['candidates'] == result['auto']['candidates']
