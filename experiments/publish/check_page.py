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


def _column(check: dict[str, Any]) -> dict[str, Any]:
  """The lines of one check, by their title."""
  request, cost, time = check['request'], check['cost'], check['time']
  share, split = request['share_of_people'], check['split']
  return {
      'images': f'{check["images"]:,}', 'pixels a side': check['image_size'],
      'train, val, test': 'not known' if split is None else ', '.join(
          f'{split[part]:,}' for part in ('train', 'val', 'test')),
      'people to forget': request['people'],
      'their training images': request['images'],
      'share of the training images':
          f'{100 * request["share_of_images"]:.1f} %',
      'share of the training people':
          'not known' if share is None else f'{100 * share:.1f} %',
      'exact copies elsewhere': request['copies']['exact'],
      'near copies elsewhere': request['copies']['near'],
      **{f'{kind} copies elsewhere': request['copies'].get(
          kind, 'not looked for') for kind in ('mirrored', 'cropped')},
      'copies under another person': request['copies_of_other_people'],
      'people in two parts': request['people_in_two_parts_total'],
      **{f'{name} here': f'{cost[key]:.0f} s' if cost else 'not measured'
         for name, key in (('unlearning', 'unlearn_s'),
                           ('retraining', 'retrain_s'))},
      'costs are': 'not measured' if not cost else (
          f'of {cost["repeats"]} timed steps' if cost['repeats']
          else 'estimated from a pass'),
      'network': cost['network'] if cost else 'none',
      'check: reading': f'{time["read_s"]:.1f} s',
      'check: copies': f'{time["copies_s"]:.1f} s',
      'check: costs': f'{time["cost_s"]:.1f} s',
      'check: in all': f'{sum(time.values()):.1f} s',
      'peak memory: reading': f'{check["read_peak_bytes"] / 1e9:.1f} GB',
      'peak memory: in all': f'{check["peak_bytes"] / 1e9:.1f} GB'}


def markdown(result: dict[str, Any]) -> str:
  """A table with a column for each check, and their commands."""
  checks = result['checks']
  columns = [_column(check) for check in checks.values()]
  return '\n'.join([
      '# Checks of deletion requests', '', *render.markdown_lines(
          ['', *checks], [[name, *(str(column[name]) for column in columns)]
                          for name in columns[0]]), '',
      *(f'- {name}: `{check["command"]}`, on {check["device"]}, '
        f'{check["cores"]} cores, jax {check["jax"]}.'
        for name, check in checks.items()), '',
      f'Command: `{result["command"]}`. Written by the program.', ''])


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  folders = map(pathlib.Path, command.required(values, 'checks'))
  return {'checks': {folder.name: summary(runs.read_json(folder / runs.RESULT))
                     for folder in folders}}


COMMAND = programs.program(
    'publish.check_page', __doc__, {
        'checks': ([], 'folders of finished checks')},
    _measure, markdown, kind='checks')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
