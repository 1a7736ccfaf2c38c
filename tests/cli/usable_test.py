"""A deletion that costs too much accuracy is said first, with its own code."""

import json

import numpy as np
import pytest

from dlfd_jax.cli import audit, evaluate, exit_codes, report, train, unlearn
from dlfd_jax.report import answers
from dlfd_jax.utils import runs
from tests.cli import runs_of


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
  assert lines[-6].startswith('Unlearned: ') and ' by neggrad in ' in lines[-6]
  assert 'Selected' in lines[-6]
  found = answers.of_run(result)
  assert found[1].answer == answers.NO
  assert lines[-5:] == [
      *map(str, found), answers.advice(found), answers.before_after(result)]
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


@pytest.mark.slow
def test_a_model_that_still_knows_them_has_its_code(tmp_path, capsys):
  rng, people = np.random.default_rng(0), 40
  person = np.arange(people * runs_of.EACH) // runs_of.EACH
  shade = rng.integers(0, 2, len(person))
  seen = person < 20
  path, listed = tmp_path / 'faces.npz', tmp_path / 'delete.txt'
  np.savez(  # what it learns holds for those whom it sees alone
      path, images=(rng.integers(0, 128, (len(person), 12, 12, 3))
                    + 100 * shade[:, None, None, None]).astype(np.uint8),
      shade=np.where(seen, shade, rng.permutation(shade)), identity=person,
      split=np.where(seen, 'train', np.where(person < 25, 'val', 'test')))
  listed.write_text('\n'.join(map(str, range(10))))
  assert train.main([
      *runs_of.data_flags(path), *runs_of.NETWORK, '--epochs=15', '--on=all',
      '--split_column=split', '--batch_size=16',
      f'--workdir={tmp_path / "model"}']) == exit_codes.OK
  capsys.readouterr()
  code = audit.main([
      f'--model={tmp_path / "model"}', f'--forget_identities={listed}',
      '--bootstrap=50', '--json', f'--workdir={tmp_path / "audit"}'])
  found = json.loads(capsys.readouterr().out)
  first = found['answers'][0]
  assert (first['question'], first['answer']) == (
      answers.FORGOTTEN, answers.NO), first['because']
  assert found['recommendation'].startswith('Recommendation: do not use it')
  assert code == exit_codes.NOT_FORGOTTEN
