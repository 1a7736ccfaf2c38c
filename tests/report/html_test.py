"""The HTML report: one file, complete, and safe against what it is given."""

import copy
import functools
import html.parser
import json

import numpy as np
import pytest

from dlfd_jax.evaluation import registry, shadows
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import html as report, names
from dlfd_jax.utils import runs
from tests.report import fakes

_VOID = {'meta', 'img', 'link', 'br', 'hr'}


class _Page(html.parser.HTMLParser):
  """Text, tags, addresses and ids; fails on tags that do not nest."""

  def __init__(self, source):
    super().__init__()
    self.open, self.words, self.addresses = [], [], []
    self.pictures, self.tags, self.events, self.columns = [], set(), [], set()
    self.feed(source)
    assert self.open == []
    self.text = ' '.join(' '.join(self.words).split())

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    attrs = dict(attrs)
    self.addresses += [attrs[k] for k in ('src', 'href') if k in attrs]
    self.events += [name for name in attrs if name.startswith('on')]
    self.columns |= {attrs['data-column']} if 'data-column' in attrs else set()
    if tag == 'img':
      self.pictures.append(attrs)
    if tag not in _VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.words.append(data)


def _with(**fields):
  """A result that draws no picture, with fields that differ."""
  return {**fakes.result(), 'metrics': [], **fields}


def _two_copies():
  """A result that was computed again without copies."""
  result = fakes.result()
  return {**result, 'without_duplicates': {'data': {}, 'metrics': [
      {**record, 'unlearned': fakes.cell(.123)}
      for record in result['metrics']]}}


_PAGES = {
    'whole': lambda: (fakes.result(), fakes.per_example(), fakes.history()),
    'not retrained': lambda: (fakes.result(retrained=False),),
    'bare': lambda: ({'kind': 'evaluation', 'schema': 1},),
    'tier 1': lambda: (fakes.tier_1(),),
    'one retrained': lambda: (_with(), {
        name: array for name, array in fakes.per_example().items()
        if not name.startswith(('retrained_1', 'retrained_2'))}),
    'not by person': lambda: (_with(data={'by_person': False}),),
    'remembers': lambda: (fakes.result(), _one_is_remembered()),
    'copies': lambda: (_two_copies(),),
    'named': lambda: (_with(request={
        'id': '<R-12>', 'received': '2026-05-04', 'images': 3}),),
    'no request': lambda: (_with(request={}),),
    'images': lambda: (_with(request_images=[
        {'id': f'<{i}>.png', 'sha256': f'{i:064x}'} for i in range(30)]),)}


def _one_is_remembered():
  arrays = fakes.per_example()
  margins = arrays['unlearned/forget/margin'].copy()
  margins[0] += 40
  return {**arrays, 'unlearned/forget/margin': margins}


@functools.cache
def _page(name):
  return _Page(report.render_report(*_PAGES[name]()))


@pytest.mark.parametrize('name, words', [
    ('whole', [
        'Over-forgetting by the main attack, against unseen images: none.',
        'cd' * 32,
        'Why this state the most accurate state on val',
        'unlearning was 8.5 times faster', 'relearn time (tier 1)',
        'Two images of a listed person were in val: left out.',
        'retrained 0 2026-05-05 09:00 1 60 8 × tpu bfloat16 54.8 s',
        'Request not given Received not given',
        'Unlearned (UTC) 2026-05-05 09:00', 'Evaluated (UTC) 2026-05-06 10:30',
        '; 13 states were measured retain, forget, val',
        'preset mufac, searched in 8 trials (634 s); time of search for this '
        'request: not stated',
        'tier 1 was not run (against retrained models)', 'tier 2 was not run',
        names.DISCLAIMER, *names.LIMITS,
        *(text for record in fakes.result()['metrics'] for text in (
            record['direction'], registry.label(record['metric'])))]),
    ('not retrained', [
        'no retrained model to compare with',
        'There is no column delta: no retrained model.',
        'tier 1 was not run']),
    ('tier 1', [
        'Accuracy, test: gender 1', 'R1 3 0.500', 'tier 2 was not run',
        '±0.02 0.012 0.88 40 people distinguishable',
        'AIN, log2 utility ' + ' '.join(6 * '–'),
        'One unlearned model and 3 retrained models (seed 1).']),
    ('not by person', ['Retain and forget may show the same people,']),
    ('copies', ['without these copies', '0.123']),
    ('named', ['Request <R-12> Received 2026-05-04 Images to forget 3 Names '
               'not found 0']),
    ('images', ['30 images to forget', f'I20 {19:064x}'])])
def test_the_page_says(name, words):
  assert [each for each in words if each not in _page(name).text] == []


@pytest.mark.parametrize('name, words, count', [
    ('whole', 'without these copies', 0),
    ('whole', 'Worst case by chance: with a retrained model', 2),
    ('one retrained', 'Worst case by chance', 0),
    # An image, and the person whom it shows.
    ('remembers', ' !: above that.', 2), ('whole', ' !: above that.', 0),
    # Said once, not in every row.
    ('not retrained', 'not computed', 1), ('whole', 'not computed', 1),
    ('bare', 'None', 0),
    ('tier 1', 'tier 1 was not run', 0),
    ('tier 1', 'Overall verdict on utility at tier 1: distinguishable (told '
     'apart by Gap in accuracy, test, <b>).', 1),
    ('named', '<R-12>', 2), ('images', f'{20:064x}', 0),
    ('images', '<19>.png', 0), ('tier 1', '4711', 0)])
def test_the_page_says_as_often(name, words, count):
  assert _page(name).text.count(words) == count


@pytest.mark.parametrize('by, words', [
    ('mia_auc', 'Distancing stops by 2 |attack AUC - .5|'),
    ('forgetting_score', 'Distancing stops by forgetting score'),
    (None, 'Distancing stops below 0.044')])
def test_a_threshold_is_shown_by_what_it_is_a_value_of(by, words, monkeypatch):
  result, drawn = fakes.result(), []
  if by is not None:  # earlier versions did not say
    result['selection']['findings'] |= {'forget_by': by}
  monkeypatch.setattr(report.plots, 'trace', lambda history, **given: (
      drawn.append(given['thresholds']) or b''))
  page = _Page(report.render_report(result, None, fakes.history()))
  assert words in page.text
  assert drawn == [{
      'forget threshold': (by or 'forgetting_score', .044),
      'select threshold': ('forgetting_score', .104)}]


@pytest.mark.parametrize('name, pictures', [
    ('whole', 4), ('not retrained', 1), ('bare', 0)])
def test_pictures_are_described_and_nothing_is_loaded(name, pictures):
  page = _page(name)
  assert [bool(picture['alt']) for picture in page.pictures] == (
      [True] * pictures)
  assert all(a.startswith('data:image/svg+xml;base64,')
             for a in page.addresses)
  assert 'url(' not in page.text and '@import' not in page.text


def test_a_narrow_page_says_the_column_in_every_cell():
  columns = _page('tier 1').columns
  assert {'original', 'null', 'delta', 'power', 'could read', 'seed'} <= columns
  assert '' not in columns


def test_no_name_becomes_html():
  def renamed(value):
    """The same tree with every text of the data replaced by a name."""
    if isinstance(value, dict):
      return {key: part if key in ('kind', 'metric', 'split', 'units', 'unit',
                                   'direction', 'verdict')
              else renamed(part) for key, part in value.items()}
    if isinstance(value, list):
      return [renamed(part) for part in value]
    return name if isinstance(value, str) else value

  name = ' '.join(fakes.NAMES)
  result = renamed(copy.deepcopy(fakes.result()))
  arrays = fakes.per_example()
  arrays['forget/sample_id'] = np.full(len(arrays['forget/sample_id']), name)
  page = _Page(report.render_report(result, arrays))
  assert page.tags <= _page('whole').tags and not page.events
  assert name in ''.join(page.words)
  json.dumps(report.report_facts(result, arrays), allow_nan=False)


def test_equal_input_gives_an_equal_file(tmp_path):
  for name in ('a', 'b'):
    report.write_report(_with(), None, None, tmp_path / f'{name}.html')
  assert (tmp_path / 'a.html').read_bytes() == (
      tmp_path / 'b.html').read_bytes()
  assert {path.name for path in tmp_path.iterdir()} == {
      'a.html', 'a.json', 'a_key.json', 'b.html', 'b.json', 'b_key.json'}


def test_another_kind_of_result_leaves_no_file(tmp_path):
  with pytest.raises(ValueError, match="kind 'evaluation', got None"):
    report.write_report({}, None, None, tmp_path / 'report.html')
  assert not list(tmp_path.iterdir())


def _cells(value):
  """Every label and cell of the tables in a tree."""
  if isinstance(value, dict):
    if {'cells', 'label'} <= set(value):
      yield from ((value['label'], cell) for cell in value['cells'])
    value = list(value.values())
  if isinstance(value, list):
    for part in value:
      yield from _cells(part)


def test_the_json_holds_the_numbers_of_the_page(tmp_path):
  report.write_report(*_PAGES['whole'](), tmp_path / 'report.html')
  facts = runs.read_json(tmp_path / 'report.json')
  assert (facts['kind'], facts['schema']) == ('report', 1)
  assert 'base64' not in json.dumps(facts)
  cells = list(_cells(facts))
  assert len(cells) > 50
  for label, cell in cells:
    if cell['value'] is not None:
      assert label in _page('whole').text
      assert Estimate(**cell).text in _page('whole').text
  [result] = _PAGES['images']()
  assert report.report_facts(result, people_names={})['request_images'] == (
      result['request_images'])


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


def test_an_image_has_the_epsilon_that_is_shown_of_it():
  arrays = fakes.per_example()
  n = len(arrays['forget/sample_id'])
  shown = np.where(np.arange(n) < 120, .7531, 0.)
  shown[-1] = np.nan  # without a label
  arrays[shadows.EPSILON] = shown
  rows = report.most_remembered(arrays, count=n)
  assert {row.name: row.epsilon for row in rows} == {
      name: None if np.isnan(value) else value
      for name, value in zip(arrays['forget/sample_id'], shown)}
  page = _Page(report.render_report(_with(), arrays))
  assert 'ε shown' in page.columns and '0.75' in page.text
  assert f'above 0 for 120 of {n - 1} images' in page.text
  assert [row['epsilon'] for row in report.report_facts(
      _with(), arrays)['images']] == [row.epsilon for row in rows[:10]]
  assert all(row.epsilon is None for row in report.most_remembered(
      arrays, by_person=True))
  listed = [row.name for row in rows[:10]]
  ten = np.isin(arrays['forget/sample_id'], listed)
  page = _Page(report.render_report(_with(), arrays | {
      shadows.EPSILON: np.where(ten, np.nan, shown)}))
  assert 'ε shown' in page.columns and 'ε shown: a lower bound' in page.text
  for without in (_page('whole'), _Page(report.render_report(_with(), arrays | {
      shadows.EPSILON: np.full(n, np.nan)}))):
    assert 'ε shown' not in without.columns and 'ε shown' not in without.text


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


_THIRD = {f'retrained_2/forget/{kind}': np.array([0., 0., 0., 4.])
          for kind in ('loss', 'margin')}


@pytest.mark.parametrize('arrays, by_person, ends', [
    # retrained_0 over retrained_1: 0, 2, -2, 0; the other way round negated.
    (_FORGET, False, (2., 2.)), ({**_FORGET, **_THIRD}, False, (2., 3.5)),
    # People 3 and 7 at 0 and 2.5 against 2 and 1.5.
    (_FORGET, True, (1., 2.)), ({}, False, None),
    ({**_FORGET, 'forget/identity': np.full(4, -1)}, True, None)])
def test_the_worst_case_by_chance_is_a_retrained_model_among_the_others(
    arrays, by_person, ends):
  assert report.largest_by_chance(arrays, by_person) == ends


@pytest.mark.parametrize('p, said', [
    (5e-324, '&lt; 0.001'), (.0004, '&lt; 0.001'), (.0123, '0.012')])
def test_no_p_is_printed_as_zero(p, said):
  result = fakes.tier_1()
  for record in result['metrics'][-3:]:
    record['p_value'] = p
  page = report.render_report(result)
  assert f'data-column="p">{said}<' in page
