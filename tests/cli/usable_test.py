"""A deletion that costs too much skill is said first, with its own code."""

import json

from dlfd_jax.cli import evaluate, exit_codes, report, unlearn
from dlfd_jax.report import answers
from dlfd_jax.utils import runs


def test_a_ruined_model_is_not_to_be_used(original, tmp_path, capsys):
  ruined, judged = tmp_path / 'ruined', tmp_path / 'judged'
  code = unlearn.main([
      f'--original={original}', '--forget_people=4', '--method=neggrad',
      '--learning_rate=1', '--epochs=20', '--clip_norm=none', '--devices=1',
      '--selection=last', '--batch_norm=frozen', f'--workdir={ruined}'])
  assert code == exit_codes.UNUSABLE
  lines = capsys.readouterr().out.splitlines()
  first = next(line for line in lines if line.startswith('Do not use'))
  result = json.loads((ruined / runs.RESULT).read_text())
  known = result['accuracies']
  assert known['original']['retain'] - known['unlearned']['retain'] > .05
  assert first == result['do_not_use'][0]
  assert ' unlearned by neggrad in ' in lines[-3] and 'Selected' in lines[-3]
  assert lines[-2:] == [
      answers.of_live_attack(result), answers.before_after(result)]
  code = evaluate.main([
      f'--original={original}', f'--unlearned={ruined}', '--devices=1',
      '--bootstrap=20', f'--workdir={judged}'])
  assert code == exit_codes.UNUSABLE
  found = json.loads((judged / runs.RESULT).read_text())
  assert len(found['do_not_use']) >= len(result['do_not_use'])
  assert capsys.readouterr().out.count('Do not use this model') == len(
      found['do_not_use'])
  assert report.main([f'--evaluation={judged}',
                      f'--workdir={tmp_path / "page"}']) == exit_codes.OK
  page = (tmp_path / 'page' / 'report.html').read_text()
  assert page.index('Do not use this model') < page.index('<table')
