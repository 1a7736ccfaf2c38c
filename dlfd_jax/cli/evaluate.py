"""``evaluate``: original, unlearned and retrained models side by side."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import time
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import checkpoint, parallel
from dlfd_jax.cli import command, inputs, options, reference_runs
from dlfd_jax.data import feed as feed_lib, leakage, splits as splits_lib
from dlfd_jax.evaluation import tier0, tier1
from dlfd_jax.pipeline import evaluation_facts, run_configs
from dlfd_jax.report import render, tables
from dlfd_jax.utils import hosts, runs

PER_EXAMPLE = 'per_example.npz'
FEATURES = 'features.npz'
_ABOUT = """
Measures an unlearned model beside the original and retrained ones: accuracies,
attacks with intervals over people, nulls, duplicates, time.

Data, split and forget set come from the unlearning run. Without --retrained its
column says `not computed`; give several, separated by commas, for their mean.

--tier=1 adds the figures against retrained models: gaps, distances of answers,
random-network likeness, relearn time, probes and alignment of features,
over-forgetting, harm. Their nulls need two retrained runs of different seeds.

  dlfd evaluate --original=runs/original \\
      --unlearned=runs/unlearned --retrained=runs/retrained --workdir=runs/eval
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  inputs.define_hosts(values)
  for name, about in (('original', 'run of the original model'),
                      ('unlearned', 'unlearning run to judge')):
    flags.DEFINE_string(name, None, about, flag_values=values)
  flags.DEFINE_list(
      'retrained', [], 'runs of models trained on retain alone',
      flag_values=values)
  flags.DEFINE_enum(
      'state', 'model', ['model', 'last'],
      'the selected state of the unlearning run, or its last one',
      flag_values=values)
  flags.DEFINE_integer(
      'tier', 0, '0: quick; 1: also against retrained models', lower_bound=0,
      upper_bound=1, flag_values=values)
  reference_runs.define(values)
  flags.DEFINE_boolean(
      'keep_features', False, 'also write features.npz: the penultimate '
      'features of every model on every split', flag_values=values)
  flags.DEFINE_integer(
      'bootstrap', 2000, 'resamples behind every interval', lower_bound=20,
      flag_values=values)
  flags.DEFINE_integer(
      'evaluation_seed', 0, 'of resampling and subsampling', lower_bound=0,
      flag_values=values)
  flags.DEFINE_float(
      'search_s', None, 'seconds spent on finding hyper-parameters; without it '
      'no speed-up is printed', lower_bound=0, flag_values=values)
  options.define(options.DATA, values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  original = command.required(values, 'original')
  unlearned = command.required(values, 'unlearned')
  config = runs.read_object(pathlib.Path(unlearned) / runs.CONFIG)
  if config.get('kind') != 'unlearn':
    raise ValueError(
        f'Expected an unlearning run in {unlearned}, got '
        f'{config.get("kind")!r}.')
  with run_configs.of_config(unlearned):
    data_options = run_configs.data_from_json(config['data'])
  data_options = options.apply(data_options, options.DATA, values, 'the data')
  dataset = inputs.load_data(data_options)
  stored = pathlib.Path(unlearned) / runs.SPLITS
  splits = splits_lib.load_splits(stored, dataset)
  if not isinstance(splits, splits_lib.Splits):
    raise ValueError(
        'Expected the split of an unlearning run, with retain and forget, got '
        f'train, val and test in {stored}.')
  result = evaluate_run(
      workdir, dataset, splits, original, unlearned,
      list(command.value(values, 'retrained')),
      tier0.EvaluationConfig(
          bootstrap=command.value(values, 'bootstrap'),
          seed=command.value(values, 'evaluation_seed')),
      state=command.value(values, 'state'),
      search_s=command.value(values, 'search_s'),
      reference=(reference_runs.from_flags(values)
                 if command.value(values, 'tier') else None),
      keep_features=command.value(values, 'keep_features'),
      device_bytes=command.value(values, 'device_bytes'),
      devices=inputs.devices(values), line=line)
  show(result)
  print(f'{workdir}/{runs.RESULT}')
  return {'workdir': workdir, **result}


def show(result: dict[str, Any]) -> None:
  """Prints the table and what the main attack found."""
  console = command.console()
  console.print(render.to_rich(tables.summary_table(result)))
  if result.get('verdicts'):
    console.print(render.to_rich(tables.reference_table(result, delta=False)))
  for sentence in tables.headline(result):
    console.print(sentence)


def evaluate_run(workdir: str, dataset, splits: splits_lib.Splits,
                 original: str, unlearned: str, retrained: list[str],
                 config: tier0.EvaluationConfig, *, state: str,
                 search_s: float | None, devices: parallel.Devices,
                 line: str,
                 reference: reference_runs.Options | None = None,
                 keep_features: bool = False,
                 device_bytes: int = feed_lib.DEFAULT_DEVICE_BYTES,
                 ) -> dict[str, Any]:
  """Evaluates into ``workdir``, or returns what it holds already.

  With ``reference`` tier 1 is run too. Features are written only if asked for:
  they are many times larger than everything else, and can be made again from
  the checkpoints.
  """
  started = time.perf_counter()
  folders = {'original': checkpoint.find_model(original),
             'unlearned': _state_folder(unlearned, state)}
  for i, run in enumerate(retrained):
    folders[f'retrained_{i}'] = checkpoint.find_model(run)
    _check_retrained(run, dataset, splits)
  loaded = {name: checkpoint.load_model(path)
            for name, path in folders.items()}
  for name, saved in loaded.items():
    _check_fits(saved, dataset, str(folders[name]))
  prints = {name: checkpoint.fingerprint(saved.variables)
            for name, saved in loaded.items()}
  evaluation_facts.check_distinct(prints, retrained)
  unlearn_result = evaluation_facts.result_of(unlearned) or {}
  for run in (original, *retrained):
    evaluation_facts.result_of(run)  # can be read, before anything is written
  settings = dataclasses.asdict(config)
  again = None
  if reference is not None:
    again = reference_runs.relearn_config(original, reference)
    settings |= {'tier': 1, 'tier_1': dataclasses.asdict(reference.config),
                 'random_networks': reference.random_networks,
                 'relearn': dataclasses.asdict(again) if again else 'not run'}
  folder = inputs.run_folder(workdir, {
      'kind': 'evaluation', 'models': prints,
      'fingerprint': dataset.fingerprint(),
      'rows': {name: inputs.rows_hash(dataset, rows)
               for name, rows in splits.parts.items()},
      'config': settings, 'search_s': search_s,
      **({'keep_features': True} if keep_features else {})})
  if folder.result is not None:
    return folder.result
  predictors = reference_runs.Predictors(dataset, devices, device_bytes)
  ran = {name: predictors.run(saved.config, saved.variables, splits.parts)
         for name, saved in loaded.items()}
  logits = {model: {name: out.logits for name, out in of_model.items()}
            for model, of_model in ran.items()}
  copies = leakage.leakage_report(dataset, splits)
  spent = {'outputs': time.perf_counter() - started}
  if reference is None:
    found = tier0.evaluate(
        _outputs(logits), dataset, splits, config, leakage=copies)
  else:
    references = reference_runs.collect(
        loaded, ran, dataset, splits, predictors, reference, again, workdir)
    spent['references'] = time.perf_counter() - started - sum(spent.values())
    found = tier1.evaluate(
        _outputs(logits), references, dataset, splits, config,
        reference.config, leakage=copies)
  spent['figures'] = time.perf_counter() - started - sum(spent.values())
  arrays = found.pop('per_example')
  notes = [*found['notes'], *unlearn_result.get('notes', [])]
  findings = unlearn_result.get('findings', {})
  if findings.get('attack_blind_to_original'):
    notes.append(
        'The live attack could not tell the original from unseen data at this '
        'sample size: nothing to forget was visible before unlearning.')
  made_in = {'original': original, 'unlearned': unlearned,
             **{f'retrained_{i}': run for i, run in enumerate(retrained)}}
  result = {
      'kind': 'evaluation', 'schema': 1, 'command': line,
      'config': settings, 'versions': runs.versions(),
      'device': inputs.device_name(), 'finished': runs.now(),
      **found, 'notes': notes,
      'data': {**found['data'], 'sha256': dataset.fingerprint()},
      'models': {
          'original': str(original), 'unlearned': str(unlearned),
          'retrained': [str(run) for run in retrained], 'sha256': prints},
      'request': evaluation_facts.request(dataset, splits, unlearn_result),
      'request_images': evaluation_facts.request_images(dataset, splits),
      'done': evaluation_facts.done(made_in),
      'runs': evaluation_facts.runs_of(made_in),
      'efficiency': {
          **evaluation_facts.efficiency(
              original, unlearn_result, retrained, search_s),
          'evaluate_s': spent},
      'selection': {
          'step': unlearn_result.get('selected_step'),
          'reason': unlearn_result.get('reason'), 'findings': findings,
          'state': state, 'search': unlearn_result.get('search'),
          'checks': len(unlearn_result.get('history') or ())},
      'without_duplicates': _without_duplicates(
          logits, dataset, splits, config, copies),
  }
  files = {PER_EXAMPLE: arrays}
  if keep_features:
    files[FEATURES] = {
        f'{model}/{split}/features': out.features
        for model, of_model in ran.items() for split, out in of_model.items()}

  def write():
    for name, named in files.items():
      _write_arrays(folder.path / name, named)
    folder.write_result(result)

  hosts.first(write)
  return result


def _state_folder(run, state):
  if state == 'model':
    return checkpoint.find_model(run)
  return checkpoint.find_model(
      pathlib.Path(run) / runs.CHECKPOINTS / 'last')


def _outputs(logits):
  return {
      'original': logits['original'], 'unlearned': logits['unlearned'],
      'retrained': [of_run for name, of_run in logits.items()
                    if name.startswith('retrained')]}


def _check_fits(saved, dataset, name):
  if saved.task != dataset.task or saved.image_size != dataset.image_size:
    raise ValueError(
        f'Expected a model for {dataset.task.kind} {list(dataset.task.names)} '
        f'at {list(dataset.image_size)} px, got {name} for {saved.task.kind} '
        f'{list(saved.task.names)} at {list(saved.image_size)} px.')


def _check_retrained(run, dataset, splits):
  """A retrained model must have seen retain and nothing else."""
  path = pathlib.Path(run) / runs.CONFIG
  if not path.is_file():
    return
  config = runs.read_object(path)
  if config.get('rows') != inputs.rows_hash(dataset, splits.retain):
    raise ValueError(
        f'Expected {run} to be trained on the retain images of this '
        'unlearning run, but it was trained on others.')


def _without_duplicates(logits, dataset, splits, config, copies):
  """The records again without copies of forget images, if there are any."""
  if not any(copies[kind][f'forget-{part}'] for kind in ('exact', 'near')
             for part in ('retain', 'val', 'test')):
    return None
  cleaned = leakage.without_duplicates(dataset, splits)
  keep = {name: np.isin(rows, cleaned.parts[name])
          for name, rows in splits.parts.items()}
  again = {model: {name: of_split[keep[name]]
                   for name, of_split in of_model.items()}
           for model, of_model in logits.items()}
  found = tier0.evaluate(_outputs(again), dataset, cleaned, config)
  return {'metrics': found['metrics'], 'data': found['data']}


def _write_arrays(path, arrays):
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  temporary = path.with_name('.' + path.name)
  temporary.write_bytes(buffer.getvalue())
  os.replace(temporary, path)


COMMAND = command.Command('evaluate', _ABOUT, _define, _execute)
main = COMMAND.main
