r"""Ten deletions, one after the other, of one original.

  python -m experiments.benchmarks.requests_in_a_row \
      --data_dir=../shared/data --workdir=../runs/requests \
      --out=docs/results/requests_in_a_row

Every request asks for some of the people who were drawn from training, and
begins where the one before ended. After each, everybody forgotten so far is
judged beside four retrained models that saw none of the drawn people. Beside
the last ones stand models that begin at the first original with all requests
until then joined. What is finished is not computed again.
"""

from __future__ import annotations

import functools
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax.cli import command, inputs
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.pipeline import job
from dlfd_jax.report import render
from dlfd_jax.utils import text
from experiments.benchmarks import request_worlds as worlds
from experiments.publish import programs

_SHOWN = ('accuracy_retain', 'accuracy_forget', 'accuracy_test',
          'mia_auc_matched', 'reference_attack_two_sided', 'mia_auc_person')


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = pathlib.Path(command.required(values, 'workdir'))
  data_dir = pathlib.Path(command.required(values, 'data_dir'))
  common = inputs.run_options(values)
  count, each = (command.value(values, name) for name in ('requests', 'people'))
  return {'requests': count, 'people': each, 'tasks': [
      measure(worlds.open_world(name, root, data_dir, None, count * each,
                                common),
              count, each, command.value(values, 'methods'), common)
      for name in command.value(values, 'tasks')]}


def measure(world: worlds.World, count: int, each: int, methods: Sequence[str],
            common: Mapping[str, Any]) -> dict[str, Any]:
  """All methods of a data set."""
  people = [int(one) for one in worlds.drawn(
      world.dataset, world.partition.train, count * each, 0)]
  folder = world.folder / f'in_a_row_{count}x{each}'
  so_far = [_judged_on(world, people[:each * (k + 1)]) for k in range(count)]
  joined_at = sorted({(count + 1) // 2, count})
  rows = [{'model': name, 'done': k + 1, 'joined': False,
           **worlds.once(folder / name / f'{k}.json', functools.partial(
               _figures, world, so_far[k], of, i))}
          for k in range(count)
          for name, of, i in (('original', world.original, None),
                              ('left out', world.references[0], 0))]
  for name in methods:
    start: job.ModelRun = world.original
    for k in range(count):  # a request without a model ends the row
      splits = world.splits(
          earlier=np.sort(np.concatenate(
              [np.array([], np.int64),
               *(_rows(world, one) for one in people[:each * k])])),
          identities=people[each * k:each * (k + 1)])
      start, row = _step(world, start, splits, so_far[k], name, k,
                         folder / name / str(k), common)
      rows.append({'model': name, 'done': k + 1, 'joined': False, **row})
      if row['taken'] is None:
        break
    for k in joined_at:
      asked = world.splits(identities=people[:each * k])
      _, row = _step(world, world.original, asked, so_far[k - 1], name, k,
                     folder / name / f'joined_{k}', common)
      rows.append({'model': name, 'done': k, 'joined': True, **row})
    jax.clear_caches()  # compiled programs hold memory maps, which run out
  return {**world.study.about(), 'title': worlds.TITLES[world.name],
          'references': len(world.references),
          'retraining_cpu_s': world.retraining_cpu_s, 'rows': rows}


def _rows(world: worlds.World, person: int) -> np.ndarray:
  train = world.partition.train
  return train[world.dataset.identity[train] == person]


def _judged_on(world: worlds.World, people: Sequence[int]
               ) -> splits_lib.Splits:
  """Everybody so far as forget; as retain those whom nobody asks for.

  The rest of the drawn people is in no part: the references lack them.
  """
  everybody = world.everybody
  forget = np.sort(np.concatenate([_rows(world, one) for one in people]))
  return splits_lib.Splits(
      everybody.retain, forget, everybody.val, everybody.test, by_person=True)


def _step(world: worlds.World, start: job.ModelRun, splits: splits_lib.Splits,
          judged_on: splits_lib.Splits, name: str, seed: int,
          folder: pathlib.Path, common: Mapping[str, Any]
          ) -> tuple[job.ModelRun, dict[str, Any]]:
  started = time.process_time()
  done = world.unlearn(name, start, splits, seed, folder, common)
  spent = time.process_time() - started
  return done, worlds.once(
      folder.with_suffix('.json'), lambda: {
          **({} if worlds.taken(done) is None else
             _figures(world, judged_on, done, None)), 'cpu_s': spent,
          'steps': done.record['steps'], 'taken': worlds.taken(done),
          'do_not_use': bool(done.record.get('do_not_use'))})


def _figures(world: worlds.World, splits: splits_lib.Splits, model: Any,
             left_out: int | None) -> dict[str, Any]:
  record = world.judge(model, splits, left_out)
  return {**worlds.gap(record),
          **{name: worlds.value(record, name) for name in _SHOWN}}


def sentences(task: Mapping[str, Any]) -> list[str]:
  """What the table of a data set says, in words."""
  found = []
  names = dict.fromkeys(row['model'] for row in task['rows']
                        if row['model'] not in ('original', 'left out'))
  last = max(row['done'] for row in task['rows'])
  honest = [row['gap'] for row in task['rows'] if row['model'] == 'left out']
  for name in names:
    row = {(one['done'], one['joined']): one for one in task['rows']
           if one['model'] == name}
    none = [f'{"the joined request" if one["joined"] else "request"} '
            f'{one["done"]}' for one in row.values()
            if one.get('taken', name) is None]
    if none:
      found.append(f'**{worlds.title_of(name)}** hands back no model at '
                   f'{" and ".join(none)}.')
      continue
    first, end, joined = row[1, False], row[last, False], row[last, True]
    nearer = ('the row of requests' if end['gap'] < joined['gap'] else
              'the joined request' if joined['gap'] < end['gap'] else 'neither')
    found.append(
        f'**{worlds.title_of(name)}**: gap {first["gap"]:.3f} after the '
        f'first request, {end["gap"]:.3f} after the last; all joined, from the '
        f'first original, {joined["gap"]:.3f}: {nearer} is nearer to '
        'retraining. Test accuracy '
        f'{100 * (end["accuracy_test"] - first["accuracy_test"]):+.1f} points '
        'from the first to the last.')
  found.append(f'A retrained model that is no reference has a gap of '
               f'{min(honest):.3f} to {max(honest):.3f} on the same people.')
  return found


def markdown(result: Mapping[str, Any]) -> str:
  """A table and its sentences for each data set."""
  lines = ['# Requests in a row', '',
           f'{result["requests"]} requests for '
           f'{text.counted(result["people"], "person")} each, one original '
           'and one seed. "So far" are the people forgotten '
           'until then: forget accuracy, attacks and gap are about all of '
           'them. The gap is the mean absolute difference to the retrained '
           'models in test, retain and forget accuracy and in the '
           'class-matched AUC. The references lack everybody who is asked for '
           'at any time; so does retain here.', '']
  for task in result['tasks']:
    whole = task['retraining_cpu_s']
    rows = []
    for row in task['rows']:
      if row['model'] in ('original', 'left out') and row['done'] not in (
          1, (result['requests'] + 1) // 2, result['requests']):
        continue
      rows.append([
          worlds.title_of(row['model'])
          + (', joined' if row['joined'] else ''), str(row['done']),
          *('-' if row.get(name) is None else f'{row[name]:.3f}'
            for name in ('gap', *_SHOWN)),
          (row['taken'] or 'none') if row['model'] == worlds.AUTO else '-',
          '-' if 'cpu_s' not in row else 'yes' if row['do_not_use'] else 'no',
          '-' if 'cpu_s' not in row else f'{row["cpu_s"]:.0f}' + (
              f' ({row["cpu_s"] / whole:.2f})' if whole else '')])
    lines += [
        f'## {task["title"]}', '',
        f'{task["images"]:,} images, ResNet-18 of width '
        f'{task["network"]["width"]} at {task["image_size"]} px, '
        f'{task["train_epochs"]} epochs; {task["references"]} references.', '',
        *render.markdown_lines(
            ['model', 'requests so far', 'gap', 'retain acc', 'forget acc',
             'test acc', 'attack AUC', 'reference attack, two-sided',
             'AUC by person', 'taken', 'do not use',
             'CPU s (over retraining)'], rows), '',
        *(f'- {line}' for line in sentences(task)), '']
  return '\n'.join([*lines, programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.requests_in_a_row', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'tasks': (list(worlds.TASKS), 'presets to run'),
        'methods': (list(worlds.METHODS[1:]), 'methods to run'),
        'requests': (10, 'requests one after the other', 2),
        'people': (1, 'people of each request', 1)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
