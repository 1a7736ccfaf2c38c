"""Evaluation folders of one task and seed, read for figures."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import methods
from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.pipeline import evaluate
from dlfd_jax.report import drawing, tables
from dlfd_jax.utils import runs

MAIN_ATTACK = registry.MAIN_ATTACK
_TITLES = {'finetune_alike': "Fine-tuning, DLFD's options"}


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """One model of an evaluation folder.

  Attributes:
    name: ``original``, ``retrained`` or the label of an unlearned model.
    title: for readers.
    column: of the result.
    folder: of the evaluation.
    result: of the evaluation.
    arrays: of ``per_example.npz``.
  """

  name: str
  title: str
  column: str
  folder: pathlib.Path
  result: Mapping[str, Any]
  arrays: Mapping[str, np.ndarray]

  @property
  def key(self) -> str:
    """What the arrays call it: of several retrained models the first."""
    return 'retrained_0' if self.column == 'retrained' else self.column

  def losses(self, split: str) -> np.ndarray:
    """Loss per image of a split, nats."""
    return self.arrays[f'{self.key}/{split}/loss']

  def cell(self, metric: str) -> Estimate:
    """One figure of the result."""
    return tables.find_cell(self.result, metric, self.column)

  @property
  def has_features(self) -> bool:
    return (self.folder / evaluate.FEATURES).is_file()

  def features(self, split: str) -> np.ndarray:
    """Penultimate features of a split ``[n, d]``.

    Raises:
      ValueError: if the evaluation kept none.
    """
    if not self.has_features:
      raise ValueError(
          f'Expected {evaluate.FEATURES} in {self.folder} of --evaluations: '
          'run dlfd evaluate with --keep_features.')
    with np.load(self.folder / evaluate.FEATURES) as stored:
      return stored[f'{self.key}/{split}/features']


def title_of(label: str) -> str:
  """A method's display name; any other label is its own.

  Example:
    >>> title_of('cf_k'), title_of('dlfd/last'), title_of('Ours')
    ('CF-k', 'DLFD, last state', 'Ours')
  """
  stem = label.removesuffix(drawing.LAST)
  title = _TITLES.get(stem, stem)
  if stem in methods.METHODS:
    title = methods.METHODS[stem].title
  return title if stem == label else f'{title}, last state'


def parse(entries: Sequence[str]) -> dict[str, pathlib.Path]:
  """``label=DIR`` entries of ``--evaluations``.

  Raises:
    ValueError: if an entry is no such pair or a label occurs twice.
  """
  found: dict[str, pathlib.Path] = {}
  for entry in entries:
    label, equals, folder = entry.partition('=')
    if not (label and equals and folder):
      raise ValueError(
          f'Expected label=DIR entries in --evaluations, got {entry!r}.')
    if label in found or label in ('original', 'retrained'):
      raise ValueError(
          'Expected distinct labels of unlearned models in --evaluations, got '
          f'{label!r} {"twice" if label in found else "as one"}.')
    found[label] = pathlib.Path(folder)
  return found


def read(folders: Mapping[str, pathlib.Path]) -> list[Model]:
  """Original, each unlearned model and retrained, in this order.

  Original and retrained are those of the first folder.

  Raises:
    FileNotFoundError: if a folder lacks its files.
    ValueError: if a folder is no evaluation, or of other images or another
      original than the first.
  """
  models: list[Model] = []
  for label, folder in folders.items():
    result = runs.read_json(folder / runs.RESULT)
    path = folder / evaluate.PER_EXAMPLE
    if result.get('kind') != 'evaluation':
      raise ValueError(
          f'Expected an evaluation in {folder} of --evaluations, got '
          f'{result.get("kind")!r}.')
    if not path.is_file():
      raise FileNotFoundError(f'Expected the file {path}, found none.')
    with np.load(path) as stored:
      arrays = dict(stored)
    one = Model(label, title_of(label), 'unlearned', folder, result, arrays)
    if not models:
      models.append(dataclasses.replace(
          one, name='original', title='Original', column='original'))
    else:
      _check_same(models[0], one)
    models.append(one)
  if models and 'retrained_0/test/loss' in models[0].arrays:
    several = 'retrained_1/test/loss' in models[0].arrays
    title = 'Retrained (first; numbers: mean)' if several else 'Retrained'
    models.append(dataclasses.replace(
        models[0], name='retrained', title=title, column='retrained'))
  return models


def _check_same(first, other):
  """Refuses folders that do not judge the same request."""
  same = all(
      np.array_equal(first.arrays[key], other.arrays[key])
      for key in ('forget/sample_id', 'test/sample_id')) and (
          _original(first) == _original(other))
  if not same:
    raise ValueError(
        'Expected --evaluations of one task and seed, with one original, got '
        f'others in {first.folder} and {other.folder}.')


def _original(model):
  return model.result.get('models', {}).get('sha256', {}).get('original')


def units(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Person of each forget and each test image, images where unknown.

  The two sides share no number.
  """
  found, after = [], 0
  for split in ('forget', 'test'):
    identity = np.asarray(arrays[f'{split}/identity'], np.int64)
    unknown = identity < 0
    own = np.arange(len(identity)) + identity.max(initial=0) + 1
    found.append(np.where(unknown, own, identity) + after)
    after = int(found[-1].max(initial=0)) + 1
  return found[0], found[1]
