r"""DLFD's own options and other distances against DLFD as it is.

  python -m experiments.benchmarks.dlfd_variants --data_dir=../shared/data \
      --demos=../runs/demo_seeds --judged=../runs/judged \
      --workdir=../runs/teachers --out=docs/results/dlfd_variants

In the worlds of `benchmarks.teachers`, and beside its cells: each variant
without restore and as the teacher of the same joint steps, five seeds, paired.
A variant is kept if with restore its gap is smaller than DLFD's, or no larger
where it costs less.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.cli import command
from dlfd_jax.methods import base
from dlfd_jax.report import render
from experiments.benchmarks import distance_stages, teachers
from experiments.publish import programs

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    'k_1': ('K = 1', {'perturb_steps': 1}),
    'k_2': ('K = 2', {'perturb_steps': 2}),
    # Weights that descend where the last inner pass computed its gradient, with
    # the statistics that it ran on, never see what that pass moves: K = 2.
    'last_pass': ('gradient of the last inner pass', {
        'perturb_steps': 2, 'batch_norm': 'frozen'}),
    'relative_unseen': ('distance relative to unseen people',
                        {'relative': True}),
    'every_block': ('features of every block', {'every_block': True}),
    'by_person': ('forget batches by person', {'by_person': True})}
_ALONE = '_alone'


def _changed(fields: Mapping[str, Any]) -> teachers.Change:
  def change(ours: base.MethodConfig) -> base.MethodConfig:
    own = {field.name: getattr(ours, field.name)
           for field in dataclasses.fields(ours)}
    return distance_stages.VariantConfig(**{**own, **fields})
  return change


ARMS: teachers.Arms = {
    **{name: teachers.ARMS[name] for name in (
        teachers.ALONE, teachers.OURS, teachers.AGAIN)},
    **{name: (title, teachers.ours_with(_changed(fields)))
       for name, (title, fields) in VARIANTS.items()},
    **{name + _ALONE: (title, teachers.bare(_changed(fields)))
       for name, (title, fields) in VARIANTS.items()}}


def sentence(worlds: Sequence[Mapping[str, Any]]) -> str:
  """Which variants have a smaller or a larger gap with restore, and where."""
  said, nearer = [], False
  for world in worlds:
    found: dict[str, list[str]] = {}
    for name, (title, _) in VARIANTS.items():
      one = teachers.paired(world['cells'], name, teachers.OURS, 'gap')
      if one.interval:
        found.setdefault(teachers.verdict(one), []).append(title)
    nearer |= 'nearer' in found
    if found:
      said.append(f'{world["title"]}: ' + '; '.join(
          f'{word} {", ".join(found[of])}'
          for of, word in _WORDS.items() if of in found) + '.')
  if not said:
    return 'Too few seeds were run to tell.'
  return ' '.join([
      'Some variants have a smaller gap.' if nearer else
      'No variant has a smaller gap.', *said])


_WORDS = {'nearer': 'smaller gap of', 'farther': 'larger gap of',
          'no difference': 'tie of'}


def markdown(result: Mapping[str, Any]) -> str:
  """Both tables of each data set: the models, and the paired differences."""
  lines = [
      '# Variants of DLFD', '',
      'With restore, against DLFD as the preset has it. '
      + sentence(result['worlds']), '',
      'Columns as in [teachers](teachers.md). A tie: the 95 % interval of the '
      'difference within seeds holds 0, which leaves room for differences as '
      'large as the interval; how far DLFD lies from itself is in its second '
      'row. No interval is corrected for how many there are. Relative to '
      'unseen people: a third of the people in val is set aside for it, so '
      'that live attack and selection read fewer.']
  for world in result['worlds']:
    cells = world['cells']
    names = {cell['model'] for cell in cells}
    rows = [(name, ending, title) for ending in ('', _ALONE)
            for name, title in [*(
                (name, teachers.ARMS[name][0])
                for name in (teachers.OURS, teachers.AGAIN)), *(
                    (name, title) for name, (title, _) in VARIANTS.items())]
            if name + ending in names]
    lines += [
        '', f'## {world["title"]}', '', f'{world["seeds"]} {world["about"]}',
        '', *render.markdown_lines(
            ['DLFD', 'restore', *teachers.COLUMNS.values()],
            [[title, 'no' if ending else 'yes',
              *teachers.row_of(cells, name + ending, title)[1:]]
             for name, ending, title in rows],
            'll' + 'r' * len(teachers.COLUMNS)), '',
        'The variant minus DLFD, both with restore or both without, within a '
        'seed, with 95 % t intervals; of attacks the distance to .5. Below 0: '
        'the variant is better.', '',
        *render.markdown_lines(
            ['DLFD', 'restore', 'seeds', 'gap', *teachers.ATTACKS.values()],
            [[title, 'no' if ending else 'yes', str(len(
                teachers.values_of(cells, name + ending, 'gap'))), *(
                    teachers.difference(teachers.paired(
                        cells, name + ending, teachers.OURS + ending, column))
                    for column in ('gap', *teachers.ATTACKS))]
             for name, ending, title in rows if name != teachers.OURS],
            'llrrrr')]
    if world['missing']:
      lines += ['', f'Partial: {len(world["missing"])} of '
                f'{len(world["missing"]) + len(cells)} models are not run yet.']
  return '\n'.join([*lines, '', programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.dlfd_variants', __doc__,
    {**teachers.FLAGS, 'models': (
        [name for name in ARMS if name != teachers.ALONE], 'which, by name')},
    lambda values: teachers.measure(
        values, command.value(values, 'models'), ARMS),
    markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
