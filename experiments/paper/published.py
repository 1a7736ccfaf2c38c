"""Numbers of the papers, beside ours where ours are of the same task.

Test accuracy and NoMUS, both in [0, 1] and the same on either scale of the
forgetting score. One seed each; the sources say what their rows are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Published:
  """Rows of one table."""

  data: str  # name of the data set, with its forget set
  source: str  # where they stand
  # `(test accuracy, NoMUS)` by our row label
  rows: Mapping[str, tuple[float, float]]


_DLFD = ("printed in the notebooks of the authors' release, ResNet18 "
         '(Choi and Na 2024, arXiv:2409.14747); its EU-k does not '
         're-initialise, its BadTeaching diverged')
_BENCHMARK = 'README of the benchmark, ResNet18 (Choi and Na 2023, ' \
             'arXiv:2311.02240); UNSIR is its second stage'

TABLES: dict[str, Published] = {
    'mufac_age': Published('mufac', _DLFD, {
        'original': (.6330, .6241), 'retrained': (.6084, .7494),
        'finetune': (.6376, .6304), 'cf_k': (.6223, .6274),
        'eu_k': (.6297, .6255), 'neggrad': (.4116, .6809),
        'unsir': (.4907, .7144), 'bad_teaching': (.4202, .6473),
        'scrub': (.6463, .6594), 'dlfd': (.6197, .7819)}),
    'rafdb_emotion': Published('rafdb', _DLFD, {
        'original': (.7503, .7010), 'retrained': (.7194, .8401),
        'finetune': (.7516, .6927), 'cf_k': (.7513, .7027),
        'eu_k': (.7523, .7021), 'neggrad': (.7324, .7196),
        'unsir': (.6216, .7912), 'bad_teaching': (.5153, .7365),
        'scrub': (.7507, .7378), 'dlfd': (.6607, .7839)}),
    'mucac_gender': Published('mucac', _BENCHMARK, {
        'original': (.9835, .9611), 'retrained': (.9515, .9603),
        'finetune': (.9849, .9643), 'cf_k': (.9840, .9629),
        'neggrad': (.1762, .4592), 'unsir': (.9845, .9441),
        'scrub': (.1762, .4552), 'neggrad_plus': (.9147, .9444)}),
    'mucac_attributes': Published('mucac', _BENCHMARK, {
        'original': (.8852, .8858), 'retrained': (.8135, .8631),
        'finetune': (.9147, .8865), 'cf_k': (.9197, .8913),
        'neggrad': (.4193, .6740), 'unsir': (.9220, .8905),
        'scrub': (.9073, .9058), 'neggrad_plus': (.7607, .8651)}),
}


def beside(cell: Mapping[str, Any]) -> Published | None:
  """The numbers that stand beside a task's own, given one of its cells.

  None but on a preset of theirs as it is (nothing changed by a flag but where
  the data lie), which has their ResNet18 at their resolution, and on their data
  with their forget set. The authors' DLFD is what ``official_compat`` runs, so
  both have its number.
  """
  found = TABLES.get(cell['preset'])
  if (found is None or cell['task'] != cell['preset']
      or cell.get('data') != found.data):
    return None
  rows = dict(found.rows)
  if 'dlfd' in rows:
    rows['official_compat'] = rows['dlfd']
  return dataclasses.replace(found, rows=rows)
