"""``references``: retrained or shadow models that many evaluations share."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs, options
from dlfd_jax.pipeline import (
  chain_checks,
  reference_designs as designs,
  reference_models,
  run_configs,
)
from dlfd_jax.utils import runs, text as text_lib

_ABOUT = """
Trains reference models from the original's recipe, each from a seed of its own.

  --design=retrained  on those who stay: what evaluations compare with. More of
                      them may be asked for later, in the same folder.
  --design=random     shadow models of tier 3: each of the people to be
                      forgotten is in exactly half of the models, all others who
                      are trained on are in each; membership.npz says who is in
                      which.
  --design=keep       likewise, in two thirds of the shadow models, half of
                      which keep them: what unlearning does to those who stay.
                      Half of the models are the same without whom they forget.
  --design=request    shadow models of tier 3 that all forget the same people:
                      as the original, each from a seed of its own.
  --design=half       each of those who stay is in exactly half of the models,
                      nobody to be forgotten in any: for the attack of tier 2 on
                      those who stay.

Who is forgotten comes from an unlearning run, or from the flags of unlearn.
Every model is a run folder of train; what is finished is not trained again. The
expected time is printed first. On a GPU or TPU as many models are trained at
once as fit into its memory.

  dlfd references --original=runs/original --unlearned=runs/unlearned --n=8 \\
      --workdir=runs/references
  dlfd evaluate --original=runs/original --unlearned=runs/unlearned \\
      --references=runs/references --workdir=runs/evaluation
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  inputs.define_hosts(values)
  inputs.define_unverified(values)
  flags.DEFINE_string(
      'original', None, 'run of the original model: data, split and recipe',
      flag_values=values)
  flags.DEFINE_string(
      'unlearned', None, 'unlearning run whose people are left out',
      flag_values=values)
  flags.DEFINE_string(
      'splits', None, "splits.npz, if it is not in the original's folder",
      flag_values=values)
  flags.DEFINE_integer(
      'n', 3, 'models in all', lower_bound=1, flag_values=values)
  flags.DEFINE_enum(
      'design', designs.RETRAINED, list(designs.DESIGNS),
      'who is trained on', flag_values=values)
  flags.DEFINE_integer(
      'seed', None, 'of the first model, the others follow; default the '
      "original's and 1", lower_bound=0, flag_values=values)
  flags.DEFINE_integer(
      'repeats', 2, 'timed steps for the expected time; 0 = it is not measured',
      lower_bound=0, flag_values=values)
  inputs.define_forget(values)
  options.define(options.DATA, values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  original = pathlib.Path(command.required(values, 'original'))
  unlearned = command.value(values, 'unlearned')
  wanted = inputs.forget_request(values, required=False)
  stored = command.value(values, 'splits')
  if unlearned is not None:
    if wanted is not None or stored is not None:
      raise ValueError('Expected no --splits and no --forget_* flag: the '
                       f'unlearning run {unlearned} says who is forgotten.')
    runs.read_config(unlearned, 'unlearn')
    stored = pathlib.Path(unlearned) / runs.SPLITS
  else:
    stored = inputs.stored_split(values, original)
  dataset = inputs.load_data(
      inputs.data_options(run_configs.recipe_of(original)[0], values), values,
      stored)
  splits, notes = inputs.request_splits(
      values, dataset, wanted, original, stored)
  allowed = command.value(values, chain_checks.FLAG)
  plan = reference_models.plan(
      original, splits, dataset, n=command.value(values, 'n'),
      design=command.value(values, 'design'),
      seed=command.value(values, 'seed'), allow_unverified=allowed)
  options = inputs.run_options(values, line)
  devices = options['devices']
  devices.check_batch_size(plan.recipe.batch_size)
  used = inputs.say_used(
      dataset, network=plan.model_config(), devices=devices,
      parts=splits.parts, split_from=inputs.split_from(values, dataset, stored),
      settings={**dataclasses.asdict(plan.recipe),
                'seed': f'{plan.seeds[0]} to {plan.seeds[-1]}'})
  cost = plan.cost(workdir, devices, command.value(values, 'repeats'))
  print(_expected(plan, cost), flush=True)
  found = reference_models.train_references(
      plan, workdir, used=used, cost=cost, allow_unverified=allowed,
      each=command.check_finite, **options)
  command.say_verification(found.record)
  for note in notes:
    print(note)
  print(f'{text_lib.counted(len(found.folders), "model")} in {workdir}')
  return {'workdir': workdir, 'folders': found.folders, 'notes': notes,
          **found.record}


def _expected(plan: reference_models.Plan, cost: dict[str, Any]) -> str:
  """What is to be trained and how long that is expected to take."""
  wanted, left = len(plan.seeds), cost['models']
  text = (f'{plan.counted}, {plan.recipe.epochs} epochs each'
          + (f'; {wanted - left} finished already' if left < wanted else ''))
  if 'expected_s' not in cost:
    return f'{text}.'
  seconds = text_lib.duration(cost['expected_s'])
  return (f'{text}. Expected: {seconds} one after the other '
          f'({cost["steps"]} steps, {1000 * cost["step_s"]:.0f} ms each).')


COMMAND = command.Command('references', _ABOUT, _define, _execute, most=(
    'original', 'unlearned', 'workdir', 'config', 'data', 'root', 'splits',
    'forget_identities', 'forget_sample_ids', 'forget_classes', 'n', 'design',
    'seed', 'repeats', 'devices', 'cpu_devices', 'json'))
main = COMMAND.main
