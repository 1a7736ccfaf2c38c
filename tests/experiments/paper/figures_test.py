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


def _cell(model, nomus, seed, state='model', **fields):
  metrics = {name: {'value': value, 'low': None, 'high': None}
             for name, value in (('accuracy_test', .8), ('nomus', nomus),
                                 ('mia_auc_matched', .5 + seed / 50))}
  return {'task': 'demo', 'seed': seed, 'model': model, 'state': state,
          'title': model, 'metrics': metrics, 'classes': 7, **fields}


def _table(path, **fields):
  cells = [_cell(model, nomus + .01 * seed, seed, **fields)
           for seed in (0, 1) for model, nomus in (
               ('original', .6), ('retrained', .8), ('finetune', .62),
               ('scrub', .7), ('dlfd', .75))]
  runs.write_json(path, {'kind': 'table1', 'cells': cells})
  return path


def _ok(*arguments):
  assert figures.main(['--traceback', *map(str, arguments)]) == 0


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


def test_a_point_is_the_mean_and_its_bar_the_deviation(tmp_path):
  cells = figure_cells.read([str(_table(tmp_path / 't.json'))])
  point = figure_cells.points(cells)['demo'][0]
  assert point.title == 'Original'
  assert point.attack_auc.value == pytest.approx(.51)
  assert point.attack_auc.high - point.attack_auc.value == pytest.approx(
      .02 / 2**.5)
  assert figure_cells.spread_words(cells) == figure_cells.SPREAD


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
    (['--evaluations=a={lean}', '--figures=features'], '--keep_features'),
    (['--evaluations=a={lean},b={other}'], 'one task and seed'),
])
def test_a_missing_or_wrong_input_is_one_sentence_that_names_its_flag(
    tmp_path, capsys, arguments, sentence):
  runs.write_json(tmp_path / 'bare.json', {})
  places = {'table': _table(tmp_path / 't.json'),
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


