"""What commands use and nobody typed is printed first and recorded."""

import json

import numpy as np
import pytest

from dlfd_jax import models, presets
from dlfd_jax.cli import check, evaluate, train, unlearn, weights
from dlfd_jax.pipeline import used
from dlfd_jax.utils import runs
from tests import tiny
from tests.cli import runs_of


def _said(out):
  """The lines before the first finding, by their first word."""
  return {line.split(':')[0].split(' ')[0]: line for line in out.splitlines()
          if ': ' in line}


def _check_said(out, result):
  lines = _said(out)
  facts = result['used']
  assert facts['data']['image_size'] == [runs_of.SIZE] * 2
  assert facts['data']['names'] == ['shade 0', 'shade 1']
  assert facts['network']['std'] == [0.229, 0.224, 0.225]
  assert f'{runs_of.SIZE} x {runs_of.SIZE} px' in lines['Data']
  assert 'in this order: shade 0, shade 1' in lines['Data']
  assert 'mean 0.485' in lines['Network']
  assert f'Devices: {facts["devices"]["count"]} of cpu.' == lines['Devices']
  for part, count in facts['split'].items():
    if part != 'from':
      assert f'{part} {count["images"]} ({count["people"]} people)' in (
          lines['Split'])
  return lines, facts


def test_a_check_says_what_it_takes_for_granted(tmp_path, faces, capsys):
  assert check.main([
      *runs_of.data_flags(faces), *runs_of.NETWORK, '--forget_people=1',
      '--repeats=0', f'--workdir={tmp_path / "c"}']) == 0
  lines, facts = _check_said(capsys.readouterr().out, runs.read_json(
      tmp_path / 'c' / runs.RESULT))
  assert facts['split']['from'] == 'not known'
  assert lines['Network'].startswith('Network: tests.models.own_nets:Own')


@pytest.mark.slow
def test_train_unlearn_and_evaluate_say_and_record_it(
    tmp_path, faces, capsys, shared_compilations):
  brief = ['--epochs=1', '--batch_size=16']
  found = {}
  for name, main, flags in (
      ('o', train.main, [*runs_of.data_flags(faces), *runs_of.NETWORK, *brief]),
      ('u', unlearn.main, [f'--original={tmp_path / "o"}', '--forget_people=2',
                           '--method=finetune', *brief]),
      ('e', evaluate.main, [
          f'--original={tmp_path / "o"}', f'--unlearned={tmp_path / "u"}',
          '--bootstrap=20'])):
    assert main([*flags, f'--workdir={tmp_path / name}']) == 0
    found[name] = _check_said(capsys.readouterr().out, runs.read_json(
        tmp_path / name / runs.RESULT))
  assert 'drawn with seed 0 by person' in found['o'][0]['Split']
  assert 'optimizer.kind adam' in found['o'][0]['Settings']
  assert 'method finetune' in found['u'][0]['Settings']
  assert found['u'][1]['preset'] == presets.OWN_DATA
  assert found['u'][1]['split']['forget']['people'] == 2
  assert found['e'][1]['split'] == {
      **found['u'][1]['split'], 'from': found['e'][1]['split']['from']}
  assert found['e'][1]['settings']['bootstrap'] == 20


@pytest.mark.long
def test_imported_weights_say_it(tmp_path, faces, capsys):
  flags = [*runs_of.data_flags(faces)[1:], '--width=2', '--stem=small']
  assert train.main([*flags, '--epochs=1', '--batch_size=16',
                     f'--workdir={tmp_path / "o"}']) == 0
  assert weights.EXPORT.main([
      f'--model={tmp_path / "o"}',
      f'--weights={tmp_path / "w.safetensors"}']) == 0
  capsys.readouterr()
  assert weights.IMPORT.main([
      *flags, f'--weights={tmp_path / "w.safetensors"}', '--json',
      '--allow_unverified',
      f'--workdir={tmp_path / "i"}']) == 0
  said = capsys.readouterr()
  _check_said(said.err, json.loads(said.out))


def test_the_lines_are_bounded_however_much_there_is():
  outputs = 3000
  data = tiny.dataset(n=outputs, outputs=outputs)
  facts = used.facts(
      data, network=models.ModelConfig(outputs=outputs), parts={
          'train': np.arange(9)}, devices=tiny.devices(), split_from='x',
      settings={f'setting {i}': 'y' * 1000 for i in range(200)}, preset='demo')
  lines = used.lines(facts)
  assert len(lines) == 5 and max(map(len, lines)) < 3000
  assert '3000 in all' in lines[0] and 'and 184 more' in lines[3]
  assert len(json.dumps(facts, allow_nan=False)) < 10**6
