"""Markdown, CSV and LaTeX of made-up cells."""

import csv
import io

from dlfd_jax import presets
from experiments.paper import formats, published, summary
from tests.experiments.paper import summary_test


def _result(**fields):
  return {'kind': 'table1', 'command': 'python -m x --a_b', 'device': 'cpu',
          'devices': 1, 'versions': {'jax': '0'}, 'tuned': {},
          'cells': summary_test.cells(), **fields}


def test_the_sheet_puts_trained_models_first_and_then_the_nearest():
  sheet, = formats.sheets(_result())
  assert [row[0] for row in sheet.rows] == [
      'original', 'retrained', 'null', 'dlfd', 'finetune']
  assert {len(row) for row in sheet.rows} == {len(sheet.header)}
  assert sheet.rows[1][1] == '0.000 ± 0.000'


def test_markdown_states_the_command_the_search_and_who_had_fewer_trials():
  search = {'command': 'sweep it', 'trials': 8, 'cap_s': 400., 'task': 'toy',
            'methods': {'dlfd': {'trials': 8}, 'finetune': {'trials': 2}}}
  text = formats.markdown(_result(tuned={'demo': search}), 'T')
  assert 'python -m x --a_b' in text and 'sweep it' in text
  assert 'finetune had 2' in text
  search['methods']['dlfd'] |= {'command': 'sweep on', 'cap_s': 900.}
  text = formats.markdown(_result(tuned={'demo': search}), 'T')
  assert 'dlfd by `sweep on`: 8 trials, none begun after 900 s' in text


def test_settings_searched_on_another_task_are_named():
  search = {'command': 's', 'trials': 8, 'cap_s': 4., 'task': 'other',
            'methods': {}}
  sheet, = formats.sheets(_result(tuned={'demo': search}))
  assert 'searched on other' in sheet.notes[-1]


def test_csv_holds_every_metric_once():
  result = _result()
  rows = list(csv.DictReader(io.StringIO(formats.to_csv(result))))
  keys = [(r['task'], r['seed'], r['model'], r['state'], r['metric'])
          for r in rows]
  assert len(set(keys)) == len(keys) == sum(
      len(c['metrics']) + 1 for c in result['cells']) + 2 * len(
          summary.of(result))


def test_every_row_has_its_paired_difference():
  sheet, = formats.sheets(_result())
  rows = {row[0]: dict(zip(sheet.header, row, strict=True))
          for row in sheet.rows}
  assert rows['dlfd']['DLFD - it, NoMUS'] == ''
  assert rows['finetune']['DLFD - it, NoMUS'].startswith('+0.100 [+0.100')
  assert rows['retrained']['DLFD - it, distance'].startswith('+0.025')


def test_latex_has_a_full_row_each_and_no_bare_special_sign():
  text = formats.latex(_result())
  body = [line for line in text.splitlines() if line.endswith(r'\\')]
  assert len(body) == 6
  assert {line.count(' & ') for line in body} == {12}
  assert '±' not in ''.join(body) and text.count(r'\toprule') == 1


def test_published_numbers_stand_beside_ours_for_the_papers_tasks():
  cells = [{**c, 'preset': 'mufac_age', 'task': 'mufac_age', 'data': 'mufac'}
           for c in summary_test.cells()]
  sheet, = formats.sheets(_result(cells=cells))
  row = dict(zip(sheet.header, sheet.rows[0], strict=True))
  assert (row['published test acc'], row['published NoMUS']) == (
      '0.6330', '0.6241')


def test_published_numbers_stand_beside_nothing_else():
  def beside(preset, task, data):
    return published.beside({'preset': preset, 'task': task, 'data': data})

  assert beside('demo', 'demo', 'mufac') is None
  for task in ('mufac_age-width_8', 'mufac_age-architecture_densenet121'):
    assert beside('mufac_age', task, 'mufac') is None
  # Other faces under their preset, and their faces with another forget set.
  for data in ('fgnet_128', 'mufac/clean', 'rafdb'):
    assert beside('mufac_age', 'mufac_age', data) is None
  rows = beside('mufac_age', 'mufac_age', 'mufac').rows
  assert rows['official_compat'] == rows['dlfd']  # whose code it is


def test_published_tables_are_of_the_data_of_their_presets():
  for name, table in published.TABLES.items():
    assert presets.PRESETS[name].data.source == table.data


def test_published_scores_follow_from_no_impossible_number():
  for table in published.TABLES.values():
    for accuracy, nomus in table.rows.values():
      assert accuracy / 2 <= nomus <= (accuracy + 1) / 2  # FS in [0, 1]


def test_all_files_are_written(tmp_path):
  formats.write(tmp_path / 'table', _result(), 'T')
  assert sorted(p.name for p in tmp_path.iterdir()) == [
      'table.csv', 'table.json', 'table.md', 'table.tex']
