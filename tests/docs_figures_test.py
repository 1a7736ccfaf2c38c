"""Every measured figure that a page quotes is that of a result file."""

import json
import pathlib
import re

import pytest

from dlfd_jax.evaluation import registry, shadows
from experiments.paper import comparison

_ROOT = pathlib.Path(__file__).parents[1]
_RESULTS = _ROOT / 'docs' / 'results'
_PAGES = (*(f'docs/{path.name}' for path in (_ROOT / 'docs').glob('*.md')
            # Written by programs, and tested as such.
            if path.name not in ('errors.md', 'leaderboard.md')),
          'README.md', 'BUILD.md', 'CONTRIBUTING.md',
          *(f'colab/{path.name}' for path in (_ROOT / 'colab').glob('*.ipynb')))
_ABLATION = 'table3_fgnet'


def _cell(name, method, column, table=0):
  """A mean in a table of docs/results, without the 0 before its point."""
  return _rows(name, table)[method][column].split(' ±')[0].removeprefix('0')


def _rows(name, table=0):
  text = (_RESULTS / f'{name}.md').read_text('utf-8')
  found = re.findall(r'^\| (?:method|model) .*\n(?:\|.*\n)+', text, re.M)[table]
  lines = [[cell.strip() for cell in line.strip('|').split('|')]
           for line in found.strip().splitlines()]
  return {line[0]: dict(zip(lines[0], line, strict=True))
          for line in lines[2:]}


def _value(name, path, write):
  """A value of docs/results/NAME.json, as it is written in the page."""
  found = json.loads((_RESULTS / f'{name}.json').read_text('utf-8'))
  for key in path.split('/'):
    found = found[int(key) if key.isdigit() else key]
  return write(found)


def _of(digits):
  return lambda value: f'{value:.{digits}f}'.removeprefix('0')


def _mean_of(cells, model, of):
  found = [comparison.value(cell, of) for cell in cells
           if cell['model'] == model]
  return _of(3)(sum(found) / len(found))


def _of_seeds(metric, place):
  """A number of restored DLFD on FG-NET, of its seeds by size."""
  def ranked(cells):
    return _of(3)(sorted(
        cell['metrics'][metric]['value'] for cell in cells
        if cell['model'] == 'dlfd_restore')[place])

  return 'table1_fgnet', 'cells', ranked


def _accused(of):
  """How many of how many honest models were told apart."""
  def told(tasks):
    rows = [row for task in tasks for row in task['accused']]
    count = sum(times for row in rows for verdict, times in row[of].items()
                if verdict.startswith('distinguishable'))
    return f'{count} times of {sum(row["models"] for row in rows)}'

  return 'honest', 'tasks', told


def _seconds(value):
  return f'{value:.2f} s'


def _gigabytes(value):
  return f'{value / 1e9:.1f} GB'


def _dearer(sizes):
  """What a further image costs of many, over that of few, by command."""
  def each(name, small, large):
    return (large['commands'][name]['core_s'] - small['commands'][name][
        'core_s']) / (large['images'] - small['images'])

  few, more, many = sizes
  return {name: each(name, more, many) / each(name, few, more)
          for name in few['commands']}


def _megabytes(value):
  return f'{value / 1e6:.0f} MB'


def _percent(value):
  return f'{100 * value:.0f} %'


def _slowest(sides):
  """The share of scikit-learn's time, at the size where it is largest."""
  share = max(side['seconds']['numpy'] / side['seconds']['scikit_learn']
              for side in sides)
  return 'less than a fifth' if share < .2 else f'{share:.2f}'


def _widest(foldings):
  """Lowest and highest score of the model that its folds move most."""
  most = max(foldings, key=lambda of: of['highest'] - of['lowest'])
  return f'{most["lowest"]:.3f} and {most["highest"]:.3f}'.replace(
      '0.000', '0').replace(' 0.', ' .')


def _away(by, point):
  """How far a rule's chosen states lie from retraining, in the attack AUC."""
  def mean(cells):
    of = [abs(cell['metrics']['mia_auc_matched']['delta']) for cell in cells
          if (cell['by'], cell['point']) == (by, point)]
    return _of(3)(sum(of) / len(of))

  return 'live_thresholds', 'cells', mean


# Page, sentence, and what stands in its gaps: a table's cell (name, row,
# column), or a value of a JSON (name, path,
# how to write it).
QUOTES = (
    ('docs/metrics.md', '(results/table3_fgnet.md): {})',
     (_ABLATION, 'null', 'forgetting score')),
    ('docs/metrics.md', 'reaches {} there', (_ABLATION, 'null', 'NoMUS')),
    ('docs/decisions.md', "smallest gap over three seeds, {} at {} of "
     "retraining's seconds, tied with retraining; EU-k has {} at {} (",
     *(('table1_fgnet_48', method, column)
       for method in ('DLFD + restore', 'EU-k')
       for column in ('gap', 's / retraining'))),
    ('docs/decisions.md', 'smallest of fourteen methods, {} at {} over five '
     'seeds, margin matching {} at {}, EU-k {}, none tied',
     *(('table1_lfw', method, column)
       for method in ('DLFD + restore', 'Margin matching')
       for column in ('gap', 's / retraining')), ('table1_lfw', 'EU-k', 'gap')),
    ('docs/decisions.md', "over five seeds, {} at {} of retraining's seconds; "
     'DLFD + restore is second with {} at {} and reaches no aim',
     *(('table1_demo', method, column)
       for method in ('Margin matching', 'DLFD + restore')
       for column in ('gap', 's / retraining'))),
    ('docs/decisions.md', 'forgotten people stand out ({}, retrained {})',
     *(('table1_demo', method, 'person')
       for method in ('DLFD + restore', 'retrained'))),
    ('docs/decisions.md', '(attack AUC {} above theirs, EU-k {}), and one pass '
     'over retain brings forget back by {} more',
     *(('judged', f'tasks/1/models/{model}/{of}/delta/value', _of(3))
       for model, of in ((6, 'metrics/gap_mia_auc_person'),
                         (4, 'metrics/gap_mia_auc_person'),
                         (6, 'brought_back/recovery_accuracy')))),
    ('docs/decisions.md', "(normalised JS distance {} above the references'), "
     'and the two-sided attack sees it ({} above theirs), where it does not '
     'see EU-k ({})',
     *(('judged', f'tasks/0/models/{model}/metrics/{of}/delta/value', _of(3))
       for model, of in ((6, 'normalised_js_forget'),
                         (6, 'reference_attack_two_sided'),
                         (4, 'reference_attack_two_sided')))),
    ('docs/decisions.md', 'Tiers 0, 1 and 2 cost {}, {} and {} of one '
     'retraining there', *(
         ('judged', 'tasks/0/cpu_s', lambda of, tier=tier: _of(2)(
             of[tier] / of['retraining'])) for tier in '012')),
    ('docs/decisions.md', 'on val its objective is {} there and {} at a tenth '
     'of the rate', *(
         ('table1_fgnet_48', 'searches/fgnet_age-image_size_48-width_16/'
          f'dlfd_restore/tried/{i}/score', _of(2)) for i in (0, 1))),
    ('docs/decisions.md', 'two-sided attack sees it on FG-NET ({}, retrained '
     '{})', *(('table1_fgnet_48', method, 'two-sided')
       for method in ('DLFD + restore', 'retrained'))),
    ('docs/decisions.md', 'differ for DLFD (gap {} and {}) and hardly with '
     'restore, whose last states are its best ({} and {})',
     *(('table1_fgnet_48', method, 'gap', 1) for method in (
         'DLFD', 'DLFD, `best`', 'DLFD + restore', 'DLFD + restore, `best`'))),
    ('docs/decisions.md', "DLFD + restore has the smallest gap ({} at {} of "
     "retraining's seconds) and is tied with retraining, with {} to {} on its "
     'seeds and a retain accuracy of {} on each; EU-k has {} at {}, CT + '
     'restore {} at {}.',
     *(('table1_fgnet', 'DLFD + restore', column)
       for column in ('gap', 's / retraining')),
     *(_of_seeds('gap', place) for place in (0, -1)),
     _of_seeds('accuracy_retain', 0),
     *(('table1_fgnet', method, column)
       for method in ('EU-k', 'CT + restore')
       for column in ('gap', 's / retraining'))),
    ('docs/decisions.md', 'DLFD + restore has a gap of {} at {} of '
     "retraining's seconds, with twice of them {} at {}.",
     *(('passes_fgnet', 'cells', lambda cells, factor=factor, of=of: _mean_of(
         cells, f'dlfd_restore-x{factor}', of))
       for factor in ('0.5', '2') for of in ('gap', 'time_share'))),
    ('docs/decisions.md', 'DLFD lies at {}, fine-tuning with its options and '
     'without perturbed images lies at {}, DLFD without '
     'the transport term at {}. Without augmentation the attack AUC is back at '
     '{}; without dynamic phases test accuracy falls from {} to {} at nearly '
     'twice the cost. Three times the epochs bring DLFD to {} and the same '
     'fine-tuning to {}, the nearest row.',
     (_ABLATION, 'DLFD', 'distance'),
     (_ABLATION, "no moved images: fine-tuning with DLFD's options",
      'distance'),
     (_ABLATION, 'without the transport term', 'distance'),
     (_ABLATION, 'without augmentation', 'attack AUC'),
     (_ABLATION, 'DLFD', 'test acc'),
     (_ABLATION, 'dynamic phases off', 'test acc'),
     (_ABLATION, 'three times the passes', 'distance'),
     (_ABLATION, 'no moved images, three times the passes', 'distance')),
    ('docs/decisions.md', '(ResNet18 {} against {}, DenseNet121 {} against {})',
     *(('table2_fgnet', name, 'distance', table) for table in (0, 3)
       for name in ('DLFD', 'Fine-tuning'))),
    ('docs/decisions.md', 'falls from {} to {} (retrained {}) but test accuracy'
     ' from {} to {} (retrained {})',
     *(('faces', name, column, 2) for column in ('attack AUC', 'test acc')
       for name in ('original', 'DLFD', 'retrained'))),
    ('docs/decisions.md', "scikit-learn's optimum in {} of the time",
     ('attack_speed', 'sides', _slowest)),
    ('docs/decisions.md', '{} and {} of its speed on two CPU cores at either '
     'policy of checking, {} times across policies',
     *(('against_torch', f'ratio/{policy}', _of(2))
       for policy in ('released', 'ours')),
     ('against_torch', 'ratio/across', _of(1))),
    ('docs/decisions.md', 'On one H200 {}, {} and {} times.',
     *(('against_torch_gpu', f'ratio/{policy}', _of(1))
       for policy in ('released', 'ours', 'across'))),
    ('docs/decisions.md', "its rank correlation with RMIA's AUC over models of "
     'three data sets is {} at 1 % and {} at 5 %, that of the class-matched '
     'attack AUC {}', *(('loss_tail', f'means/{name}', _of(2)) for name in (
         'loss tail, 0.01', 'loss tail, 0.05', 'mia_auc_matched'))),
    ('docs/decisions.md', 'accuracy of one model moves between {} as a score. '
     "At the mean of the null the chosen state's AUC then lies {} from "
     "retraining's, by accuracy {}; at the 95 % point {} and {}",
     ('live_thresholds', 'foldings', _widest),
     *(_away(by, point) for point in ('mean', '95 % point')
       for by in ('signed AUC', 'cross-validated accuracy'))),
    ('docs/scaling.md', 'reaches {} of its matrix product at 128 px',
     ('benchmark_gpu', 'parts/step/of_matmul', _of(1))),
    ('docs/decisions.md', 'was told apart in forgetting {}, in utility {};',
     _accused('forgetting'), _accused('utility')),
    ('docs/scaling.md', 'of a million images of 64 px the evaluation needs {}, '
     'its aim is 3, and no other command more than {}; from 100,000 '
     'images on a further one costs the search for copies {} what it cost '
     'before, and all others at most {}.',
     ('sharded_data', 'sizes/2/commands/evaluate/peak_bytes', _gigabytes),
     ('sharded_data', 'sizes/2/commands', lambda of: _gigabytes(max(
         one['peak_bytes'] for name, one in of.items() if name != 'evaluate'))),
     ('sharded_data', 'sizes', lambda of: f'{_dearer(of)["check"]:.1f} times'),
     ('sharded_data', 'sizes', lambda of: '{:.1f} times'.format(max(
         times for name, times in _dearer(of).items() if name != 'check')))),
    ('docs/scaling.md', 'batches of 2,048 a call takes {} by `global` and {} '
     'by `sharded`, in {} and {} a device; on batches of 256 {} and {}.',
     *(('transport_scaling', f'rows/3/{how}/seconds', _seconds)
       for how in ('global', 'sharded')),
     *(('transport_scaling', f'rows/3/{how}/bytes', _megabytes)
       for how in ('global', 'sharded')),
     *(('transport_scaling', f'rows/0/{how}/seconds', _seconds)
       for how in ('global', 'sharded'))),
    ('docs/scaling.md', 'halves of a batch are {} off in the distance and {} in'
     " the gradient's direction, sixteenths {} and {}.",
     *(('ot_bias', f'parts/gaussian/transport/{i}/{what}', write)
       for i in (4, 7) for what, write in (
           ('relative_error', _percent),
           ('gradient_cosine', lambda cosine: _percent(1 - cosine))))),
)
# What is no measurement: page, expression, why.
ALLOWED = (
    ('', r'Python 3\.\d+(, 3\.\d+)*( (and|to) 3\.\d+)?', 'a version'),
    ('', r'(jax|is) \d+(\.\d+)+|Apache-2\.0', 'a version'),
    ('', r'(?<!\d)0?\.5(?!\d)', 'an attack that guesses'),
    ('', r'95 % (interval|range|point|confidence)|Intervals are 95 %',
     'the level of all intervals'),
    ('', r'(p = |can reach |is at most )\.05', 'the level of all tests'),
    ('README.md', r'0\.4 to 3 in normalised units', "the authors' code"),
    ('docs/decisions.md', r'1\.5 / n', 'a formula'),
    ('docs/decisions.md', r'\.05 where it was \.02|8 GB free', 'settings'),
    ('docs/faq.md', r'an attack AUC of \.57', 'an example'),
    ('docs/metrics.md', r'\.3 is not "better', 'an example'),
    ('docs/metrics.md', r'with a chance of 80 %', 'the power asked for'),
    ('docs/metrics.md', r'from 50 to nearly 100 %, where a retrained model '
     r'stayed at 50 %', 'a figure of others'),
    ('docs/metrics.md', r'(1, 5 or|2, 5 and) 10 %', 'settings'),
    ('docs/scaling.md', r'\.3 is assumed', 'an assumption'),
)
_UNIT = r'(?:%|(?:s|ms|seconds?|minutes?|hours?|points?|GB|MB|times)\b)'
_FIGURE = re.compile(
    rf'(?<![\w.])\d*\.\d+(?!\.?\d)|(?<![\w.])\d[\d,]* {_UNIT}')


def _text(page):
  """The words of a page on one line, without code and generated tables."""
  text = (_ROOT / page).read_text('utf-8')
  if page.endswith('.ipynb'):
    text = '\n'.join(''.join(cell['source']) for cell in json.loads(text)[
        'cells'] if cell['cell_type'] == 'markdown')
  for region in (r'```.*?```', r'<!-- table: .*?<!-- end of table -->',
                 r'<!-- from: \S+ -->\n(\|.*\n)+', r'^\| `--.*$',
                 r'(?s)## Quoted results.*'):
    text = re.sub(region, ' ', text, flags=re.M | (
        re.S if '.*?' in region else 0))
  return ' '.join(text.replace(registry.markdown(), '').split())


def _sentence(quote, gaps):
  return quote.format(*(
      _value(*gap) if callable(gap[2]) else _cell(*gap) for gap in gaps))


def _untied(page, text):
  """Figures of a text, each with the words around it."""
  text = re.sub(r'`[^`]*`|\]\([^)]*\)', ' ', text)
  for of, expression, _ in ALLOWED:
    if of in ('', page):
      text = re.sub(expression, '', text)
  return [text[max(0, m.start() - 40):m.end() + 20]
          for m in _FIGURE.finditer(text)]


@pytest.mark.parametrize('page', _PAGES)
def test_every_figure_is_tied_to_a_result_or_none_of_ours(page):
  text = _text(page)
  for of, quote, *gaps in QUOTES:
    if of == page:
      sentence = _sentence(quote, gaps)
      assert sentence in text, sentence
      text = text.replace(sentence, '')
  assert not _untied(page, text)


@pytest.mark.parametrize('text', [
    'the AUC falls to .34', 'accuracy 0.912 on test', '(.7)', 'in 12 % of runs',
    'takes 90 s on a CPU', 'needs 1,200 MB', 'is 3 points below',
    'is 10 times quicker'])
def test_a_new_figure_is_found(text):
  assert len(_untied('docs/faq.md', text)) == 1


def test_every_quoted_page_is_tried():
  assert {page for page, *_ in (*QUOTES, *ALLOWED)} <= {'', *_PAGES}
  # One half of a pair cut out would make code of the words that follow.
  assert not [quote for _, quote, *_ in QUOTES if quote.count('`') % 2]


def test_so_many_models_show_an_epsilon():
  first, second, one = map(shadows.enough_for_epsilon, (72, 240, 1))
  assert (f'of the worst of 72 images it takes {first} models a side, of 240 '
          f'it takes {second}. Of one image by itself it takes {one}:') in (
              _text('docs/metrics.md'))


def test_words_about_the_tables_hold():
  ablation = _rows(_ABLATION)
  shares = [float(ablation[row]['time / retraining'])
            for row in ('dynamic phases off', 'DLFD')]
  assert 1.7 < shares[0] / shares[1] < 2
  for table in (0, 1):  # LFW without a search
    original, dlfd = (float(_cell('faces', row, 'test acc', table))
                      for row in ('original', 'DLFD'))
    assert abs(dlfd - original) <= .01


  growth = {part['axis'].split()[0]: part['exponent_seconds'] for part in
            _value('benchmark', 'parts/scaling', list)}
  assert growth['batch'] == pytest.approx(1, abs=.1)
  assert growth['pixels'] == pytest.approx(2, abs=.1)
  assert max(growth['features'], growth['forget']) < .9
  gains = [side['seconds']['numpy'] - side['seconds']['jax']
           for side in _value('attack_speed', 'sides', list)]
  assert max(gains) < .01  # of JAX: milliseconds


def test_the_index_of_results_lists_every_file():
  page = (_RESULTS / 'README.md').read_text('utf-8')
  listed = set(re.findall(r'`([\w/]+)`', page))
  first, last = re.search(r'`complexity_fgnet_(\d)` to `complexity_fgnet_(\d)`',
                          page).groups()
  listed |= {f'complexity_fgnet_{i}'
             for i in range(int(first), int(last) + 1)}
  there = {path.stem for path in _RESULTS.iterdir()
           if path.name != 'README.md'}
  assert there <= listed, there - listed
