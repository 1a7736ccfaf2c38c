"""``audit``: what a model that was made elsewhere tells of some people."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import checkpoint
from dlfd_jax.cli import command, evaluate, inputs, options, weights
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  resolution,
  sources,
  splits as splits_lib,
)
from dlfd_jax.pipeline import chain, job, run_configs
from dlfd_jax.utils import files, runs

_OF_FILES = ('head_classes', 'mean', 'std', 'channel_order',
             *(option.flag for option in options.NETWORK))
_ABOUT = """
Judges any classifier, whoever made it: does it still know these people? The
model is a run of this program, a folder of import_weights, or a .pth or
.safetensors file, which is read by the flags of import_weights. It may be the
work of another unlearning tool, or have unlearned nobody.

Data and split come from the run in --original or --model, else from flags: the
people of the request count as members, val and test (--splits, --split_column)
as people whom the model never saw. For weights from elsewhere only you know
whether that is true; the result says so in its first lines. No split is drawn.

With --original the figures are compared with the model before unlearning, with
--retrained or --references with models that never saw these people: tier 1,
from four of them on tier 2, with --shadows tier 3; a lower --tier is quicker.
What a model that is not given would have said is `not computed`. `dlfd report`
and `dlfd compare` take the result as they take an evaluation.

  dlfd audit --model=model.pth --data=faces.csv --labels=gender \\
      --image_size=128 --forget_identities=delete.txt --workdir=runs/audit
"""


def _define(values: flags.FlagValues) -> None:
  for name, about in (
      ('model', 'run, folder or weights file of the model to judge'),
      ('original', 'the same of the model before unlearning, if you have it'),
      ('splits', "splits.npz, if it is not in the run's folder"),
      ('state', 'of an unlearning run its `last` state; of a weights file '
       'which of several sets of weights, as of import_weights')):
    flags.DEFINE_string(name, None, about, flag_values=values)
  inputs.define_forget(values)
  weights.define_outputs(values)
  options.define(options.NETWORK, values)
  evaluate.define_figures(values, tier=None)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  command.required(values, 'workdir')
  model = command.required(values, 'model')
  original = command.value(values, 'original')
  retrained = evaluate.retrained_models(values)
  every = [model, *filter(None, [original]), *retrained]
  weights.statistics(values)
  if not any(map(files.is_file, every)):
    inputs.refuse(values, _OF_FILES, 'without a weights file')
  for path in every:
    if not files.is_file(path):
      checkpoint.find_model(path)
  runs_given = [path for path in (original, model) if path and files.is_file(
      pathlib.Path(path) / runs.CONFIG)]
  wanted = inputs.forget_request(values, required=False)
  stored = command.value(values, 'splits') or next((
      path for path in (pathlib.Path(run) / runs.SPLITS for run in runs_given)
      if files.is_there(path)), None)
  dataset = inputs.load_data(
      _data_options(values, model, runs_given), values, stored)
  splits, notes = _splits(values, dataset, wanted, model, stored)
  # Only the model to judge has several states.
  judged = {path: _judged(
      values, path, dataset, notes,
      command.value(values, 'state') if path == model else None)
            for path in every}
  return evaluate.measure(
      values, line, judged.get(original), judged[model],
      [judged[path] for path in retrained], dataset, splits, stored,
      judged[model].saved.config, audit_notes=notes)


def _data_options(values: flags.FlagValues, model: str,
                  runs_given: Sequence[str]) -> sources.DataOptions:
  start = run_configs.data_of(runs_given[0]) if runs_given else None
  if start is None and files.is_file(model):
    weights.define_size(values, model)
  return inputs.data_options(start, values)


def _judged(values: flags.FlagValues, path: str, dataset: dataset_lib.Dataset,
            notes: list[str], state: str | None) -> chain.Judged:
  """A model, by the flags of ``import_weights`` if it is a weights file."""
  if not files.is_file(path):
    return job.judged(path, state)
  saved = weights.read(
      path, dataset, weights.network_of(path, values), values, state)
  notes += [f'{path}: {sentence}.' for sentence in saved.said]
  return chain.Judged(saved, path, imported={
      **chain.import_record(saved, dataset, path, saved.allowed),
      'class_order': saved.class_order})


def _splits(values: flags.FlagValues, dataset: dataset_lib.Dataset,
            wanted: requests.ForgetRequest | None, model: str,
            stored: str | os.PathLike | None
            ) -> tuple[splits_lib.Splits, list[str]]:
  """Members and unseen people, and notes on the request."""
  if stored is None and dataset.split is None:
    raise ValueError(
        f'Expected to be told whom {model} was trained on and whom it never '
        'saw: give --splits or a manifest with a split column; people who are '
        'taken for unseen and are not would hide that a model knows others.')
  parts = inputs.told_parts(values, dataset, stored, wanted is not None)
  if wanted is None and isinstance(parts, splits_lib.Splits):
    splits_lib.check_splits(dataset, parts)
    return parts, []
  wanted = wanted or inputs.forget_request(values)
  assert wanted is not None  # it is required
  found = (inputs.request_on(dataset, parts, wanted) if stored is None
           else _resolved(dataset, parts, wanted))
  return found.splits(), found.notes()


def _resolved(dataset: dataset_lib.Dataset, parts: job.Parts,
              wanted: requests.ForgetRequest) -> resolution.ResolvedRequest:
  """The request on everybody whom the model or those before it ever learned.

  Whom they were made to forget and the request does not name is no member.
  """
  if not isinstance(parts, splits_lib.Start):
    return resolution.resolve(
        dataset, job.as_partition(parts).parts, wanted)
  gone = parts.earlier
  found = resolution.resolve_next(dataset, dataclasses.replace(
      parts, train=np.union1d(parts.train, gone), earlier=gone[:0]), wanted)
  retain = np.setdiff1d(found.retain, gone)
  return dataclasses.replace(
      found, retain=retain, earlier=np.setdiff1d(gone, found.forget),
      by_person=splits_lib.retain_forget_by_person(
          dataset, retain, found.forget))


COMMAND = command.Command('audit', _ABOUT, _define, _execute, most=(
    'model', 'original', 'retrained', 'references', 'workdir', 'config', 'data',
    'labels', 'image_size', 'split_column', 'splits', 'forget_identities',
    'forget_sample_ids', 'head_classes', 'architecture', 'tier', 'bootstrap',
    'devices', 'json'))
main = COMMAND.main
