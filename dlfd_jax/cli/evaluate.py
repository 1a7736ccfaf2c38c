"""``evaluate``: original, unlearned and retrained models side by side."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from absl import flags

from dlfd_jax import models
from dlfd_jax.cli import command, inputs, options, screen, trackers
from dlfd_jax.data import (
  dataset as dataset_lib,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  own_metrics,
)
from dlfd_jax.pipeline import (
  chain_checks,
  evaluate,
  evaluation_result,
  job,
  reference_models,
  run_configs,
  shadow_models,
  tier_1_runs,
)
from dlfd_jax.report import answers, render
from dlfd_jax.utils import files, runs, text as text_lib

_TIER_1 = ('relearn_steps', 'relearn_seeds', 'relearn_rate', 'recovery_steps')
_ABOUT = """
Measures an unlearned model beside the original and retrained ones: accuracies,
attacks with intervals over people, nulls, duplicates, time.

Data, split and forget set come from the unlearning run. Without --retrained its
column says `not computed`; give several, separated by commas, for their mean.

--tier=1 adds the figures against retrained models: gaps, distances of answers,
random-network likeness, relearn time, attempts to bring forget back, probes and
alignment of features, over-forgetting, harm. Their nulls need two retrained
runs of different seeds.

--tier=2 adds attacks that know the retrained models (RMIA, LiRA; by image and
by person), each model left out of its own references; it needs four of them.

--tier=3 adds attacks on single images with shadow models (--shadows), which
`references --design=random` trains. Each of them forgets its own people as the
judged model did, one after the other, which is by far most of the time; it is
kept in the folder of --shadows, a stopped command goes on there, and another
evaluation of the same method uses it again.

From tier 1 on the expected time is printed first. A stopped command goes on
from what it had finished in --workdir: a model's answers, a learning, an
attempt to bring forget back.

  dlfd evaluate --original=runs/original \\
      --unlearned=runs/unlearned --retrained=runs/retrained --workdir=runs/eval
"""


def _define(values: flags.FlagValues) -> None:
  for name, about in (('original', 'run of the original model'),
                      ('unlearned', 'unlearning run to judge')):
    flags.DEFINE_string(name, None, about, flag_values=values)
  flags.DEFINE_enum(
      'state', 'model', ['model', 'last'],
      'the selected state of the unlearning run, or its last one',
      flag_values=values)
  flags.DEFINE_float(
      'search_s', None, 'seconds spent on finding hyper-parameters; without it '
      'the result has no speed-up', lower_bound=0, flag_values=values)
  define_figures(values)


def define_figures(values: flags.FlagValues, tier: int | None = 0) -> None:
  """Flags of every command that measures models, but for which models.

  Args:
    values: where they are defined.
    tier: by default; None = the highest that the given models allow.
  """
  inputs.define_run(values)
  inputs.define_hosts(values)
  inputs.define_unverified(values)
  trackers.define(values)
  flags.DEFINE_list(
      'retrained', [], 'runs of models trained on retain alone',
      flag_values=values)
  flags.DEFINE_string(
      'references', None, 'folder of retrained models that `references` made, '
      'besides --retrained', flag_values=values)
  flags.DEFINE_integer(
      'tier', tier, '0: quick; 1: also against retrained models; 2: also '
      'attacks with at least four of them as references; 3: also attacks with '
      'shadow models' + ('; default the highest that the given models allow'
                         if tier is None else ''),
      lower_bound=0, upper_bound=3, flag_values=values)
  flags.DEFINE_string(
      'shadows', None, 'tier 3: folder of shadow models that `references` made '
      'with --design=random, keep or request; what they unlearn is kept in it',
      flag_values=values)
  flags.DEFINE_string(
      'half_references', None, 'from tier 2 on: folder of models that '
      '`references --design=half` made, for the attack on those who stay',
      flag_values=values)
  flags.DEFINE_integer(
      'relearn_steps', 100, 'tier 1: most steps of learning forget again, for '
      'each model and seed; 0 runs none', lower_bound=0, flag_values=values)
  flags.DEFINE_integer(
      'relearn_seeds', 3, 'tier 1: relearning runs of each model',
      lower_bound=1, flag_values=values)
  flags.DEFINE_float(
      'relearn_rate', None, 'tier 1: learning rate of relearning and recovery; '
      "default a tenth of the original's", lower_bound=0, flag_values=values)
  flags.DEFINE_integer(
      'recovery_steps', 100, 'tier 1: steps of learning retain alone, and '
      'parts of forget, before forget is asked for again; 0 leaves that out, '
      'and copies of its images, too', lower_bound=0, flag_values=values)
  flags.DEFINE_list(
      'metrics', [], "metrics of one's own beside all others, each as "
      'file.py:NAME', flag_values=values)
  flags.DEFINE_boolean(
      'keep_features', False, 'also write features.npz: the penultimate '
      'features of every model on every split', flag_values=values)
  flags.DEFINE_integer(
      'bootstrap', 2000, 'resamples behind every interval', lower_bound=20,
      flag_values=values)
  flags.DEFINE_integer(
      'evaluation_seed', 0, 'of resampling and subsampling', lower_bound=0,
      flag_values=values)
  options.define(options.DATA, values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  command.required(values, 'workdir')
  original = command.required(values, 'original')
  unlearned = command.required(values, 'unlearned')
  stored = pathlib.Path(unlearned) / runs.SPLITS
  dataset = inputs.load_data(inputs.data_options(run_configs.data_in(
      runs.read_config(unlearned, 'unlearn'), unlearned), values), values,
                             stored)
  splits = split_files.load_splits(stored, dataset)
  if not isinstance(splits, splits_lib.Splits):
    raise ValueError(
        'Expected the split of an unlearning run, with retain and forget, got '
        f'train, val and test in {stored}.')
  before = job.judged(original)
  return measure(
      values, line, before, unlearned,
      retrained_models(values), dataset, splits, stored,
      before.saved.config,
      state=command.value(values, 'state'),
      search_s=command.value(values, 'search_s'))


def measure(values: flags.FlagValues, line: str,
            original: evaluate.AnyModel | None, judged: evaluate.AnyModel,
            retrained: Sequence[evaluate.AnyModel],
            dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
            stored: str | os.PathLike | None, network: models.ModelConfig,
            **more: Any) -> dict[str, Any]:
  """Measures models by the flags of ``define_figures``, and shows the result.

  Args:
    values: the flags.
    line: the command as it was typed.
    original: the original model, None = not at hand.
    judged: the model in the column ``unlearned``.
    retrained: models trained on retain alone.
    dataset: the images.
    splits: of the request.
    stored: where the split was read from, None = from the data.
    network: that is named among what is used.
    **more: further arguments of ``evaluate``.
  """
  workdir, asked = command.required(values, 'workdir'), trackers.of(values)
  options = inputs.run_options(values, line)
  shadows = command.value(values, 'shadows')
  allowed = evaluate.allowed_tier(len(retrained))
  tier = command.value(values, 'tier')
  if tier is None:
    tier = evaluate.allowed_tier(len(retrained), shadows is not None)
  own_metrics.load(command.value(values, 'metrics'))  # refused at once
  if not tier:
    inputs.refuse(values, _TIER_1, 'at tier 0, which runs nothing of that')
  config = inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'),
      seed=command.value(values, 'evaluation_seed'))
  used = inputs.say_used(
      dataset, network=network, devices=options['devices'],
      parts=splits.parts,
      split_from=inputs.split_from(values, dataset, stored),
      settings={'tier': tier, **dataclasses.asdict(config)})
  if shadows is not None and tier == 3:
    judged = job.judged(judged, more.pop('state', None))
    shadows = shadow_models.plan(
        shadows, judged, None if original is None else job.judged(original),
        dataset, splits,
        allow_unverified=command.value(values, chain_checks.FLAG))
  result = evaluate.evaluate(
      original, judged, retrained, config, tier=tier, shadows=shadows,
      half_references=command.value(values, 'half_references'),
      tier_1=tier_1_runs.Tier1Config(**{
          name: command.value(values, name) for name in _TIER_1})
      if tier else None, splits=splits, dataset=dataset,
      keep_features=command.value(values, 'keep_features'), workdir=workdir,
      metrics=command.value(values, 'metrics'),
      used=used, allow_unverified=command.value(values, chain_checks.FLAG),
      **options, **more)
  with asked.run(workdir) as tracked:
    tracked.finish_with(result.record)
  show(result)
  if tier < allowed:
    print(f'{text_lib.counted(len(retrained), "retrained model")} '
          f'{"allows" if len(retrained) == 1 else "allow"} --tier={allowed}; '
          f'this was tier {tier}.')
  print(f'{workdir}/{runs.RESULT}')
  print(f'The report: dlfd report --evaluation={shlex.quote(str(workdir))}')
  return {'workdir': workdir, **result.record,
          **answers.as_json(answers.answers(result.record))}


def retrained_models(values: flags.FlagValues) -> list[str]:
  """The models of --retrained and those of --references.

  Raises:
    ValueError: if the folder of references stands in --retrained.
  """
  given = files.joined(command.value(values, 'retrained'))
  for one in given:
    if reference_models.is_index(one):
      raise ValueError(
          'Expected folders of one model each in --retrained, got the folder '
          f'{one}, which `references` made: name it with --references.')
  place = command.value(values, 'references')
  return given if place is None else [
      *given, *reference_models.load_references(
          place, allow_unverified=command.value(values, chain_checks.FLAG)
      ).retrained()]


def show(result: evaluation_result.EvaluationResult) -> None:
  """Prints the tables, what was found, and the answers where they are seen."""
  command.say_verification(result.record)
  console = screen.console()
  for table in result.tables(brief=True):
    console.print(render.to_rich(table))
  for sentence in result.headline():
    console.print(sentence)
  console.print()
  for sentence in result.answers():
    console.print(sentence)


COMMAND = command.Command('evaluate', _ABOUT, _define, _execute, most=(
    'original', 'unlearned', 'retrained', 'references', 'shadows',
    'half_references', 'workdir', 'config', 'data', 'root', 'tier', 'state',
    'relearn_steps', 'bootstrap', 'evaluation_seed', 'devices', 'json'))
main = COMMAND.main
