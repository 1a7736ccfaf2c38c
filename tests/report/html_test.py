"""The HTML report: one file, complete, and safe against what it is given."""

import html.parser
import re

import numpy as np
import pytest

from dlfd_jax.report import html as report, names, tables
from dlfd_jax.utils import runs
from tests.report import fakes

_VOID = {'meta', 'img', 'link', 'br', 'hr'}


class _Page(html.parser.HTMLParser):
  """Text, addresses and ids; fails on tags that do not nest."""

  def __init__(self, text):
    super().__init__()
    self.open, self.words, self.addresses, self.ids = [], [], [], []
    self.pictures = []
    self.feed(text)
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    attrs = dict(attrs)
    self.addresses += [attrs[k] for k in ('src', 'href') if k in attrs]
    if 'id' in attrs:
      self.ids.append(attrs['id'])
    if tag == 'img':
      self.pictures.append(attrs)
    if tag not in _VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)

  @property
  def text(self):
    return ' '.join(' '.join(self.words).split())


def _without_numbers():
  """A result that draws no picture."""
  result = fakes.result()
  result['metrics'] = []
  return result


@pytest.fixture(scope='module')
def page():
  return _Page(report.render_report(
      fakes.result(), fakes.per_example(), fakes.history()))


def test_the_page_needs_nothing_from_outside(page):
  for address in page.addresses:
    assert address.startswith(('data:image/svg+xml;base64,', '#'))
  assert 'url(' not in page.text
  assert '@import' not in page.text


def test_links_inside_the_page_lead_somewhere(page):
  targets = [a[1:] for a in page.addresses if a.startswith('#')]
  assert targets == page.ids


def test_all_pictures_are_there_and_described(page):
  assert len(page.pictures) == 4
  assert all(picture['alt'] for picture in page.pictures)


def test_every_metric_and_its_direction_is_shown(page):
  for record in fakes.result()['metrics']:
    assert record['direction'] in page.text
    assert names.metric_label(record['metric']) in page.text


def test_the_page_ends_with_the_disclaimer(page):
  assert names.DISCLAIMER == (
      'Approximate unlearning: statistical evidence against the listed '
      'attacks, not a proof of deletion.')
  assert page.text.endswith(names.DISCLAIMER)


def test_verdict_selection_and_cost_are_stated(page):
  for words in ('Over-forgetting: none.', 'cd' * 32,
                'the most accurate state on val',
                'unlearning was 8.5 times faster',
                'relearn time (tier 1)',
                'Two images of a listed person were in val: left out.'):
    assert words in page.text


def test_what_was_not_run_says_so():
  text = report.render_report(fakes.result(retrained=False))
  page = _Page(text)
  assert len(page.pictures) == 1  # the trade-off needs the result alone
  assert 'no retrained model to compare with' in page.text
  assert page.text.count('not computed') > 20


def test_a_bare_result_still_gives_a_whole_page():
  page = _Page(report.render_report({'kind': 'evaluation', 'schema': 1}))
  assert not page.pictures
  assert page.text.endswith(names.DISCLAIMER)
  assert 'None' not in page.text


def test_names_from_the_data_cannot_become_markup():
  result = _without_numbers()
  result['data']['name'] = '<script>alert(1)</script>'
  result['notes'] = ['<img src=x onerror=alert(1)>']
  result['data']['leakage']['forget_pairs'][0]['forget'] = '"><b>id'
  text = report.render_report(result)
  assert '<script' not in text
  assert '&lt;script&gt;' in text
  assert '<img src=x' not in text
  assert '<b>' not in text


def test_a_request_not_by_person_is_pointed_out():
  result = _without_numbers()
  result['data']['by_person'] = False
  assert 'The request is not by person:' in report.render_report(result)


def test_equal_input_gives_an_equal_file(tmp_path):
  first, second = tmp_path / 'a.html', tmp_path / 'b.html'
  for path in (first, second):
    report.write_report(fakes.result(), None, None, path)
  assert first.read_bytes() == second.read_bytes()
  assert set(tmp_path.iterdir()) == {
      path.with_suffix(ending) for path in (first, second)
      for ending in ('.html', '.json')}


def test_the_page_prints_and_narrows():
  text = report.render_report(_without_numbers())
  assert '@media print' in text
  assert re.search(r'@media \(max-width', text)
  assert 'name="viewport"' in text


def test_another_kind_of_result_leaves_no_file(tmp_path):
  path = tmp_path / 'report.html'
  with pytest.raises(ValueError, match='got kind None and schema None'):
    report.write_report({}, None, None, path)
  assert not path.exists()


def test_a_quick_evaluation_says_that_tier_1_was_not_run(page):
  assert 'tier 1 was not run (against retrained models)' in page.text
  assert 'tier 2 was not run' in page.text
  assert 'Linear probe, forget or unseen' in page.text


def test_tier_1_shows_verdicts_figures_groups_and_harm():
  found = _Page(report.render_report(fakes.tier_1()))
  verdict = ('Overall verdict on utility at tier 1: distinguishable (told '
             'apart by Gap in accuracy, test, <b>).')
  assert found.text.count(verdict) == 2  # first of all, and in its section
  assert 'Accuracy, test: gender 1' in found.text
  assert '4711' in found.text and '0.500' in found.text
  assert 'tier 1 was not run' not in found.text
  assert 'tier 2 was not run' in found.text


def test_what_decides_stands_with_margin_p_power_and_sample():
  text = _Page(report.render_report(fakes.tier_1())).text
  assert '±0.02 0.012 0.88 40 people distinguishable' in text
  assert ('AIN, log2 utility not computed the evaluation did not measure it '
          + ' '.join(5 * ['not computed'])) in text
  assert 'One unlearned model and 3 retrained models (seed 1).' in text


def test_who_made_what_when_and_what_choices_could_read(page):
  for words in (
      'retrained 0 2026-05-05 09:00 1 60 8 × tpu bfloat16 54.8 s',
      'Request not given Received not given',
      'Unlearned (UTC) 2026-05-05 09:00', 'Evaluated (UTC) 2026-05-06 10:30',
      '; 13 states were measured retain, forget, val',
      'preset mufac, searched in 8 trials (634 s); time of search for this '
      'request: not stated'):
    assert words in page.text, words


def test_the_request_is_named_where_it_is_known():
  result = _without_numbers()
  result['request'] |= {'id': '<R-12>', 'received': '2026-05-04'}
  text = _Page(report.render_report(result)).text
  assert text.count('<R-12>') == 2
  assert 'Request: <R-12>; Received: 2026-05-04' in text
  result['request'] = {}
  assert 'none were given' in _Page(report.render_report(result)).text


def test_final_numbers_stand_with_and_without_copies():
  result = fakes.result()
  assert 'without these copies' not in report.render_report(result)
  again = [{**record, 'unlearned': fakes.cell(.123)}
           for record in result['metrics']]
  result['without_duplicates'] = {'metrics': again, 'data': {}}
  text = report.render_report(result)
  assert 'without these copies' in text and '0.123' in text


def test_the_worst_case_stands_beside_that_of_chance(page):
  assert page.text.count('Worst case by chance: with a retrained model') == 2
  alone = _Page(report.render_report(fakes.result(), {
      name: array for name, array in fakes.per_example().items()
      if not name.startswith(('retrained_1', 'retrained_2'))}))
  assert alone.text.count('it needs two retrained models') == 2


def test_a_narrow_page_says_the_column_in_every_cell():
  text = report.render_report(fakes.tier_1())
  cells = re.findall(r'<td[^>]*data-column="([^"]*)"', text)
  assert {'original', 'null', 'delta', 'power', 'could read', 'seed'} <= set(
      cells)
  assert '' not in cells


def _values(value):
  if isinstance(value, dict):
    if {'cells', 'label'} <= set(value):
      yield from ((value['label'], cell) for cell in value['cells'])
    for part in value.values():
      yield from _values(part)
  elif isinstance(value, list):
    for part in value:
      yield from _values(part)


def test_the_json_holds_the_numbers_of_the_page(tmp_path, page):
  report.write_report(fakes.result(), fakes.per_example(), fakes.history(),
                      tmp_path / 'report.html')
  found = runs.read_json(tmp_path / 'report.json')
  assert (found['kind'], found['schema']) == ('report', 1)
  assert 'base64' not in (tmp_path / 'report.json').read_text('utf-8')
  shown = list(_values(found))
  assert len(shown) > 50
  for label, cell in shown:
    assert label in page.text
    assert tables.Cell(**cell).text in page.text


def test_the_requests_images_are_all_in_the_json_and_begin_on_the_page():
  result = {**fakes.result(), 'request_images': [
      {'id': f'<{i}>.png', 'sha256': f'{i:064x}'} for i in range(30)]}
  text = _Page(report.render_report(result)).text
  assert '30 images to forget' in text and '<19>.png' in text
  assert '<20>.png' not in text
  assert report.report_facts(result)['request_images'] == (
      result['request_images'])


def test_limits_are_said(page):
  for limit in names.LIMITS:
    assert limit in page.text


_FORGET = {f'{model}/forget/{kind}': np.array(values) for model, values in {
    'original': [9., 9., 9., 9.], 'unlearned': [1., 5., 2., 0.],
    'retrained_0': [0., 5., 0., 1.], 'retrained_1': [0., 3., 2., 1.]}.items()
           for kind in ('loss', 'margin')}
_FORGET |= {'forget/sample_id': np.array(['a', 'b', 'c', 'd']),
            'forget/identity': np.array([7, 7, 3, -1], np.int32)}


def test_images_are_ordered_by_margin_above_the_retrained_mean():
  rows = report.most_remembered(_FORGET)
  assert [row.name for row in rows] == ['a', 'b', 'c', 'd']
  assert [row.excess for row in rows] == [1., 1., 1., -1.]
  assert rows[1] == report.Remembered('b', 1, 9., 5., 4.)
  assert len(report.most_remembered(_FORGET, count=2)) == 2


def test_people_are_means_and_unknown_people_are_left_out():
  rows = report.most_remembered(_FORGET, by_person=True)
  assert [(row.name, row.images, row.excess) for row in rows] == [
      ('3', 1, 1.), ('7', 2, 1.)]
  assert rows[1].unlearned == pytest.approx(3.)


def test_without_a_retrained_model_the_margin_alone_decides():
  arrays = {k: v for k, v in _FORGET.items() if not k.startswith('retrained')}
  rows = report.most_remembered(arrays)
  assert [row.name for row in rows] == ['b', 'c', 'a', 'd']
  assert rows[0].excess is None
  assert report.most_remembered({}) == []
  assert report.most_remembered({}, by_person=True) == []


def test_the_worst_case_by_chance_is_a_retrained_model_among_the_others():
  # retrained_0 over retrained_1: 0, 2, -2, 0; the other way round negated.
  assert report.largest_by_chance(_FORGET) == (2., 2.)
  third = np.array([0., 0., 0., 4.])
  assert report.largest_by_chance({
      **_FORGET, 'retrained_2/forget/loss': third,
      'retrained_2/forget/margin': third}) == (2., 3.5)
  # People 3 and 7 at 0 and 2.5 against 2 and 1.5.
  assert report.largest_by_chance(_FORGET, by_person=True) == (1., 2.)
  assert report.largest_by_chance({}) is None
  unknown = {**_FORGET, 'forget/identity': np.full(4, -1)}
  assert report.largest_by_chance(unknown, by_person=True) is None
