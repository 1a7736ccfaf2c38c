"""Runs for TensorBoard, Weights & Biases and MLflow: ``--tracker``; optional.

A tracker is told what the folder of a run holds: ``config.json`` as
hyper-parameters, the figures of ``metrics.jsonl`` as they come, those of
``result.json`` at the end. One that fails is left out, and the run goes on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import math
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from absl import flags

from dlfd_jax import loop
from dlfd_jax.cli import command
from dlfd_jax.utils import files, hosts, runs, storage, text, validate

TENSORBOARD, STATE = 'tensorboard', 'trackers.json'
PROJECT = 'dlfd_jax'  # where no variable of the environment names another
# Module and extra of each.
LIBRARIES = {TENSORBOARD: ('tensorboardX', 'tensorboard'),
             'wandb': ('wandb', 'wandb'), 'mlflow': ('mlflow', 'mlflow')}
_NOT_FIGURES = ('step', 'num_steps')
_NOT_SETTINGS = ('chain', 'rows', 'paths', 'request_id')
_HASH = re.compile('[0-9a-f]{64}')
# Of a result of `train` or `unlearn`.
_FINAL = ('accuracy_train', 'accuracy_val', 'accuracies', 'steps',
          'selected_step', 'check_share', 'time')
_MODELS = ('original', 'unlearned', 'retrained')
Numbers = Mapping[str, float]


def define(values: flags.FlagValues) -> None:
  """The flag ``--tracker``."""
  flags.DEFINE_list(
      'tracker', [], 'also tell settings and figures to these, each an extra '
      f'of its name: {", ".join(LIBRARIES)}', flag_values=values)


@dataclasses.dataclass(frozen=True)
class About:
  """What a tracker is told of a run before its first figure.

  Attributes:
    folder: for files of the tracker's own.
    name: of the run.
    kind: what it is, such as ``'unlearn'``.
    group: of runs that belong together.
    config: its settings by dotted name.
    id: that the tracker gave to the run earlier, None if it is new.
    step: of its first figure, None where there are only final ones.
  """

  folder: pathlib.Path
  name: str
  kind: str
  group: str | None
  config: dict[str, str | int | float | bool]
  id: str | None
  step: int | None


class Tracker(Protocol):
  """One run in one library."""

  id: str

  def log(self, numbers: Numbers, step: int) -> None:
    """Figures of a step."""

  def end(self, final: Numbers | None, failed: bool) -> None:
    """The last figures; None if the run was stopped and may go on."""


class _TensorBoard:
  """Event files; steps after the last checkpoint of a run are replaced."""

  def __init__(self, about: About):
    import tensorboardX

    self.id, self._config = 'events', about.config
    self._folder = about.folder / TENSORBOARD
    self._writer = tensorboardX.SummaryWriter(
        str(self._folder), purge_step=about.step)

  def log(self, numbers: Numbers, step: int) -> None:
    for name, value in numbers.items():
      self._writer.add_scalar(name, value, step)
    self._writer.flush()
    storage.push_later(self._folder)

  def end(self, final: Numbers | None, failed: bool) -> None:
    if final is not None:
      from tensorboardX import summary

      # Without the description of an experiment, of which a folder has one:
      # runs of all kinds then stand side by side.
      _, *session = summary.hparams(self._config, dict(final))
      for part in session:
        self._writer.file_writer.add_summary(part)
      self.log(final, 0)
    self._writer.close()
    storage.push_later(self._folder)


class _Wandb:
  """A run of Weights & Biases.

  Its server refuses a name or group above 128 characters, but not until a run
  of the offline mode is sent to it.
  """

  _LONGEST = 128

  def __init__(self, about: About):
    import wandb

    self._run = wandb.init(
        project=os.environ.get('WANDB_PROJECT', PROJECT), dir=about.folder,
        name=text.bounded(about.name, self._LONGEST),
        group=about.group and text.bounded(about.group, self._LONGEST),
        job_type=about.kind, id=about.id,
        config=about.config, resume='allow', reinit='create_new',
        settings=wandb.Settings(console='off', silent=True))
    self.id, self._step = self._run.id, 0

  def log(self, numbers: Numbers, step: int) -> None:
    if step >= self._step:  # it takes no earlier ones
      self._run.log(dict(numbers), step=step)
      self._step = step

  def end(self, final: Numbers | None, failed: bool) -> None:
    self._run.summary.update(dict(final or {}))
    self._run.finish(exit_code=int(failed or final is None))


class _MLflow:
  """A run of MLflow."""

  def __init__(self, about: About):
    import mlflow

    self._client = mlflow.MlflowClient()
    experiment = os.environ.get('MLFLOW_EXPERIMENT_NAME', PROJECT)
    found = self._client.get_experiment_by_name(experiment)
    place = (found.experiment_id if found else
             self._client.create_experiment(experiment))
    if about.id is None:
      tags = {'kind': about.kind, **({'group': about.group} if about.group
                                     else {})}
      self.id = self._client.create_run(
          place, run_name=about.name, tags=tags).info.run_id
    else:
      self.id = about.id
      self._client.update_run(self.id, status='RUNNING')
    for entries in _batches([
        mlflow.entities.Param(_named(name), str(value)[:500])
        for name, value in about.config.items()]):
      self._client.log_batch(self.id, params=entries)

  def log(self, numbers: Numbers, step: int) -> None:
    from mlflow import entities

    now = round(1000 * time.time())
    for entries in _batches([
        entities.Metric(_named(name), value, now, step)
        for name, value in numbers.items()]):
      self._client.log_batch(self.id, metrics=entries)

  def end(self, final: Numbers | None, failed: bool) -> None:
    self.log(final or {}, 0)
    self._client.set_terminated(
        self.id, 'KILLED' if final is None else
        'FAILED' if failed else 'FINISHED')


def _batches(entries: Sequence[Any]) -> list[Sequence[Any]]:
  """As many at a time as MLflow takes."""
  return [entries[start:start + 100] for start in range(0, len(entries), 100)]


def _named(name: str) -> str:
  """A name with the characters that MLflow takes."""
  return re.sub(r'[^\w./: -]', '_', name)


_MAKERS: dict[str, Callable[[About], Tracker]] = {
    TENSORBOARD: _TensorBoard, 'wandb': _Wandb, 'mlflow': _MLflow}


@dataclasses.dataclass(frozen=True)
class Trackers:
  """The trackers that a command was asked for, all of them installed."""

  names: tuple[str, ...] = ()

  @contextlib.contextmanager
  def run(self, folder: str | os.PathLike) -> Iterator[Run]:
    """A run in its folder, which need not be there yet; closed at the end."""
    run = Run(self.names, pathlib.Path(folder))
    try:
      yield run
    finally:
      run.close()

  def note(self, folder: pathlib.Path, kind: str, group: str,
           config: Mapping[str, Any], numbers: Mapping[str, Any]) -> None:
    """What is only known at its end: a trial of a search, a row of a table.

    Args:
      folder: of its own, for the trackers' files; its last part is the name.
      kind: what it is.
      group: of those that belong together.
      config: its settings.
      numbers: what was found.
    """
    if not self.names:
      return
    run = Run(self.names, folder, kind, group, settings_in(config))
    folder.mkdir(parents=True, exist_ok=True)
    run.finish(numbers_in(numbers))


NONE = Trackers()


def of(values: flags.FlagValues) -> Trackers:
  """The trackers that the flags ask for.

  Raises:
    ValueError: if there is no such tracker, its library is not installed, or
      it would have to ask for a key in the middle of the run.
  """
  names = list(dict.fromkeys(command.value(values, 'tracker')))
  for name in names:
    if name not in LIBRARIES:
      raise ValueError(f'Expected --tracker of {", ".join(LIBRARIES)}, got '
                       f'{validate.shown(name)}.')
    module, extra = LIBRARIES[name]
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise ValueError(
          f'Expected {module} for --tracker={name}: '
          f'{text.by_extra(extra)}.') from error
  if 'wandb' in names and not _has_key():
    raise ValueError(
        'Expected to be logged in for --tracker=wandb: `wandb login` or '
        'WANDB_API_KEY does that, WANDB_MODE=offline needs no account.')
  return Trackers(tuple(names) if hosts.is_first() else ())


def _has_key() -> bool:
  """Whether Weights & Biases can begin a run without a question."""
  import wandb

  mode = os.environ.get('WANDB_MODE') or wandb.setup().settings.mode
  return mode in ('offline', 'disabled', 'dryrun') or wandb.login(
      prompt=False, verify=False)


class Run:
  """One run in all trackers, opened with its first figures.

  ``trackers.json`` in its folder says which runs they are, so that one which
  goes on is gone on with, and one which is finished is not told twice.
  """

  def __init__(self, names: Sequence[str], folder: pathlib.Path,
               kind: str | None = None, group: str | None = None,
               config: dict[str, Any] | None = None):
    self._folder, self._kind, self._group = folder, kind, group
    self._config = config  # None: as the folder says
    self._left = list(names)
    self._open: dict[str, Tracker] = {}
    self.hooks: list[loop.Hook] = [self._tell] if names else []

  def _tell(self, event: dict[str, Any]) -> None:
    if event['event'] == 'tick' or 'step' not in event:
      return
    numbers = {f'{event["event"]}/{name}': value
               for name, value in numbers_in(event).items()
               if name not in _NOT_FIGURES}
    if numbers:
      self._each(lambda tracker: tracker.log(numbers, event['step']),
                 event['step'])

  def finish(self, final: Numbers, failed: bool = False) -> None:
    """Tells the last figures, once."""
    self._each(lambda tracker: tracker.end(final, failed))
    self._note(finished=True)
    self._open, self._left = {}, []

  def finish_with(self, record: Mapping[str, Any]) -> None:
    """The same with those of a result."""
    self.finish(final_of(record), record.get('stop') == loop.NOT_FINITE)

  def close(self) -> None:
    """Ends what was stopped before its end."""
    for name, tracker in list(self._open.items()):
      self._guarded(name, functools.partial(tracker.end, None, True))
    self._open = {}

  def _each(self, act: Callable[[Tracker], None],
            step: int | None = None) -> None:
    for name in list(self._left):
      if name not in self._open:
        self._guarded(name, functools.partial(self._begin, name, step))
      if name in self._open:
        self._guarded(name, functools.partial(act, self._open[name]))

  def _begin(self, name: str, step: int | None) -> None:
    known = self._known().get(name, {})
    if known.get('finished'):
      self._left.remove(name)
      return
    config = self._config
    if config is None:
      config = settings_in(runs.read_json(self._folder / runs.CONFIG))
    folder = self._folder.absolute()
    self._open[name] = _MAKERS[name](About(
        folder, folder.name, self._kind or str(config.get('kind', 'run')),
        self._group, config, known.get('id'), step))
    self._note()

  def _known(self) -> dict[str, Any]:
    path = self._folder / STATE
    return runs.read_json(path) if files.is_there(path) else {}

  def _note(self, finished: bool = False) -> None:
    """Stores who knows the run under which name."""
    if self._open:
      runs.write_json(self._folder / STATE, {**self._known(), **{
          name: {'id': tracker.id, 'finished': finished}
          for name, tracker in self._open.items()}})
      storage.push_later(self._folder / STATE)

  def _guarded(self, name: str, act: Callable[[], None]) -> None:
    try:
      act()
    # Whatever a library or its server raises: the run is worth more.
    except Exception as error:
      self._left.remove(name)
      self._open.pop(name, None)
      said = (str(error).splitlines() or [''])[0]
      print(f'{name} failed, and the run goes on without it: '
            f'{type(error).__name__}: {said}', file=sys.stderr, flush=True)


def settings_in(config: Mapping[str, Any]
                ) -> dict[str, str | int | float | bool]:
  """Settings by dotted name, without hashes.

  Example:
    >>> settings_in({'seed': 0, 'data': {'labels': ['age'], 'root': None}})
    {'seed': 0, 'data.labels': '["age"]', 'data.root': 'none'}
  """
  found: dict[str, str | int | float | bool] = {}
  for name, value in config.items():
    if name in _NOT_SETTINGS or (
        isinstance(value, str) and _HASH.fullmatch(value)):
      continue
    if isinstance(value, Mapping):
      found |= {f'{name}.{inner}': of_inner
                for inner, of_inner in settings_in(value).items()}
    elif isinstance(value, (str, int, float)):
      found[name] = value
    else:
      found[name] = 'none' if value is None else json.dumps(value)
  return found


def numbers_in(found: Mapping[str, Any]) -> dict[str, float]:
  """Finite numbers by name, those of inner mappings as ``outer/inner``.

  Example:
    >>> numbers_in({'steps': 3, 'time': {'check_s': .5}, 'stop': 'finished'})
    {'steps': 3.0, 'time/check_s': 0.5}
  """
  numbers: dict[str, float] = {}
  for name, value in found.items():
    if isinstance(value, Mapping):
      numbers |= {f'{name}/{inner}': number
                  for inner, number in numbers_in(value).items()}
    elif (isinstance(value, (int, float)) and not isinstance(value, bool)
          and math.isfinite(value)):
      numbers[name] = float(value)
  return numbers


def final_of(record: Mapping[str, Any]) -> dict[str, float]:
  """The last figures of a result.

  Args:
    record: of ``train``, ``unlearn`` or ``evaluate``: of an evaluation every
      metric as ``model/metric``, of an unlearning run also the check of the
      state that it selected.
  """
  found: dict[str, Any] = {
      name: record[name] for name in _FINAL if name in record}
  for check in record.get('history') or ():
    if check.get('step') == record.get('selected_step'):
      found['selected'] = check
  for one in record.get('metrics') or ():
    for model in _MODELS:
      cell = one.get(model)
      found[f'{model}/{one["metric"]}'] = (
          cell.get('value') if isinstance(cell, Mapping) else cell)
  return {f'final/{name}': value for name, value in numbers_in(found).items()}
