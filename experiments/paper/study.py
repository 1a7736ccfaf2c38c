"""One task at one seed: its data, split and trained models.

The models are run folders below ``<workdir>/<task>/<seed>``; what is finished
is not trained again, and every experiment on a task shares them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from absl import flags

from dlfd_jax import checkpoint, methods, parallel, presets
from dlfd_jax.cli import command, inputs, options, preset_files, trackers
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  resolution,
  sources,
  split_columns,
  splits as splits_lib,
)
from dlfd_jax.pipeline import job, reference_models, train, unlearn
from experiments.publish import programs

FORGET_FRACTION = 0.15
# Seeds of references are no other model's of the table.
_FIRST_REFERENCE, _REFERENCES = 1000, 1000
_OVERRIDES = (*options.DATA, *options.NETWORK,
              *(o for o in options.TRAIN if o.flag == 'epochs'))
# Trained models differ with the others, so these name the folder of a task.
_PLACES = ('data', 'root')
# Of a cell, for trackers, whose files are in one folder for a workdir.
_SETTINGS = ('task', 'preset', 'data', 'seed', 'model', 'method', 'state',
             'network', 'image_size', 'train_epochs', 'config')
_NUMBERS = ('passes', 'time_share', 'steps', 'selected_step')
TRACKED = 'tracked'
_NAME = re.compile(r'\w[\w.-]{0,99}')


@dataclasses.dataclass(frozen=True)
class Task:
  """A preset on a data set."""

  name: str  # given, or of the preset with what was changed in it
  preset_name: str  # of the preset alone
  preset: presets.Preset  # data, network, recipe and methods
  split_by: str = 'person'  # `'image'` where persons are unknown


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
  """A task at one seed of split, request and training."""

  task: Task
  seed: int  # of everything random
  folder: pathlib.Path  # of its run folders
  dataset: dataset_lib.Dataset  # the images
  splits: splits_lib.Splits  # retain, forget, val, test
  notes: list[str]  # on the request
  trained: dict[str, job.ModelRun]  # the runs of `original` and `retrained`
  common: dict[str, Any]  # run-time arguments of every run

  @property
  def devices(self) -> parallel.Devices:
    return self.common['devices']

  @property
  def saved(self) -> checkpoint.SavedModel:
    """The original."""
    return self.trained['original'].state()

  def about(self) -> dict[str, Any]:
    """What a reader of a result needs to know of the study."""
    network = self.task.preset.network
    outputs = self.dataset.task.num_outputs
    return {
        'task': self.task.name, 'preset': self.task.preset_name,
        'data': self.dataset.name, 'seed': self.seed,
        'images': len(self.dataset),
        'splits': {n: len(rows) for n, rows in self.splits.parts.items()},
        'network': network.identity(),
        'classes': (2**outputs if self.dataset.task.kind == 'multilabel'
                    else outputs),
        'image_size': self.dataset.image_size[0],
        'train_epochs': self.task.preset.train.epochs,
        'original_train_accuracy': (
            self.trained['original'].record['accuracy_train'])}

  def references(self, n: int) -> list[str]:
    """Runs of ``n`` further retrained models, which all tables share."""
    if not n:
      return []
    made = reference_models.train_references(
        reference_models.plan(
            self.trained['original'], self.splits, n=n,
            seed=_FIRST_REFERENCE + _REFERENCES * self.seed),
        self.folder / 'references', each=command.check_finite,
        **self.common)
    return made.retrained()[:n]

  def unlearn(self, folder: pathlib.Path,
              config: methods.RunConfig) -> unlearn.UnlearnResult:
    """Runs a method in ``folder``, or reads its finished result."""
    return unlearn.unlearn(
        self.trained['original'], config, self.splits, seed=self.seed,
        notes=self.notes, workdir=folder, **self.common)


def digest(fields: Any) -> str:
  """Eight characters that change with any of the fields."""
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def own_mark(config: methods.RunConfig) -> str:
  """Ends the name of what one's own method made; nothing for ours.

  A file that was changed is another method: nothing of the one before counts.
  """
  own_code = methods.own_code(config)
  return f'-{digest(own_code)}' * bool(own_code)


def folder_of(label: str, method: str, config: methods.RunConfig) -> str:
  """Name of the folder of a row's run.

  It changes with every setting, and with the file of a method of one's own.
  """
  fields = dataclasses.asdict(config)
  return f'{label}-{digest([method, fields])}{own_mark(config)}'


def define(values: flags.FlagValues, tasks: list[str]) -> None:
  """Flags that name tasks, their data and their seeds."""
  inputs.define_run(values)
  trackers.define(values)
  programs.define(
      values, tasks=(tasks, 'presets to run; your own as file.yaml'),
      data=([], 'data of each task, as `--data` of `dlfd train`, as many as '
            "tasks; default each preset's own"),
      name=([], 'what each task is called, in titles and folders; default its '
            'preset, with what flags change in it'))
  programs.define(
      values, metrics=([], "metrics of one's own in further columns, each as "
                           'file.py:NAME'))
  flags.DEFINE_enum(
      'split_by', 'person', ['person', 'image'],
      "'image' only where persons are unknown", flag_values=values)
  options.define([o for o in _OVERRIDES if o.flag != 'data'], values)


def tasks_of(values: flags.FlagValues, tuned: bool = True) -> list[Task]:
  """The tasks that the flags name.

  Args:
    values: the parsed flags.
    tuned: with the values that a search chose, not the starts.

  Raises:
    FileNotFoundError: if there is no such file of a preset.
    ValueError: if a preset is unknown, the data or names are not one for each,
      or a name cannot be that of a folder.
  """
  names, data, called = (
      values[name].value for name in ('tasks', 'data', 'name'))
  source = presets.PRESETS if tuned else presets.STARTS
  unknown = [name for name in sorted(set(names) - set(source))
             if not preset_files.is_file(name)]
  if unknown or not names:
    raise ValueError(f'Expected --tasks of {sorted(source)}, or files of your '
                     f'own that end in .yaml, got {unknown or "none"}.')
  starts = [source.get(name) or preset_files.read(name) for name in names]
  own = {name: pathlib.Path(name).stem for name in names
         if preset_files.is_file(name)}
  names = [own.get(name, name) for name in names]
  check_once('tasks', names)
  for flag, what, given in (('data', 'sources', data),
                            ('name', 'tasks', called)):
    if given and len(given) != len(names):
      raise ValueError(
          f'Expected --{flag} to name {len(names)} {what}, one for each task, '
          f'got {len(given)}.')
  check_once('name', called)
  for name in (*called, *own.values()):
    if not _NAME.fullmatch(name) or name in source:
      raise ValueError(
          'Expected --name, or the name of a file in --tasks, of letters, '
          f'digits, points, - and _, and not that of a preset, got {name!r}.')
  changes = {o.flag: values[o.flag].value for o in _OVERRIDES
             if o.flag not in _PLACES and values[o.flag].value is not None}
  found = []
  for i, (name, start) in enumerate(zip(names, starts, strict=True)):
    preset = dataclasses.replace(
        start,
        data=_data_of(start.data, values, data[i] if data else None),
        network=options.apply(
            start.network, options.NETWORK, values, 'the network'),
        train=options.apply(
            start.train, [o for o in options.TRAIN if o.flag == 'epochs'],
            values, 'training'))
    title = ''.join(f'-{flag}_{text}' for flag, text in changes.items())
    if start.data.source == sources.SYNTHETIC and preset.data.source != (
        sources.SYNTHETIC):
      title = f'-{pathlib.Path(data[i]).stem}{title}'
    found.append(Task(
        called[i] if called else name + title.replace('/', '_'), name, preset,
        command.value(values, 'split_by')))
  return found


def _data_of(start: sources.DataOptions, values: flags.FlagValues,
             source: str | None) -> sources.DataOptions:
  """A task's data, read from the flags as every command reads them."""
  own = flags.FlagValues()
  options.define(options.DATA, own)
  for option in options.DATA:
    own[option.flag].value = (
        source if option.flag == 'data' else values[option.flag].value)
  own.mark_as_parsed()
  if source or values['tasks'].present:
    return inputs.data_options(start, own)
  with inputs.drawn_if_missing(own):
    return inputs.data_options(start, own)


def open_study(task: Task, seed: int, root: pathlib.Path,
               forget_fraction: float = FORGET_FRACTION,
               **common: Any) -> Study:
  """Splits the data by person and trains what is not trained yet.

  Args:
    task: what to train.
    seed: of split, request and training.
    root: holds a folder for every task.
    forget_fraction: share of the training people who are forgotten where the
      data do not say who.
    **common: ``devices``, ``command`` and the run options of ``train``.
  """
  dataset = job.load_data(task.preset.data, common.get('hooks', ()))
  if not seed:  # the first one: once for a task
    for line in (f'{task.name}: {len(dataset):,} images, '
                 f'{" x ".join(map(str, dataset.image_size))} px.',
                 *dataset.notes):
      print(line)
  partition, splits, notes = _parts(
      dataset, seed, forget_fraction, task.split_by)
  recipe = dataclasses.replace(task.preset.train, seed=seed)
  folder = root / task.name / str(seed)
  trained = {}
  for name, on, parts in (('original', 'all', partition),
                          ('retrained', 'retain', splits)):
    trained[name] = train.train(
        dataset, parts, recipe, task.preset.network, on=on,
        workdir=folder / name, **common)
    command.check_finite(trained[name])
  return Study(task, seed, folder, dataset, splits, notes, trained, common)


def _parts(dataset, seed, forget_fraction, by='person'):
  """The data's own forget set where it has one, else people drawn by seed."""
  parts = (splits_lib.draw_partition(dataset, seed=seed, by=by)
           if dataset.split is None
           else split_columns.partition_from_column(dataset))
  partition = job.as_partition(parts)
  if isinstance(parts, splits_lib.Splits):
    return partition, parts, splits_lib.splits_notes(dataset, parts)
  splits, notes = resolution.resolve_request(
      dataset, partition,
      requests.ForgetRequest(fraction=forget_fraction, seed=seed))
  return partition, splits, notes


def check_once(flag: str, names: list[str]) -> None:
  """Raises ValueError if a flag names something twice."""
  twice = sorted({name for name in names if names.count(name) > 1})
  if twice:
    raise ValueError(f'Expected --{flag} to name everything once, got '
                     f'{", ".join(twice)} more than once.')


def label_of(name: str) -> str:
  """Names a method's row and its folders: of one's own that of the class."""
  return name.rpartition(':')[2]


def check_labels(names: list[str]) -> None:
  """Raises ValueError if two methods would share their folders and a row."""
  check_once('methods', names)
  labels = [label_of(name) for name in names]
  twice = [name for name, label in zip(names, labels, strict=True)
           if labels.count(label) > 1]
  if twice:
    raise ValueError('Expected methods in --methods whose classes differ in '
                     f'name, got {" and ".join(twice)}: rename a class.')


def tell(asked: trackers.Trackers, root: pathlib.Path, kind: str,
         cells: Sequence[dict[str, Any]]) -> None:
  """Tells trackers of finished cells, each a run in the group of its task."""
  for cell in cells:
    settings = {name: cell[name] for name in _SETTINGS if name in cell}
    name = '-'.join(str(cell[part]) for part in ('task', 'seed', 'model'))
    asked.note(
        root / TRACKED / f'{name}-{digest(settings)}', 'cell',
        f'{kind} {cell["task"]}', settings, {
            **{name: of['value'] for name, of in cell['metrics'].items()},
            **{name: cell.get(name) for name in _NUMBERS}})


def root_of(values: flags.FlagValues) -> pathlib.Path:
  """The folder of all run folders."""
  return pathlib.Path(command.required(values, 'workdir'))
