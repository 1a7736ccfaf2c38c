"""The figures command on made-up evaluations and tables."""

import json

import numpy as np
import pytest

from dlfd_jax.utils import runs
from experiments.paper import (
  figure_cells,
  figure_evaluations,
  figures,
)
from tests.experiments.paper import comparison_test
from tests.report import fakes


def _evaluation(folder, features=True, seed=0):
  """An evaluation as the command writes it."""
  folder.mkdir()
  result = fakes.result()
  result['models']['sha256']['original'] = f'{seed}'
  runs.write_json(folder / 'result.json', result)
  arrays = fakes.per_example(seed)
  np.savez(folder / 'per_example.npz', **arrays)
  if features:
    rng = np.random.default_rng(seed)
    np.savez(folder / 'features.npz', **{
        f'{model}/{split}/features': rng.normal(
            size=(len(arrays[f'{split}/labels']), 4)).astype(np.float32)
        for model in ('original', 'unlearned', 'retrained_0')
        for split in ('forget', 'test')})
  return folder


def _cell(model, nomus, seed, **fields):
  cell = comparison_test.cell(
      model, seed, nomus=nomus, accuracy_test=.8,
      mia_auc_matched=.5 + seed / 50)
  return {**cell, 'task': 'demo', 'classes': 7, **fields}


def _table(path, references=True):
  cells = [_cell(model, nomus + .01 * seed, seed)
           for seed in (0, 1) for model, nomus in (
               ('original', .6), ('retrained', .8), ('finetune', .62),
               ('scrub', .7), ('dlfd', .75))]
  for cell in cells:
    if cell['model'] == 'retrained' and references:
      cell['references'] = comparison_test.retrained()['references']
  runs.write_json(path, {'kind': 'comparison', 'cells': cells})
  return path


def _ok(*arguments):
  assert figures.main(['--traceback', *map(str, arguments)]) == 0


@pytest.mark.long
def test_all_that_the_inputs_allow_is_drawn_with_its_numbers(tmp_path):
  one = _evaluation(tmp_path / 'one')
  two = _evaluation(tmp_path / 'two')
  table = _table(tmp_path / 'table.json')
  out = tmp_path / 'out'
  _ok(f'--evaluations=dlfd={one},mine={two}', f'--table={table}', '--limit=40',
      f'--out={out}')
  found = json.loads((out / 'figures.json').read_text())
  assert list(found['figures']) == [
      'losses', 'features', 'collapse', 'tradeoff', 'complexity']
  files = {name for of in found['figures'].values() for name in of['files']}
  assert files | {'figures.json'} == {path.name for path in out.iterdir()}
  assert files == {
      f'{name}.{ending}' for ending in ('png', 'svg') for name in (
          'losses', 'features_class', 'features_split', 'collapse', 'tradeoff',
          'complexity')}
  assert list(found['figures']['losses'])[1:] == [
      'original', 'dlfd', 'mine', 'retrained']
  assert found['figures']['features']['images'] == {'test': 40, 'forget': 40}
  assert {'command', 'config', 'seeds', 'device', 'versions'} <= set(found)


def test_a_title_says_which_of_the_retrained_models_is_drawn(tmp_path):
  folder = _evaluation(tmp_path / 'one', features=False)
  assert figure_evaluations.read({'a': folder})[-1].title == (
      'Retrained (1 of 3)')
  with np.load(folder / 'per_example.npz') as stored:
    arrays = {key: values for key, values in stored.items()
              if not key.startswith(('retrained_1/', 'retrained_2/'))}
  np.savez(folder / 'per_example.npz', **arrays)
  assert figure_evaluations.read({'a': folder})[-1].title == 'Retrained'


def test_a_name_begins_every_file(tmp_path):
  one = _evaluation(tmp_path / 'one', features=False)
  _ok(f'--evaluations=neggrad={one}', '--name=fig6', f'--out={tmp_path / "o"}')
  assert {path.name for path in (tmp_path / 'o').iterdir()} == {
      'fig6_losses.png', 'fig6_losses.svg', 'fig6_figures.json'}


def test_gains_are_paired_by_seed_and_name_the_best_other(tmp_path):
  cells = figure_cells.read([str(_table(tmp_path / 't.json'))])
  finetune, best = figure_cells.gains(cells, {'demo': 7})
  assert finetune.values == pytest.approx((.13, .13))
  assert best.rival == 'SCRUB' and best.values == pytest.approx((.05, .05))


def test_the_trade_off_holds_means_and_intervals(tmp_path):
  cells = figure_cells.read([str(_table(tmp_path / 't.json'))])
  numbers = figure_cells.tradeoff(cells).numbers
  assert numbers['seeds'] == {'demo': [0, 1]}
  row = numbers['tasks']['demo'][0]
  assert (row['name'], row['seeds']) == ('original', 2)
  assert row['gap'] == {'value': .02, 'low': .02, 'high': .02}
  assert row['time_share']['value'] == .3


def test_a_table_without_references_has_no_trade_off(tmp_path):
  table = _table(tmp_path / 't.json', references=False)
  _ok(f'--table={table}', f'--out={tmp_path / "o"}')
  assert {path.stem for path in (tmp_path / 'o').iterdir()} == {
      'complexity', 'figures'}


def test_tables_may_repeat_a_cell_but_not_change_it(tmp_path):
  one = _table(tmp_path / 'a.json')
  assert len(figure_cells.read([str(one), str(one)])) == 10
  other = json.loads(one.read_text())
  other['cells'][0]['metrics']['nomus']['value'] = 0.0
  runs.write_json(tmp_path / 'b.json', other)
  with pytest.raises(ValueError, match='one value of each cell'):
    figure_cells.read([str(one), str(tmp_path / 'b.json')])


def test_units_of_the_two_sides_share_no_number():
  forget, test = figure_evaluations.units({
      'forget/identity': np.array([3, 3, -1, -1]),
      'test/identity': np.array([0, 0, 5])})
  assert len(set(forget.tolist())) == 3
  assert not set(forget.tolist()) & set(test.tolist())


@pytest.mark.parametrize('arguments, sentence', [
    ([], '--evaluations, --table or --original'),
    (['--figures=losses'], '--evaluations to be given for the figure losses'),
    (['--figures=steps'], '--original to be given for the figure steps'),
    (['--figures=complexity'], '--table to be given for the figure complex'),
    (['--figures=pie'], 'Expected --figures of'),
    (['--evaluations=here'], 'label=DIR entries in --evaluations'),
    (['--evaluations=a=x,a=y'], 'distinct labels'),
    (['--name=a/b'], 'start of a file name'),
    (['--table={table}', '--classes=demo'], 'task=N entries'),
    (['--table={table}', '--classes=other=3'], 'tasks of'),
    (['--table={bare}'], 'Expected a table with cells'),
    (['--table={old}', '--figures=tradeoff'], 'Expected results of table1'),
    (['--evaluations=a={lean}', '--figures=features'], '--keep_features'),
    (['--evaluations=a={lean},b={other}'], 'one task and seed'),
])
def test_a_missing_or_wrong_input_is_one_sentence_that_names_its_flag(
    tmp_path, capsys, arguments, sentence):
  runs.write_json(tmp_path / 'bare.json', {})
  places = {'table': _table(tmp_path / 't.json'),
            'old': _table(tmp_path / 'old.json', references=False),
            'bare': tmp_path / 'bare.json',
            'lean': _evaluation(tmp_path / 'lean', features=False),
            'other': _evaluation(tmp_path / 'other', False, seed=1)}
  out = tmp_path / 'out'
  code = figures.main([f'--out={out}', *(
      argument.format(**places) for argument in arguments)])
  assert code == 2
  assert sentence in capsys.readouterr().err
  assert not out.exists()


def test_classes_can_be_given_where_cells_lack_them(tmp_path):
  cells = figure_cells.read([str(_table(tmp_path / 't.json'))])
  for cell in cells:
    del cell['classes']
  assert figure_cells.classes_of(cells, {'demo': 4}) == {'demo': 4}
  with pytest.raises(ValueError, match='--classes=demo=N'):
    figure_cells.classes_of(cells, {})


def test_figures_of_tier_1_are_read_where_all_models_have_them(tmp_path):
  folder = _evaluation(tmp_path / 'one', features=False)
  result = runs.read_json(folder / 'result.json')
  result['metrics'] += [
      fakes.record(metric, '', [.5, .4, .3, None], .1)
      for metric in ('probe_label_test', 'probe_people_test',
                     'silhouette_test')]
  runs.write_json(folder / 'result.json', result)
  models = figure_evaluations.read({'dlfd': folder})
  found = figure_evaluations.feature_metrics(models, 50, 0)
  assert found['dlfd']['probe_label_test'].value == .4
  made = figure_evaluations.collapse(models, found)
  numbers = made.numbers['models']['retrained']
  assert numbers['person']['value'] == numbers['silhouette']['value'] == .3
  assert set(numbers['silhouette_by_class']) == set(
      result['data']['task']['names'])


