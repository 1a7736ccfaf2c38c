"""The numbers of docs/scaling.md: formulas are computed, quotes looked up."""

import json
import pathlib
import re

import pytest

_DOCS = pathlib.Path(__file__).parents[1] / 'docs'
_TEXT = (_DOCS / 'scaling.md').read_text('utf-8')
_BLOCKS = ''.join(re.findall(r'```python\n(.*?)```', _TEXT, re.DOTALL))
_QUOTE = re.compile(r'^\| [^|]+ \| ([-+.\d]+) \| `([^`|]+)` \| `([^`|]+)` \|$',
                    re.MULTILINE)


def test_every_formula_gives_the_result_behind_it():
  known: dict = {}
  for line in _BLOCKS.splitlines():
    exec(line, {}, known)  # noqa: S102
    stated = re.search(r'# = ([-+.e\d]+)', line)
    if stated:
      name = line.partition(' = ')[0]
      assert known[name] == pytest.approx(float(stated[1]), rel=.01), line
    else:  # a plain value, or several
      assert re.fullmatch(
          r'[\w, ]+ = [-+*/.\w, ]+(# .*)?', line) or not line, line
  assert len(known) > 40


def test_every_quote_is_in_its_file():
  quotes = _QUOTE.findall(_TEXT)
  table = _TEXT.partition('## Quoted results')[2]
  assert len(quotes) == table.count('\n| ') - 1 > 5
  for stated, name, where in quotes:
    found = json.loads((_DOCS / 'results' / name).read_text('utf-8'))
    for key in where.split('.'):
      found = found[int(key) if key.isdigit() else key]
    digits = len(stated.partition('.')[2])
    assert round(found, digits) == float(stated), (stated, where, found)
