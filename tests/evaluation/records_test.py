"""Cells and records are clean JSON and never silently empty."""

import json

import pytest

from dlfd_jax.evaluation import records


def _record(**changes):
  cell = records.Cell(.5, .4, .6)
  missing = records.Cell.missing('no retrained model was given')
  fields = dict(
      metric='mia_auc', split='forget', direction='higher means more leakage',
      original=cell, unlearned=cell, retrained=missing, null=cell,
      delta=missing, n_units=7, unit='person', seeds={'evaluation': 0},
      notes=('one',))
  return records.Record(**{**fields, **changes})


def test_record_is_strict_json():
  text = json.dumps(_record().as_dict(), allow_nan=False)
  back = json.loads(text)
  assert back['retrained'] == {
      'value': None, 'low': None, 'high': None,
      'reason': 'no retrained model was given'}
  assert list(back) == [
      'metric', 'split', 'tier', 'direction', 'original', 'unlearned',
      'retrained', 'null', 'delta', 'units', 'n_units', 'unit', 'seeds',
      'verdict', 'p_value', 'margin', 'power', 'notes']
  assert back['tier'] == 0 and back['notes'] == ['one']


@pytest.mark.parametrize('fields, message', [
    (dict(value=float('nan')), 'value to be finite, got nan'),
    (dict(value=1., low=float('-inf')), 'low to be finite'),
    (dict(value=None), 'a value or a reason'),
    (dict(value=1., reason='but why'), 'a value or a reason'),
])
def test_cells_without_number_or_reason_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    records.Cell(**fields)
