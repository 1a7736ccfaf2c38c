r"""How large the evidence report is, how long it takes, and whether it opens.

  python -m experiments.benchmarks.report_size \
      --evaluation=runs/demo/evaluation --out=docs/results/report

Writes the report of a finished evaluation --repeats times into a folder of its
own. Where a chromium is installed, the page is opened in it without a network
and printed: console messages, addresses that it asked for, whether it fits into
windows of some widths, pages of A4. --before is a page that an earlier version
made of the same evaluation: its words and printed pages stand beside.
"""

from __future__ import annotations

import html
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.pipeline import evaluation_result
from dlfd_jax.report import names, render, tables
from dlfd_jax.utils import runs
from experiments.publish import programs

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
WIDTHS = (400, 800, 1200)
# A page tells the one around it: a window cannot be as narrow as a phone.
_PROBE = """<script>
addEventListener("load", () => {
  const asked = performance.getEntriesByType("resource").map(
      entry => entry.name).filter(name => !name.startsWith("data:"));
  parent.postMessage("asked " + asked.join(" ") + ". wide " +
      document.documentElement.scrollWidth + " of " + window.innerWidth, "*");
})</script>"""
_AROUND = """<!DOCTYPE html><title>waiting</title><script>
addEventListener("message", event => { document.title = event.data; })
</script><iframe src="copy.html" width="WIDTH" height="900" frameborder="0">
</iframe>"""
_FOUND = re.compile(r'<title>asked (.*)\. wide (\d+) of (\d+)</title>')
_PATIENCE_S = 120


def browse(folder: pathlib.Path, page: pathlib.Path, *options: str
           ) -> tuple[str, str]:
  """What chromium writes to stdout and stderr; it has no network.

  Args:
    folder: for the browser's own files.
    page: to open.
    *options: of the browser.
  """
  if CHROMIUM is None:
    raise FileNotFoundError('Expected chromium to be installed, found none.')
  done = subprocess.run(
      [CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu',
       '--disable-dev-shm-usage', '--hide-scrollbars', '--disable-extensions',
       '--host-resolver-rules=MAP * ~NOTFOUND', '--disable-sync',
       '--disable-background-networking', '--disable-component-update',
       '--no-first-run', f'--user-data-dir={folder / "profile"}', *options,
       page.as_uri()], capture_output=True, text=True, timeout=_PATIENCE_S,
      check=True)
  return done.stdout, done.stderr


def look(folder: pathlib.Path, page: pathlib.Path, width: int,
         more: str = '') -> dict[str, Any]:
  """Opens a copy of a page that looks at itself.

  Args:
    folder: for the copy and the browser's own files.
    page: the original.
    width: of the page, pixels.
    more: HTML put at the end of its body.

  Returns:
    ``asked``: addresses; ``said``: console messages; ``needed`` and ``there``:
    widths, pixels.
  """
  copy = folder / 'copy.html'
  copy.write_text(page.read_text('utf-8').replace(
      '</body>', f'{more}{_PROBE}</body>'), 'utf-8')
  around = folder / 'around.html'
  around.write_text(_AROUND.replace('WIDTH', str(width)), 'utf-8')
  dom, said = browse(folder, around, '--dump-dom', '--enable-logging=stderr',
                     f'--window-size={width + 100},1200')
  found = _FOUND.search(dom)
  if found is None:
    raise ValueError(f'Expected {page} to load in the browser: {said[-500:]}')
  return {'asked': found[1].split(),
          'said': [line for line in said.splitlines() if 'CONSOLE' in line],
          'needed': int(found[2]), 'there': int(found[3])}


def pages(folder: pathlib.Path, page: pathlib.Path) -> int:
  """Pages of the printed report; the PDF stays in ``folder``."""
  path = folder / 'report.pdf'
  browse(folder, page, f'--print-to-pdf={path}', '--no-pdf-header-footer')
  return len(re.findall(rb'/Type\s*/Page\b', path.read_bytes()))


def words(text: str) -> dict[str, int]:
  """How many words a page of HTML has, folded ones too.

  Returns:
    ``words``, of these ``sheets``, those before the annex, and how often the
    page says that something was ``not_computed``.
  """
  shown = re.sub(r'<(style|title)>.*?</\1>', '', text, flags=re.DOTALL)
  sheets = ' '.join(re.findall(
      '<section class="sheet">.*?</section>', shown, re.DOTALL))

  def plain(part: str) -> str:
    return html.unescape(re.sub('<[^>]+>', ' ', part))

  return {'words': len(plain(shown).split()),
          'sheets': len(plain(sheets).split()),
          'not_computed': plain(shown).count(names.NOT_COMPUTED)}


def of_page(page: pathlib.Path) -> dict[str, int]:
  """Words of a page that is there and, with a browser, its printed pages."""
  found = words(page.read_text('utf-8'))
  if CHROMIUM:
    with tempfile.TemporaryDirectory() as name:
      found['pages'] = pages(pathlib.Path(name), page)
  return found


def measure(evaluation: pathlib.Path, repeats: int) -> dict[str, Any]:
  """Size, seconds and what the browser finds."""
  seconds = []
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for _ in range(repeats):
      started = time.perf_counter()
      page = evaluation_result.load_evaluation(evaluation).write_report(
          folder / runs.REPORT)
      seconds.append(time.perf_counter() - started)
    text = page.read_text('utf-8')
    found: dict[str, Any] = {
        'page_bytes': page.stat().st_size,
        'json_bytes': page.with_suffix('.json').stat().st_size,
        'first_s': seconds[0], 'median_s': statistics.median(seconds),
        'pictures': text.count('<img '), 'tables': text.count('<table'),
        **words(text),
        'browser': 'none'}
    if CHROMIUM:
      looks = [look(folder, page, width) for width in WIDTHS]
      found |= {
          'browser': subprocess.run(
              [CHROMIUM, '--version'], capture_output=True, text=True,
              check=True).stdout.strip(),
          'asked': sum(len(one['asked']) for one in looks),
          'console': sum(len(one['said']) for one in looks),
          'fits': {str(width): one['needed'] <= one['there']
                   for width, one in zip(WIDTHS, looks, strict=True)},
          'pages': pages(folder, page)}
  return found


def markdown(result: dict[str, Any]) -> str:
  """The numbers, one a line."""
  one = result['report']
  rows = [('page, kB', f'{one["page_bytes"] / 1e3:.0f}'),
          ('JSON, kB', f'{one["json_bytes"] / 1e3:.0f}'),
          ('first writing, s', f'{one["first_s"]:.1f}'),
          (f'median of {result["repeats"]}, s', f'{one["median_s"]:.1f}'),
          ('pictures', one['pictures']), ('tables', one['tables']),
          ('words', f'{one["words"]:,}'),
          ('words of pages 1 and 2', f'{one["sheets"]:,}'),
          ('"not computed"', one['not_computed']),
          ('browser', one['browser'])]
  if one['browser'] != 'none':
    rows += [('addresses asked for', one['asked']),
             ('console messages', one['console']),
             ('fits windows of, pixels', ', '.join(
                 width for width, fits in one['fits'].items() if fits)),
             ('pages of A4', one['pages'])]
  if before := result.get('before'):
    rows += [(f'{what}, before', f'{before[key]:,}') for key, what in (
        ('words', 'words'), ('not_computed', '"not computed"'),
        ('pages', 'pages of A4')) if key in before]
  return '\n'.join([
      '# The evidence report', '', *render.markdown_lines(
          ['what', 'value'], [[what, str(value)] for what, value in rows]), '',
      f'{programs.made_by(result)} The evaluation: tier '
      f'{result["tier"]}, {result["images"]:,} images, '
      f'{result["retrained"]} retrained.', ''])


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  evaluation = pathlib.Path(command.required(values, 'evaluation'))
  source = runs.read_json(evaluation / runs.RESULT)
  repeats = command.value(values, 'repeats')
  before = command.value(values, 'before')
  return {'repeats': repeats, 'tier': tables.tier_of(source),
          'images': source['data']['n'],
          'retrained': len(source['models']['retrained']),
          'report': measure(evaluation, repeats), **({
              'before': of_page(pathlib.Path(before).resolve())}
                                                     if before else {})}


COMMAND = programs.program(
    'benchmarks.report_size', __doc__, {
        'evaluation': (None, 'folder of a finished evaluation'),
        'before': (None, 'report.html of an earlier version'),
        'repeats': (5, 'how often the report is written', 1)},
    _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
