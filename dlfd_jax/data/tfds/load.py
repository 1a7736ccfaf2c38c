"""From a name such as ``mucac/gli`` and the user's folder to a data set."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  leakage,
  split_columns,
  splits as splits_lib,
)
from dlfd_jax.data.tfds import (
  base,
  catalog,
  celeb_a,
  cifar,
  index as index_lib,
  mucac,
  mufac,
  rafdb,
)
from dlfd_jax.utils import records, schemas, storage, writes

_MODULES: dict[str, Any] = {
    'mufac': mufac, 'mucac': mucac, 'rafdb': rafdb, 'celeb_a': celeb_a,
    'cifar10': cifar.TEN, 'cifar100': cifar.HUNDRED}
CLEAN_REPORT = 'clean.json'


def load(source: str, *, root: str | pathlib.Path | None,
         labels: Sequence[str], image_size: int, people: int | None = None,
         progress: Callable[[int, int], None] | None = None,
         **options: Unpack[labels_lib.LabelOptions]) -> dataset_lib.Dataset:
  """Prepares the data set the first time, then reads it.

  ``split`` holds the official roles: retain, forget, val and test, or train,
  val and test where there is no official forget set. Prepared
  data, the table of all images and the pixels at this size are kept in
  ``root/tensorflow_datasets``; delete it to prepare changed files again.

  Args:
    source: a name of ``catalog.VARIANTS``, or ``name/variant``.
    root: the folder that holds the user's download.
    labels: label columns, one or several. MUCAC and CelebA know Male, Smiling
      and Young also as gender, smile and young.
    image_size: side, in pixels, that every image is resized to.
    people: takes that many persons, evenly spaced in the order of their
      numbers, so that every role has its share; None takes all.
    progress: called with (images read, images in all) while pixels are decoded
      for the first time.
    **options: see ``labels.LabelOptions``; classes have their official names.

  Returns:
    The data set, its images memory-mapped.

  Raises:
    FileNotFoundError: if the download is absent, with what to do.
    ValueError: if it is malformed, or an argument does not fit it.
  """
  name, variant = catalog.parse(source)
  module = _MODULES[name]
  folder = _root(name, root)
  if name in ('mucac', 'celeb_a'):
    labels = [mucac.RENAMED.get(label, label) for label in labels]
  builder = module.builder(folder, image_size)
  prepared = index_lib.prepare(builder, folder)
  index = index_lib.read_table(
      builder, prepared, getattr(module, 'describe', base.describe))
  split = module.roles(index, variant)
  label = 'all'
  if people is not None:
    known = np.unique(index.identity[index.identity >= 0])
    if not len(known):
      raise ValueError(f'Expected no people of {source}, where nobody is known'
                       f', got {people}.')
    if not 1 <= people <= len(known):
      raise ValueError(
          f'Expected people in [1, {len(known)}], the persons of {source}, got '
          f'{people}.')
    chosen = np.linspace(0, len(known) - 1, people).round().astype(int)
    rows = np.flatnonzero(np.isin(index.identity, known[chosen]))
    index, split, label = index.take(rows), split[rows], f'people{people}'
  for part in (splits_lib.PARTITION_PARTS if (split == 'train').any()
               else splits_lib.SPLITS_PARTS):
    if not (split == part).any():
      raise ValueError(
          f'Expected at least one image of {part} in {source} from {folder}, '
          f'got none among {len(split)}; once the files are mended, delete '
          f'{prepared} to read them anew.')
  told = index_lib.class_names(builder)
  if len(labels) == 1 and not options.get('multilabel'):
    options['names'] = {**module.CLASS_NAMES, **told}.get(labels[0])
  values, task = labels_lib.make_labels(
      index.columns, labels, index.where, **options)
  dataset = dataset_lib.Dataset(
      images=index_lib.read_pixels(
          builder, prepared, index, (image_size, image_size), label, progress,
          grey=name == 'rafdb'),
      labels=values, identity=index.identity, sample_id=index.sample_id,
      task=task, name=source, split=split,
      people=(dict(zip(index.identity.tolist(), index.name.tolist()))
              if name == 'mufac' else {}),
      columns=labels_lib.other_columns(index.columns, labels, **options),
      column_names={column: dict(enumerate(names))
                    for column, names in told.items()})
  if (name, variant) == ('mufac', 'clean'):
    return _without_copies(
        dataset, prepared / f'{image_size}_{label}_{CLEAN_REPORT}')
  return dataset


def _without_copies(dataset: dataset_lib.Dataset,
                    path: pathlib.Path) -> dataset_lib.Dataset:
  """The images of ``leakage.clean_report`` of the official split, in memory.

  Args:
    dataset: with official splits; all its images are in one.
    path: where the report and the ids of the dropped images are kept; computed
      if it is not there.
  """
  if not path.is_file():
    splits = split_columns.partition_from_column(dataset)
    assert isinstance(splits, splits_lib.Splits)  # official roles
    cleaned, report = leakage.clean_report(dataset, splits)
    stay = np.concatenate(list(cleaned.parts.values()))
    report['dropped'] = np.delete(dataset.sample_id, stay).tolist()
    writes.write_json(path, report)
  dropped = records.read(path, schemas.Cleaned)['dropped']
  return dataset.take(np.flatnonzero(~np.isin(dataset.sample_id, dropped)))


def _root(name: str, root: str | pathlib.Path | None) -> pathlib.Path:
  instructions = _MODULES[name].INSTRUCTIONS
  if root is None:
    raise ValueError(
        f'Expected --root to name the folder that holds {name}, got none. '
        f'{instructions}')
  folder = storage.local(root).expanduser()
  if not folder.is_dir():
    raise FileNotFoundError(
        f'Expected a folder that holds {name}, found none at {folder}. '
        f'{instructions}')
  storage.keep_private(folder)  # what is prepared there
  return folder.absolute()
