"""``unlearn``: a trained model and a deletion request to a new model."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dlfd_jax import checkpoint, loop, methods, models, parallel, presets, tuned
from dlfd_jax.cli import command, inputs, options, tensorboard
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.methods import rewind
from dlfd_jax.pipeline import run_configs
from dlfd_jax.utils import hosts, runs

_ABOUT = """
Makes a trained model forget the people of a deletion request.

The data and the split come from the original's run, or from flags; a model
whose split is unknown is refused, because people it was trained on would land
among the unseen. The new model is in <workdir>/checkpoints/model.

  dlfd unlearn --original=runs/original \\
      --forget_identities=delete.txt --workdir=runs/unlearned
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  inputs.define_hosts(values)
  tensorboard.define(values)
  flags.DEFINE_string(
      'original', None, 'run or folder of the trained model',
      flag_values=values)
  flags.DEFINE_enum(
      'method', 'dlfd', list(methods.METHODS), 'how to unlearn',
      flag_values=values)
  flags.DEFINE_enum(
      'rewind_of', None, [name for name in methods.METHODS
                          if name not in methods.WRAPPERS],
      'what --method=rewind runs and goes back in', flag_values=values)
  flags.DEFINE_integer(
      'seed', 0, 'of everything random in unlearning', lower_bound=0,
      flag_values=values)
  flags.DEFINE_string(
      'splits', None, "splits.npz, if it is not in the original's folder",
      flag_values=values)
  inputs.define_preset(values)
  inputs.define_forget(values)
  flags.DEFINE_boolean(
      'remat', None, "compute the values inside the network's blocks again for "
      'the gradient: less memory, more time; default as the original',
      flag_values=values)
  options.define((*options.DATA, *options.METHOD), values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  original = pathlib.Path(command.required(values, 'original'))
  checkpoint.find_model(original)
  preset_name = command.value(values, 'preset') or 'demo'
  preset = presets.PRESETS[preset_name]
  data_options = preset.data
  if (command.value(values, 'preset') is None
      and (original / runs.CONFIG).is_file()):
    data_options = run_configs.data_of(original)
  data_options = options.apply(data_options, options.DATA, values, 'the data')
  method = command.value(values, 'method')
  config = options.apply(
      _start(preset, method, command.value(values, 'rewind_of')),
      options.METHOD, values, f'the method {method}')
  devices = inputs.devices(values)
  devices.check_batch_size(config.batch_size)
  wanted = inputs.forget_request(values, data=data_options, required=False)
  saved = checkpoint.load_model(original)
  remat = command.value(values, 'remat')
  if remat is not None:
    saved = dataclasses.replace(
        saved, config=dataclasses.replace(saved.config, remat=remat))
  dataset = inputs.load_data(data_options)
  splits, notes = _splits(values, dataset, wanted, original)
  with tensorboard.hooks(values, workdir) as hooks:
    result = unlearn_run(
        workdir, saved, original, dataset, data_options, splits, notes, method,
        config, seed=command.value(values, 'seed'), devices=devices, line=line,
        hooks=hooks, search=search_of(preset_name, method),
        **inputs.run_options(values))
  for note in result['notes']:
    print(note)
  print(f'{len(splits.forget)} images forgotten by {method} in '
        f'{result["time"]["total_s"]:.0f} s; a check takes '
        f'{100 * (result["check_share"] or 0):.0f} % of the time between two. '
        f'Selected: step {result["selected_step"]}, {result["reason"]}: '
        f'{workdir}/checkpoints/model')
  return {'workdir': workdir, 'model': f'{workdir}/checkpoints/model', **result}


def search_of(preset: str, method: str) -> dict[str, Any]:
  """Where a method's settings come from: a preset, and the search behind it."""
  found = tuned.load(preset).get('methods', {}).get(method, {})
  return {'preset': preset, 'trials': found.get('trials'),
          'search_s': found.get('search_s')}


def _start(preset, method, rewind_of):
  """The preset's config, of what is to be rewound if that is named."""
  config = preset.config_of(method)
  if rewind_of is None:
    return config
  if method != 'rewind':
    raise ValueError(
        f'Expected --rewind_of with --method=rewind alone, got {method}.')
  return dataclasses.replace(config, method=preset.config_of(rewind_of))


def _splits(values, dataset, wanted, original):
  """Finished splits and notes; refuses a model whose split nobody knows."""
  stored = command.value(values, 'splits')
  if stored is None and (original / runs.SPLITS).is_file():
    stored = original / runs.SPLITS
  if stored is None and dataset.split is None:
    raise ValueError(
        f'Expected the split of {original}: give --splits or a manifest with a '
        'split column; a split drawn now would put people whom the model was '
        'trained on into val and test and void every attack figure.')
  if stored is not None:
    parts = splits_lib.load_splits(stored, dataset)
  else:
    parts = splits_lib.partition_from_column(dataset, check=False)
  finished = isinstance(parts, splits_lib.Splits)
  if wanted is None:
    if not finished:
      inputs.forget_request(values)  # says that one is required
    splits_lib.check_splits(dataset, parts)
    return parts, splits_lib.splits_notes(dataset, parts)
  if finished and command.value(values, 'splits') is not None:
    raise ValueError(
        'Expected no --forget_* flag: the split already says who is '
        'forgotten.')
  return inputs.request_on(dataset, parts, stored is not None, wanted)


def unlearn_run(workdir: str, saved: checkpoint.SavedModel,
                original: pathlib.Path | str, dataset, data_options,
                splits: splits_lib.Splits, notes: list[str], method: str,
                config: methods.RunConfig, *, seed: int,
                devices: parallel.Devices, line: str,
                hooks: Sequence[loop.Hook] = (),
                search: Mapping[str, Any] | None = None,
                **run_options: Any) -> dict[str, Any]:
  """Unlearns in ``workdir``, resumes it, or returns its finished result.

  ``search`` goes into the result: where the settings come from.

  Returns:
    The result, as in ``result.json``.
  """
  if saved.task != dataset.task or saved.image_size != dataset.image_size:
    raise ValueError(
        f'Expected data for {saved.task.kind} {list(saved.task.names)} at '
        f'{list(saved.image_size)} px, as the model in {original} was trained '
        f'on, got {dataset.task.kind} {list(dataset.task.names)} at '
        f'{list(dataset.image_size)} px.')
  model = models.build(saved.config)
  problem = methods.Problem(model, saved.variables, dataset, splits, seed)
  fields = dataclasses.asdict(config)
  if isinstance(config, rewind.RewindConfig):  # fields do not tell of what
    fields['method']['name'] = methods.method_of(config.method)
  folder = inputs.run_folder(workdir, {
      'kind': 'unlearn', 'method': method,
      'original': checkpoint.fingerprint(saved.variables),
      'original_path': str(original),
      'data': dataclasses.asdict(data_options),
      'fingerprint': dataset.fingerprint(),
      'rows': {name: inputs.rows_hash(dataset, rows)
               for name, rows in splits.parts.items()},
      'config': fields, 'seed': seed})
  if folder.result is not None:
    return folder.result
  started = time.perf_counter()
  hosts.first(lambda: splits_lib.save_splits(
      folder.path / runs.SPLITS, dataset, splits))
  saver = checkpoint.LoopCheckpoints(folder.checkpoints)
  title = methods.title_of(method)
  with command.progress(f'unlearn with {title}') as hook:
    out = methods.unlearn(
        problem, config, devices=devices, hooks=[hook, *hooks],
        checkpoints=saver,
        log=inputs.metrics_log(folder), **run_options)
  saver.close()
  if out.stop == loop.INTERRUPTED:
    command.check_stop(out.stop, workdir)
  for name, variables in (('model', out.selected), ('last', out.last)):
    checkpoint.save_model(
        folder.checkpoints / name, parallel.fetch(variables), saved.config,
        dataset.task, dataset.image_size, replace=True)
  result = {
      'kind': 'unlearn', 'command': line, 'method': method, 'stop': out.stop,
      'steps': out.steps, 'selected_step': out.selected_step,
      'reason': out.reason, 'findings': out.findings,
      'check_share': out.check_share, 'history': out.history,
      'forget_images': len(splits.forget), 'by_person': splits.by_person,
      'notes': notes, 'device': inputs.device_name(),
      'devices': devices.count, 'processes': hosts.count(), 'seed': seed,
      'compute_dtype': models.resolve_dtype(saved.config.compute_dtype),
      'remat': saved.config.remat, 'versions': runs.versions(),
      'finished': runs.now(), 'search': search,
      'peak_bytes': runs.peak_bytes(),
      'time': {**dataclasses.asdict(out.clock), 'work_s': out.clock.work_s,
               # Of all sittings of an interrupted run.
               'total_s': max(time.perf_counter() - started,
                              out.clock.total_s)}}
  hosts.first(lambda: folder.write_result(result))
  command.check_stop(out.stop, workdir)
  return result


COMMAND = command.Command('unlearn', _ABOUT, _define, _execute)
main = COMMAND.main
