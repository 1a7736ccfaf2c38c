"""The inputs that several commands share: data, split, forget set, devices."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
from absl import flags

from dlfd_jax import checkpoint, parallel, presets
from dlfd_jax.cli import command, options as options_lib, preset_files
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  resolution,
  sources,
  spelling,
  split_columns,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  forgotten as forgotten_lib,
  job,
  used as used_lib,
)
from dlfd_jax.utils import files, hosts, places, runs, spent, validate

_MOST_WORKERS = 8
_MOST_CPU_DEVICES = 1024  # each is a thread, and programs grow with them

_TWINS = ('same_person', 'different_people')
_OF_A_DRAWN_SPLIT = ('split_seed', 'test_fraction', 'val_fraction', 'split_by')


def define_run(values: flags.FlagValues, *, trains: bool = True,
               reads: bool = True) -> None:
  """Flags of every run that computes.

  Args:
    values: receives them.
    trains: whether it may be stopped and resumed at a checkpoint.
    reads: whether it reads data that the user names.
  """
  flags.DEFINE_string(
      'workdir', None, 'folder of this run; resumed if it holds the same run',
      flag_values=values)
  flags.DEFINE_integer(
      'devices', None, 'devices to use of every process; default all',
      lower_bound=1, flag_values=values)
  flags.DEFINE_integer(
      'cpu_devices', None, 'make so many devices of the CPU, for example one a '
      'core: quicker for small networks; default one', lower_bound=1,
      upper_bound=_MOST_CPU_DEVICES, flag_values=values)
  flags.DEFINE_integer(
      'device_bytes', parallel.IMAGE_BYTES,
      'largest data set kept on the device; larger ones are streamed',
      lower_bound=0, flag_values=values)
  if reads:
    flags.DEFINE_integer(
        'data_workers', None, 'processes that decode images of shards, where '
        'there are many; default one fewer than cores, at most '
        f'{_MOST_WORKERS}', lower_bound=0, flag_values=values)
  if trains:
    flags.DEFINE_float(
        'checkpoint_seconds', 60.0, 'least time between two checkpoints',
        lower_bound=0, flag_values=values)


def define_unverified(values: flags.FlagValues) -> None:
  """The flag of commands that read runs, see ``pipeline.chain_checks``."""
  flags.DEFINE_boolean(
      chain_checks.FLAG, False, 'go on where data, models, split or files do '
      'not belong together; the result and the report say so',
      flag_values=values)


def check_split(values: flags.FlagValues, path: str | os.PathLike,
                dataset: dataset_lib.Dataset) -> dict[str, Any]:
  """Compares a stored split and the data with the run beside it.

  Returns:
    The findings, for the record of a run; empty of a file without a run.

  Raises:
    ValueError: at a difference, unless the flag allows it.
  """
  return chain_checks.check_splits_file(path, dataset).settled(
      command.value(values, chain_checks.FLAG))


def define_hosts(values: flags.FlagValues) -> None:
  """Flags of a run of several processes; read before anything else happens."""
  flags.DEFINE_boolean(
      'distributed', False, 'one process of several, as a TPU pod slice, Slurm '
      'or Open MPI tells; --workdir is in a bucket or on a disk that all share',
      flag_values=values)
  flags.DEFINE_string(
      'coordinator', None, 'host:port of process 0, where nothing tells',
      flag_values=values)
  flags.DEFINE_integer(
      'num_processes', None, 'with --coordinator: how many there are',
      lower_bound=1, flag_values=values)
  flags.DEFINE_integer(
      'process_id', None, 'with --coordinator: which one this is, from 0',
      lower_bound=0, flag_values=values)


def define_preset(values: flags.FlagValues, default: str = 'demo') -> None:
  """The flag that names a preset, and in words what holds without it."""
  about = '; '.join(f'{n}: {p.about}' for n, p in presets.PRESETS.items())
  flags.DEFINE_string(
      'preset', None, f'settings to start from: {", ".join(presets.PRESETS)}, '
      f'or a .yaml file of your own (default {default}). {about}',
      flag_values=values)


def preset(values: flags.FlagValues) -> presets.Preset:
  """The preset that ``--preset`` names; the demo's if it names none."""
  return preset_files.find(command.value(values, 'preset') or 'demo')


def define_split(values: flags.FlagValues) -> None:
  """Flags that say who is in val and test."""
  flags.DEFINE_string(
      'splits', None, 'splits.npz of another run to use again',
      flag_values=values)
  flags.DEFINE_integer(
      'split_seed', 0, 'seed of a drawn split', lower_bound=0,
      flag_values=values)
  flags.DEFINE_float(
      'test_fraction', 0.2, 'share of the people in test', flag_values=values)
  flags.DEFINE_float(
      'val_fraction', 0.15, 'share of the people in val', flag_values=values)
  flags.DEFINE_enum(
      'split_by', 'person', ['person', 'image'],
      "'image' only where persons are unknown", flag_values=values)


def define_forget(values: flags.FlagValues) -> None:
  """Flags that say who is forgotten; one of the first nine, or two lists."""
  flags.DEFINE_string(
      'forget_identities', None, 'text file of persons, one a line',
      flag_values=values)
  flags.DEFINE_string(
      'forget_families', None, "text file of families, values of the data's "
      'column family, one a line', flag_values=values)
  flags.DEFINE_string(
      'forget_sample_ids', None, 'text file of sample ids, one a line; also '
      'beside a list of persons or families', flag_values=values)
  flags.DEFINE_list(
      'forget_classes', None, 'names of classes, or attributes with a value as '
      'smile:1, whose training images go', flag_values=values)
  flags.DEFINE_list(
      'forget_subclasses', None, 'values of a column that is no label, as '
      'age:30 or coarse_label:fish, whose training images go',
      flag_values=values)
  flags.DEFINE_integer(
      'forget_people', None, 'number of people drawn at random',
      flag_values=values)
  flags.DEFINE_float(
      'forget_fraction', None, 'share of the training people drawn at random',
      flag_values=values)
  flags.DEFINE_integer(
      'forget_images', None, 'number of training images drawn at random, '
      'whoever they show', flag_values=values)
  flags.DEFINE_float(
      'forget_image_fraction', None, 'share of the training images likewise',
      flag_values=values)
  flags.DEFINE_integer(
      'forget_seed', 0, 'seed of the draw', lower_bound=0, flag_values=values)
  flags.DEFINE_enum(
      'missing', 'refuse', requests.MISSING, 'where names of the request are '
      'not in the data: refuse it, or go on with the others and record these',
      flag_values=values)
  flags.DEFINE_boolean(
      'same_person', False, 'names that differ from a listed one only by '
      f'{spelling.DIFFERENCES} are the same person: forget all of them',
      flag_values=values)
  flags.DEFINE_boolean(
      'different_people', False, 'such names are different people: forget the '
      'listed one alone', flag_values=values)


def define_request_id(values: flags.FlagValues) -> None:
  """The flag ``--request_id``."""
  flags.DEFINE_string(
      'request_id', None, 'your number or name of the deletion request, for '
      'the report; given to unlearn it is recorded for later requests, too',
      flag_values=values)


def request_id(values: flags.FlagValues) -> str | None:
  """What ``--request_id`` says; refuses what is too long or hides letters."""
  name = command.value(values, 'request_id')
  if name is not None:
    validate.printable('--request_id', name, forgotten_lib.LONGEST_ID)
  return name


def forget_request(values: flags.FlagValues, *, required: bool = True
                   ) -> requests.ForgetRequest | None:
  """The deletion request of the flags, or None if there is none.

  Raises:
    ValueError: if none is given and one is required, or more than one, or
      names that are alike are to be both the same and different people.
    FileNotFoundError: if a listed file is absent.
  """
  given = {name: command.value(values, f'forget_{name}')
           for name in requests.KINDS}
  given = {name: value for name, value in given.items() if value is not None}
  if not given and not required:
    refuse(values, ('forget_seed', 'missing', *_TWINS), 'without a request')
    return None
  if len(given) != 1 and not requests.is_pair(given):
    raise ValueError(
        'Expected exactly one of '
        f'{", ".join(f"--forget_{name}" for name in requests.KINDS)}, or '
        '--forget_sample_ids beside --forget_identities or --forget_families, '
        f'got {", ".join(f"--forget_{name}" for name in given) or "none"}.')
  places: dict[str, str] = {}
  for name, value in given.items():
    if name in ('identities', 'families', 'sample_ids'):  # a file, one a line
      entries = requests.read_entries(value)
      given[name] = tuple(entries)
      for line, place in entries.items():  # both lists may hold a line
        places[line] = (f'{places[line]} and in {place}' if line in places
                        else place)
  name = next(iter(given))
  if name not in requests.DRAWN:
    refuse(values, ('forget_seed',), f'with --forget_{name}: nothing is drawn')
  else:
    refuse(values, ('missing',), f'with --forget_{name}: it names nobody')
  if not {'identities', 'families'} & set(given):
    refuse(values, _TWINS, f'with --forget_{name}: it names nobody')
  same, different = (command.value(values, flag) for flag in _TWINS)
  if same and different:
    raise ValueError(
        'Expected at most one of --same_person and --different_people, got '
        'both.')
  return requests.ForgetRequest(
      **given, seed=command.value(values, 'forget_seed'),
      same_person=same if same or different else None,
      missing=command.value(values, 'missing'), places=places)


def partition(values: flags.FlagValues, dataset: dataset_lib.Dataset,
              stored: str | os.PathLike | None) -> job.Parts:
  """Stored split, else the manifest's column, else a drawn one."""
  if stored is not None:
    refuse(values, _OF_A_DRAWN_SPLIT,
            f'with the split that is stored in {stored}')
    return split_files.load_splits(stored, dataset)
  if dataset.split is not None:
    refuse(values, _OF_A_DRAWN_SPLIT, 'where the data say who is in which '
            'part')
    return split_columns.partition_from_column(dataset)
  return splits_lib.draw_partition(
      dataset, test_fraction=command.value(values, 'test_fraction'),
      val_fraction=command.value(values, 'val_fraction'),
      seed=command.value(values, 'split_seed'),
      by=command.value(values, 'split_by'))


def split_from(values: flags.FlagValues, dataset: dataset_lib.Dataset,
               stored: str | os.PathLike | None) -> str:
  """Where the split comes from, in words; see :func:`partition`."""
  if stored is not None:
    return f'stored in {validate.shorten_path(stored)}'
  if dataset.split is not None:
    return 'as the data say'
  if 'split_seed' not in values:
    return 'not known'
  return ('drawn with seed {split_seed} by {split_by}, test_fraction '
          '{test_fraction} and val_fraction {val_fraction}').format(**{
              name: command.value(values, name) for name in (
                  'split_seed', 'split_by', 'test_fraction', 'val_fraction')})


def request_on(dataset: dataset_lib.Dataset, parts: job.Parts,
               request: requests.ForgetRequest
               ) -> resolution.ResolvedRequest:
  """A request on what the original was trained on.

  Args:
    dataset: the images.
    parts: of the original. Whom its run made it forget stays forgotten; the
      forget set of a manifest was trained on and joins train.
    request: the new one.
  """
  if isinstance(parts, splits_lib.Start):
    return resolution.resolve_next(dataset, parts, request)
  return resolution.resolve(dataset, job.as_partition(parts).parts, request)


def told_parts(values: flags.FlagValues, dataset: dataset_lib.Dataset,
               stored: str | os.PathLike | None, following: bool) -> job.Parts:
  """What :func:`read_parts` reads, compared with the run beside it."""
  if stored is not None:
    check_split(values, stored, dataset)
  return read_parts(dataset, stored, following)


def read_parts(dataset: dataset_lib.Dataset,
               stored: str | os.PathLike | None, following: bool) -> job.Parts:
  """The split that a file holds; None = that of the data's own column.

  Args:
    dataset: the images.
    stored: the file.
    following: another request is to follow that of the file.
  """
  if stored is None:
    return split_columns.partition_from_column(dataset, check=False)
  return split_files.load_splits(
      stored, dataset, following and not _knows_forget(stored))


def _knows_forget(stored: str | os.PathLike) -> bool:
  """Whether a split is that of a run which was trained on its forget set.

  That of a manifest or a download: nobody was made to forget it.
  """
  config = pathlib.Path(stored).parent / runs.CONFIG
  return files.is_there(config) and chain.knows_forget(runs.read_json(config))


def request_splits(values: flags.FlagValues, dataset: dataset_lib.Dataset,
                   wanted: requests.ForgetRequest | None,
                   original: str | os.PathLike,
                   stored: str | os.PathLike | None
                   ) -> tuple[splits_lib.Splits, list[str]]:
  """Finished splits of a request on an original, and notes on them.

  Args:
    values: the flags.
    dataset: the images.
    wanted: the request; None = the split says who is forgotten.
    original: the model's folder.
    stored: the split; None = the data say it.

  Raises:
    ValueError: if nobody knows the split, or who is forgotten.
  """
  if stored is None and dataset.split is None:
    raise ValueError(
        f'Expected the split of {original}: give --splits or a manifest with a '
        'split column; a split drawn now would put people whom the model was '
        'trained on into val and test and void every attack figure.')
  parts = told_parts(values, dataset, stored, wanted is not None)
  if wanted is None:
    if not isinstance(parts, splits_lib.Splits):
      forget_request(values)  # says that one is required
      raise AssertionError('unreachable: a request is required')
    splits_lib.check_splits(dataset, parts)
    return parts, splits_lib.splits_notes(dataset, parts)
  if (isinstance(parts, splits_lib.Start)
      and command.value(values, 'splits') is not None):
    raise ValueError(
        'Expected no --forget_* flag: the split already says who is '
        'forgotten.')
  found = request_on(dataset, parts, wanted)
  splits = found.splits()
  return splits, found.notes() + splits_lib.splits_notes(dataset, splits)


def say_used(dataset: dataset_lib.Dataset, **known: Any) -> dict[str, Any]:
  """Prints what a run uses before it begins; see ``used.facts``."""
  used = used_lib.facts(dataset, **known)
  for line in (*used_lib.lines(used), *dataset.notes):
    print(line)
  return used


def stored_split(values: flags.FlagValues, original: str | os.PathLike | None
                 ) -> str | os.PathLike | None:
  """The split of --splits, else that of the original's run, if any."""
  stored = command.value(values, 'splits')
  if stored is None and original is not None and files.is_there(
      pathlib.Path(original) / runs.SPLITS):
    stored = pathlib.Path(original) / runs.SPLITS
  return stored


def load_data(options: sources.DataOptions,
              values: flags.FlagValues | None = None,
              stored: str | os.PathLike | None = None) -> dataset_lib.Dataset:
  """The data set that the options name, with a bar while images are read.

  Args:
    options: which.
    values: flags that say how it is read.
    stored: a split whose request and those before it may have had their images
      deleted, which may have been all that there were of a class.
  """
  workers = None
  if values is not None and 'data_workers' in values:
    workers = command.value(values, 'data_workers')
  if workers is None:
    workers = min((os.cpu_count() or 1) - 1, _MOST_WORKERS)
  forgotten = split_files.forgotten_ids(stored) if stored else frozenset()
  with spent.on(spent.READ):
    dataset = job.load_data(options, [command.Progress()], workers=workers,
                            forgotten=forgotten)
  model = pathlib.Path(stored or '').parent / runs.CHECKPOINTS / 'model'
  if forgotten and files.is_there(model):
    dataset = dataset.with_classes_of(checkpoint.task_of(model))
  return dataset


def data_options(start: sources.DataOptions | None,
                 values: flags.FlagValues) -> sources.DataOptions:
  """The data that the flags name, over those of a preset or an earlier run.

  Raises:
    ValueError: if a run had arrays in memory and no flag names the data.
    FileNotFoundError: if the data that a run names are not there.
  """
  if start is None:
    command.required(values, 'data')
    start = presets.STARTS['demo'].data
  if command.value(values, 'data') is not None:
    start = sources.for_source(start, command.value(values, 'data'))
  found = options_lib.apply(start, options_lib.DATA, values, 'the data')
  if values['class_names'].value:
    names = read_names('class_names', values['class_names'].value)
    if names:
      found = dataclasses.replace(found, class_names=tuple(names))
  for flag, field in (('data', 'source'), ('root', 'root')):
    place = getattr(found, field)
    if (place == getattr(start, field) and place != presets.FILE
        and places.is_missing(f'data.{field}', place)):
      raise FileNotFoundError(
          f'Expected the data of the run at {place}, found none: if they were '
          f'moved, --{flag} names the new place.')
  given = [option.path for option in options_lib.DATA
           if (values[option.flag].value or 'none').lower() != 'none']
  for name in sources.unread(found, given):
    raise ValueError(
        f'Expected no --{name} with --data={found.source}: nothing of such '
        'data is read by it.')
  return found


@contextlib.contextmanager
def drawn_if_missing(values: flags.FlagValues) -> Iterator[None]:
  """Sentences about drawn data also say so where nothing asked for them."""
  try:
    yield
  except ValueError as error:
    if any(name in values and command.value(values, name) is not None
           for name in ('data', 'preset', 'original', 'people',
                        'images_per_person', 'data_seed')):
      raise
    raise ValueError(
        f'{error} --data is missing, so the faces are drawn.') from error


def read_names(flag: str, text: str) -> list[str]:
  """The names in a text file, one a line; ``[]`` if there is none.

  Raises:
    ValueError: if it cannot be read.
  """
  if not files.is_there(text):
    return []
  lines = files.read_text(
      text, f'--{flag} to be names or a text file').splitlines()
  return [line.strip() for line in lines if line.strip()]


def refuse(values: flags.FlagValues, names: Sequence[str], why: str) -> None:
  """Raises ValueError if a flag was given that would change nothing."""
  for name in names:
    if name in values and values[name].present:
      raise ValueError(f'Expected no --{name} {why}.')


def devices(values: flags.FlagValues) -> parallel.Devices:
  """The devices that ``--devices`` asks for, with ``--device_bytes`` of images.

  A command that runs no model for long has only the first flag.
  """
  local, wanted = jax.local_devices(), command.value(values, 'devices')
  if wanted is not None and wanted > len(local):
    raise ValueError(
        f'Expected --devices of at most {len(local)} here, got {wanted}.')
  image_bytes = (command.value(values, 'device_bytes')
                 if 'device_bytes' in values else parallel.IMAGE_BYTES)
  return parallel.Devices([
      device for process in range(hosts.count())
      for device in jax.local_devices(process_index=process)[:wanted]],
                          image_bytes)


def run_options(values: flags.FlagValues, line: str | None = None
                ) -> dict[str, Any]:
  """Run-time arguments of every run: where, and who is told of it.

  Args:
    values: the flags.
    line: the command as it was typed.
  """
  return {'devices': devices(values), 'hooks': [command.Progress()],
          'checkpoint_seconds': command.value(values, 'checkpoint_seconds'),
          'command': line}
