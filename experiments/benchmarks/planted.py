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

import jax
import numpy as np
from absl import flags

from dlfd_jax import parallel, presets
from dlfd_jax.cli import command, inputs
from dlfd_jax.data import requests, resolution, sources, splits as splits_lib
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.evaluation import inputs as inputs_lib, run
from dlfd_jax.metrics import epsilon, lira, per_example, ulira
from dlfd_jax.pipeline import (
  evaluate,
  job,
  predictors as predictors_lib,
  reference_models,
  shadow_models,
  tier_1_runs,
  train,
  unlearn,
)
from dlfd_jax.report import render
from dlfd_jax.utils import rng
from experiments.publish import programs

SHADOWS, REFERENCES = 32, 8
COPIES = 3
METHODS = ('finetune', 'eu_k', 'dlfd')
_SALT = 'planted'
# Retrained models that stand in for unlearned shadow models.
STAND_INS = 16
# The demo's, with fewer and larger steps.
_TRAIN = dataclasses.replace(
    presets.PRESETS['demo'].train, seed=0, batch_size=64)
_LEAK, _SHADOW, _REFERENCE = 500, 1, 1000  # where seeds begin
DATA = sources.DataOptions(image_size=16, people=150, images_per_person=6)
Logits = Mapping[str, np.ndarray]

# The columns of the first table, by metric.
LEAK_METRICS = {
    'mia_auc_matched': 'attack AUC', 'reference_attack': 'reference',
    'reference_attack_two_sided': 'reference, two-sided', 'rmia_auc': 'RMIA',
    'lira_auc': 'LiRA, offline', 'lira_auc_two_sided': 'LiRA, two-sided',
    'rmia_auc_person': 'RMIA, by person',
    'lira_auc_person': 'LiRA, by person'}
# And of the second one.
SHADOW_METRICS = {
    'u_lira_auc': 'U-LiRA', 'u_lira_auc_person': 'U-LiRA, by person',
    'u_lira_accuracy': 'U-LiRA accuracy', 'lira_online_auc': 'LiRA, online',
    'u_lira_retrained_auc': 'U-LiRA against retrained',
    'klom_forget': 'KLOM', 'epsilon_lb_largest': 'largest epsilon shown'}


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


def references_of(world: World, original: train.TrainResult, n: int,
                  design: str, name: str, seed: int
                  ) -> reference_models.ReferenceModels:
  """What ``dlfd references`` would train."""
  return reference_models.train_references(
      reference_models.plan(
          original, world.splits, n=n, design=design, seed=seed),
      world.root / name, each=command.check_finite, **world.common)


def retrained_of(world: World, original: train.TrainResult,
                 n: int) -> list[str]:
  """Folders of ``n`` retrained models, of which there may be more."""
  return references_of(
      world, original, n, reference_models.RETRAINED, 'references',
      _REFERENCE).retrained()[:n]


def config_of(method: str) -> Any:
  """The demo's settings of a method; EU-k trains as the original did."""
  config = presets.PRESETS['demo'].config_of(method)
  return dataclasses.replace(config, batch_size=_TRAIN.batch_size)


def unlearned_of(world: World, original: train.TrainResult,
                 method: str) -> unlearn.UnlearnResult:
  """The original without the people to be forgotten, by a method."""
  return unlearn.unlearn(
      original, config_of(method), world.splits, seed=0,
      workdir=world.root / 'unlearned' / method, **world.common)


def logits_of(world: World, runs_of: Mapping[str, job.ModelRun | str],
              splits: Sequence[str] = splits_lib.SPLITS_PARTS
              ) -> dict[str, dict[str, np.ndarray]]:
  """Logits of each model on parts of the split."""
  predictors = predictors_lib.Predictors(
      world.dataset, world.common.get('devices') or parallel.Devices())
  parts = {name: world.splits.parts[name] for name in splits}
  return {name: predictors.logits(job.judged(of_run).saved, parts)
          for name, of_run in runs_of.items()}


def margins_of(world: World, folders: Sequence[str]) -> np.ndarray:
  """Margins of models on forget, ``[models, n]``."""
  labels = world.dataset.labels[world.splits.forget]
  found = logits_of(world, {folder: folder for folder in folders}, ['forget'])
  return np.stack([per_example.margin(
      world.dataset.task, logits['forget'], labels)
                   for logits in found.values()]).astype(np.float64)


def unaware_auc(unlearned: np.ndarray, before: np.ndarray,
                states: np.ndarray) -> float:
  """AUC of online LiRA whose references have not unlearned.

  Args:
    unlearned: margins of the judged models ``[models, n]``.
    before: of the same models before they unlearned; each is left out of the
      references of itself.
    states: ``FORGET`` or ``OUT``, ``[models, n]``.
  """
  first, second = states == inputs_lib.FORGET, states == inputs_lib.OUT
  fitted = lira.fit_sides(before, first, second, left_out=True)
  return float(ulira.Scores(
      lira.online(unlearned, *fitted), first, second).auc())


def _row(result: Mapping[str, Any], names: Mapping[str, str]
         ) -> dict[str, dict[str, Any]]:
  """Of each metric what a table prints."""
  return {record['metric']: {
      **{key: record[key]['value'] for key in (
          'original', 'unlearned', 'retrained', 'null', 'delta')},
      'low': record['unlearned']['low'], 'high': record['unlearned']['high'],
      'why': record['unlearned']['reason'],
      'verdict': record['verdict'], 'gate': record['gate']}
          for record in result['metrics'] if record['metric'] in names}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  world = make_world(
      pathlib.Path(command.required(values, 'workdir')),
      **inputs.run_options(values))
  return measure(world, inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=20, draws=5),
                 shadows=command.value(values, 'shadows'),
                 methods=command.value(values, 'methods'))


def measure(world: World, config: inputs_lib.EvaluationConfig,
            shadows: int = SHADOWS, stand_ins: int = STAND_INS,
            methods: Sequence[str] = METHODS) -> dict[str, Any]:
  """Trains what is missing, and both tables."""
  original = world.trained('original', 0, world.partition, 'all')
  retrained = retrained_of(
      world, original, REFERENCES + stand_ins * bool(shadows))
  kept = retrained[:REFERENCES]
  logits = logits_of(world, {'original': original, **{
      folder: folder for folder in kept}})
  before_all = {'original': logits.pop('original'),
                'retrained': list(logits.values())}

  def judged(unlearned: Any, tier: int, shadow: Any = None) -> dict[str, Any]:
    return run.evaluate(
        {**before_all, 'unlearned': unlearned}, world.dataset, world.splits,
        config, tier=tier, references=inputs_lib.References(shadows=shadow))

  first = []
  for name, of_model in logits_of(world, leaks(world)).items():
    found = judged(of_model, 2)
    first.append({
        'leak': name, 'metrics': _row(found, LEAK_METRICS),
        'verdict': found['verdicts']['forgetting']['verdict'],
        'because': found['verdicts']['forgetting']['because']})
  return {
      'seeds': {'data, split, request, original': 0, 'leaks': _LEAK,
                'references': _REFERENCE, 'shadows': _SHADOW},
      'image_size': world.dataset.image_size[0],
      'splits': {name: {'images': len(rows), 'people': len(
          world.dataset.people_in(rows))}
                 for name, rows in world.splits.parts.items()},
      'references': len(kept), 'shadow_models': shadows, 'leaks': first,
      'unlearned': _second(world, original, shadows, methods,
                           retrained[REFERENCES:], kept, config, judged)
                   if shadows else []}


def _second(world: World, original: train.TrainResult, n: int,
            methods: Sequence[str], retrained: Sequence[str],
            kept: Sequence[str], config: inputs_lib.EvaluationConfig,
            judged: Any) -> list[dict[str, Any]]:
  """Rows of the second table.

  Methods are evaluated as ``dlfd evaluate --tier=3`` does it. The original as
  its own unlearned model, and retrained models in the place of unlearned ones,
  are no unlearning runs; of the latter who is said to have forgotten whom is
  drawn, as nobody saw anybody.
  """
  made = references_of(
      world, original, n, reference_models.RANDOM, 'shadows', _SHADOW)
  states, units = made.membership.of_images(), made.membership.unit
  before, exact = margins_of(world, made.folders), margins_of(world, retrained)
  nothing = inputs_lib.Shadows(before, before, states)
  found = {'nothing': (nothing, judged(
      logits_of(world, {'': original})[''], 3, nothing))}
  for method in methods:
    one = unlearned_of(world, original, method)
    record = evaluate.evaluate(
        original, one, kept, config, tier=3, shadows=made,
        tier_1=tier_1_runs.Tier1Config(relearn_steps=0, recovery_steps=0),
        devices=world.common['devices'], hooks=world.common['hooks']).record
    plan = shadow_models.plan(
        made, job.judged(one), job.judged(original), world.dataset,
        world.splits)
    found[method] = shadow_models.unlearned_shadows(  # they are kept there
        plan, predictors_lib.Predictors(world.dataset, world.common['devices'])
        ), record
    jax.clear_caches()  # compiled programs hold memory maps, which run out
  drawn = inputs_lib.Shadows(exact, exact, reference_models.random_states(
      len(retrained), units.max() + 1, _SHADOW)[:, units])
  found['retrained'] = drawn, judged(
      logits_of(world, {'': retrained[0]})[''], 3, drawn)
  return [{
      'method': name, 'models': len(shadow.states),
      'metrics': _row(of, SHADOW_METRICS),
      'unaware': unaware_auc(shadow.unlearned, shadow.before, shadow.states),
      'verdict': of['verdicts']['forgetting']['verdict'],
      'because': of['verdicts']['forgetting']['because']}
          for name, (shadow, of) in found.items()]


TITLES = {'nothing': 'Nothing (the original)', 'finetune': 'Fine-tuning',
          'eu_k': 'EU-k', 'dlfd': 'DLFD', 'retrained': 'Retraining'}


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
  for row in result['unlearned']:
    of = row['metrics']['u_lira_auc']
    found.append(
        f'{TITLES[row["method"]]}: U-LiRA {of["unlearned"]:.3f} where there is '
        f'nothing to find {of["null"]:.3f} ({of["verdict"]}); the attack that '
        f'does not know of the unlearning {row["unaware"]:.3f}.')
  images = result['splits']['forget']['images']
  if result['shadow_models'] and not epsilon.most_shown(
      result['shadow_models'] // 2, result['references'],
      epsilon.LEVEL / images):
    found.append(
        f'The largest epsilon says nothing here: so few models of an image '
        f'could not show any at {epsilon.LEVEL} over {images} images, whatever '
        'a method leaves.')
  return found


def _cell(of: Mapping[str, Any] | None, beside: str | None = None) -> str:
  if of is None or of['unlearned'] is None:
    return '-'
  text = f'{of["unlearned"]:.3f}'
  if of['low'] is not None:
    text += f' [{of["low"]:.2f}, {of["high"]:.2f}]'
  if beside and of[beside] is not None:
    text += f', null {of[beside]:.3f}'
  return text


def _of_shadows(result: Mapping[str, Any]) -> list[str]:
  """The second table."""
  if not result['shadow_models']:
    return ['U-LiRA with shadow models was not run for this page.']
  second = [[TITLES[row['method']], str(row['models']), *(
      _cell(row['metrics'].get(name), 'null') for name in SHADOW_METRICS),
             f'{row["unaware"]:.3f}', row['verdict']]
            for row in result['unlearned']]
  return [
      '## What shadow models still know after unlearning', '',
      f'{result["shadow_models"]} shadow models, each trained on retain and '
      'half of the people to be forgotten, then made to forget them. The '
      'null is the same figure where there is nothing to find. The last attack '
      'is online LiRA fitted to the models before they unlearned.', '',
      *render.markdown_lines(
          ['unlearned by', 'models', *SHADOW_METRICS.values(),
           'LiRA, online, unaware', 'verdict on forgetting, tier 3'], second)]


def markdown(result: Mapping[str, Any]) -> str:
  """Both tables, and their sentences."""
  sizes = ', '.join(
      f'{of["images"]} images of {of["people"]} people in {name}'
      for name, of in result['splits'].items())
  first = [[row['leak'], *(_cell(row['metrics'].get(name))
                           for name in LEAK_METRICS), row['verdict']]
           for row in result['leaks']]
  null = ['retrained models, mean', *(
      '-' if row is None or row['retrained'] is None
      else f'{row["retrained"]:.3f}' for row in (
          result['leaks'][0]['metrics'].get(name) for name in LEAK_METRICS)),
          '-']
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
      *_of_shadows(result),
      '', *(f'- {line}' for line in sentences(result)), '',
      programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.planted', __doc__, {
        'shadows': (SHADOWS, 'shadow models; 0 = no second table', 0),
        'methods': (list(METHODS), 'of the second table'),
        'bootstrap': (500, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
