"""``check``: what a deletion request touches and what it costs."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import checkpoint, models, presets
from dlfd_jax.cli import command, inputs, options
from dlfd_jax.data import (
  dataset as dataset_lib,
  leakage,
  resolution,
  sources,
  splits as splits_lib,
)
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  expected_cost,
  job,
  run_configs,
  weakenings,
)
from dlfd_jax.report import check_page
from dlfd_jax.utils import files, runs

PAGE = 'check.html'
_MOST_SHOWN = 40
_ABOUT = """
Answers, before anything is trained, what a deletion request touches: which
images belong to these people, copies of them anywhere in the data (with a
contact sheet), people in two parts of the split, the share that is forgotten,
and what unlearning and retraining may cost on this machine.

  dlfd check --original=runs/original \\
      --forget_identities=delete.txt --workdir=runs/check

Without --original the data flags name the data, and the costs are those of the
preset's network. Writes result.json and check.html, which holds the images of
the copies: keep it with your data.
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values, trains=False)
  inputs.define_unverified(values)
  flags.DEFINE_string(
      'original', None, 'run or folder of the trained model',
      flag_values=values)
  flags.DEFINE_string(
      'splits', None, "splits.npz, if it is not in the original's folder",
      flag_values=values)
  flags.DEFINE_integer(
      'repeats', None, 'timed steps of each kind, behind the costs; 0 = no '
      'costs; default: they are estimated from a pass of a few images, which '
      'takes seconds', lower_bound=0, flag_values=values)
  inputs.define_preset(values)
  inputs.define_forget(values)
  options.define((*options.DATA, *options.NETWORK), values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = pathlib.Path(command.required(values, 'workdir'))
  original = command.value(values, 'original')
  if original:
    inputs.refuse(values, [option.flag for option in options.NETWORK],
                  'with --original, whose network is used')
  preset, start = _preset(values, original)
  with inputs.drawn_if_missing(values):
    data_options = inputs.data_options(start, values)
  network = options.apply(
      preset.network, options.NETWORK, values, 'the network')
  request = inputs.forget_request(values)
  assert request is not None  # it is required
  started = time.perf_counter()
  stored = inputs.stored_split(values, original)
  with inputs.drawn_if_missing(values):
    dataset = inputs.load_data(data_options, values, stored)
  read, read_bytes = time.perf_counter(), runs.peak_bytes()
  known = job.judged(original) if original else None
  if not stored and dataset.split is None:
    dataset = dataset.noted(
        'No split column: train draws one, with seed 0 unless --split_seed '
        'says another.' if known is None else
        f'Nobody knows the split of {original}: unlearn refuses the request '
        'without --splits or a manifest with a split column.')
  verified = _compared(dataset, stored, known).settled(
      command.value(values, chain_checks.FLAG))
  with inputs.drawn_if_missing(values):
    found = _resolve(dataset, stored, request)
  repeats = command.value(values, 'repeats')
  model_s = time.perf_counter()
  model = (_model(network, known, dataset, drawn=bool(repeats))
           if repeats != 0 or original else None)
  model_s = time.perf_counter() - model_s
  devices = inputs.devices(values)
  method = (preset.default_method if preset.default_method in
            expected_cost.PRICED else presets.DEFAULT_METHOD)
  ours = (presets.own_config() if command.value(values, 'preset') is None else
          preset.config_of(method))
  used = inputs.say_used(
      dataset, network=model[0] if model else network.config(dataset.task),
      devices=devices, parts=found.request.parts,
      split_from=inputs.split_from(values, dataset, stored),
      settings={method: dataclasses.asdict(ours),
                'train': dataclasses.asdict(preset.train)
                } if repeats != 0 else None,
      preset=command.value(values, 'preset'))
  folder = runs.RunFolder(workdir, {
      'kind': 'check', 'data': dataclasses.asdict(data_options),
      'fingerprint': dataset.fingerprint(),
      'forget': chain.rows_hash(dataset, found.request.forget),
      'rows': {name: chain.rows_hash(dataset, rows)
               for name, rows in found.request.parts.items()},
      'not_found': list(found.request.not_found),
      'twice': {str(person): where for person, where in found.twice.items()},
      'network': network.identity(), 'original': known and known.weights,
      'train': dataclasses.asdict(preset.train),
      'method': dataclasses.asdict(ours), 'repeats': repeats})
  result = folder.result
  if result is None:
    result = {**_check(dataset, found, line), 'verification': verified}
    checked = time.perf_counter()
    result['used'] = used
    result['cost'] = None
    if model and repeats != 0:
      config, variables = model
      work = expected_cost.Workload(
          method=ours, recipe=preset.train, config=config, variables=variables,
          dataset=dataset, retain=found.request.retain,
          forget=found.request.forget)
      result['cost'] = (
          expected_cost.measure(work, devices, repeats) if repeats else
          expected_cost.estimate(work, devices))
    result['time'] = {
        'read_s': read - started, 'copies_s': checked - read - model_s,
        'cost_s': time.perf_counter() - checked + model_s}
    result |= {'read_peak_bytes': read_bytes, 'peak_bytes': runs.peak_bytes()}
  if not (folder.path / PAGE).is_file():  # or a kill came before the page
    folder.write_result(result, {
        PAGE: check_page.render(result, _pairs(dataset, result))})
  for sentence in check_page.sentences(result):
    print(f'- {sentence}')
  print(f'{workdir}/{PAGE}')
  return {'workdir': str(workdir), 'page': f'{workdir}/{PAGE}', **result}


def _preset(values: flags.FlagValues, original: str | None
            ) -> tuple[presets.Preset, sources.DataOptions | None]:
  """The preset, and where the data flags start from.

  Network, recipe and data are those of the original where its run tells them.
  """
  preset = inputs.preset(values)
  if original:
    checkpoint.find_model(original)
  if not original or not files.is_there(pathlib.Path(original) / runs.CONFIG):
    return preset, preset.data
  network, recipe = run_configs.known_recipe(original) or (
      preset.network, preset.train)
  return (dataclasses.replace(preset, network=network, train=recipe),
          run_configs.data_of(original))


def _compared(dataset: dataset_lib.Dataset, stored: str | os.PathLike | None,
              original: chain.Judged | None) -> chain_checks.Findings:
  """Whether data, stored split and original belong together."""
  found = chain_checks.Findings()
  if stored:
    found += chain_checks.check_splits_file(stored, dataset)
  if original is not None:
    found += chain_checks.check_run(original, 'original', dataset)
  return found


@dataclasses.dataclass(frozen=True)
class _Found:
  """The request, and what a check says of it.

  Attributes:
    request: on the original's split, or on all images without one.
    twice: people with images in two parts of it, and in which.
    notes: on the request.
  """

  request: resolution.ResolvedRequest
  twice: dict[int, list[str]]
  notes: list[str]


def _resolve(dataset: dataset_lib.Dataset, stored, request) -> _Found:
  """The request on the original's split, or on all images without one."""
  if not stored and dataset.split is None:
    found = resolution.resolve(
        dataset, {'train': np.arange(len(dataset))}, request)
    return _Found(found, {}, found.notes())
  parts = inputs.read_parts(dataset, stored, following=True)
  twice = resolution.people_in_two_parts(dataset, job.as_partition(parts).parts)
  found = inputs.request_on(dataset, parts, request)
  try:
    splits = found.splits()
  except ValueError as error:
    notes = [f'Unlearning refuses this split. {error}']
  else:
    notes = [*splits_lib.splits_notes(dataset, splits),
             *weakenings.weakenings(dataset, splits)]
  return _Found(found, twice, found.notes() + notes)


def _check(dataset, found, line) -> dict[str, Any]:
  request = found.request
  parts = {'train': len(request.forget) + len(request.retain),
           **{name: len(rows) for name, rows in request.others.items()}}
  return {
      'kind': 'check', 'command': line, 'versions': runs.versions(),
      'device': job.device_name(), 'cores': os.cpu_count(),
      'images': len(dataset), 'image_size': dataset.image_size[0],
      'split': parts if request.others else None,
      'request': resolution.describe(
          request, leakage.copies_outside(request), found.twice),
      'notes': found.notes, 'data_notes': list(dataset.notes)}


def _pairs(dataset, result) -> list[check_page.Pair]:
  row_of = {str(name): i for i, name in enumerate(dataset.sample_id)}
  return [(dataset.images[row_of[copy['forget']]],
           dataset.images[row_of[copy['other']]], copy)
          for copy in result['request']['copies_listed'][:_MOST_SHOWN]]


def _model(network, original: chain.Judged | None, dataset, drawn: bool
           ) -> tuple[models.ModelConfig, models.Variables]:
  """The original's network and variables, else the named one and new ones.

  Zeros, which are there at once, take as long in a pass as what is drawn.
  """
  if original is not None:
    return original.saved.config, original.saved.variables
  config = network.config(dataset.task)
  model = models.build_for(config, dataset.image_size)
  size = dataset.image_size
  if drawn:
    return config, models.init(model, jax.random.key(0), size)
  return config, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype),
                              models.shapes(model, size))


def _starts(values: flags.FlagValues) -> Iterable[Any]:
  preset = inputs.preset(values)
  return ([] if command.value(values, 'original') else
          [preset.data, preset.network])


COMMAND = command.Command('check', _ABOUT, _define, _execute, most=(
    'original', 'workdir', 'config', 'data', 'labels', 'image_size', 'splits',
    'split_column', 'forget_identities', 'forget_sample_ids', 'forget_classes',
    'forget_fraction', 'same_person', 'preset', 'repeats', 'devices', 'json'),
                          starts=_starts)
main = COMMAND.main
