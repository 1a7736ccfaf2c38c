r"""Real faces: who is told apart from retraining, and by what.

  python -m experiments.benchmarks.judged --data_dir=../shared/data \
      --workdir=../runs/judged --out=docs/results/judged

FG-NET age in 6 classes and LFW gender and smile, both at 32 px and width 8. Of
each: an original, eight retrained models as references, and up to tier 2 the
judged models: the original itself, two retrained models that are no references,
fine-tuning, EU-k, and DLFD without and with restore. Settings are the presets'.
Every model is a run folder: what is finished is not done again.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import methods as methods_lib, presets
from dlfd_jax.cli import command, inputs
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  references as references_lib,
  registry,
  run,
)
from dlfd_jax.metrics import person_rank, recovery, stats
from dlfd_jax.pipeline import (
  evaluate,
  job,
  predictors as predictors_lib,
  recovery as recovery_lib,
  relearn,
  tier_1_runs,
  train,
)
from dlfd_jax.report import render
from dlfd_jax.utils import runs, text, writes
from experiments.paper import study as study_lib
from experiments.publish import programs

REFERENCES = 8
METHODS = ('finetune', 'eu_k', 'dlfd', 'dlfd_restore')
TIER = 2
RECOVERY_EPOCHS = 1  # passes over retain of an attempt to bring forget back
# Fewer draws behind what decides nothing: probes and CKA are most of the time.
_TIER_1 = tier_1_runs.Tier1Config(
    config=inputs_lib.ReferenceConfig(
        probe_permutations=2, probe_people=20, jackknife_groups=5),
    relearn_steps=0, recovery_steps=0, random_networks=1)
COLUMNS = {
    'gap_accuracy_forget': 'forget acc', 'gap_mia_auc_matched': 'attack AUC',
    'gap_mia_auc_person': 'attack AUC, by person',
    'normalised_js_forget': 'JS, normalised', 'reference_attack': 'reference',
    'reference_attack_two_sided': 'reference, two-sided',
    'rmia_auc': 'RMIA', 'rmia_auc_person': 'RMIA, by person',
    'lira_auc': 'LiRA', 'lira_auc_two_sided': 'LiRA, two-sided',
    'gap_accuracy_retain': 'retain acc', 'gap_accuracy_test': 'test acc'}


BACK = {
    'recovery_accuracy': 'taught retain',
    **{f'recovery_rest/{part}': f'taught {part} of forget'
       for part in recovery.PARTS},
    **{f'recovery_copies_auc/{copy}': f'AUC, {copy}'
       for copy in recovery.COPIES}}


@dataclasses.dataclass(frozen=True)
class Data:
  """A preset on its file.

  Attributes:
    title: for readers.
    preset: its name.
    file: of the data.
    changed: what of network and images differs from the preset.
    forget: share of the training people.
    features: whether features are judged as well, by ``dlfd evaluate``'s
      function: kernels of a thousand images take minutes a model. Else
      ``evaluation.run.evaluate`` judges the logits.
  """

  title: str
  preset: str
  file: str
  changed: Mapping[str, int]
  forget: float
  features: bool

  def task(self, folder: pathlib.Path) -> study_lib.Task:
    preset = presets.PRESETS[self.preset]
    # Flags' names, as those that name the folders of the tables.
    image_size = self.changed.get('image_size', preset.data.image_size)
    return study_lib.Task(
        self.preset + ''.join(f'-{k}_{v}' for k, v in self.changed.items()),
        self.preset, dataclasses.replace(
            preset,
            data=dataclasses.replace(
                preset.data, source=str(folder / self.file),
                image_size=image_size),
            network=dataclasses.replace(
                preset.network, width=self.changed['width']),
            train=dataclasses.replace(
                preset.train, epochs=self.changed.get(
                    'epochs', preset.train.epochs))))


# What benchmarks of many models train on.
SMALL = Data('FG-NET, age in 6 classes', 'fgnet_age', 'fgnet_128.npz',
             {'image_size': 32, 'width': 8}, .25, features=True)
DATA = (
    SMALL,
    Data('LFW, gender and smile', 'lfw_gender_smile', 'lfw_64.npz',
         {'image_size': 32, 'width': 8}, .25, features=False))


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = study_lib.root_of(values)
  folder = pathlib.Path(command.required(values, 'data_dir'))
  common = inputs.run_options(values)
  config = inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=50)
  wanted = command.value(values, 'tasks')
  unknown = sorted(set(wanted) - {data.preset for data in DATA})
  if unknown:
    raise ValueError(f'Expected --tasks of {[d.preset for d in DATA]}, got '
                     f'{unknown}.')
  known = programs.out_of(values)
  known = known.with_name(f'{known.name}.json')
  return {'tasks': merged(
      [measure(data, data.task(folder), root, config, common,
               command.value(values, 'costs'))
       for data in DATA if data.preset in wanted],
      runs.read_json(known) if known.is_file() else {'tasks': []})}


def merged(tasks: Sequence[Mapping[str, Any]],
           earlier: Mapping[str, Any]) -> list[dict[str, Any]]:
  """What was measured, and the other data sets of an earlier result.

  Each of those keeps the command that it came from.
  """
  by_title = {task['title']: {'command': earlier['command'], **task}
              for task in earlier['tasks']}
  by_title |= {task['title']: dict(task) for task in tasks}
  return [by_title[data.title] for data in DATA if data.title in by_title]


def measure(data: Data, task: study_lib.Task, root: pathlib.Path,
            config: inputs_lib.EvaluationConfig,
            common: Mapping[str, Any], costs: bool) -> dict[str, Any]:
  """All models of one data set, judged; ``costs`` where features are."""
  study = study_lib.open_study(task, 0, root, data.forget, **common)
  made = study.references(REFERENCES + 1)
  kept, left_out = made[:REFERENCES], made[REFERENCES]
  judged: dict[str, tuple[str, Any]] = {
      'original': ('Original', study.trained['original']),
      'held_out': ('Retrained, left out', left_out),
      'retrained': ("Retrained, left out, of the original's seed",
                    study.trained['retrained'])}
  for name in METHODS:
    made_by = methods_lib.METHODS[name]
    judged[name] = made_by.title, study.unlearn(
        study.folder / name, task.preset.config_of(name))

  evaluated = (_whole if data.features else _of_logits)(
      study, kept, {name: run_of for name, (_, run_of) in judged.items()},
      config)
  back = _cleared(lambda: brought_back(
      study, kept, {name: run_of for name, (_, run_of) in judged.items()},
      config))
  models = [{'name': name, 'title': title, 'brought_back': back[name],
             **summary(_cleared(lambda name=name: evaluated(name, TIER)))}
            for name, (title, _) in judged.items()]
  cost = _costs(study.folder / 'costs.json', {
      'retraining': lambda: train.train(
          study.dataset, study.splits, task.preset.train, task.preset.network,
          on='retain', devices=study.devices),
      **{str(tier): lambda tier=tier: evaluated(METHODS[-1], tier, anew=True)
         for tier in range(TIER + 1)}}) if costs and data.features else None
  return {
      **about(study, data, len(kept)), 'recovery_steps': _steps_back(study),
      'seeds': {'data, split, request, original, unlearning': 0,
                'references from': 1000},
      'features': data.features, 'cpu_s': cost, 'models': models}


def brought_back(study: study_lib.Study, kept: Sequence[str],
                 judged: Mapping[str, Any],
                 config: inputs_lib.EvaluationConfig
                 ) -> dict[str, dict[str, Any]]:
  """What attempts to bring forget back find in each judged model.

  Every model is treated once, the references for all evaluations.

  Returns:
    By model the metrics of recovery by their names, see :func:`_figures`.
  """
  places = {**judged, **{f'retrained_{i}': one for i, one in enumerate(kept)}}
  models = {name: job.judged(place) for name, place in places.items()}
  predictors = predictors_lib.Predictors(study.dataset, study.devices)
  steps = _steps_back(study)
  stored = study.folder / f'brought_back-{len(kept)}-{steps}.npz'
  if stored.is_file():
    with np.load(stored) as arrays:
      found = references_lib.Recovery.of_arrays(dict(arrays))
  else:
    how = tier_1_runs.recovery_config(
        models, tier_1_runs.Tier1Config(recovery_steps=steps))
    assert isinstance(how, relearn.RelearnConfig)
    found = recovery_lib.recover(
        {name: one.saved for name, one in models.items()}, study.dataset,
        study.splits, predictors, how, study.common['hooks'])
    writes.write_arrays(stored, found.arrays())
  assert found is not None
  logits = {name: predictors.logits(one.saved, study.splits.parts)
            for name, one in models.items()}
  of_kept = [name for name in places if name not in judged]
  wanted = {name.partition('/')[0] for name in BACK}

  def of(name: str) -> dict[str, Any]:
    named = {'original': 'original', 'unlearned': name,
             **{one: one for one in of_kept}}
    prepared = inputs_lib.prepare(
        {'original': logits['original'], 'unlearned': logits[name],
         'retrained': [logits[one] for one in of_kept]},
        study.dataset, study.splits, config,
        references_lib.References(recovery=dataclasses.replace(
            found, logits={role: found.logits[one]
                           for role, one in named.items()})))
    records = [record.as_dict() for metric in registry.METRICS
               if metric.name in wanted
               for record in run.records(prepared, metric)]
    return {one['metric']: _figures(one) for one in records
            if one['metric'] in BACK}

  return {name: of(name) for name in judged}


def _steps_back(study: study_lib.Study) -> int:
  batch_size = study.task.preset.train.batch_size
  return RECOVERY_EPOCHS * -(-len(study.splits.retain) // batch_size)


def _figures(one: Mapping[str, Any]) -> dict[str, Any]:
  """What is kept of a metric's record."""
  return {**{key: one[key]['value'] for key in (
      'original', 'unlearned', 'retrained')},
          'delta': {key: one['delta'][key] for key in ('value', 'low', 'high')},
          'p_value': one['p_value'], 'verdict': one['verdict']}


def _cleared(call: Callable[[], Any]) -> Any:
  found = call()
  jax.clear_caches()  # compiled programs hold memory maps, which run out
  return found


def _costs(path: pathlib.Path,
           calls: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
  """Seconds of the processor, compiling and all, of each; kept in a file.

  Those of the clock would be those of all who share the machine.
  """
  known = runs.read_json(path) if path.is_file() else {}
  for name, call in calls.items():
    if name not in known:
      started = time.process_time()
      _cleared(call)
      known[name] = time.process_time() - started
      runs.write_json(path, known)
  return known


# A judged model's name and a tier -> the evaluation. ``anew``: none is read.
Evaluate = Callable[..., Mapping[str, Any]]


def _whole(study: study_lib.Study, kept: Sequence[str],
           judged: Mapping[str, Any], config: inputs_lib.EvaluationConfig
           ) -> Evaluate:
  def evaluated(name, tier, anew=False):
    return evaluate.evaluate(
        study.trained['original'], judged[name], kept, config, tier=tier,
        tier_1=_TIER_1 if tier else None, splits=study.splits,
        dataset=study.dataset, workdir=None if anew else study.folder / (
            f'evaluation{tier}-{name}-{config.bootstrap}'),
        devices=study.devices, hooks=study.common['hooks']).record

  return evaluated


def _of_logits(study: study_lib.Study, kept: Sequence[str],
               judged: Mapping[str, Any], config: inputs_lib.EvaluationConfig
               ) -> Evaluate:
  predictors = predictors_lib.Predictors(study.dataset, study.devices)

  @functools.cache
  def logits(name):
    return predictors.logits(
        job.judged(judged.get(name, name)).saved, study.splits.parts)

  def evaluated(name, tier):
    return run.evaluate(
        {'original': logits('original'), 'unlearned': logits(name),
         'retrained': [logits(folder) for folder in kept]},
        study.dataset, study.splits, config, tier=tier)

  return evaluated


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
  """What the page says of an evaluation."""
  ranked = [one for one in record.get('people') or () if 'told_apart' in one]
  metrics = {}
  for one in record['metrics']:
    metric = registry.find(one['metric'])
    if metric is None or metric.margin is None or '/' in one['metric']:
      continue
    metrics[one['metric']] = {
        'tier': metric.tier, 'about': metric.split, **_figures(one),
        'gate': one['gate']}
  return {
      'verdicts': {name: {key: of[key] for key in ('verdict', 'because')}
                   for name, of in record['verdicts'].items()},
      'ranked': len(ranked),
      'ranked_apart': sum(bool(one['told_apart']) for one in ranked),
      'smallest_p': min((one['smallest_p'] for one in ranked
                         if one.get('smallest_p') is not None), default=None),
      'metrics': metrics}


def seen_by(model: Mapping[str, Any], tier: int | None = None) -> list[str]:
  """Metrics of forgetting that tell a model apart, each by itself."""
  return [name for name, of in model['metrics'].items()
          if of['about'] == 'forget' and of['verdict'] == stats.DISTINGUISHABLE
          and (tier is None or of['tier'] == tier)]


def sentences(task: Mapping[str, Any]) -> list[str]:
  """Who is told apart, and by what, in words."""
  found = []
  for model in task['models']:
    forgetting, utility = (
        model['verdicts'][name] for name in ('forgetting', 'utility'))
    line = (f'**{model["title"]}**: forgetting is {forgetting["verdict"]}, '
            f'{forgetting["because"]}. Utility is {utility["verdict"]}, '
            f'{utility["because"]}.')
    least = model['smallest_p']
    if model['ranked'] and least is not None and least > person_rank.LEVEL:
      line += (' By rank nobody could be told apart: the smallest p among so '
               f'few unseen people is {least:.3f}.')
    elif model['ranked']:
      line += (f' By rank {model["ranked_apart"]} of {model["ranked"]} people '
               'are told apart.')
    found.append(line)
  honest = [model for model in task['models']
            if model['name'] in ('held_out', 'retrained')]
  false = [model for model in honest
           if any(of['verdict'].startswith(stats.DISTINGUISHABLE)
                  for of in model['verdicts'].values())]
  found.append(
      f'Of {len(honest)} retrained models that are no references, '
      f'{len(false)} {text.are(len(false))} called '
      'distinguishable in forgetting or utility.')
  cost = task['cpu_s']
  if cost:
    found.append(
        'An evaluation without learning again took ' + ', '.join(
            f'{cost[str(tier)] / cost["retraining"]:.2g} retrainings at tier '
            f'{tier}' for tier in range(TIER + 1))
        + ', in seconds of the processor (one retraining took '
        f'{cost["retraining"]:.0f}, compiling and all; training '
        f'{task["references"]} references is not counted).')
  return found


def _delta(of: Mapping[str, Any] | None) -> str:
  if of is None or of['delta']['value'] is None:
    return '-'
  delta = of['delta']
  cell = f'{delta["value"]:+.3f}'
  if delta['low'] is not None:
    cell += f' [{delta["low"]:+.2f}, {delta["high"]:+.2f}]'
  return f'**{cell}**' if of['verdict'] == stats.DISTINGUISHABLE else cell


def _back_lines(task: Mapping[str, Any]) -> list[str]:
  if 'recovery_steps' not in task:  # a result of an earlier version
    return []
  return [
      'Brought back: accuracy on forget (of parts: on the rest of it) after '
      f'{task["recovery_steps"]} steps on retain, or on parts of forget, and '
      'the attack on copies of its images: differences to the references '
      'after the same. Parts are whole people, rounded: two may be the same '
      'people, a small one nobody.', '', *render.markdown_lines(
          ['model', *BACK.values()],
          [[model['title'], *(_delta(model['brought_back'].get(name))
                              for name in BACK)]
           for model in task['models']]), '']


def about(study: study_lib.Study, data: Data, references: int
          ) -> dict[str, Any]:
  """What :func:`heading` says of a data set."""
  return {**study.about(), 'title': data.title, 'references': references,
          'people': {name: len(study.dataset.people_in(rows))
                     for name, rows in study.splits.parts.items()}}


def heading(task: Mapping[str, Any], judged: str) -> list[str]:
  """Title and sizes of a data set, and how its models were judged."""
  sizes = ', '.join(f'{task["splits"][name]:,} images of {people} people in '
                    f'{name}' for name, people in task['people'].items())
  return [
      f'## {task["title"]}', '',
      f'{sizes}. ResNet-18 of width {task["network"]["width"]} at '
      f'{task["image_size"]} px, {task["train_epochs"]} epochs; '
      f'{task["references"]} references. {judged}', '']


def markdown(result: Mapping[str, Any]) -> str:
  """A table and its sentences for each data set."""
  lines = ['# Real faces, judged up to tier 2', '',
           'Differences to the mean of the references, with 95 % intervals; '
           'those in bold are told apart by the metric itself, before the '
           'correction for several metrics that the verdicts have. Retrained '
           'models that are no references show what is said of an honest '
           'one.', '']
  for task in result['tasks']:
    lines += [
        *heading(task, 'Nobody learns again.' if task['features'] else
                 'Judged are logits: no probes, no CKA, nobody learns again.'),
        *render.markdown_lines(
            ['model', *COLUMNS.values(), 'people by rank', 'forgetting',
             'utility'],
            [[model['title'],
              *(_delta(model['metrics'].get(name)) for name in COLUMNS),
              f'{model["ranked_apart"]} of {model["ranked"]}',
              *(model['verdicts'][name]['verdict']
                for name in ('forgetting', 'utility'))]
             for model in task['models']]), '',
        *(f'- {line}' for line in sentences(task)), '',
        *_back_lines(task)]
    if 'command' in task:  # of an earlier start
      lines += [f'Command: `{task["command"]}`.', '']
  return '\n'.join([*lines, programs.made_by(dict(result)), ''])



COMMAND = programs.program(
    'benchmarks.judged', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'tasks': ([data.preset for data in DATA], 'presets to run'),
        'costs': (True, 'also what an evaluation of each tier costs'),
        'bootstrap': (500, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
