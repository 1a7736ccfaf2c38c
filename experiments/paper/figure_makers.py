"""From what was read to figures: their numbers and their pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import (
  drawing,
  feature_numbers,
  figure_dlfd,
  figure_features,
  figure_losses,
  plots,
)
from experiments.paper import (
  figure_cells,
  figure_evaluations,
  figure_steps as steps_lib,
  summary,
)

Models = Sequence[figure_evaluations.Model]
CellsByModel = Mapping[str, Mapping[str, Estimate]]
_SPLITS = ('unseen (test)', 'forget')


@dataclasses.dataclass(frozen=True)
class Made:
  """A figure.

  Attributes:
    numbers: what stands under ``figures.json``; JSON values only.
    pictures: by the end of their file names, functions of the format.
  """

  numbers: dict[str, Any]
  pictures: Mapping[str, Callable[[str], bytes]]


def losses(models: Models, seed: int) -> Made:
  """Figures 5 and 6 of the paper."""
  panels = [
      figure_losses.Panel(
          model.name, model.title, model.losses('forget'),
          model.losses('test'), model.cell(figure_evaluations.MAIN_ATTACK))
      for model in models]
  sides = figure_evaluations.units(models[0].arrays)
  chance = {
      panel.name: float(np.mean(figure_losses.chance_distances(
          panel.forget, panel.unseen, *sides, seed=seed)))
      for panel in panels}
  found = figure_losses.distances(panels)
  return Made({panel.name: {
      'title': panel.title, 'js_distance': found[panel.name],
      'js_distance_people_swapped': chance[panel.name],
      'images': {'forget': len(panel.forget), 'test': len(panel.unseen)},
      'mia_auc_matched': _plain(panel.auc)} for panel in panels}, {
          'losses': lambda format: figure_losses.draw(
              panels, chance, format=format)})


def _plain(cell):
  return {'value': cell.value, 'low': cell.low, 'high': cell.high,
          'reason': cell.reason}


def figures_of_features(models: Models, limit: int,
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
             seed: int) -> Made:
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
  return Made({
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


def collapse(models: Models, cells: CellsByModel) -> Made:
  """Figure 1 of the paper, in numbers."""
  arrays = models[0].arrays
  chance = feature_numbers.chance(
      arrays['test/labels'], arrays['test/identity'])
  points = [
      figure_features.Probes(
          model.name, model.title, cells[model.name]['probe_label_test'],
          cells[model.name]['probe_people_test'],
          cells[model.name]['silhouette_test']) for model in models]
  return Made({
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


def steps(scene: steps_lib.Scene, faces: int, seed: int) -> Made:
  """Figure 3 of the paper."""
  retain, forget = steps_lib.batches(scene, seed)
  path = steps_lib.walk(scene, retain, forget)
  shown = _of_distinct_people(scene.dataset.identity[retain], faces)
  ids = scene.dataset.sample_id[retain]
  change = path.images[-1] - path.images[0]
  return Made({
      'transport_distance': path.distance.tolist(),
      'cross_entropy_nats': path.cross_entropy.tolist(),
      'pixel_change': {
          'mean': float(np.abs(change).mean()),
          'largest': float(np.abs(change).max()),
          'magnified': figure_dlfd.magnification(change[shown])},
      'images': {'retain': len(retain), 'forget': len(forget)},
      'config': dataclasses.asdict(scene.config),
      'faces': ids[shown].tolist(), 'notes': scene.notes}, {
          'steps': lambda format: figure_dlfd.draw_steps(
              path.images, path.features, path.forget, path.distance.tolist(),
              path.cross_entropy.tolist(), faces=shown, format=format)})


def _of_distinct_people(identity, count):
  """The first images of some people, or of all where persons are unknown."""
  if (identity < 0).any():
    return list(range(min(count, len(identity))))
  _, first = np.unique(identity, return_index=True)
  return np.sort(first)[:count].tolist()


def tradeoff(cells: Sequence[summary.Cell]) -> Made:
  """Test accuracy against attack AUC on every task."""
  points = figure_cells.points(cells)
  spread = figure_cells.spread_words(cells)
  return Made({
      'bars': spread, 'seeds': figure_cells.seeds_of(cells),
      'tasks': {task: [_point(point) for point in of_task]
                for task, of_task in points.items()}}, {
          'tradeoff': lambda format: plots.trade_offs(
              points, bars=spread, format=format)})


def _point(point: plots.Point) -> dict[str, Any]:
  return {'name': point.name, 'title': point.title, **{
      metric: {'mean': cell.value, 'low': cell.low, 'high': cell.high}
      for metric, cell in (('attack_auc', point.attack_auc),
                           ('accuracy_test', point.accuracy_test))}}


def complexity(cells: Sequence[summary.Cell],
               given: Mapping[str, int]) -> Made:
  """DLFD's gain in NoMUS by the number of classes."""
  gains = figure_cells.gains(cells, figure_cells.classes_of(cells, given))
  return Made({
      'bars': figure_cells.SPREAD, 'seeds': figure_cells.seeds_of(cells),
      'gains': [figure_cells.as_numbers(gain) for gain in gains]}, {
          'complexity': lambda format: figure_dlfd.draw_complexity(
              gains, format=format)})
