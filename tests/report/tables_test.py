"""From a result to rows."""

import math

import pytest

from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import names, render, tables
from tests.report import fakes


def _by_key(table):
  return {row.key: row for row in table.rows}


def test_the_summary_has_every_row_and_column_in_order():
  table = tables.summary_table(fakes.result())
  assert table.columns == ('original', 'unlearned', 'retrained', 'null')
  assert [row.key for row in table.rows] == [
      'accuracy_retain', 'accuracy_forget', 'accuracy_val', 'accuracy_test',
      'mia_auc_matched', 'mia_auc_person', 'forgetting_score', 'nomus',
      'time_s']
  test = _by_key(table)['accuracy_test']
  assert [cell.text for cell in test.cells] == [
      '0.808', '0.801', '0.804', '0.208']
  assert test.cells[1].interval == '0.777 to 0.825'
  assert all(row.direction for row in table.rows)


def test_without_a_retrained_model_its_column_says_not_computed():
  table = tables.summary_table(fakes.result(retrained=False))
  for row in table.rows:
    assert row.cells[2].text == 'not computed'
    assert row.cells[2].reason
    assert row.cells[0].text != 'not computed'


def test_a_metric_that_is_missing_stays_as_a_row():
  result = fakes.result()
  result['metrics'] = [
      r for r in result['metrics'] if r['metric'] != 'accuracy_test']
  row = _by_key(tables.summary_table(result))['accuracy_test']
  assert {cell.text for cell in row.cells} == {'not computed'}
  assert row.cells[0].reason == 'the evaluation did not measure it'


def test_time_comes_from_efficiency_and_has_no_null():
  row = _by_key(tables.summary_table(fakes.result()))['time_s']
  assert [cell.text for cell in row.cells] == [
      '61.4 s', '6.4 s', '54.8 s', 'not computed']
  result = fakes.result()
  result['efficiency'] = {}
  row = _by_key(tables.summary_table(result))['time_s']
  assert {cell.text for cell in row.cells} == {'not computed'}


def test_zero_is_a_number_and_not_a_missing_one():
  result = fakes.result()
  result['metrics'][0]['original'] = fakes.cell(0.0)
  result['efficiency']['time_s']['unlearned'] = 0.0
  rows = _by_key(tables.summary_table(result))
  assert rows['accuracy_retain'].cells[0].text == '0.000'
  assert rows['time_s'].cells[1].text == '0.00 s'


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_not_computed(value):
  result = fakes.result()
  result['metrics'][0]['original'] = {'value': value}
  cell = tables.find_cell(result, 'accuracy_retain', 'original')
  assert cell.text == names.NOT_COMPUTED
  assert str(value) in cell.reason


def test_a_narrow_interval_has_no_leading_zeros():
  assert Estimate(.5, -.025, 1.).short_interval == '[-.025, 1.000]'
  assert Estimate(.5).short_interval == ''


def test_an_interval_leaves_the_unit_to_the_number():
  cell = Estimate(.5, .25, .75, units='nats')
  assert (cell.text, cell.interval) == ('0.500 nats', '0.250 to 0.750')


def test_copies_are_of_the_data_and_no_row_of_the_models():
  result = fakes.result()
  rows = tables.metrics_table(result).rows
  result['metrics'].append(
      {**result['metrics'][0], 'metric': 'duplicates_near/forget-val'})
  assert tables.metrics_table(result).rows == rows


def test_all_metrics_carry_the_signed_difference_to_retrained():
  table = tables.metrics_table(fakes.result())
  assert table.columns[-1] == 'delta'
  row = _by_key(table)['accuracy_forget']
  assert row.cells[-1].text == '+0.024'
  assert row.cells[-1].interval == '+0.003 to +0.045'


def test_notes_and_verdict_of_a_record_become_remarks():
  result = fakes.result()
  result['metrics'][0] |= {'verdict': 'inconclusive', 'notes': ['few people']}
  row = tables.metrics_table(result).rows[0]
  assert row.remarks == ('Verdict: inconclusive.', 'few people')


def test_a_verdict_without_numbers_has_no_row():
  result = fakes.result()
  record = tables.find_record(result, 'over_forgetting')
  for model in names.MODELS:
    record[model] = fakes.cell(None, reason='no interval')
  assert 'over_forgetting' not in _by_key(tables.metrics_table(result))


def _with_aucs(original, unlearned, retrained, half=.02):
  result = fakes.result()
  record = tables.find_record(result, 'mia_auc_matched')
  for name, value in (('original', original), ('unlearned', unlearned),
                      ('retrained', retrained)):
    record[name] = fakes.cell(value, half)
  return result


def test_the_headline_gives_the_values_and_the_difference():
  first, second = tables.headline(_with_aucs(.70, .52, .51))
  assert '0.700 (0.680 to 0.720) on the original' in first
  assert second.startswith('Unlearned minus retrained is +0.031 (+0.004 to')


def test_the_headline_makes_no_claim_without_a_reference():
  lines = tables.headline(fakes.result(retrained=False))
  assert len(lines) == 1
  assert 'no retrained model' in lines[0]
  result = _with_aucs(.70, .52, .51)
  tables.find_record(result, 'mia_auc_matched')['delta'] |= {
      'low': None, 'high': None}
  assert 'cannot be judged' in tables.headline(result)[-1]
  result['metrics'] = []
  assert 'not computed' in tables.headline(result)[0]


def _with_tier_1():
  result = fakes.result()
  for name, units in (('js_forget', 'nats'), ('relearn_steps', 'steps'),
                      ('zrf', 'fraction'), ('accuracy_test/gender 0',
                                            'fraction')):
    result['metrics'].append({
        'metric': name, 'tier': 1, 'units': units, 'notes': [],
        'direction': 'higher means something', 'verdict': None,
        **{model: fakes.cell(.25, .05) for model in (*names.MODELS, 'delta')}})
  result['verdicts'] = {'forgetting': {
      'verdict': 'inconclusive', 'because': 'the intervals are too wide'}}
  return result


def test_a_tier_that_was_not_run_is_shown_as_not_computed():
  table = tables.reference_table(fakes.result())
  assert [row.key for row in table.rows] == list(registry.summary(1))
  for row in table.rows:
    assert {cell.text for cell in row.cells} == {'not computed'}
    assert row.cells[0].reason == (
        'tier 1 was not run (against retrained models)')
  assert 'Overall verdict: not computed' in table.notes[-1]
  assert tables.tier_of(fakes.result()) == 0


def test_a_terminal_shows_what_votes_and_counts_the_rest():
  result = _with_tier_1()
  result['verdicts']['forgetting']['metrics'] = {
      'zrf': 'inconclusive', 'absent': None}
  table = tables.brief_table(result)
  assert [row.key for row in table.rows] == ['zrf']
  assert table.columns == names.MODELS
  assert 'Overall verdict on forgetting' in table.notes[-3]
  assert table.notes[-1] == ('2 further metrics against retrained models are '
                             'in annex C of the report.')


def test_tier_1_has_a_table_of_its_own_with_units():
  result = _with_tier_1()
  assert tables.tier_of(result) == 1
  everything = tables.reference_table(result, everything=True)
  rows = _by_key(everything)
  assert list(rows) == ['js_forget', 'relearn_steps', 'zrf']
  assert rows['js_forget'].cells[1].text == '0.250 nats'
  assert rows['js_forget'].cells[1].short_interval == '[.200, .300]'
  assert everything.columns[-1] == 'delta'
  assert ('| JS distance, forget | 0.250 nats (0.200 to 0.300) |'
          in render.to_markdown(everything))
  main = tables.reference_table(result, delta=False)
  assert main.columns == names.MODELS
  assert _by_key(main)['log2_ain'].cells[1].reason == (
      'the evaluation did not measure it')
  assert 'Overall verdict on forgetting at tier 1: inconclusive' in (
      main.notes[-2])
  assert main.notes[-1] == tables.EARLIER_RULES
  assert not set(rows) & set(_by_key(tables.metrics_table(result)))
  assert [row.key for row in tables.groups_table(result).rows] == [
      'accuracy_test/gender 0']


@pytest.mark.parametrize('build', [
    tables.summary_table, tables.metrics_table, tables.headline,
    tables.reference_table, tables.groups_table])
def test_another_kind_of_file_is_refused(build):
  with pytest.raises(ValueError, match="Expected the result to be of kind "
                     "'evaluation', got 'training'"):
    build({'kind': 'training', 'schema': 1})
