r"""Puts results of ``dlfd check`` side by side, without images or ids.

  python -m experiments.publish.check_page --out=docs/results/check \\
      --checks=runs/check_lfw,runs/check_many

Each is the folder of a finished check. Kept are counts, shares, costs and the
time that the check took.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.publish import programs

_FACTS = ('command', 'device', 'cores', 'images', 'image_size', 'split', 'cost',
          'time', 'read_peak_bytes', 'peak_bytes')
_COUNTS = ('images', 'people', 'share_of_images', 'share_of_people', 'copies',
           'copies_of_other_people', 'people_in_two_parts_total')


def summary(result: dict[str, Any]) -> dict[str, Any]:
  """What of a check may leave the user's machine.

  Raises:
    ValueError: if it is the result of something else.
  """
  if result.get('kind') != 'check' or 'time' not in result:
    raise ValueError(
        'Expected the result of a check that measured its time, got '
        f'{result.get("kind")!r}.')
  return {
      **{name: result[name] for name in _FACTS},
      'jax': result['versions']['jax'],
      'request': {name: result['request'][name] for name in _COUNTS}}


def markdown(found: dict[str, Any]) -> str:
  """A table with a column for each check, and their commands."""
  checks = found['checks']
  rows = {name: [] for name in (
      'images', 'pixels a side', 'train, val, test', 'people to forget',
      'their training images', 'share of the training images',
      'share of the training people', 'exact copies elsewhere',
      'near copies elsewhere', 'copies under another person',
      'people in two parts', 'unlearning here', 'retraining here', 'network',
      'check: reading', 'check: copies', 'check: costs', 'check: in all',
      'peak memory: reading', 'peak memory: in all')}
  for check in checks.values():
    request, cost, time = check['request'], check['cost'], check['time']
    share = request['share_of_people']
    for name, text in zip(rows, (
        f'{check["images"]:,}', check['image_size'],
        'not known' if check['split'] is None else ', '.join(
            f'{check["split"][part]:,}' for part in ('train', 'val', 'test')),
        request['people'], request['images'],
        f'{100 * request["share_of_images"]:.1f} %',
        'not known' if share is None else f'{100 * share:.1f} %',
        request['copies']['exact'], request['copies']['near'],
        request['copies_of_other_people'],
        request['people_in_two_parts_total'],
        'not measured' if cost is None else f'{cost["unlearn_s"]:.0f} s',
        'not measured' if cost is None else f'{cost["retrain_s"]:.0f} s',
        'none' if cost is None else cost['network'],
        f'{time["read_s"]:.1f} s', f'{time["copies_s"]:.1f} s',
        f'{time["cost_s"]:.1f} s', f'{sum(time.values()):.1f} s',
        f'{check["read_peak_bytes"] / 1e9:.1f} GB',
        f'{check["peak_bytes"] / 1e9:.1f} GB'), strict=True):
      rows[name].append(str(text))
  return '\n'.join([
      '# Checks of deletion requests', '',
      *render.markdown_lines(
          ['', *checks], [[name, *cells] for name, cells in rows.items()]), '',
      *(f'- {name}: `{check["command"]}`, on {check["device"]}, '
        f'{check["cores"]} cores, jax {check["jax"]}.'
        for name, check in checks.items()), '',
      f'Command: `{found["command"]}`. Written by the program.', ''])


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  folders = map(pathlib.Path, command.required(values, 'checks'))
  return {'checks': {folder.name: summary(runs.read_json(folder / runs.RESULT))
                     for folder in folders}}


COMMAND = programs.program(
    'check_page', __doc__, {'checks': ([], 'folders of finished checks')},
    _measure, markdown, kind='checks')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
