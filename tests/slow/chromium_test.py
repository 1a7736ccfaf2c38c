"""The report in a real browser: it renders, asks for nothing, and prints."""

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.report import html as report
from experiments.benchmarks import report_size
from tests.report import fakes

_MOST_BYTES = 2_000_000
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    report_size.CHROMIUM is None, reason='chromium is not installed')]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  path = tmp_path_factory.mktemp('report') / 'report.html'
  report.write_report(
      fakes.tier_1(), fakes.per_example(), fakes.history(), path)
  return path


def test_it_is_small(page):
  assert page.stat().st_size < _MOST_BYTES


@pytest.mark.parametrize('width', [400, 1200])
def test_it_fits_narrow_and_wide_windows_and_asks_for_nothing(
    page, tmp_path, width):
  found = report_size.look(tmp_path, page, width)
  assert found['said'] == [] and found['asked'] == []
  assert found['needed'] <= found['there'] == width
  report_size.browse(tmp_path, page, f'--window-size={width},1200',
                     f'--screenshot={tmp_path / "shot.png"}')
  with Image.open(tmp_path / 'shot.png') as picture:
    assert picture.width == width
    colours = np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3),
                        axis=0)
  assert len(colours) > 50


def test_errors_requests_and_overflow_would_be_seen(page, tmp_path):
  found = report_size.look(
      tmp_path, page, 400, '<img src="http://example.org/x.png" alt="x">'
      '<p style="width: 900px">wide</p>'
      '<script>undefined_function()</script>')
  assert found['said'] and found['needed'] > found['there']
  assert found['asked'] == ['http://example.org/x.png']


@pytest.mark.parametrize('result', [
    fakes.tier_1, lambda: fakes.result(retrained=False), lambda: {
        **fakes.result(), 'do_not_use': 3 * ['Do not use this model. ' * 4]}])
def test_what_is_before_the_annex_are_two_printed_pages(result, tmp_path):
  text = report.render_report(
      result(), fakes.per_example(), fakes.history())
  page = tmp_path / 'sheets.html'
  page.write_text(text[:text.index('<section>')], 'utf-8')
  assert report_size.pages(tmp_path, page) == 2
  page.write_text(text, 'utf-8')
  assert report_size.pages(tmp_path, page) > 4


def test_it_prints(page, tmp_path):
  assert report_size.pages(tmp_path, page) > 1
  assert (tmp_path / 'report.pdf').read_bytes().startswith(b'%PDF')
