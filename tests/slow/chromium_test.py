"""The report in a real browser: it renders, asks for nothing, and prints."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.report import html as report
from tests.report import fakes

_CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
_MOST_BYTES = 2_000_000
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    _CHROMIUM is None, reason='chromium is not installed')]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  path = tmp_path_factory.mktemp('report') / 'report.html'
  report.write_report(
      fakes.result(), fakes.per_example(), fakes.history(), path)
  return path


def _run(folder, page, *options):
  """What chromium writes to stdout and stderr."""
  done = subprocess.run(
      [_CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu',
       '--disable-dev-shm-usage', '--hide-scrollbars', '--disable-extensions',
       '--host-resolver-rules=MAP * ~NOTFOUND', '--disable-sync',
       '--disable-background-networking', '--disable-component-update',
       '--no-first-run', f'--user-data-dir={folder / "profile"}', *options,
       page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
  return done.stdout, done.stderr


def test_it_is_small(page):
  assert page.stat().st_size < _MOST_BYTES


def _with(page, folder, more):
  """A copy of the page with more in its body."""
  copy = folder / 'copy.html'
  copy.write_text(page.read_text('utf-8').replace('</body>', more + '</body>'))
  return copy


_ASKED = """<script>addEventListener("load", () => { document.title = "asked " +
performance.getEntriesByType("resource").map(entry => entry.name).filter(
name => !name.startsWith("data:")).join(" ") + "."; })</script>"""


def _said(folder, page):
  """The page's addresses that it asked for, and what the browser says."""
  dom, said = _run(folder, page, '--dump-dom', '--enable-logging=stderr')
  return re.search(r'<title>asked (.*)\.</title>', dom)[1].split(), said


def test_it_renders_without_errors_or_requests(page, tmp_path):
  dom, said = _run(tmp_path, page, '--dump-dom', '--enable-logging=stderr')
  assert 'Unlearning evidence report' in dom
  assert 'CONSOLE' not in said, said
  assert _said(tmp_path, _with(page, tmp_path, _ASKED))[0] == []


def test_errors_and_requests_would_be_seen(page, tmp_path):
  asked, said = _said(tmp_path, _with(
      page, tmp_path, '<img src="http://example.org/x.png" alt="x">'
      f'<script>undefined_function()</script>{_ASKED}'))
  assert 'CONSOLE' in said
  assert asked == ['http://example.org/x.png']


def test_it_prints(page, tmp_path):
  _run(tmp_path, page, f'--print-to-pdf={tmp_path / "report.pdf"}')
  data = (tmp_path / 'report.pdf').read_bytes()
  assert data.startswith(b'%PDF')
  assert len(re.findall(rb'/Type\s*/Page\b', data)) > 1


@pytest.mark.parametrize('width', [500, 1400])
def test_it_fits_narrow_and_wide_windows(page, tmp_path, width):
  probe = _with(
      page, tmp_path, '<script>document.title = "wide " + '
      '[document.documentElement.scrollWidth, window.innerWidth].join(" ")'
      '</script>')
  window = f'--window-size={width},1200'
  dom, _ = _run(tmp_path, probe, '--dump-dom', window)
  needed, there = map(int, re.search(r'<title>wide (\d+) (\d+)', dom).groups())
  assert needed <= there
  _run(tmp_path, page, window, f'--screenshot={tmp_path / "shot.png"}')
  with Image.open(tmp_path / 'shot.png') as picture:
    assert picture.width == width
    colours = np.unique(np.asarray(picture.convert('RGB')).reshape(-1, 3),
                        axis=0)
  assert len(colours) > 50
