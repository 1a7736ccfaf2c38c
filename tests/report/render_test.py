"""The same table in four notations."""

import collections
import csv
import html.parser
import io

import pytest
import rich.console

from dlfd_jax.cli import screen
from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import compare, names, render, tables
from tests.report import fakes


def _summary(**options):
  return tables.summary_table(fakes.result(**options))


def _printed(table, width):
  console = rich.console.Console(
      file=io.StringIO(), width=width, color_system=None)
  console.print(render.to_rich(table))
  return console.file.getvalue()


def test_the_terminal_table_fits_eighty_columns_with_whole_numbers():
  text = _printed(_summary(), 80)
  assert max(len(line) for line in text.splitlines()) <= 80
  for cell in ('0.808', '[.784, .832]', '6.4 s', 'not computed'):
    assert cell in text
  assert text.count('Accuracy: higher means more correct') == 1
  assert text.count('higher means more correct') == 1
  assert 'Time, without compiling: lower means cheaper' in text
  assert '…' not in text


def _tables():
  """Every table that a command prints or a page has, wide ones too."""
  whole, judged = fakes.result(), fakes.tier_1()
  yield from (tables.summary_table(whole), tables.metrics_table(whole),
              tables.summary_table(fakes.result(retrained=False)))
  for everything in (False, True):
    for delta in (False, True):
      yield tables.reference_table(judged, everything=everything, delta=delta)
  again = {**whole, 'without_duplicates': {'metrics': whole['metrics']}}
  yield from (tables.groups_table(judged), tables.recovery_table(judged),
              tables.without_copies_table(again),
              compare.table({'eval_of_dlfd': judged, 'x' * 50: judged,
                             'fine-tuned for 2 epochs': judged}))
  figures = [  # the longest of every unit
      Estimate(-.1234, -.9876, -.0123, signed=True),
      *(Estimate(value, -value, 2 * value, units=units)
        for units in ('nats', 'bits', 's', 'bytes', 'count', 'ratio', 'x')
        for value in (1234567.891,)), Estimate.missing('it was not run')]
  yield tables.Table('Every metric', (*names.MODELS, 'delta'), tuple(
      tables.Row(metric.name, registry.label(metric.name), 'lower', tuple(
          figures[(row + column) % len(figures)] for column in range(5)))
      for row, metric in enumerate(registry.METRICS[::4])))


@pytest.mark.parametrize('width', [60, 80, 120])
def test_no_figure_is_cut_or_broken(width):
  for table in filter(None, _tables()):
    text = _printed(table, width)
    assert max(map(len, text.split('\n'))) <= width
    wanted = collections.Counter(
        word for row in table.rows for cell in row.cells
        for word in f'{cell.text} {cell.short_interval}'.split())
    assert not wanted - collections.Counter(text.split()), table.title
    assert '…' not in text


def test_a_direction_of_one_row_is_led_by_its_whole_label():
  rows = [tables.Row('a', label, direction, (Estimate(.5),))
          for label, direction in (
              ('Accuracy, retain', 'up'), ('Accuracy, forget', 'down'),
              ('Accuracy, test', 'up'))]
  text = _printed(tables.Table('t', ('original',), tuple(rows)), 80)
  assert 'Accuracy: up' in text
  assert 'Accuracy, forget: down' in text


def test_markdown_has_one_line_per_metric_and_escapes_bars():
  table = _summary()
  row = tables.Row('a', 'a|b', 'up|down', table.rows[0].cells)
  lines = render.to_markdown(
      tables.Table('t', table.columns, (row,))).splitlines()
  assert lines[0] == (
      '|  | original | unlearned | retrained | null | direction |')
  assert lines[1] == '|---|---:|---:|---:|---:|---|'
  assert lines[2].startswith(r'| a\|b | 0.998 (0.994 to 1.000) |')
  assert len(lines) == 3
  assert '- With a number' in render.to_markdown(table)


def test_csv_reads_back_with_full_precision():
  table = tables.metrics_table(fakes.result(retrained=False))
  rows = list(csv.DictReader(io.StringIO(render.to_csv(table))))
  by_name = {row['metric']: row for row in rows}
  assert len(by_name) == len(table.rows)
  auc = by_name['mia_auc']
  cell = tables.find_cell(fakes.result(), 'mia_auc', 'original')
  assert float(auc['original']) == cell.value
  assert float(auc['original_high']) == cell.high
  assert auc['retrained'] == 'not computed'
  assert auc['retrained_low'] == ''
  assert by_name['rf_jsd']['units'] == 'nats'


def test_latex_escapes_and_balances_its_columns():
  table = _summary()
  row = tables.Row('a', '50 % of a_b & c', 'x', table.rows[0].cells)
  lines = render.to_latex(
      tables.Table('t', table.columns, (row,))).splitlines()
  assert lines[0] == r'\begin{tabular}{lrrrrl}'
  assert lines[4].startswith(r'50 \% of a\_b \& c & 0.998 {\scriptsize ')
  assert lines[4].replace(r'\&', '').count('&') == 5
  assert lines[4].endswith(r'\\')
  assert render.escape_latex('\\^~{}±') == (
      r'\textbackslash{}\textasciicircum{}\textasciitilde{}\{\}$\pm$')


@pytest.mark.parametrize('name', fakes.NAMES)
def test_no_name_becomes_markup(name, capsys):
  table = tables.Table(name, (name,), (tables.Row(
      'key', name, name, (Estimate(.5, .4, .6),)),), (name,))
  console = screen.console()
  console.width = 200
  console.print(render.to_rich(table))
  console.print(name)
  assert capsys.readouterr().out.count(name) >= 4
  text = render.to_markdown(table)
  rows = [line for line in text.splitlines() if line.startswith('|')]
  assert {line.replace(r'\|', '').count('|') for line in rows} == {4}
  tags, parser = [], html.parser.HTMLParser()
  parser.handle_starttag = lambda tag, attrs: tags.append(tag)
  parser.feed(text)
  assert tags == []
  assert render.to_latex(table).count(r'\\') == 2
  assert render.to_csv(table).count('\n') == 2
