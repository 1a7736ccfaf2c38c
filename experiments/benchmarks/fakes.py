r"""Models that pretend to have forgotten, and which attack sees which.

  python -m experiments.benchmarks.fakes --data_dir=../shared/data \
      --workdir=../runs --out=docs/results/fakes

Every fake is the original but for its answers on forget images: nothing was
unlearned. An honest retrained model, left out of the references, and DLFD stand
beside them. Judged are outputs alone, by ``evaluation.run.evaluate``, of three
kinds of models: those of the demo (in ``demo_seeds/0`` of the folder, with five
more retrained ones in ``fakes``), of ``planted`` and of FG-NET as ``judged``
has it. What is missing of them is trained.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import parallel, presets, tasks
from dlfd_jax.cli import command, demo, inputs
from dlfd_jax.data import requests, resolution, splits as splits_lib
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.evaluation import inputs as inputs_lib, registry, run
from dlfd_jax.metrics import per_example, stats
from dlfd_jax.pipeline import (
  job,
  predictors as predictors_lib,
  reference_models,
  train,
  unlearn,
)
from dlfd_jax.report import render
from experiments.benchmarks import judged, planted, shadow_rows
from experiments.paper import study as study_lib
from experiments.publish import programs

REFERENCES = 6
_DRAW = 7
_TIER = 2
Logits = Mapping[str, np.ndarray]
# Data, split, original, retrained models and DLFD's.
Runs = tuple[Dataset, splits_lib.Splits, Any, Sequence[Any], Any]


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

  def in_val(self, label: int) -> np.ndarray:
    """The val images of a class; all of val if it has none."""
    rows = np.flatnonzero(self.labels('val') == label)
    return rows if rows.size else np.arange(len(self.labels('val')))

  def of_val(self) -> np.ndarray:
    """A val image of the same class for each forget image, drawn anew."""
    rng = np.random.default_rng(_DRAW)
    found = np.empty(len(self.labels('forget')), np.int64)
    for label in np.unique(self.labels('forget')):
      mine = np.flatnonzero(self.labels('forget') == label)
      others = rng.permutation(self.in_val(label))
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
    margins[mine] += val[world.in_val(label)].mean() - margins[mine].mean()
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


def _of_demo(root: pathlib.Path, common: Mapping[str, Any]) -> Runs:
  """The models of ``dlfd demo``, and five more retrained ones."""
  preset, place = presets.PRESETS['demo'], root / 'demo_seeds' / '0'
  dataset = job.load_data(presets.demo_data(0))
  partition = presets.demo_partition(dataset, 0)
  splits, notes = resolution.resolve_request(
      dataset, partition, requests.ForgetRequest(fraction=.1, seed=0))

  def trained(name: str, seed: int, on: str) -> train.TrainResult:
    return train.train(
        dataset, partition if on == 'all' else splits,
        presets.demo_recipe(seed), preset.network, on=on,
        workdir=place / name, **common)

  original = trained('original', 0, 'all')
  retrained = [trained(name, seed, 'retain')
               for seed, name in enumerate(demo.RETRAINED)]
  more = reference_models.train_references(
      reference_models.plan(
          original, splits, n=REFERENCES + 2 - len(retrained), seed=1000),
      root / 'fakes', **common)
  return dataset, splits, original, [*retrained, *more.folders], (
      unlearn.unlearn(original, preset.methods['dlfd'], splits, seed=0,
                      notes=notes, workdir=root / 'fakes_dlfd', **common))


def _of_planted(root: pathlib.Path, common: Mapping[str, Any]) -> Runs:
  world = planted.make_world(root / 'planted', **common)
  subject = planted.subject_of(world, REFERENCES + 2)
  return (world.dataset, world.splits, subject.original, subject.retrained,
          shadow_rows.unlearned_of(subject, 'dlfd'))


def _of_faces(root: pathlib.Path, folder: pathlib.Path,
              common: Mapping[str, Any]) -> Runs:
  data = judged.SMALL
  study = study_lib.open_study(
      data.task(folder), 0, root / 'judged', data.forget, **common)
  return (study.dataset, study.splits, study.trained['original'],
          study.references(REFERENCES + 2), study.unlearn(
              study.folder / 'dlfd', study.task.preset.config_of('dlfd')))


def make_world(of: Runs, devices: parallel.Devices
               ) -> tuple[World, Logits, Logits]:
  """A world; also an honest retrained model that is no reference, and DLFD."""
  dataset, splits, original, retrained, dlfd = of
  predictors = predictors_lib.Predictors(dataset, devices)

  def logits(of_run: Any) -> Logits:
    return predictors.logits(job.judged(of_run).saved, splits.parts)

  known = [logits(of_run) for of_run in retrained]
  return World(
      dataset, splits, logits(original), known[:REFERENCES],
      known[REFERENCES]), known[REFERENCES + 1], logits(dlfd)


def agreement(world: World) -> float:
  """Mean correlation of two references' margins on forget and test."""
  margins = [np.concatenate([world.margins(logits, split)
                             for split in ('forget', 'test')])
             for logits in world.references]
  table = np.corrcoef(margins)
  return float(table[np.triu_indices(len(table), 1)].mean())


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
  root = pathlib.Path(command.required(values, 'workdir'))
  folder = pathlib.Path(command.required(values, 'data_dir'))
  common = inputs.run_options(values)
  config = inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=20, draws=5)
  known = {'demo': ('Drawn faces, the demo', lambda: _of_demo(root, common)),
           'fgnet_age': ('FG-NET, age in 6 classes',
                         lambda: _of_faces(root, folder, common)),
           'planted': ('Drawn faces at 16 px',
                       lambda: _of_planted(root, common))}
  wanted = command.value(values, 'worlds')
  if not set(wanted) <= set(known):
    raise ValueError(f'Expected --worlds of {list(known)}, got {wanted}.')
  worlds = []
  for title, of in (known[name] for name in wanted):
    world, honest, dlfd = make_world(of(), common['devices'])
    worlds.append({
        'title': title, 'references': REFERENCES,
        **{part: {'images': len(rows),
                  'people': len(world.dataset.people_in(rows))}
           for part, rows in (('forget', world.splits.forget),
                              ('test', world.splits.test))},
        'agreement': agreement(world),
        'models': judge_all(world, honest, dlfd, config)})
    jax.clear_caches()  # compiled programs hold memory maps, which run out
  return {'worlds': worlds}


def sentences(result: Mapping[str, Any]) -> list[str]:
  """Which metrics see each model, in words."""
  found = []
  for model in result['models']:
    by_tier = [(tier, seen_by(model, tier)) for tier in range(_TIER + 1)]
    said = '; '.join(
        f'tier {tier}: ' + (', '.join(map(registry.short_label, names))
                            or 'nothing') for tier, names in by_tier)
    found.append(f'{model["about"]}: {model["forgetting"]}. Told apart at '
                 f'{said}.')
  return found


def _of_the_private_model(result: Mapping[str, Any]) -> str:
  """What the fake that knows the attack shows."""
  model = next(one for one in result['models']
               if one['name'] == private_model.__name__)
  seen = [name for tier in range(_TIER + 1) for name in seen_by(model, tier)]
  found = ('by no metric of forgetting' if not seen else
           f'by {", ".join(map(registry.short_label, seen))}')
  return (
      f'The answers of a private retrained model are told apart {found}; the '
      f'verdict is {model["forgetting"]}. On forget they are those of an '
      'honest model. What can still be seen is that every other answer is the '
      "original's, or luck. Whoever answers all images with such a model "
      'leaves nothing to see: what is judged must be the weights that are '
      'deployed, not answers that somebody sends.')


_COLUMNS = {
    'gap_mia_auc_matched': 'attack AUC', 'gap_accuracy_forget': 'forget acc',
    'normalised_js_forget': 'JS', 'reference_attack': 'reference',
    'reference_attack_two_sided': 'reference, two-sided',
    'reference_attack_person': 'by person',
    'reference_attack_person_two_sided': 'by person, two-sided',
    'rmia_auc': 'RMIA', 'lira_auc_two_sided': 'LiRA, two-sided'}


def of_world(world: Mapping[str, Any]) -> list[str]:
  """One row a model: z of each attack, and who sees it; and sentences."""
  rows = []
  for model in world['models']:
    cells = []
    for name in _COLUMNS:
      z = model['metrics'].get(name, {}).get('z')
      cells.append('-' if z is None else f'{z:+.1f}')
    seen = ['yes' if seen_by(model, tier) else 'no'
            for tier in range(_TIER + 1)]
    rows.append([model['about'], *cells, *seen, model['forgetting']])
  forget, test = world['forget'], world['test']
  return [
      f'## {world["title"]}', '',
      f'{world["references"]} retrained models; {forget["images"]} images of '
      f'{forget["people"]} people to forget, {test["images"]} images of '
      f'{test["people"]} people of test. Two retrained models agree on the '
      'margins of these images with a correlation of '
      f'{world["agreement"]:.2f}.', '',
      *render.markdown_lines(
          ['answers on forget images', *_COLUMNS.values(),
           *(f'tier {tier}' for tier in range(_TIER + 1)), 'verdict'], rows),
      '', *(f'- {line}' for line in sentences(world)), '',
      _of_the_private_model(world), '']


def summary(result: Mapping[str, Any]) -> list[str]:
  """How many fakes are called what, by world."""
  names = {fake.__name__ for fake in FAKES}
  found = []
  for world in result['worlds']:
    of_fakes = [model for model in world['models'] if model['name'] in names]
    counts = collections.Counter(model['forgetting'] for model in of_fakes)
    found.append(
        f'{world["title"]} (agreement {world["agreement"]:.2f}): of '
        f'{len(of_fakes)} fakes ' + ', '.join(
            f'{count} {verdict}' for verdict, count in counts.most_common())
        + '.')
  return found


def markdown(result: Mapping[str, Any]) -> str:
  """A table for each kind of models."""
  return '\n'.join([
      '# Fakes, and which attack sees them', '',
      'A fake is the original but for its answers on forget images. In the '
      'columns of metrics: the difference to the retrained models in its '
      'standard errors (z). Then whether a metric on forget of the tier tells '
      'the model apart, each by itself, and the overall verdict on forgetting '
      f'at tier {_TIER}.', '',
      *(f'- {line}' for line in summary(result)), '',
      'An attack that compares image by image needs retrained models that '
      'agree on which image is hard: the correlation says how far they do.', '',
      *(line for world in result['worlds'] for line in of_world(world)),
      programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.fakes', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'worlds': (['demo', 'fgnet_age', 'planted'], 'whose models'),
        'bootstrap': (300, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
