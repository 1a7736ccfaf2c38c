r"""Models that pretend to have forgotten, and which attack sees which.

  python -m experiments.benchmarks.fakes --workdir=../runs/fakes \
      --out=docs/results/fakes

Every fake is the original but for its answers on forget images: nothing was
unlearned. An honest retrained model, left out of the references, and DLFD stand
beside them. Judged are outputs alone, by ``evaluation.run.evaluate``.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import parallel, presets, tasks
from dlfd_jax.cli import command, inputs
from dlfd_jax.data import requests, sources, splits as splits_lib
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.evaluation import inputs as inputs_lib, registry, run
from dlfd_jax.metrics import per_example, stats
from dlfd_jax.pipeline import predictors as predictors_lib, train, unlearn
from dlfd_jax.report import render
from experiments.publish import programs

REFERENCES = 6
_PRIVATE = 1000  # seed of the retrained model that only the attacker has
_DRAW = 7
_TIER = 2
Logits = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class World:
  """Whose outputs a faker may use.

  Attributes:
    dataset: the images, of a task with classes.
    splits: retain, forget, val, test.
    original: its logits by split.
    references: of the retrained models that the judge has.
    private: of a retrained model that the judge does not have.
  """

  dataset: Dataset
  splits: splits_lib.Splits
  original: Logits
  references: list[Logits]
  private: Logits

  def labels(self, split: str) -> np.ndarray:
    return self.dataset.labels[self.splits.parts[split]]

  def margins(self, logits: Logits, split: str) -> np.ndarray:
    return per_example.margin(
        self.dataset.task, logits[split], self.labels(split))

  def of_val(self) -> np.ndarray:
    """A val image of the same class for each forget image, drawn anew."""
    rng = np.random.default_rng(_DRAW)
    val = self.labels('val')
    found = np.empty(len(self.labels('forget')), np.int64)
    for label in np.unique(self.labels('forget')):
      mine = np.flatnonzero(self.labels('forget') == label)
      others = rng.permutation(np.flatnonzero(val == label))
      found[mine] = rng.permutation(np.resize(others, len(mine)))
    return found

  def with_margins(self, margins: np.ndarray) -> np.ndarray:
    """The original's logits on forget, the true one moved to these margins."""
    logits = np.array(self.original['forget'], np.float64)
    moved = margins - self.margins(self.original, 'forget')
    logits[np.arange(len(logits)), self.labels('forget')] += moved
    return logits.astype(np.float32)


def shuffled_margins(world: World) -> np.ndarray:
  """Margins of val images of the same class, shuffled."""
  return world.with_margins(
      world.margins(world.original, 'val')[world.of_val()])


def other_images(world: World) -> np.ndarray:
  """Answers of the original to val images of the same class."""
  return world.original['val'][world.of_val()]


def lowered(world: World) -> np.ndarray:
  """Margins lowered by one number a class, to the mean of val's."""
  margins = world.margins(world.original, 'forget').copy()
  val = world.margins(world.original, 'val')
  for label in np.unique(world.labels('forget')):
    mine = world.labels('forget') == label
    margins[mine] += (val[world.labels('val') == label].mean()
                      - margins[mine].mean())
  return world.with_margins(margins)


def mean_of_references(world: World) -> np.ndarray:
  """Mean answers of the judge's own retrained models."""
  return np.mean([logits['forget'] for logits in world.references], axis=0)


def private_model(world: World) -> np.ndarray:
  """Answers of a private retrained model: knows the two-sided attack."""
  return world.private['forget']


FAKES: tuple[Callable[[World], np.ndarray], ...] = (
    shuffled_margins, other_images, lowered, mean_of_references, private_model)


def about(fake: Callable[[World], np.ndarray]) -> str:
  """What a fake answers on forget images."""
  return str(fake.__doc__).rstrip('.')


def judge(world: World, logits: Logits,
          config: inputs_lib.EvaluationConfig) -> dict[str, Any]:
  """What the metrics of each tier find in one model.

  Returns:
    ``forgetting``, the overall verdict on it; ``metrics``: of each that can
    tell apart, ``tier``, ``value``, ``retrained``, ``z`` (the difference to the
    retrained models in its standard errors, of the table's columns alone) and
    ``verdict``.
  """
  outputs = {'original': world.original, 'unlearned': logits,
             'retrained': world.references}
  result = run.evaluate(
      outputs, world.dataset, world.splits, config, tier=_TIER)
  checked = inputs_lib.prepare(outputs, world.dataset, world.splits, config)
  found = {}
  for record in result['metrics']:
    metric = registry.find(record['metric'])
    if metric is None or metric.margin is None or (
        record['delta']['value'] is None):
      continue
    z = None
    if metric.name in _COLUMNS:
      delta = run.records(checked, metric)[0].delta
      z = delta.value / delta.error if delta.error else None
    found[record['metric']] = {
        'tier': metric.tier, 'value': record['unlearned']['value'],
        'retrained': record['retrained']['value'], 'z': z,
        'verdict': record['verdict']}
  return {'forgetting': result['verdicts']['forgetting']['verdict'],
          'metrics': found}


def seen_by(judged: Mapping[str, Any], tier: int) -> list[str]:
  """The metrics of forgetting of a tier that tell a model apart."""
  return [name for name, found in judged['metrics'].items()
          if found['tier'] == tier and found['verdict'] == stats.DISTINGUISHABLE
          and not name.endswith(('retain', 'test'))]


def make_world(values: flags.FlagValues) -> tuple[World, Logits, Logits]:
  """The models of the demo; also a left-out retrained model, and DLFD."""
  preset = presets.PRESETS['demo']
  root = pathlib.Path(command.required(values, 'workdir'))
  devices = inputs.devices(values)
  dataset = sources.load(presets.demo_data(0))
  partition = presets.demo_partition(dataset, 0)
  splits, _ = requests.resolve_request(
      dataset, partition, requests.ForgetRequest(fraction=.1, seed=0))

  def trained(name: str, seed: int, on: str) -> train.TrainResult:
    return train.train(
        dataset, partition if on == 'all' else splits,
        dataclasses.replace(preset.train, seed=seed), preset.network, on=on,
        workdir=root / name, devices=devices)

  runs_of = {'original': trained('original', 0, 'all')}
  for seed in (*range(REFERENCES + 1), _PRIVATE):
    runs_of[f'retrained_{seed}'] = trained(
        f'retrained_{seed}', seed, 'retain')
  runs_of['dlfd'] = unlearn.unlearn(  # type: ignore[assignment]
      runs_of['original'], preset.methods['dlfd'], splits, seed=0,
      workdir=root / 'dlfd', devices=devices)
  logits = _logits(runs_of, dataset, splits, devices)
  world = World(
      dataset, splits, logits['original'],
      [logits[f'retrained_{seed}'] for seed in range(REFERENCES)],
      logits[f'retrained_{_PRIVATE}'])
  return world, logits[f'retrained_{REFERENCES}'], logits['dlfd']


def _logits(runs_of: Mapping[str, Any], dataset: Dataset,
            splits: splits_lib.Splits, devices: parallel.Devices
            ) -> dict[str, Logits]:
  predictors = predictors_lib.Predictors(dataset, devices)
  found = {}
  for name, of_run in runs_of.items():
    saved = of_run.state()
    found[name] = {
        split: out.logits for split, out in predictors.run(
            saved.config, saved.variables, splits.parts).items()}
  return found


def judge_all(world: World, honest: Logits, dlfd: Logits,
              config: inputs_lib.EvaluationConfig) -> list[dict[str, Any]]:
  """Rows of the table: the original, each fake, and two that are none."""
  assert world.dataset.task.kind == tasks.MULTICLASS
  models: dict[str, tuple[str, Logits]] = {
      'original': ('Nothing was changed', world.original)}
  models |= {fake.__name__: (about(fake), {
      **world.original, 'forget': fake(world)}) for fake in FAKES}
  models |= {'dlfd': ('Unlearned by DLFD', dlfd),
             'retrained': ('Retrained, left out of the references', honest)}
  return [{'name': name, 'about': words, **judge(world, logits, config)}
          for name, (words, logits) in models.items()]


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  world, honest, dlfd = make_world(values)
  config = inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=20, draws=5)
  return {
      'references': REFERENCES,
      'forget': {'images': len(world.splits.forget),
                 'people': len(world.dataset.people_in(world.splits.forget))},
      'test': {'images': len(world.splits.test),
               'people': len(world.dataset.people_in(world.splits.test))},
      'models': judge_all(world, honest, dlfd, config)}


_COLUMNS = {
    'gap_mia_auc_matched': 'attack AUC', 'gap_accuracy_forget': 'forget acc',
    'normalised_js_forget': 'JS', 'reference_attack': 'reference',
    'reference_attack_two_sided': 'reference, two-sided',
    'reference_attack_person': 'by person',
    'reference_attack_person_two_sided': 'by person, two-sided',
    'rmia_auc': 'RMIA', 'lira_auc_two_sided': 'LiRA, two-sided'}


def markdown(result: Mapping[str, Any]) -> str:
  """One row a model: z of each attack, and who sees it."""
  rows = []
  for model in result['models']:
    cells = []
    for name in _COLUMNS:
      z = model['metrics'].get(name, {}).get('z')
      cells.append('-' if z is None else f'{z:+.1f}')
    seen = ['yes' if seen_by(model, tier) else 'no'
            for tier in range(_TIER + 1)]
    rows.append([model['about'], *cells, *seen, model['forgetting']])
  forget, test = result['forget'], result['test']
  return '\n'.join([
      '# Fakes, and which attack sees them', '',
      f'{result["references"]} retrained models; {forget["images"]} images of '
      f'{forget["people"]} people to forget, {test["images"]} images of '
      f'{test["people"]} people of test. A fake is the original but for its '
      'answers on forget images. In the columns of metrics: the difference to '
      'the retrained models in its standard errors (z). Then whether a metric '
      'on forget of the tier tells the model apart, each by itself, and the '
      f'overall verdict on forgetting at tier {_TIER}.', '',
      *render.markdown_lines(
          ['answers on forget images', *_COLUMNS.values(),
           *(f'tier {tier}' for tier in range(_TIER + 1)), 'verdict'], rows),
      '',
      'The last fake is seen by no attack on outputs, and cannot be: on forget '
      'it answers as a retrained model does, because it is one, and elsewhere '
      'nothing was altered. What is judged must be the weights that are '
      'deployed, not answers that somebody sends.', '',
      programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.fakes', __doc__, {
        'bootstrap': (1000, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
