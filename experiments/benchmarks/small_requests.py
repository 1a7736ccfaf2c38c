r"""Requests as they really are: one image, one person, five people.

  python -m experiments.benchmarks.small_requests --data_dir=../shared/data \
      --workdir=../runs/requests --out=docs/results/small_requests

Ten people are drawn from the training people of each data set; requests for one
image (the first of each), for one person and for five of the ten are each
unlearned from the same original: by fine-tuning, by EU-k of half of the blocks,
by `dlfd unlearn` with its defaults and by `auto`. Four retrained models that
saw none of the ten people are the references. Every run is a run folder, and
what is judged of it a file beside it: the same command goes on.
"""

from __future__ import annotations

import collections
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
from dlfd_jax.metrics import person_rank, stats, usable
from dlfd_jax.report import render
from experiments.benchmarks import request_worlds as worlds
from experiments.publish import programs

SIZES = {'image': 'one image', 'person': 'one person', 'five': 'five people'}
_OF_FIVE = 5
_KEPT = ('val', 'test', 'retain')


def requests_of(world: worlds.World, size: str, count: int
                ) -> list[splits_lib.Splits]:
  """The drawn requests of a size, as many as ``count``."""
  people = [int(one) for one in worlds.drawn(
      world.dataset, world.partition.train, count, 0)]
  if size == 'image':
    rows = [world.partition.train[
        world.dataset.identity[world.partition.train] == one][0]
            for one in people]
    return [world.splits(sample_ids=[world.dataset.sample_id[row]])
            for row in rows]
  if size == 'person':
    return [world.splits(identities=[one]) for one in people]
  rng = np.random.default_rng(1)
  return [world.splits(identities=sorted(
      int(one) for one in rng.choice(people, _OF_FIVE, replace=False)))
          for _ in people]


def told(record: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Of everybody to forget: how member-like, and p where there is one.

  ``member_like`` is the share of unseen people below, .5 where nothing is
  left in the mean.
  """
  return [{
      'member_like': 1 - (one['place'] - .5) / (1 + one['unseen']),
      'unseen': one['unseen'],
      'p': one.get('p'), 'smallest_p': one.get('smallest_p')}
          for one in record['people'] if one.get('place') is not None]


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = pathlib.Path(command.required(values, 'workdir'))
  data_dir = pathlib.Path(command.required(values, 'data_dir'))
  common = inputs.run_options(values)
  count = command.value(values, 'requests')
  if count < _OF_FIVE:
    raise ValueError(f'Expected at least {_OF_FIVE} requests of a size, as '
                     f'many people are drawn, got {count}.')
  return {'requests': count, 'tasks': [
      measure(worlds.open_world(name, root, data_dir, None, count, common),
              count, command.value(values, 'methods'), common)
      for name in command.value(values, 'tasks')]}


def measure(world: worlds.World, count: int, methods: Sequence[str],
            common: Mapping[str, Any]) -> dict[str, Any]:
  """All sizes and methods of a data set."""
  cells = []
  for size in SIZES:
    asked = requests_of(world, size, count)
    for name in ('original', 'left out', *methods):
      cells.append({'size': size, 'model': name, 'runs': [
          worlds.once(world.folder / size / name / f'{i}.json',
                      functools.partial(_run, world, splits, name, i,
                                        world.folder / size / name, common))
          for i, splits in enumerate(asked)]})
      jax.clear_caches()  # compiled programs hold memory maps, which run out
  return {**world.study.about(), 'title': worlds.TITLES[world.name],
          'references': len(world.references),
          'retraining_cpu_s': world.retraining_cpu_s, 'cells': cells}


def _run(world: worlds.World, splits: splits_lib.Splits, name: str, seed: int,
         folder: pathlib.Path, common: Mapping[str, Any]) -> dict[str, Any]:
  if name == 'original':
    return {'people': told(world.judge(world.original, splits))}
  if name == 'left out':
    i = seed % worlds.REFERENCES
    return {'people': told(world.judge(world.references[i], splits, i))}
  started = time.process_time()
  done = world.unlearn(name, world.original, splits, seed, folder / str(seed),
                       common)
  found = {'cpu_s': time.process_time() - started,
           'images': len(splits.forget), 'steps': done.record['steps'],
           'taken': worlds.taken(done)}
  if found['taken'] is None:
    return {**found, 'people': []}
  record = world.judge(done, splits)
  return {
      **found, 'people': told(record),
      'kept': {part: (worlds.value(record, f'accuracy_{part}')
                      - worlds.value(record, f'accuracy_{part}', 'original'))
               for part in _KEPT},
      'do_not_use': bool(done.record['do_not_use'])}


def summary(cell: Mapping[str, Any]) -> dict[str, Any]:
  """Over the requests of a cell.

  The interval of ``member_like`` is a t interval over requests; they share
  original, references and unseen people, which it leaves out.
  """
  means = [float(np.mean([one['member_like'] for one in run['people']]))
           for run in cell['runs'] if run['people']]
  half = None
  if len(means) > 1:
    freedom = len(means) - 1
    half = stats.t_interval(
        0.0, float(np.std(means, ddof=1)) / len(means)**.5, freedom)[1]
  ranked = [one for run in cell['runs'] for one in run['people']
            if one['p'] is not None]
  found = {
      'member_like': float(np.mean(means)) if means else None, 'half': half,
      'ranked': len(ranked),
      'apart': sum(one['p'] <= person_rank.LEVEL for one in ranked),
      'smallest_p': min((one['smallest_p'] for one in ranked), default=None)}
  given = [run for run in cell['runs'] if 'kept' in run]
  for part in _KEPT if given else ():
    kept = [run['kept'][part] for run in given]
    found[part] = {'mean': float(np.mean(kept)), 'worst': min(kept)}
  if given:
    found['do_not_use'] = sum(run['do_not_use'] for run in given)
  if 'cpu_s' in cell['runs'][0]:
    found['cpu_s'] = float(np.median([run['cpu_s'] for run in cell['runs']]))
    found['taken'] = dict(collections.Counter(
        run['taken'] or 'no model' for run in cell['runs']))
  return found


def sentences(task: Mapping[str, Any]) -> list[str]:
  """What the table of a data set says, in words."""
  found = []
  for size, title in SIZES.items():
    of = {cell['model']: summary(cell) for cell in task['cells']
          if cell['size'] == size}
    seen = of.get('original')
    if seen is None or seen['half'] is None:
      continue
    if seen['member_like'] - seen['half'] <= .5:
      found.append(f'{title.capitalize()}: over these requests not even the '
                   'original is told apart from unseen people, so the ranks '
                   'prove nothing about a method.')
      continue
    ranked = {name: one for name, one in of.items()
              if name in task_methods(task) and one['half'] is not None}
    left = [worlds.title_of(name) for name, one in ranked.items()
            if one['member_like'] - one['half'] > .5]
    over = [worlds.title_of(name) for name, one in ranked.items()
            if one['member_like'] + one['half'] < .5]
    found.append(
        f'{title.capitalize()}: the original is seen; '
        + (f'still more member-like than chance: {", ".join(left)}; '
           if left else 'no method is more member-like than chance; ')
        + (f'less than chance: {", ".join(over)}.' if over else
           'none is less.'))
  for cell in task['cells']:
    if cell['model'] == 'auto':
      counts = summary(cell)['taken']
      found.append(f'Auto, {SIZES[cell["size"]]}: ' + ', '.join(
          f'{name} {count}' for name, count in counts.items()) + '.')
  return found


def task_methods(task: Mapping[str, Any]) -> list[str]:
  """The methods of a result, in order."""
  names = dict.fromkeys(cell['model'] for cell in task['cells'])
  return [name for name in names if name not in ('original', 'left out')]


def markdown(result: Mapping[str, Any]) -> str:
  """A table and its sentences for each data set."""
  lines = ['# Small requests', '',
           f'{result["requests"]} drawn requests of each size. "Member-like" '
           'is the share of unseen people of test below the person (or image) '
           'in the reference-adjusted margin: .5 if nothing is left, '
           'above: a trace, below: over-forgetting; mean over requests with a '
           '95 % t interval, which leaves out that requests share original, '
           'references and unseen people. Accuracy is the change from the '
           'original in points, mean (worst). "Do not use" counts deletions '
           f'that cost more than {100 * usable.MOST_LOST["val"]:.0f} points on '
           f'val or {100 * usable.MOST_LOST["retain"]:.0f} on retain. The '
           'references lack everybody who was drawn, not only the people of a '
           'request.', '']
  for task in result['tasks']:
    whole = task['retraining_cpu_s']
    rows = []
    for cell in task['cells']:
      of = summary(cell)
      shown = ('-' if of['member_like'] is None else
               f'{of["member_like"]:.2f}' + (
                   '' if of['half'] is None else f' ± {of["half"]:.2f}'))
      rows.append([
          SIZES[cell['size']], worlds.title_of(cell['model']), shown,
          f'{of["apart"]} of {of["ranked"]}', *(
              f'{100 * of[part]["mean"]:+.1f} ({100 * of[part]["worst"]:+.1f})'
              if part in of else '-' for part in _KEPT),
          str(of.get('do_not_use', '-')),
          '-' if 'cpu_s' not in of else f'{of["cpu_s"]:.0f}' + (
              f' ({of["cpu_s"] / whole:.2f})' if whole else '')])
    smallest = min((summary(cell)['smallest_p'] for cell in task['cells']
                    if summary(cell)['smallest_p'] is not None), default=None)
    lines += [
        f'## {task["title"]}', '',
        f'{task["images"]:,} images, ResNet-18 of width '
        f'{task["network"]["width"]} at {task["image_size"]} px, '
        f'{task["train_epochs"]} epochs; {task["references"]} references.'
        + ('' if smallest is None else
           f' The smallest p that so many unseen people allow is '
           f'{smallest:.3f}.'), '',
        *render.markdown_lines(
            ['request', 'model', 'member-like', 'told apart by rank',
             'val acc', 'test acc', 'retain acc', 'do not use',
             'CPU s (over retraining)'], rows), '',
        *(f'- {line}' for line in sentences(task)), '']
  return '\n'.join([*lines, programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.small_requests', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'tasks': (list(worlds.TASKS), 'presets to run'),
        'methods': (list(worlds.METHODS), 'methods to run'),
        'requests': (10, 'drawn requests of each size', 5)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
