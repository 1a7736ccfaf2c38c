"""Table 1's page, CSV, LaTeX and picture of made-up cells."""

import csv
import io
import re

import pytest

from experiments.paper import figure_costs, table1_page
from tests.experiments.paper import comparison_test


def _sheets(**fields):
  return {sheet.title: sheet for sheet in table1_page.sheets(
      comparison_test.result(**fields))}


def test_retrained_and_its_point_stand_before_the_ranked_methods():
  sheets = _sheets()
  assert list(sheets) == [
      'toy', 'toy: screened on one seed', 'toy: aims of DLFD + restore']
  assert [row[0] for row in sheets['toy'].rows] == [
      'original', 'retrained', 'retrained, left out: 90 % point', 'EU-k',
      'DLFD + restore']
  for sheet in sheets.values():
    assert {len(row) for row in sheet.rows} == {len(sheet.header)}


def test_a_tie_is_marked_on_a_method_and_never_on_retrained():
  rows = {row[0]: row[table1_page.header_of().index('gap')]
          for row in _sheets()['toy'].rows}
  assert rows['EU-k'] == '0.010 ± 0.000 ='
  assert not rows['original'].endswith('=')
  assert not rows['retrained'].endswith('=')


def test_a_gap_that_does_not_see_the_original_is_called_that():
  page = table1_page.markdown(
      comparison_test.result(cells=comparison_test.unseen()))
  assert '**The gap sees nothing here**' in page
  assert '0.010 ± 0.000 =' not in page
  assert 'Tied with retraining: none.' in page
  assert 'sees nothing' not in table1_page.markdown(comparison_test.result())


def test_a_partial_table_begins_by_saying_so():
  whole = _sheets()['toy']
  assert not any('Partial' in text for text in whole.before)
  plan = {**comparison_test.result()['plan'], 'seeds': 5}
  assert _sheets(plan=plan)['toy'].before[0] == '**Partial**: 3 of 5 seeds.'


def test_a_metric_of_ones_own_has_a_column_and_lines():
  cells = [{**cell, 'metrics': {**cell['metrics'], 'mine': {
      'value': .25, 'low': None, 'high': None}}}
      for cell in comparison_test.cells()]
  result = {**comparison_test.result(cells=cells), 'own_metrics': {
      'mine': {'label': 'Of mine', 'short': 'mine', 'sha256': None}}}
  for sheet in table1_page.sheets(result)[:2]:
    for row in sheet.rows:
      text = dict(zip(sheet.header, row, strict=True))['mine']
      assert text.startswith('0.250') or row[0].endswith('90 % point')
  rows = list(csv.DictReader(io.StringIO(table1_page.to_csv(result))))
  assert {row['value'] for row in rows if row['metric'] == 'mine'} == {'0.25'}


def test_both_rules_stand_side_by_side_on_the_same_seeds():
  other = comparison_test.cell('eu_k-best', 1, title='EU-k, `best`', rule=True)
  sheet = _sheets(cells=[*comparison_test.cells(), other])[
      'toy: both rules of selection']
  assert [row[0] for row in sheet.rows] == ['EU-k', 'EU-k, `best`']
  assert '±' not in ''.join(sheet.rows[0])  # the one seed that both have


def test_published_numbers_stand_beside_ours_for_the_papers_tasks():
  cells = [{**cell, 'preset': 'mufac_age', 'task': 'mufac_age', 'data': 'mufac'}
           for cell in comparison_test.cells()]
  for cell in cells:
    cell['metrics'] = {**cell['metrics'], 'nomus_unbalanced': {
        'value': .7, 'low': None, 'high': None}}
  sheet = _sheets(cells=cells)['mufac_age']
  rows = {row[0]: dict(zip(sheet.header, row, strict=True))
          for row in sheet.rows}
  assert rows['EU-k']['published NoMUS'] == '0.6255'
  assert rows['EU-k']['NoMUS, unbalanced'].startswith('0.700')
  assert rows['DLFD + restore']['published NoMUS'] == ''
  assert 'Published: ' in sheet.before[-1]


def test_verdicts_are_counted_and_trials_stated():
  rows = {row[0]: row for row in _sheets()['toy'].rows}
  assert rows['EU-k'][-2:] == ('3 inconclusive', '4')


def test_the_page_has_every_sheet_and_its_command():
  page = table1_page.markdown(comparison_test.result())
  assert page.count('\n## ') == 3 and 'python -m x --a_b' in page
  assert 'number 2 of 2 by gap' in page
  assert 'Tied with retraining: EU-k, DLFD + restore.' in page
  assert 'than that of: DLFD + restore. Not told from it: none.' in page


def test_the_csv_holds_every_number_once():
  result = comparison_test.result()
  rows = list(csv.DictReader(io.StringIO(table1_page.to_csv(result))))
  keys = [(r['task'], r['seed'], r['model'], r['metric']) for r in rows]
  assert len(set(keys)) == len(keys)
  assert sum(key[1] != 'all' for key in keys) == sum(
      len(c['metrics']) + 2 for c in result['cells'])


def test_an_order_that_seeds_cannot_tell_is_none():
  noisy = [comparison_test.cell('eu_k', seed, title='EU-k', gap=gap)
           for seed, gap in enumerate((.0, .01, .05))]
  rest = [cell for cell in comparison_test.cells() if cell['model'] != 'eu_k']
  page = table1_page.markdown(comparison_test.result(cells=[*rest, *noisy]))
  assert 'than that of: none. Not told from it: DLFD + restore.' in page
  page = table1_page.markdown(comparison_test.result(
      cells=comparison_test.cells(seeds=1)))
  assert 'One seed: another may put them in another order.' in page


def test_latex_has_a_full_row_each_and_says_what_a_caption_must():
  text = table1_page.latex(comparison_test.result(
      cells=comparison_test.cells(shift=-.1)))
  comments, rows = ([line for line in text.splitlines()
                     if line.startswith('%') is told] for told in (True, False))
  rows = '\n'.join(rows)
  assert '±' not in rows and rows.count(r'\toprule') == 3
  assert ' $-$0.100' in rows and not re.search('[ &]-[0-9]', rows)
  comments = ' '.join(comments)
  assert 'booktabs' in comments and 'Seeds: 0, 1, 2.' in comments
  assert 'at most 4 trials a method' in comments


@pytest.mark.slow
@pytest.mark.parametrize('format', ['png', 'svg'])
def test_the_picture_is_equal_for_equal_cells(format):
  cells = comparison_test.cells()
  first = figure_costs.draw(cells, format=format)
  assert first == figure_costs.draw(cells, format=format)
  moved = [*cells[:-1], comparison_test.cell('ssd', gap=.1)]
  assert first != figure_costs.draw(moved, format=format)


def test_a_picture_of_nothing_is_refused():
  with pytest.raises(ValueError, match='cells of a table'):
    figure_costs.draw([])
