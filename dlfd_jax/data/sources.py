"""One way to name a data set, whatever holds it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data import folder
from dlfd_jax.data import npz
from dlfd_jax.data import synthetic

SYNTHETIC = 'synthetic'


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
  """Where the images are and which labels count.

  Attributes:
    source: ``'synthetic'`` (drawn faces), an ``.npz`` file, or a ``.csv``
      manifest beside a folder of images.
    labels: label columns of a file; one is a multiclass task, several are
      binary attributes. Of drawn faces: the task's name, or none
      for its default.
    multilabel: treat a single 0/1 column as an attribute.
    merge_from: classes at or above this number become one class.
    thresholds: ``(column, value)`` pairs: the attribute is 1 where the column
      is at least the value.
    image_size: pixels a side; None keeps an npz file's own size.
    root: folder that the manifest's paths are relative to; None = its own.
    people: number of drawn people.
    images_per_person: drawn images of each.
    data_seed: of the drawing.

  Raises:
    ValueError: if the source is none of the three or a field does not fit it.
  """

  source: str = SYNTHETIC
  labels: tuple[str, ...] = ()
  multilabel: bool = False
  merge_from: int | None = None
  thresholds: tuple[tuple[str, int], ...] = ()
  image_size: int | None = None
  root: str | None = None
  people: int = 200
  images_per_person: int = 8
  data_seed: int = 0

  def __post_init__(self):
    suffix = os.path.splitext(self.source)[1].lower()
    if self.source != SYNTHETIC and suffix not in ('.npz', '.csv'):
      raise ValueError(
          f"Expected data to be 'synthetic', an .npz file or a .csv manifest, "
          f'got {self.source!r}.')
    if self.source != SYNTHETIC and not self.labels:
      raise ValueError(
          f'Expected the names of the label columns of {self.source}, got '
          'none.')
    if self.source == SYNTHETIC and len(self.labels) > 1:
      raise ValueError(
          f'Expected one task of the drawn faces, got {list(self.labels)}.')
    if suffix == '.csv' and self.image_size is None:
      raise ValueError(
          f'Expected an image size for the images of {self.source}, got none.')


def load(options: DataOptions,
         progress: Callable[[int, int], None] | None = None
         ) -> dataset_lib.Dataset:
  """Reads or draws the data set.

  Args:
    options: which.
    progress: called with (images read, images in all) by a folder.

  Raises:
    ValueError, FileNotFoundError: if the source cannot be read as asked.
  """
  if options.source == SYNTHETIC:
    return synthetic.synthetic_faces(
        people=options.people, images_per_person=options.images_per_person,
        size=options.image_size or 32, seed=options.data_seed,
        task=options.labels[0] if options.labels else synthetic.DEFAULT_TASK)
  labels = options.labels[0] if len(options.labels) == 1 else options.labels
  thresholds = dict(options.thresholds)
  if options.source.lower().endswith('.npz'):
    return npz.load_npz(
        options.source, labels=labels, multilabel=options.multilabel,
        merge_from=options.merge_from, thresholds=thresholds,
        image_size=options.image_size)
  assert options.image_size is not None  # DataOptions refuses such a manifest
  return folder.load_folder(
      options.source, labels=labels, multilabel=options.multilabel,
      merge_from=options.merge_from, thresholds=thresholds,
      image_size=options.image_size, root=options.root, progress=progress)
