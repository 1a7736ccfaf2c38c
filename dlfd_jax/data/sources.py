"""One way to name a data set, whatever holds it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  shards,
  split_columns,
  splits as splits_lib,
)
from dlfd_jax.data.faces import synthetic
from dlfd_jax.data.loaders import folder, images as images_lib, npz, tree
from dlfd_jax.data.tfds import catalog
from dlfd_jax.utils import text as text_lib, validate

SYNTHETIC = 'synthetic'
TREE = 'tree'
_DRAWN_PEOPLE = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
  """Where the images are and which labels count.

  Attributes:
    source: ``'synthetic'`` (drawn faces), an ``.npz`` file, a ``.csv``
      manifest beside a folder of images, ``'tree'`` (a folder of folders, one a
      class), a folder of shards that ``dlfd prepare`` wrote, or a data set of
      ``tfds.catalog``, such as ``'mucac/gli'``.
    labels: label columns of a file; one is a multiclass task, several are
      binary attributes. Of drawn faces: the task's name, or none
      for its default. Of a tree: none, or ``class``.
    multilabel: treat a single 0/1 column as an attribute.
    merge_from: classes at or above this number become one class.
    thresholds: pairs of a column and a value, ``age:30`` on the command line:
      the attribute is 1 where the column is at least the value.
    image_size: pixels a side; None keeps an npz file's own size.
    root: folder that the manifest's paths are relative to (None = its own), the
      tree, or the folder that holds a data set's download.
    people: number of drawn people (None = 200), or of people to take of
      mucac or celeb_a (None = all).
    images_per_person: drawn images of each.
    data_seed: seed of the drawn faces.
    identity_pattern: regular expression on the paths of a tree; its group is
      the person, see ``tree.load_tree``.
    class_names: all classes of a file or a tree, in the order of the outputs;
      of several label columns the attributes' names (None = integers as they
      are, texts in natural order: 1, 2, 10).
    same_classes: class names that differ by case, spaces or look-alike signs
      alone are one class.
    negative: value that means no in label columns without 0; ``-1`` for
      CelebA's coding (None = -1 is unknown).
    split_column: column of a file that says what part each image is in: train,
      val or test, usual words for them in any case, or 0, 1 and 2 as in CelebA
      (None = the one called split, if any; ``ignore`` = no column).
    split_codes: pairs of a value of that column, or of a folder of a tree, and
      its part, ``0:test,1:train`` on the command line.

  Raises:
    ValueError: if the source is none of these or a field does not fit it.
  """

  source: str = dataclasses.field(
      default=SYNTHETIC, metadata={'flag': 'data'})
  labels: tuple[str, ...] = ()
  multilabel: bool = False
  merge_from: int | None = None
  thresholds: tuple[tuple[str, int], ...] = ()
  image_size: int | None = None
  root: str | None = None
  people: int | None = None
  images_per_person: int = 8
  data_seed: int = 0
  identity_pattern: str | None = None
  # None where a run of an earlier version has no such field.
  class_names: tuple[str, ...] | None = None
  same_classes: bool | None = None
  negative: int | None = None
  split_column: str | None = None
  split_codes: tuple[tuple[str, str], ...] | None = None

  def __post_init__(self) -> None:
    validate.instance('data', self.source, str)
    validate.texts('labels', self.labels)
    validate.boolean('multilabel', self.multilabel)
    validate.instance('thresholds', self.thresholds, tuple)
    for pair in self.thresholds:
      if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError('Expected thresholds to be pairs of a column and a '
                         f'value, got {validate.shown(pair)}.')
      validate.instance('the column of thresholds', pair[0], str)
      validate.integer(f'the threshold of {pair[0]!r}', pair[1],
                       -validate.LARGEST)
    _check_distinct('thresholds', self.thresholds)
    for name, most in (('merge_from', validate.LARGEST),
                       ('image_size', images_lib.MOST_PIXELS_A_SIDE),
                       ('people', validate.LARGEST)):
      if getattr(self, name) is not None:
        validate.integer(name, getattr(self, name), 1, most)
    validate.integer('images_per_person', self.images_per_person)
    validate.integer('data_seed', self.data_seed, 0, 2**64 - 1)
    for name in ('root', 'identity_pattern', 'split_column'):
      if getattr(self, name) is not None:
        validate.instance(name, getattr(self, name), str)
    named = catalog.is_name(self.source)
    if not is_name(self.source):
      object.__setattr__(self, 'source', shards.manifest_of(self.source))
    suffix = os.path.splitext(self.source)[1].lower()
    if not is_name(self.source) and (
        suffix not in ('.npz', '.csv', '.json')):
      raise ValueError(
          f"Expected data to be 'synthetic', an .npz file, a .csv manifest, "
          f"'tree', a folder of dlfd prepare or one of "
          f"{', '.join(catalog.VARIANTS)}, got {self.source!r}.")
    if named:
      catalog.parse(self.source)
    if (self.source not in (SYNTHETIC, TREE) and suffix != '.json'
        and not self.labels):
      raise ValueError(
          f'Expected the names of the label columns of {self.source}, got '
          'none.')
    if self.source == SYNTHETIC and len(self.labels) > 1:
      raise ValueError(
          f'Expected one task of the drawn faces, got {list(self.labels)}.')
    if self.source == SYNTHETIC and self.labels and (
        self.labels[0] not in synthetic.TASKS):
      raise ValueError('Expected a task of the drawn faces '
                       f'{sorted(synthetic.TASKS)}, got {self.labels[0]!r}.')
    if self.source == TREE and self.labels not in ((), (tree.LABEL,)):
      raise ValueError(
          f'Expected no labels of a tree but {tree.LABEL!r}, got '
          f'{list(self.labels)}.')
    if self.image_size is None and (
        named or suffix == '.csv' or self.source == TREE):
      raise ValueError(
          f'Expected an image size for the images of {self.source}, got none.')
    self._check_reading()
    if self.identity_pattern is not None:
      tree.check_pattern(self.identity_pattern)

  def _check_reading(self) -> None:
    """Checks the fields that say how labels and parts are read."""
    if self.class_names is not None:
      validate.texts('class_names', self.class_names)
      if len(set(self.class_names)) < max(len(self.class_names), 1):
        raise ValueError('Expected distinct class_names, at least one, got '
                         f'{validate.shown(self.class_names)}.')
    if self.same_classes is not None:
      validate.boolean('same_classes', self.same_classes)
    if self.negative is not None:
      validate.integer('negative', self.negative, -validate.LARGEST)
    if self.split_codes is not None:
      validate.instance('split_codes', self.split_codes, tuple)
      for pair in self.split_codes:
        if not isinstance(pair, tuple) or len(pair) != 2:
          raise ValueError('Expected split_codes to be pairs of a value and a '
                           f'part, got {validate.shown(pair)}.')
        validate.texts('split_codes', pair)
        validate.one_of('the part in split_codes', pair[1], tuple(sorted(
            {*splits_lib.PARTITION_PARTS, *splits_lib.SPLITS_PARTS})))
      _check_distinct('split_codes', self.split_codes)
      if self.split_column == split_columns.IGNORE:
        raise ValueError('Expected split_codes for a column of the split, got '
                         f'split_column={split_columns.IGNORE!r}.')
    for name in _unread(self.source, _READING):
      if getattr(self, name) is not None:
        taken = sorted(kind for kind, read in _FIELDS.items() if name in read)
        raise ValueError(
            f'Expected {name} for {" or ".join(taken)} only, got '
            f'{validate.shown(getattr(self, name))} for {self.source}.')


# Fields that are refused where nothing reads them.
_READING = ('identity_pattern', 'class_names', 'negative', 'same_classes',
            'split_column', 'split_codes')


def is_name(source: str) -> bool:
  """Whether a source is a name, and no file or folder."""
  return source in (SYNTHETIC, TREE) or catalog.is_name(source)


def _check_distinct(name: str, pairs: tuple[tuple[str, Any], ...]) -> None:
  """Raises ValueError if a column or value has two meanings."""
  first = [pair[0] for pair in pairs]
  for word in first:
    if first.count(word) > 1:
      raise ValueError(f'Expected {name} of every name once, got '
                       f'{validate.shown(word)} {first.count(word)} times.')


_LABELS = ('labels', 'multilabel', 'merge_from', 'thresholds')
_FIELDS = {  # of each kind of source that are read there
    SYNTHETIC: ('labels', 'people', 'images_per_person', 'data_seed'),
    TREE: ('labels', 'root', 'identity_pattern', 'class_names', 'same_classes',
           'merge_from', 'split_codes'),
    '.npz': (*_LABELS, 'class_names', 'negative', 'split_column',
             'split_codes'),
    '.csv': (*_LABELS, 'class_names', 'negative', 'same_classes', 'root',
             'split_column', 'split_codes'),
    '.json': (),  # all is decided when they are prepared
    'a download': (*_LABELS, 'root', 'people')}


def unread(options: DataOptions, names: Collection[str]) -> list[str]:
  """The fields among ``names`` that nothing reads of such a source."""
  return _unread(options.source, names)


def _unread(source: str, names: Collection[str]) -> list[str]:
  kind = source if source in _FIELDS else os.path.splitext(source)[1].lower()
  read = _FIELDS.get(kind, _FIELDS['a download'])
  size = () if kind == '.json' else ('image_size',)
  return [name for name in names if name not in ('source', *size, *read)]


def for_source(options: DataOptions, source: str) -> DataOptions:
  """The options without what another source does not take.

  So a run on a table goes on with the shards that were prepared of it.
  """
  source = source if is_name(source) else shards.manifest_of(source)
  unread: dict[str, Any] = dict.fromkeys(_unread(source, _READING))
  return dataclasses.replace(options, **unread)


def load(options: DataOptions,
         progress: Callable[[int, int], None] | None = None, *,
         workers: int = 0, in_memory: bool = True,
         forgotten: Collection[str] = ()) -> dataset_lib.Dataset:
  """Reads or draws the data set.

  Args:
    options: which.
    progress: called with (images read, images in all) where images are decoded.
    workers: processes that decode long streams of shards.
    in_memory: whether images of files are read now; else when they are needed.
    forgotten: sample ids of earlier requests: where a manifest still lists
      them, or a tree has their class, their files may be absent.

  Returns:
    The data set; notes name classes that no image has, or none of the training
    part, or attributes that look like classes.

  Raises:
    ValueError, FileNotFoundError: if the source cannot be read as asked, or a
      class has a name, nobody named all, and it is in val or test alone.
  """
  dataset = _load(options, progress, workers, in_memory, forgotten)
  if dataset.task.is_multilabel:
    notes = [labels_lib.like_classes(dataset.labels, dataset.task)]
  else:
    # Others have official names, or were asked about when they were prepared;
    # and who forgot a class may have deleted its training images.
    asks = (options.class_names is None and not forgotten
            and (options.source == TREE
                 or options.source.lower().endswith('.csv')))
    notes = [_without_images(dataset), _without_training(dataset, asks)]
  return dataset.noted(*(
      note for note in notes if note and note not in dataset.notes))


def _without_training(dataset: dataset_lib.Dataset, asks: bool) -> str:
  """Names the classes that are in val or test alone; empty if none is.

  In data that say the parts themselves; no model can learn such a class.

  Args:
    dataset: of classes.
    asks: whether its name may be that of another one, spelt in another way.

  Raises:
    ValueError: if it may be, and the classes are no numbers.
  """
  if dataset.split is None:
    return ''
  words, codes = np.unique(dataset.split, return_inverse=True)
  parts = np.array([split_columns.part_of(word) or '' for word in
                    words.tolist()])[codes]
  tested = np.isin(parts, ('val', 'test'))
  learnt = np.unique(dataset.labels[np.isin(
      parts, ('train', 'retain', 'forget'))])
  unknown = np.setdiff1d(dataset.labels[tested], learnt)
  if not (learnt.size and unknown.size):
    return ''
  names = dataset.task.names
  asks = asks and not labels_lib.are_numbers(names)
  found = []
  for k in unknown.tolist():
    where = parts[tested & (dataset.labels == k)]
    found.append(
        f'{validate.shown(names[k])} in '
        f'{text_lib.counted(len(where), "image")} of '
        + text_lib.listed(np.unique(where).tolist()) + (
            text_lib.nearest(names[k], [names[i] for i in learnt])
            if asks else ''))
  if asks:
    raise ValueError(
        'Expected every class of val and test in the training part, too, got '
        f'{validate.listed(found)}: spell it as there, or name all classes by '
        '--class_names if no image of it is to be trained on.')
  return (f'No model learns {validate.listed(found)}: the training part has no '
          'such image.')


def _without_images(dataset: dataset_lib.Dataset) -> str:
  """Names the classes that no image has; empty if each has one."""
  there = set(np.unique(dataset.labels).tolist())
  empty = [name for k, name in enumerate(dataset.task.names) if k not in there]
  return '' if not empty else (
      f'No image is of {validate.listed(empty, 20)}: a model has '
      f'{dataset.task.num_outputs} outputs all the same.')


def _load(options: DataOptions, progress: Callable[[int, int], None] | None,
          workers: int, in_memory: bool, forgotten: Collection[str]
          ) -> dataset_lib.Dataset:
  if options.source == SYNTHETIC:
    return synthetic.synthetic_faces(
        people=_DRAWN_PEOPLE if options.people is None else options.people,
        images_per_person=options.images_per_person,
        size=options.image_size or 32, seed=options.data_seed,
        task=options.labels[0] if options.labels else synthetic.DEFAULT_TASK)
  if options.source.lower().endswith('.json'):
    return shards.load_shards(options.source, workers)
  labels = options.labels[0] if len(options.labels) == 1 else options.labels
  label_options: labels_lib.LabelOptions = {
      'multilabel': options.multilabel, 'merge_from': options.merge_from,
      'thresholds': dict(options.thresholds), 'names': options.class_names,
      'negative': options.negative, 'same_classes': options.same_classes}
  codes = None if options.split_codes is None else dict(options.split_codes)
  if options.source.lower().endswith('.npz'):
    return npz.load_npz(
        options.source, labels=labels, image_size=options.image_size,
        split_column=options.split_column, split_codes=codes, **label_options)
  assert options.image_size is not None  # DataOptions refuses the others
  if options.source == TREE:
    if options.root is None:
      raise ValueError(
          'Expected --root to name the folder of a tree, got none.')
    return tree.load_tree(
        options.root, image_size=options.image_size,
        identity_pattern=options.identity_pattern,
        class_names=options.class_names, same_classes=options.same_classes,
        merge_from=options.merge_from, split_codes=codes, progress=progress,
        in_memory=in_memory, forgotten=forgotten)
  if catalog.is_name(options.source):
    from dlfd_jax.data.tfds import load as tfds_load  # slow to import
    return tfds_load.load(
        options.source, root=options.root, labels=options.labels,
        image_size=options.image_size, people=options.people,
        progress=progress, **label_options)
  return folder.load_folder(
      options.source, labels=labels, image_size=options.image_size,
      root=options.root, split_column=options.split_column, split_codes=codes,
      progress=progress, in_memory=in_memory, forgotten=forgotten,
      **label_options)
