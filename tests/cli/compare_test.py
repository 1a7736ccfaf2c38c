"""``compare`` on results that are made up."""

import csv
import json

import pytest

from dlfd_jax.cli import compare
from dlfd_jax.report import compare as compare_lib
from dlfd_jax.utils import runs
from tests.report import fakes


def _evaluation(folder, unlearned, auc=None, **config):
  folder.mkdir(parents=True)
  result = fakes.result()
  if auc is not None:
    record = next(r for r in result['metrics']
                  if r['metric'] == 'mia_auc_matched')
    record['unlearned'] = {**record['unlearned'], 'value': auc}
    record['delta'] = {'value': auc - record['retrained']['value']}
  runs.write_json(folder / runs.RESULT, result)
  runs.write_json(folder / runs.CONFIG, {
      'kind': 'evaluation', 'fingerprint': 'f', 'rows': {'forget': 'r'},
      'config': {'seed': 0}, 'models': {
          'original': 'o', 'unlearned': unlearned, 'retrained_0': 'r'},
      **config})
  return folder


@pytest.fixture
def two(tmp_path):
  return [_evaluation(tmp_path / 'eval' / 'dlfd', 'a', .55),
          _evaluation(tmp_path / 'eval' / 'finetune', 'b', .80)]


def _run(folders, workdir, *flags):
  paths = ','.join(map(str, folders))
  return compare.main([f'--evaluations={paths}', f'--workdir={workdir}',
                       *flags])


def test_every_unlearned_model_has_a_column(two, tmp_path, capsys):
  assert _run(two, tmp_path / 'out') == 0
  assert ('Nearest to retrained first, by difference in attack AUC: '
          'dlfd 0.069, finetune 0.319.') in ' '.join(
              capsys.readouterr().out.split())
  with open(tmp_path / 'out' / 'comparison.csv', encoding='utf-8') as file:
    rows = {row['metric']: row for row in csv.DictReader(file)}
  assert float(rows['mia_auc_matched']['dlfd']) == .55
  assert float(rows['mia_auc_matched']['finetune']) == .80
  assert rows['accuracy_test']['retrained'] == '0.804'
  assert {path.name for path in (tmp_path / 'out').iterdir()} >= {
      'comparison.md', 'comparison.tex', 'comparison.png', 'comparison.svg',
      'result.json'}


def test_who_is_nearest_stands_beside_what_chance_does():
  def result(gap, reason=None, original=.2, **more):
    made = fakes.tier_1() | more
    cell = {'value': gap, 'low': None, 'high': None, 'reason': reason}
    made['metrics'].append({
        'metric': 'average_gap', 'tier': 1, 'units': 'fraction', 'notes': [],
        'direction': 'higher means farther', 'verdict': None,
        **dict.fromkeys(('unlearned', 'retrained', 'delta'), cell),
        'original': {**cell, 'value': original, 'reason': None},
        'null': {'value': .02, 'low': .012, 'high': .028, 'reason': None}})
    return made

  said = compare_lib.table({'a': result(.021), 'b': result(.019)}).notes[0]
  assert said == (
      'Nearest to retrained first, by average gap: b 0.019, a 0.021. Retrained '
      'models themselves, each beside the others, have 0.020 (0.012 to 0.028): '
      'no more than that is a tie.')
  said = compare_lib.table({
      'a': result(.021), 'b': result(.019, original=.0205, do_not_use=['So.'])
  }).notes[0]
  assert 'b 0.019 (not to be used), a 0.021.' in said
  said = compare_lib.table({
      'b': result(.019, original=.0205), 'a': result(.021)}).notes[0]
  assert said.endswith('The original, which has forgotten nobody, has 0.021.')
  said = compare_lib.table({
      'a': result(.021), 'b': result(None, 'no logits on forget')}).notes[0]
  assert said == 'Nearest to retrained: not computed (b: no logits on forget).'


def test_a_metric_of_ones_own_has_a_row(two, tmp_path, capsys):
  for folder, value in zip(two, (.25, .5)):
    result = runs.read_json(folder / runs.RESULT)
    own = {**result['metrics'][0], 'metric': 'mine', 'tier': 0,
           'unlearned': {'value': value}}
    runs.write_json(folder / runs.RESULT, {
        **result, 'metrics': [*result['metrics'], own], 'own_metrics': {
            'mine': {'label': 'What I measure'}}})
  assert _run(two, tmp_path / 'out') == 0
  assert 'What I measure' in ' '.join(capsys.readouterr().out.split())
  with open(tmp_path / 'out' / 'comparison.csv', encoding='utf-8') as file:
    row, = (row for row in csv.DictReader(file) if row['metric'] == 'mine')
  assert (row['dlfd'], row['finetune']) == ('0.25', '0.5')


def test_again_it_is_the_same_and_nothing_else_is_overwritten(
    two, tmp_path, capsys):
  assert _run(two, tmp_path / 'out', '--names=A,B', '--json') == 0
  found = json.loads(capsys.readouterr().out)
  assert found['columns'] == ['original', 'A', 'B', 'retrained', 'null of A']
  assert _run(two, tmp_path / 'out', '--names=A,B') == 0
  assert _run(two, tmp_path / 'out', '--names=A,C') == 2
  assert 'evaluations' in capsys.readouterr().err


@pytest.mark.parametrize('change, sentence', [
    ({'fingerprint': 'g'}, 'of the same data'),
    ({'rows': {'forget': 'other'}}, 'the same split and request'),
    ({'config': {'seed': 1, 'tier': 3}}, 'the same settings, but dlfd and '
     'other differ: tier in dlfd is 0, in other is 3; seed in dlfd is 0, in '
     'other is 1.'),
    ({'models': {'original': 'p', 'unlearned': 'c', 'retrained_0': 'r'}},
     'the same original and retrained models'),
    ({'models': {'original': 'o', 'unlearned': 'a', 'retrained_0': 'r'}},
     'Expected unlearned models that differ')])
def test_what_differs_in_more_than_the_method_is_refused(
    change, sentence, two, tmp_path, capsys):
  other = _evaluation(tmp_path / 'eval' / 'other', 'c', **change)
  assert _run([two[0], other], tmp_path / 'out') == 2
  assert sentence in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('flags, sentence', [
    (['--names=one'], 'Expected 2 --names'),
    (['--names=one,one'], '--names that differ'),
    (['--names=null,one'], '--names other than'),
    (['--names=one,null of one'], '--names other than')])
def test_names_are_one_for_each_column(flags, sentence, two, tmp_path, capsys):
  assert _run(two, tmp_path / 'out', *flags) == 2
  assert sentence in capsys.readouterr().err


def test_one_evaluation_is_no_comparison(two, tmp_path, capsys):
  assert _run(two[:1], tmp_path / 'out') == 2
  assert 'Expected at least 2 evaluations' in capsys.readouterr().err


def test_a_note_is_printed_once_with_the_names_it_is_of():
  results = {name: {**fakes.result(), 'notes': notes} for name, notes in (
      ('a', ['of all', 'of a']), ('b', ['of b and c', 'of all']),
      ('c', ['of all', 'of b and c']))}
  assert compare_lib.table(results).notes[1:] == (
      'of all', 'a: of a', 'b, c: of b and c')


def test_without_retrained_nothing_is_nearest():
  results = {name: fakes.result(retrained=False) for name in 'ab'}
  table = compare_lib.table(results)
  assert 'not computed' in table.notes[0]
