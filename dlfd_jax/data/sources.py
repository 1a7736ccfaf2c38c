"""One way to name a data set, whatever holds it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from dlfd_jax.data import dataset as dataset_lib, labels as labels_lib
from dlfd_jax.data.faces import synthetic
from dlfd_jax.data.loaders import folder, images as images_lib, npz, tree
from dlfd_jax.data.tfds import catalog
from dlfd_jax.utils import validate

SYNTHETIC = 'synthetic'
TREE = 'tree'
_DRAWN_PEOPLE = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
  """Where the images are and which labels count.

  Attributes:
    source: ``'synthetic'`` (drawn faces), an ``.npz`` file, a ``.csv``
      manifest beside a folder of images, ``'tree'`` (a folder of folders, one a
      class), or a data set of ``tfds.catalog``, such as ``'mucac/gli'``.
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
    for name, most in (('merge_from', validate.LARGEST),
                       ('image_size', images_lib.MOST_PIXELS_A_SIDE),
                       ('people', validate.LARGEST)):
      if getattr(self, name) is not None:
        validate.integer(name, getattr(self, name), 1, most)
    validate.integer('images_per_person', self.images_per_person)
    validate.integer('data_seed', self.data_seed, 0, 2**64 - 1)
    for name in ('root', 'identity_pattern'):
      if getattr(self, name) is not None:
        validate.instance(name, getattr(self, name), str)
    suffix = os.path.splitext(self.source)[1].lower()
    named = catalog.is_name(self.source)
    if self.source not in (SYNTHETIC, TREE) and not named and (
        suffix not in ('.npz', '.csv')):
      raise ValueError(
          f"Expected data to be 'synthetic', an .npz file, a .csv manifest, "
          f"'tree' or one of {', '.join(catalog.VARIANTS)}, got "
          f'{self.source!r}.')
    if named:
      catalog.parse(self.source)
    if self.source not in (SYNTHETIC, TREE) and not self.labels:
      raise ValueError(
          f'Expected the names of the label columns of {self.source}, got '
          'none.')
    if self.source == SYNTHETIC and len(self.labels) > 1:
      raise ValueError(
          f'Expected one task of the drawn faces, got {list(self.labels)}.')
    if self.source == TREE and self.labels not in ((), (tree.LABEL,)):
      raise ValueError(
          f'Expected no labels of a tree but {tree.LABEL!r}, got '
          f'{list(self.labels)}.')
    if self.image_size is None and (
        named or suffix == '.csv' or self.source == TREE):
      raise ValueError(
          f'Expected an image size for the images of {self.source}, got none.')
    if self.identity_pattern is not None:
      if self.source != TREE:
        raise ValueError(
            f'Expected identity_pattern for a tree only, got '
            f'{self.identity_pattern!r} for {self.source}.')
      tree.check_pattern(self.identity_pattern)


def load(options: DataOptions,
         progress: Callable[[int, int], None] | None = None
         ) -> dataset_lib.Dataset:
  """Reads or draws the data set.

  Args:
    options: which.
    progress: called with (images read, images in all) where images are decoded.

  Raises:
    ValueError, FileNotFoundError: if the source cannot be read as asked.
  """
  if options.source == SYNTHETIC:
    return synthetic.synthetic_faces(
        people=_DRAWN_PEOPLE if options.people is None else options.people,
        images_per_person=options.images_per_person,
        size=options.image_size or 32, seed=options.data_seed,
        task=options.labels[0] if options.labels else synthetic.DEFAULT_TASK)
  labels = options.labels[0] if len(options.labels) == 1 else options.labels
  label_options: labels_lib.LabelOptions = {
      'multilabel': options.multilabel, 'merge_from': options.merge_from,
      'thresholds': dict(options.thresholds)}
  if options.source.lower().endswith('.npz'):
    return npz.load_npz(
        options.source, labels=labels, image_size=options.image_size,
        **label_options)
  assert options.image_size is not None  # DataOptions refuses the others
  if options.source == TREE:
    if options.root is None:
      raise ValueError(
          'Expected --root to name the folder of a tree, got none.')
    return tree.load_tree(
        options.root, image_size=options.image_size,
        identity_pattern=options.identity_pattern,
        merge_from=options.merge_from, progress=progress)
  if catalog.is_name(options.source):
    from dlfd_jax.data.tfds import load as tfds_load  # slow to import
    return tfds_load.load(
        options.source, root=options.root, labels=options.labels,
        image_size=options.image_size, people=options.people,
        progress=progress, **label_options)
  return folder.load_folder(
      options.source, labels=labels, image_size=options.image_size,
      root=options.root, progress=progress, **label_options)
