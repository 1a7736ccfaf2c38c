"""``train``: the original (``--on=all``) or the retrained model."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs, options, trackers
from dlfd_jax.data import resolution, splits as splits_lib
from dlfd_jax.pipeline import chain_checks, run_configs, train
from dlfd_jax.utils import runs

_ABOUT = """
Trains a classifier from scratch.

  --on=all     on everybody: the original. Draws and stores the split.
  --on=retain  on those who stay: the retrained model, the reference. Needs the
               forget set: --splits of an unlearning run, or --original and a
               --forget_* flag.

  dlfd train --preset=demo --on=all --workdir=runs/original
  dlfd train --on=retain --splits=runs/unlearned/splits.npz \\
      --original=runs/original --workdir=runs/retrained
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  inputs.define_hosts(values)
  inputs.define_unverified(values)
  trackers.define(values)
  flags.DEFINE_enum(
      'on', 'all', ['all', 'retain'], 'who is trained on', flag_values=values)
  flags.DEFINE_string(
      'original', None, 'run whose data, split and recipe are used again',
      flag_values=values)
  inputs.define_preset(values)
  inputs.define_split(values)
  inputs.define_forget(values)
  options.define((*options.DATA, *options.NETWORK, *options.TRAIN), values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  asked = trackers.of(values)
  original = command.value(values, 'original')
  if original:
    inputs.refuse(values, ['preset'], 'with --original, whose recipe is used')
  preset = inputs.preset(values)
  start, network, recipe = (
      run_configs.recipe_of(original) if original else
      (preset.data, preset.network, preset.train))
  with inputs.drawn_if_missing(values):
    data_options = inputs.data_options(start, values)
  network = options.apply(network, options.NETWORK, values, 'the network')
  recipe = options.apply(recipe, options.TRAIN, values, 'training')
  run_options = inputs.run_options(values, line)
  devices = run_options['devices']
  devices.check_batch_size(recipe.batch_size)
  on = command.value(values, 'on')
  stored = command.value(values, 'splits')
  if original and not stored:
    stored = pathlib.Path(original) / runs.SPLITS
  with inputs.drawn_if_missing(values):
    dataset = inputs.load_data(data_options, values, stored)
  verification = inputs.check_split(values, stored, dataset) if stored else None
  parts, notes = _parts(values, dataset, stored)
  used = inputs.say_used(  # while there is time to stop
      dataset, network=network.config(dataset.task),
      devices=devices, parts=parts.parts,
      split_from=inputs.split_from(values, dataset, stored), settings=recipe,
      preset=None if original else command.value(values, 'preset') or 'demo')
  with asked.run(workdir) as tracked:
    run_options['hooks'] += tracked.hooks
    run = train.train(
        dataset, parts, recipe, network, on=on, workdir=workdir, used=used,
        verification=verification,
        allow_unverified=command.value(values, chain_checks.FLAG),
        **run_options)
    tracked.finish_with(run.record)
  command.check_finite(run)
  found = run.record
  command.say_verification(found)
  for note in notes:
    print(note)
  print(f'{found["images"]} images, train accuracy '
        f'{found["accuracy_train"]:.3f}, val accuracy '
        f'{found["accuracy_val"]:.3f}, {found["time"]["total_s"]:.0f} s: '
        f'{workdir}')
  return {'workdir': workdir, 'notes': notes, **found}


def _parts(values, dataset, stored):
  """The split to train with and notes on it, from the flags."""
  parts = inputs.partition(values, dataset, stored)
  finished = isinstance(parts, splits_lib.Splits)
  wanted = inputs.forget_request(
      values, required=command.value(values, 'on') == 'retain' and not finished)
  if wanted is None:
    return parts, []
  if (isinstance(parts, splits_lib.Splits)
      or command.value(values, 'on') == 'all'):
    raise ValueError(
        'Expected no --forget_* flag: --on=all trains on everybody, and a '
        'stored split of an unlearning run says itself who is forgotten.')
  with inputs.drawn_if_missing(values):
    return resolution.resolve_request(dataset, parts, wanted)


def _starts(values: flags.FlagValues) -> Iterable[Any]:
  preset = inputs.preset(values)
  return ([] if command.value(values, 'original') else
          [preset.data, preset.network, preset.train])


COMMAND = command.Command('train', _ABOUT, _define, _execute, most=(
    'original', 'workdir', 'config', 'data', 'labels', 'image_size',
    'split_column', 'splits', 'split_seed', 'forget_identities', 'on', 'preset',
    'architecture', 'width', 'epochs', 'learning_rate', 'batch_size', 'seed',
    'devices', 'json'), starts=_starts)
main = COMMAND.main
