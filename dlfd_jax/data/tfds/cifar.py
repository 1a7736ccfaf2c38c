"""CIFAR-10 and CIFAR-100 through the builders of ``tensorflow_datasets``.

60,000 images of 32 x 32 pixels (Krizhevsky, 2009, Learning multiple layers of
features from tiny images). ``label`` is the class; of CIFAR-100 it is one of
100, and ``coarse_label`` one of 20 that hold five of these each: whichever is
not the task is a column, and its values are sub-classes to forget.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dlfd_jax.data.tfds import index as index_lib
from dlfd_jax.utils import rng

LABEL = 'label'
PIXELS = 32 * 32 * 3  # bytes of an image, after those of its labels
IMAGES = {  # in each official file
    **{f'data_batch_{k}.bin': 10_000 for k in range(1, 6)},
    'test_batch.bin': 10_000, 'train.bin': 50_000, 'test.bin': 10_000}
_VAL = 'cifar val'  # salt of the draw
_VAL_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class Cifar:
  """One of both data sets.

  Attributes:
    name: of the builder.
    folder: of the official binary files.
    archive: which holds it.
  """

  CLASS_NAMES: ClassVar[Mapping[str, Sequence[str]]] = {}  # the files tell them

  name: str
  folder: str
  archive: str

  @property
  def INSTRUCTIONS(self) -> str:  # noqa: N802, as of the other data sets
    return (
        f'{self.name} is used from the folder that --root names: put '
        f'{self.archive} there, the binary version from '
        'https://www.cs.toronto.edu/~kriz/cifar.html, or what it unpacks to, '
        f'{self.folder}/; an existing folder without them is filled by '
        'tensorflow_datasets, which tries to download them.')

  def builder(self, root: pathlib.Path, image_size: int | None) -> Any:
    """The builder whose prepared data lie in ``root``.

    Raises:
      FileNotFoundError: if one of the official files is absent.
      ValueError: if one is not as it should be. Both only while preparing.
    """
    del image_size  # the builder keeps 32 x 32 pixels
    made = tfds.builder(self.name, data_dir=str(index_lib.data_dir(root)))
    generators, examples = made._split_generators, made._generate_examples

    def from_files(manager: Any) -> Any:
      return generators(_Files(self, root, made, manager))

    def encoded(*arguments: Any) -> Iterator[tuple[int, dict[str, Any]]]:
      for key, example in examples(*arguments):
        buffer = io.BytesIO()  # of an array it takes TensorFlow
        Image.fromarray(example['image']).save(buffer, 'png')
        buffer.seek(0)
        yield key, {**example, 'image': buffer}

    made._split_generators, made._generate_examples = from_files, encoded
    return made

  def describe(self, example: Any) -> tuple[str, str, int, dict[str, int]]:
    """Id and labels of an example; nobody is known in any."""
    values = {name: value for name, value in dict(example).items()
              if name != 'image'}
    sample_id = values.pop('id')
    return (sample_id.decode() if isinstance(sample_id, bytes)
            else str(sample_id), '', -1,
            {name: int(value) for name, value in values.items()})

  def roles(self, index: index_lib.Index, variant: str) -> np.ndarray:
    """The official train and test; of each class in train a tenth is val.

    As is usual in unlearning (Jia et al., 2023, arXiv:2304.04934, in their
    code), but for the draw, which is ours. A request says who is forgotten.
    """
    del variant
    split = index.part.astype('U6')
    generator = rng.generator(0, _VAL)
    order = np.argsort(index.sample_id)  # tensorflow_datasets shuffles
    train = order[index.part[order] == 'train']
    labels = index.columns[LABEL][train]
    for label in np.unique(labels):
      rows = generator.permutation(train[labels == label])
      split[rows[:max(1, round(_VAL_SHARE * len(rows)))]] = 'val'
    return split


TEN = Cifar('cifar10', 'cifar-10-batches-bin', 'cifar-10-binary.tar.gz')
HUNDRED = Cifar('cifar100', 'cifar-100-binary', 'cifar-100-binary.tar.gz')


@dataclasses.dataclass(frozen=True)
class _Files:
  """A download manager that takes the user's files where they are there."""

  cifar: Cifar
  root: pathlib.Path
  builder: Any
  manager: Any

  def download_and_extract(self, url: str) -> str:
    """The folder that holds the folder of the official files, checked."""
    archive = self.root / self.cifar.archive
    if (self.root / self.cifar.folder).exists():
      place = self.root
    elif archive.exists():
      check_archive(archive)  # before progress bars are drawn
      place = pathlib.Path(self.manager.extract(str(archive)))
    else:
      place = pathlib.Path(self.manager.download_and_extract(url))
    check_files(place / self.cifar.folder, self.builder, self.cifar)
    return os.fspath(place)


def check_archive(path: pathlib.Path) -> None:
  """Raises ValueError unless an archive can be unpacked to its end."""
  try:
    with tarfile.open(path) as archive:
      archive.getnames()
  except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
    raise ValueError(
        f'Expected an archive that can be unpacked at {path}, got one that '
        f'cannot: {error}.') from error


def check_files(folder: pathlib.Path, builder: Any, cifar: Cifar) -> None:
  """Checks the official files: their names, sizes, labels and classes.

  Raises:
    FileNotFoundError: if one is absent.
    ValueError: if one has another size, a label that is no class, or names of
      classes that are too few, too many or not distinct.
  """
  about = builder._cifar_info
  for file in (*about.label_files, *about.train_files, *about.test_files):
    if not (folder / file).is_file():
      raise FileNotFoundError(
          f'Expected {folder / file}, found none. {cifar.INSTRUCTIONS}')
  classes = [builder.info.features[key].num_classes for key in about.label_keys]
  for file, count in zip(about.label_files, classes, strict=True):
    names = (folder / file).read_text(encoding='utf-8', errors='replace')
    found = [name for name in names.split('\n') if name]
    if len(set(found)) != len(found) or len(found) != count:
      raise ValueError(
          f'Expected {count} distinct classes in {folder / file}, a line each, '
          f'got {len(found)} lines, {len(set(found))} of them distinct.')
  row = len(classes) + PIXELS
  for file in (*about.train_files, *about.test_files):
    size = (folder / file).stat().st_size
    if size != row * IMAGES[file]:
      raise ValueError(
          f'Expected {IMAGES[file]} images of {row} bytes in {folder / file}, '
          f'got {size} bytes: the file is not whole, or no binary version.')
    labels = np.memmap(folder / file, np.uint8, 'r').reshape(-1, row)
    for column, count in enumerate(classes):
      if labels[:, column].max() >= count:
        raise ValueError(
            f'Expected {about.label_keys[column]} below {count} in '
            f'{folder / file}, got {int(labels[:, column].max())}.')
