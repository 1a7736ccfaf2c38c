r"""Attacks on drawn faces whose leak is known: RMIA, LiRA, U-LiRA.

  python -m experiments.benchmarks.planted --workdir=../runs/planted \
      --out=docs/results/planted

Two tables. In the first the judged model is a training in which a share of the
people to be forgotten stayed: the size of the leak is planted. In the second 32
shadow models hold half of those people each and then forget them; judged is
what remains of each person, with attacks that know of the unlearning (U-LiRA)
and one that does not (online LiRA, fitted before it).
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import presets
from dlfd_jax.cli import command, inputs
from dlfd_jax.data import requests, resolution, sources, splits as splits_lib
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.pipeline import (
  job,
  reference_designs as designs,
  train,
)
from dlfd_jax.report import render
from dlfd_jax.utils import rng
from experiments.benchmarks import shadow_rows
from experiments.publish import programs

COPIES = 3
_SALT = 'planted'
# The demo's, with fewer and larger steps.
_TRAIN = dataclasses.replace(
    presets.PRESETS['demo'].train, seed=0, batch_size=64)
_LEAK, _REFERENCE = 500, 1000  # where seeds begin
DATA = sources.DataOptions(image_size=16, people=150, images_per_person=6)

# The columns of the first table, by metric.
LEAK_METRICS = {
    'mia_auc_matched': 'attack AUC', 'reference_attack': 'reference',
    'reference_attack_two_sided': 'reference, two-sided', 'rmia_auc': 'RMIA',
    'lira_auc': 'LiRA, offline', 'lira_auc_two_sided': 'LiRA, two-sided',
    'rmia_auc_person': 'RMIA, by person',
    'lira_auc_person': 'LiRA, by person'}


@dataclasses.dataclass(frozen=True, eq=False)
class World:
  """The data, and how a run of this program is started.

  Attributes:
    dataset: drawn faces.
    partition: who is trained on.
    splits: who is forgotten.
    root: of the run folders.
    common: of every run.
  """

  dataset: Dataset
  partition: splits_lib.Partition
  splits: splits_lib.Splits
  root: pathlib.Path
  common: Mapping[str, Any]

  def trained(self, name: str, seed: int, parts: job.Parts, on: str,
              dataset: Dataset | None = None) -> train.TrainResult:
    return train.train(
        dataset or self.dataset, parts, dataclasses.replace(_TRAIN, seed=seed),
        presets.PRESETS['demo'].network, on=on, workdir=self.root / name,
        **self.common)


def make_world(root: pathlib.Path, data: sources.DataOptions = DATA,
               **common: Any) -> World:
  """Draws the faces and who of them is forgotten."""
  dataset = sources.load(data)
  partition = splits_lib.draw_partition(
      dataset, seed=0, test_fraction=.3, val_fraction=.1)
  splits, _ = resolution.resolve_request(
      dataset, partition, requests.ForgetRequest(fraction=.45, seed=0))
  return World(dataset, partition, splits, root, common)


def with_share(dataset: Dataset, splits: splits_lib.Splits,
               share: float) -> splits_lib.Splits:
  """The split in which a share of the people to be forgotten stays.

  Larger shares hold the people of smaller ones.
  """
  people = rng.generator(0, _SALT).permutation(
      dataset.people_in(splits.forget))
  stay = np.isin(dataset.identity[splits.forget],
                 people[:round(share * len(people))])
  return dataclasses.replace(
      splits, retain=np.concatenate([splits.retain, splits.forget[stay]]),
      forget=splits.forget[~stay])


def repeated(dataset: Dataset, splits: splits_lib.Splits,
             times: int) -> tuple[Dataset, splits_lib.Splits]:
  """Data in which every image of forget is there so many times, in retain."""
  copies = np.repeat(splits.forget, times - 1)
  rows = np.concatenate([np.arange(len(dataset)), copies])
  names = [*dataset.sample_id, *(
      f'{name}_copy_{i}' for i, name in enumerate(dataset.sample_id[copies]))]
  more = dataclasses.replace(
      dataset, images=dataset.images[rows], labels=dataset.labels[rows],
      identity=dataset.identity[rows], sample_id=np.array(names), split=None,
      places=None, columns={name: column[rows]
                            for name, column in dataset.columns.items()})
  new = np.arange(len(dataset), len(more))
  return more, splits_lib.Partition(
      np.concatenate([splits.train, new]), splits.val, splits.test)


def leaks(world: World) -> dict[str, train.TrainResult]:
  """The judged models of the first table, by what is planted in them."""
  found = {'nobody': world.trained(
      'leak_0', _LEAK, world.splits, 'retain')}
  for share in (.25, .5, .75):
    found[f'{share:.0%} of the people'] = world.trained(
        f'leak_{share:g}', _LEAK + round(100 * share),
        with_share(world.dataset, world.splits, share), 'retain')
  found['all (another original)'] = world.trained(
      'leak_1', _LEAK + 100, world.partition, 'all')
  data, parts = repeated(world.dataset, world.splits, COPIES)
  found[f'all, every image {COPIES} times'] = world.trained(
      f'leak_x{COPIES}', _LEAK + 101, parts, 'all', data)
  return found


def subject_of(world: World, retrained: int) -> shadow_rows.Subject:
  """An original of everybody, and so many retrained models.

  Of those there may be more on the disk.
  """
  subject = shadow_rows.Subject(
      dataset=world.dataset, splits=world.splits,
      original=world.trained('original', 0, world.partition, 'all'),
      retrained=[], config_of=config_of, root=world.root, common=world.common)
  made = shadow_rows.references_of(
      subject, retrained, designs.RETRAINED, 'references', _REFERENCE)
  return dataclasses.replace(subject, retrained=made.retrained()[:retrained])


def config_of(method: str) -> Any:
  """The demo's settings of a method; EU-k trains as the original did."""
  config = presets.PRESETS['demo'].config_of(method)
  return dataclasses.replace(config, batch_size=_TRAIN.batch_size)


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  world = make_world(
      pathlib.Path(command.required(values, 'workdir')),
      **inputs.run_options(values))
  return measure(world, inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=20, draws=5),
                 shadows=command.value(values, 'shadows'),
                 methods=command.value(values, 'methods'))


def measure(world: World, config: inputs_lib.EvaluationConfig,
            shadows: int = shadow_rows.SHADOWS,
            stand_ins: int = shadow_rows.STAND_INS,
            methods: Sequence[str] = shadow_rows.METHODS) -> dict[str, Any]:
  """Trains what is missing, and both tables."""
  subject = subject_of(
      world, shadow_rows.REFERENCES + stand_ins * bool(shadows))
  before = subject.before()
  first = []
  for name, of_model in subject.logits(leaks(world)).items():
    found = subject.judged(before, of_model, 2, config)
    first.append({
        'leak': name, 'metrics': shadow_rows.figures(found, LEAK_METRICS),
        'verdict': found['verdicts']['forgetting']['verdict'],
        'because': found['verdicts']['forgetting']['because']})
  return {
      'seeds': {'data, split, request, original': 0, 'leaks': _LEAK,
                'references': _REFERENCE, 'shadows': 1},
      'image_size': world.dataset.image_size[0],
      'splits': {name: {'images': len(rows), 'people': len(
          world.dataset.people_in(rows))}
                 for name, rows in world.splits.parts.items()},
      'references': shadow_rows.REFERENCES, 'shadow_models': shadows,
      'leaks': first, 'unlearned': shadow_rows.measure(
          subject, config, shadows, methods) if shadows else []}


def sentences(result: Mapping[str, Any]) -> list[str]:
  """What the tables say, in words."""
  first = result['leaks']
  apart = [row['leak'] for row in first
           if row['verdict'].startswith('distinguishable')]
  found = ['Told apart at tier 2: '
           + (', '.join(apart) if apart else 'none of them') + '; not: '
           + (', '.join(row['leak'] for row in first
                        if row['leak'] not in apart) or 'none') + '.']
  for name in ('rmia_auc', 'lira_auc'):
    values = [row['metrics'][name]['unlearned'] for row in first]
    grows = all(b > a for a, b in zip(values, values[1:]))
    found.append(
        f'{LEAK_METRICS[name]}: '
        + ', '.join(f'{value:.2f}' for value in values)
        + (', larger with every leak.' if grows
           else ', not larger with every leak.'))
  return [*found, *shadow_rows.sentences(
      result['unlearned'], result['shadow_models'],
      result['splits']['forget']['images'])]


def markdown(result: Mapping[str, Any]) -> str:
  """Both tables, and their sentences."""
  sizes = ', '.join(
      f'{of["images"]} images of {of["people"]} people in {name}'
      for name, of in result['splits'].items())
  first = [[row['leak'], *(shadow_rows.cell(row['metrics'].get(name))
                           for name in LEAK_METRICS), row['verdict']]
           for row in result['leaks']]
  null = ['retrained models, mean', *(
      '-' if row is None or row['retrained'] is None
      else f'{row["retrained"]:.3f}' for row in (
          result['leaks'][0]['metrics'].get(name) for name in LEAK_METRICS)),
          '-']
  second = ['U-LiRA with shadow models was not run for this page.']
  if result['shadow_models']:
    second = ['## What shadow models still know after unlearning', '',
              *shadow_rows.table(result['unlearned'], result['shadow_models'])]
  return '\n'.join([
      '# Planted leaks', '',
      f'Drawn faces at {result["image_size"]} px, width 8: {sizes}. '
      f'{result["references"]} retrained models are the references.', '',
      '## Attacks with reference models, by the size of the leak', '',
      'The judged model was trained on retain and on a share of the people to '
      'be forgotten. AUC, forget against test, with 95 % intervals over '
      'people.', '',
      *render.markdown_lines(
          ['who of forget was trained on', *LEAK_METRICS.values(),
           'verdict on forgetting, tier 2'], [null, *first]), '',
      *second,
      '', *(f'- {line}' for line in sentences(result)), '',
      programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.planted', __doc__, {
        'shadows': (shadow_rows.SHADOWS,
                    'shadow models; 0 = no second table', 0),
        'methods': (list(shadow_rows.METHODS), 'of the second table'),
        'bootstrap': (500, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
