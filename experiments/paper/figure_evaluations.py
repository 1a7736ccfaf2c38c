"""Figures of losses and features, from evaluations of one task and seed."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import methods
from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.pipeline import evaluation_result
from dlfd_jax.report import (
  drawing,
  feature_numbers,
  figure_features,
  figure_losses,
  names,
  tables,
)
from dlfd_jax.utils import runs

MAIN_ATTACK = registry.MAIN_ATTACK
_TITLES = {'finetune_alike': "Fine-tuning, DLFD's options"}


@dataclasses.dataclass(frozen=True)
class Figure:
  """A drawing and the numbers under it."""

  numbers: dict[str, Any]  # what stands under `figures.json`; JSON values only
  # by the end of their file names, functions of the format
  pictures: Mapping[str, Callable[[str], bytes]]


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """One model of an evaluation folder."""

  name: str  # `original`, `retrained` or the label of an unlearned model
  title: str  # for readers
  column: str  # of the result
  folder: pathlib.Path  # of the evaluation
  result: Mapping[str, Any]  # of the evaluation
  arrays: Mapping[str, np.ndarray]  # of `per_example.npz`

  @property
  def key(self) -> str:
    """What the arrays call it: of several retrained models the first."""
    return 'retrained_0' if self.column == 'retrained' else self.column

  def losses(self, split: str) -> np.ndarray:
    """Loss per image of a split, nats."""
    return self.arrays[f'{self.key}/{split}/loss']

  def cell(self, metric: str) -> Estimate:
    """One metric of the result."""
    return tables.find_cell(self.result, metric, self.column)

  @property
  def has_features(self) -> bool:
    return (self.folder / evaluation_result.FEATURES).is_file()

  def features(self, split: str) -> np.ndarray:
    """Penultimate features of a split ``[n, d]``.

    Raises:
      ValueError: if the evaluation kept none.
    """
    if not self.has_features:
      raise ValueError(
          f'Expected {evaluation_result.FEATURES} in {self.folder} of '
          '--evaluations: run dlfd evaluate with --keep_features.')
    with np.load(self.folder / evaluation_result.FEATURES) as stored:
      return stored[f'{self.key}/{split}/features']


Models = Sequence[Model]
CellsByModel = Mapping[str, Mapping[str, Estimate]]
_SPLITS = ('unseen (test)', 'forget')


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
    path = folder / evaluation_result.PER_EXAMPLE
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
    count = sum(name.startswith('retrained_')
                for name in names.models_in(models[0].arrays))
    title = f'Retrained (1 of {count})' if count > 1 else 'Retrained'
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


def losses(models: Models, seed: int) -> Figure:
  """Figures 5 and 6 of the paper."""
  panels = [
      figure_losses.Panel(
          model.name, model.title, model.losses('forget'),
          model.losses('test'), model.cell(MAIN_ATTACK))
      for model in models]
  sides = units(models[0].arrays)
  chance = {
      panel.name: float(np.mean(figure_losses.chance_distances(
          panel.forget, panel.unseen, *sides, seed=seed)))
      for panel in panels}
  found = figure_losses.distances(panels)
  return Figure({panel.name: {
      'title': panel.title, 'js_distance': found[panel.name],
      'js_distance_people_swapped': chance[panel.name],
      'images': {'forget': len(panel.forget), 'test': len(panel.unseen)},
      'mia_auc_matched': _plain(panel.auc)} for panel in panels}, {
          'losses': lambda format: figure_losses.draw(
              panels, chance, format=format)})


def _plain(cell):
  return {'value': cell.value, 'low': cell.low, 'high': cell.high,
          'reason': cell.reason}


def feature_metrics(models: Models, limit: int,
                        seed: int) -> dict[str, dict[str, Estimate]]:
  """Probes and silhouette of each model.

  Those of tier 1 where every model has them, else all are computed from at most
  ``limit`` test images.
  """
  found = {model.name: {metric: model.cell(metric)
                        for metric in feature_numbers.METRICS}
           for model in models}
  if all(cell.value is not None for of in found.values()
         for cell in of.values()):
    return found
  arrays = models[0].arrays
  rows = figure_features.sample(len(arrays['test/labels']), limit, seed)
  return {model.name: feature_numbers.measure(
      model.features('test')[rows], arrays['test/labels'][rows],
      arrays['test/identity'][rows], seed=seed) for model in models}


def features(models: Models, cells: CellsByModel, projection: str, limit: int,
             seed: int) -> Figure:
  """Figures 2 and 4 of the paper: by class, and by split."""
  arrays, task = models[0].arrays, models[0].result['data']['task']
  test, forget = (
      figure_features.sample(len(arrays[f'{split}/labels']), limit, seed)
      for split in ('test', 'forget'))
  groups, names = figure_features.groups_of(
      arrays['test/labels'][test], task['names'],
      task['kind'] == 'multilabel')
  sides = np.repeat([0, 1], [len(test), len(forget)])
  by_class: list[figure_features.Panel] = []
  by_split: list[figure_features.Panel] = []
  for model in models:
    seen = model.features('test')[test]
    both = np.concatenate([seen, model.features('forget')[forget]])
    for panels, rows in ((by_class, seen), (by_split, both)):
      panels.append(figure_features.Panel(
          model.name, model.title,
          *figure_features.project(rows, projection, seed),
          cells[model.name]))
  return Figure({
      'projection': projection, 'fitted': 'each model on its own features',
      'images': {'test': len(test), 'forget': len(forget)},
      'models': {name: {metric: _plain(cell) for metric, cell in of.items()}
                 for name, of in cells.items()}}, {
          'features_class': lambda format: figure_features.draw(
              by_class, groups, names, format=format,
              title='Features of test images; each model in its own plane'),
          'features_split': lambda format: figure_features.draw(
              by_split, sides, _SPLITS, format=format,
              colors=(drawing.SKY, drawing.VERMILION),
              title='Features of forget and unseen images; each model in its '
              'own plane')})


def collapse(models: Models, cells: CellsByModel) -> Figure:
  """Figure 1 of the paper, in numbers."""
  arrays = models[0].arrays
  chance = feature_numbers.chance(
      arrays['test/labels'], arrays['test/identity'])
  points = [
      figure_features.Probes(
          model.name, model.title, cells[model.name]['probe_label_test'],
          cells[model.name]['probe_people_test'],
          cells[model.name]['silhouette_test']) for model in models]
  return Figure({
      'chance': {'label': chance[0], 'person': chance[1]},
      'collapse': 'label and person accuracy fall together',
      'models': {p.name: {
          'label': _plain(p.label), 'person': _plain(p.person),
          'silhouette': _plain(p.silhouette), 'silhouette_by_class': by_class}
                 for p, by_class in zip(
                     points, map(_by_class, models), strict=True)}}, {
          'collapse': lambda format: figure_features.draw_collapse(
              points, chance, format=format)})


def _by_class(model):
  """Mean silhouette of each class on test: tier 1's, else of kept features."""
  task = model.result['data']['task']
  found = {name: model.cell(f'silhouette_test/{name}')
           for name in task['names']}
  if all(cell.value is None for cell in found.values()) and model.has_features:
    found = feature_numbers.by_class(
        model.features('test'), model.arrays['test/labels'], task['names'],
        task['kind'] == 'multilabel')
  return {name: _plain(cell) for name, cell in found.items()}
