"""A data set without copies of one image, inside its parts and across them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  index_sets,
  leakage,
  splits as splits_lib,
)


def clean_splits(dataset: dataset_lib.Dataset, splits: index_sets.Splits,
                 copies: leakage.Copies | None = None) -> index_sets.Splits:
  """The splits without duplicates, exact or near.

  In the order forget, retain, val, test an image leaves if it is a copy of any
  image of an earlier part, or of one of its own part that stays. So forget
  images lose their copies everywhere else, and no two that stay are copies.

  Args:
    dataset: the data.
    splits: the parts.
    copies: what ``leakage.find_copies`` gave for them, if it is at hand.

  Raises:
    ValueError: if a part would be empty.
  """
  copies = copies or leakage.find_copies(dataset, splits)
  copies_of: list[list[int]] = [[k] for k in range(copies.group.max() + 1)]
  for a, b in copies.near.tolist():
    copies_of[a].append(b)
    copies_of[b].append(a)
  group_of = dict(zip(copies.positions.tolist(), copies.group.tolist()))
  taken: set[int] = set()  # groups with an image that others must not copy
  kept = {}
  for name in ('forget', 'retain', 'val', 'test'):
    own: set[int] = set()
    stay = []
    for i in splits.parts[name].tolist():
      group = group_of[i]
      if not any(g in taken or g in own for g in copies_of[group]):
        own.add(group)
        stay.append(i)
    taken.update(group_of[i] for i in splits.parts[name].tolist())
    if not stay:
      raise ValueError(
          f'Expected images of {name} that are no copies of others, got none '
          f'among {len(splits.parts[name])}.')
    kept[name] = np.array(stay)
  return index_sets.Splits(
      **kept, by_person=index_sets.retain_forget_by_person(
          dataset, kept['retain'], kept['forget']),
      earlier=splits.earlier)


def report(dataset: dataset_lib.Dataset, splits: index_sets.Splits,
           copies: leakage.Copies | None = None
           ) -> tuple[index_sets.Splits, dict[str, Any]]:
  """The clean splits, and sizes and pairs of copies before and after.

  Returns:
    The splits, and what JSON can hold: ``rule``, and under ``raw`` and
    ``clean`` each ``images`` by part and the pairs ``exact`` and ``near``.
  """
  copies = copies or leakage.find_copies(dataset, splits)
  cleaned = clean_splits(dataset, splits, copies)
  found: dict[str, Any] = {'rule': leakage.RULE}
  for name, some in (('raw', splits), ('clean', cleaned)):
    pairs = leakage.leakage_report(
        dataset, some, copies if some is splits else None)
    found[name] = {
        'images': {part: len(rows) for part, rows in some.parts.items()},
        'exact': pairs['exact'], 'near': pairs['near']}
  return cleaned, found


def cached(dataset: dataset_lib.Dataset,
           path: pathlib.Path) -> dataset_lib.Dataset:
  """The images of the clean splits of ``dataset.split``, in memory.

  Args:
    dataset: with official splits; all its images are in one.
    path: where the report and the ids of the dropped images are kept; computed
      if it is not there.
  """
  if not path.is_file():
    splits = splits_lib.partition_from_column(dataset)
    if not isinstance(splits, index_sets.Splits):
      raise ValueError(
          f'Expected retain and forget in the split of {dataset.name!r}, got '
          'train.')
    cleaned, found = report(dataset, splits)
    stay = np.concatenate(list(cleaned.parts.values()))
    found['dropped'] = np.delete(dataset.sample_id, stay).tolist()
    temporary = path.with_name(f'.{path.name}.tmp')
    temporary.write_text(json.dumps(found, indent=2) + '\n', encoding='utf-8')
    temporary.replace(path)
  dropped = json.loads(path.read_text(encoding='utf-8'))['dropped']
  return take(dataset, np.flatnonzero(~np.isin(dataset.sample_id, dropped)))


def take(dataset: dataset_lib.Dataset, rows: np.ndarray) -> dataset_lib.Dataset:
  """Some rows of a data set, their pixels copied to memory."""
  return dataclasses.replace(
      dataset, images=np.asarray(dataset.images[rows]),
      labels=dataset.labels[rows], identity=dataset.identity[rows],
      sample_id=dataset.sample_id[rows],
      split=None if dataset.split is None else dataset.split[rows],
      places=None if dataset.places is None else dataset.places[rows],
      columns={name: column[rows] for name, column in dataset.columns.items()})
