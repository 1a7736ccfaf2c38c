"""Names from the data are text wherever they are shown, never markup."""

import copy
import html.parser
import json

import numpy as np
import pytest

from dlfd_jax.cli import command
from dlfd_jax.report import check_page, html as report, plots, render, tables
from tests.report import fakes

NAMES = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>',
         "' onmouseover='alert(1)", '{{ 7 * 7 }}', r'$\frac{$', 'a|b',
         '[/red]', ':smile:', '&lt;b&gt;', '</table>', '%s', 'Zoë 雪']


class _Tags(html.parser.HTMLParser):
  """Tags, attributes that are events, and the text of a page."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.events, self.text = [], [], ''
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.events += [name for name, _ in attrs if name.startswith('on')]

  def handle_data(self, data):
    self.text += data


def _named(value, name):
  """The same tree with every text of the data replaced by a name."""
  if isinstance(value, dict):
    return {key: part if key in ('kind', 'metric', 'split', 'units', 'unit',
                                 'direction', 'verdict')
            else _named(part, name) for key, part in value.items()}
  if isinstance(value, list):
    return [_named(part, name) for part in value]
  return name if isinstance(value, str) else value


def test_no_name_becomes_html():
  name = ' '.join(NAMES)
  clean = fakes.result()
  result = _named(copy.deepcopy(clean), name)
  arrays = fakes.per_example()
  arrays['forget/sample_id'] = np.full(len(arrays['forget/sample_id']), name)
  before, after = (_Tags(report.render_report(r, arrays, fakes.history()))
                   for r in (clean, result))
  assert set(after.tags) <= set(before.tags) and not after.events
  assert after.tags.count('script') == before.tags.count('script')
  assert name in after.text
  json.dumps(report.report_facts(result, arrays), allow_nan=False)


def _table(name):
  cell = tables.Cell(.5, .4, .6)
  return tables.Table(name, (name,), (
      tables.Row('key', name, name, (cell,)),), (name,))


@pytest.mark.parametrize('name', NAMES)
def test_no_name_becomes_markup_of_a_table(name, capsys):
  table = _table(name)
  console = command.console()
  console.width = 200
  console.print(render.to_rich(table))
  console.print(name)
  assert capsys.readouterr().out.count(name) >= 4
  text = render.to_markdown(table)
  rows = [line for line in text.splitlines() if line.startswith('|')]
  assert {line.replace(r'\|', '').count('|') for line in rows} == {4}
  assert not _Tags(text).tags
  latex = render.to_latex(table)
  assert latex.count(r'\\') == 2
  assert render.to_csv(table).count('\n') == 2


# DejaVu Sans has no ideographs: matplotlib says so and draws a box.
@pytest.mark.filterwarnings('ignore:Glyph:UserWarning')
@pytest.mark.parametrize('name', [r'$\frac{$', 'Zoë 雪 $x$'])
def test_no_name_is_taken_for_a_formula(name):
  image = np.zeros((4, 4, 3), np.uint8)
  points = plots.points_of(fakes.result(), {name: fakes.result()})
  for png in (check_page.contact_sheet([(image, image, name)]),
              plots.trade_offs({name: points}, bars=name, format='png')):
    assert png.startswith(b'\x89PNG')
