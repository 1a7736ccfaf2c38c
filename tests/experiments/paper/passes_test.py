"""More and fewer passes of a method, and the page of made-up cells."""

from dlfd_jax import presets
from experiments.paper import passes, study
from tests.experiments.paper import comparison_test
from tests.report import pictures


def _task(preset='demo'):
  return study.Task(preset, preset, presets.STARTS[preset])


def test_every_stage_has_as_many_times_its_epochs():
  rows = {row.label: row.config for row in passes.rows_of(
      _task(), ['dlfd_restore', 'eu_k'])}
  start = presets.STARTS['demo'].config_of('dlfd_restore')
  for factor in passes.FACTORS:
    config = rows[f'dlfd_restore-x{factor:g}']
    for stage in ('method', 'restore'):
      assert getattr(config, stage).epochs == max(
          1, round(factor * getattr(start, stage).epochs))
  assert rows['dlfd_restore-x1'] == start
  assert len(rows) == 2 * len(passes.FACTORS)


def _cells():
  found = []
  for seed in range(2):
    found += [comparison_test.cell('original', seed, gap=.2),
              comparison_test.retrained(seed)]
    found += [{**comparison_test.cell(
        f'eu_k-x{factor:g}', seed, title='EU-k', share=factor / 4,
        gap=.08 / factor), 'method': 'eu_k'} for factor in passes.FACTORS]
  return found


def test_the_page_has_a_row_for_each_factor_and_the_point():
  page = passes.markdown({'cells': _cells(), 'command': 'x', 'device': 'cpu',
                          'versions': {'jax': '1'}})
  assert '| EU-k | 0.25 | 2.000 | 0.062 | 0.320 |' in page
  assert '| EU-k | 2 | 2.000 | 0.500 | 0.040 |' in page
  assert '| retrained |  | 2.000 | 1.000 | 0.020 |' in page
  assert 'have a gap of at most 0.040' in page


def test_the_curves_name_their_methods():
  assert 'EU-k' in pictures.words(passes.draw(_cells()))
