"""The leaderboard from made-up results, and what it refuses."""

import copy

import pytest

from dlfd_jax.utils import runs
from experiments.publish import leaderboard
from tests.experiments.paper import comparison_test


def _file(folder, name='table1_toy', **fields):
  path = folder / f'{name}.json'
  runs.write_json(path, {**comparison_test.result(), **fields})
  return path


def test_the_committed_page_is_that_of_the_results():
  assert leaderboard.PAGE.read_text('utf-8') == leaderboard.markdown(
      leaderboard.find())


def test_rows_are_by_distance_to_retraining_with_their_cost(tmp_path):
  tables = leaderboard.find([str(_file(tmp_path))])
  found = leaderboard.ranked(
      leaderboard.entries(tables), 'gap', leaderboard.aims(tables))
  assert found == [
      ['retrained', '0.025 at 1.00'], ['EU-k', '0.010 = at 0.50'],
      ['DLFD + restore', '0.030 = at 0.30'],
      ['SSD', '0.300 at 0.30 (one seed)']]


def test_the_attack_counts_to_either_side(tmp_path):
  cells = [comparison_test.retrained(),
           comparison_test.cell('low', lira_auc_two_sided=.30),
           comparison_test.cell('high', lira_auc_two_sided=.55)]
  tables = leaderboard.find([str(_file(tmp_path, cells=cells))])
  found = leaderboard.ranked(
      leaderboard.entries(tables), 'lira_auc_two_sided',
      leaderboard.aims(tables))
  assert [row[0] for row in found] == ['retrained', 'high', 'low']


def test_a_row_from_another_machine_carries_its_files_name(tmp_path):
  mine = [comparison_test.retrained(),
          comparison_test.cell('mine', title='Mine', gap=.005)]
  page = leaderboard.markdown(leaderboard.find([
      str(_file(tmp_path)), str(_file(tmp_path, 'ann', cells=mine))]))
  assert '| Mine (ann) | 0.005 = at 0.30 (one seed) |' in page


def _without_references(cells):
  cells[1]['references'] = cells[1]['references'][:3]


def _beyond(cells):
  cells[2]['metrics']['gap']['value'] = 1.2


def _twice(cells):
  cells.append(cells[2])


def _unknown_seed(cells):
  cells[2]['seed'] = 7


def _no_attack(cells):
  del cells[2]['metrics']['lira_auc_two_sided']


def _no_time(cells):
  del cells[2]['time_share']


@pytest.mark.parametrize('spoil, sentence', [
    (_without_references, 'at least 4 references of each seed of toy in'),
    (_beyond, r'table1_toy.json to be a number <= 1.0'),
    (_twice, r"every model and seed once .*\('dlfd_restore', 0\)"),
    (_unknown_seed, r'row retrained of each seed .*\[7\]'),
    (_no_attack, 'lira_auc_two_sided of dlfd_restore on toy'),
    (_no_time, 'time_share')])
def test_a_file_that_is_no_table_is_one_sentence(tmp_path, spoil, sentence):
  cells = copy.deepcopy(comparison_test.cells())
  spoil(cells)
  with pytest.raises(ValueError, match=sentence):
    leaderboard.find([str(_file(tmp_path, cells=cells))])


def test_another_kind_and_other_data_are_refused(tmp_path):
  with pytest.raises(ValueError, match="of kind 'comparison'"):
    leaderboard.find([str(_file(tmp_path, kind='table1'))])
  other = [{**cell, 'image_size': 64} for cell in comparison_test.cells()]
  tables = leaderboard.find([
      str(_file(tmp_path)), str(_file(tmp_path, 'ann', cells=other))])
  with pytest.raises(ValueError, match='toy of ann .* other image_size'):
    leaderboard.markdown(tables)
  with pytest.raises(ValueError, match='every task in one of the tables'):
    leaderboard.find([str(_file(tmp_path)), str(_file(tmp_path, 'table1_b'))])


def test_the_schema_that_the_page_states_is_the_one_that_is_read():
  page = leaderboard.markdown({'': comparison_test.result()})
  words = page.partition('## Adding a row')[2]
  for field in (*leaderboard.Table.__required_keys__,
                *leaderboard.Cell.__required_keys__):
    assert f'`{field}`' in words, field
