"""What the jobs share: data, run folders, events, and what a run leaves."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import warnings
from collections.abc import (
  Callable,
  Collection,
  Iterator,
  Mapping,
  Sequence,
)
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import checkpoint, loop, models, predict, presets
from dlfd_jax.data import (
  dataset as dataset_lib,
  sources,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.metrics import accuracy, usable
from dlfd_jax.pipeline import chain, chain_checks, classifier
from dlfd_jax.utils import files, hosts, records, runs, stops, storage

Parts = splits_lib.Partition | splits_lib.Splits
Folder = str | os.PathLike


class Interrupted(Exception):
  """A signal stopped a job; the message says what is left of it.

  Attributes:
    saved: whether the same job goes on from what is on disk.
  """

  def __init__(self, sentence: str, saved: bool = False):
    super().__init__(sentence)
    self.saved = saved


@contextlib.contextmanager
def shown(hooks: Sequence[loop.Hook], title: str,
          state: str = 'compiling') -> Iterator[Callable[[int, int], None]]:
  """Tells the hooks of a loop that a job begins, in which state, and ends.

  Yields:
    ``tick(done, total)``, which tells them how far a job without a loop is.
  """
  def tick(done: int, total: int) -> None:
    for hook in hooks:
      hook({'event': 'tick', 'step': done, 'num_steps': total})

  for hook in hooks:
    hook({'event': 'begin', 'title': title, 'state': state})
  try:
    yield tick
  finally:
    for hook in hooks:
      hook({'event': 'end'})


def load_data(options: sources.DataOptions,
              hooks: Sequence[loop.Hook] = (), *, workers: int = 0,
              in_memory: bool = True,
              forgotten: Collection[str] = ()) -> dataset_lib.Dataset:
  """Reads or draws a data set; it remembers its options.

  Args:
    options: which.
    hooks: told how many images were read, where any are decoded.
    workers: processes that decode long streams of shards; a program that asks
      for some is guarded by ``if __name__ == '__main__'``.
    in_memory: whether images of files are read now; else when they are needed.
    forgotten: sample ids whose files may be absent, see
      ``split_files.forgotten_ids``.

  Raises:
    ValueError, FileNotFoundError: if the source cannot be read as asked.
  """
  if options.source == presets.FILE:
    raise ValueError('Expected --data to name the file of this preset.')
  with contextlib.ExitStack() as stack:
    begun = functools.cache(lambda: stack.enter_context(
        shown(hooks, 'read images', '')))

    def progress(done: int, total: int) -> None:
      begun()(done, total)

    return dataclasses.replace(
        sources.load(options, progress, workers=workers, in_memory=in_memory,
                     forgotten=forgotten),
        options=options)


def as_partition(parts: Parts) -> splits_lib.Partition:
  """A partition; the forget set of finished splits joins train again."""
  if isinstance(parts, splits_lib.Partition):
    return parts
  return splits_lib.Partition(parts.train, parts.val, parts.test)


def device_name() -> str:
  """Platform and kind of the first device, such as ``cpu``."""
  device = jax.local_devices()[0]
  kind = device.device_kind
  return kind if kind == device.platform else f'{device.platform} {kind}'


def data_config(dataset: dataset_lib.Dataset) -> dict[str, Any]:
  """How a command reads the images again (None = it cannot), and their hash."""
  options = dataset.options
  return {'data': options and dataclasses.asdict(options),
          'fingerprint': dataset.fingerprint()}


def part_accuracies(
    predictor: predict.Predictor, variables: models.Variables,
    dataset: dataset_lib.Dataset, parts: Mapping[str, np.ndarray]
    ) -> dict[str, usable.PartAccuracy]:
  """What a model has right of each of some sets of the predictor's rows."""
  found = predictor.parts(variables, parts) if parts else {}
  return {name: usable.PartAccuracy(
      accuracy.accuracy(dataset.task, out.logits, dataset.labels[parts[name]]),
      dataset.identity[parts[name]]) for name, out in found.items()}


def accuracies(predictor: predict.Predictor, variables: models.Variables,
               dataset: dataset_lib.Dataset, parts: Mapping[str, np.ndarray]
               ) -> dict[str, float]:
  """Accuracy of a model on each of some sets of the predictor's rows."""
  return {name: of_part.counts.value for name, of_part in part_accuracies(
      predictor, variables, dataset, parts).items()}


def open_folder(path: Folder, config: dict[str, Any]) -> runs.RunFolder:
  """The folder of a run, made by the first process and seen by all.

  Raises:
    ValueError: if it holds something else, another run is at work in it, or a
      process cannot see it.
  """
  path = storage.local(path)

  def make() -> runs.RunFolder:
    chain_checks.check_resumed(path, config)
    folder = runs.RunFolder(path, config)
    if folder.result is None:
      folder.lock()
    return folder

  made = hosts.first(make)
  if made is not None:
    return made
  storage.refresh(path)  # of a bucket this process has a copy of its own
  if not files.is_there(path / runs.CONFIG):
    raise ValueError(
        'Expected --workdir in a bucket or on a disk that all processes share, '
        f'but process {jax.process_index()} sees no run in {path}.')
  return runs.RunFolder(path, config, held=True)


@dataclasses.dataclass(eq=False, kw_only=True)
class ModelRun:
  """A classifier and the run that made it.

  Attributes:
    config: everything that decides the result, as in ``config.json``.
    dataset: the images.
    splits: who was trained on, and who was not.
    record: what is known of the run, as in ``result.json``.
    folder: its run folder; None = in memory alone.
    log: its events, as in ``metrics.jsonl``.
    states: the classifiers by name, ``'model'`` first; those of a folder are
      read when they are needed.
  """

  config: dict[str, Any]
  dataset: dataset_lib.Dataset
  splits: Parts
  record: dict[str, Any] = dataclasses.field(default_factory=dict)
  folder: pathlib.Path | None = None
  log: runs.MetricsLog = dataclasses.field(default_factory=runs.MetricsLog)
  states: dict[str, checkpoint.SavedModel] = dataclasses.field(
      default_factory=dict)
  _opened: runs.RunFolder | None = None
  _begun: str | None = None  # that other versions began it

  def state(self, name: str = 'model') -> checkpoint.SavedModel:
    """The classifier; of an unlearning run also its ``'last'`` one.

    Raises:
      ValueError: if its network cannot be built again from a name.
    """
    saved = self._state(name)
    if saved.config is None:
      raise ValueError(
          'Expected a network that can be built again to save or evaluate it, '
          'got an object: name its class as the architecture module:Class.')
    return saved

  def _state(self, name: str) -> checkpoint.SavedModel:
    if name not in self.states and self.folder is not None:
      self.states[name] = checkpoint.load_model(
          self.folder / runs.CHECKPOINTS / name)
    return self.states[name]

  @property
  def model(self) -> nn.Module:
    """The network without variables."""
    return models.build(self.state().config)

  @property
  def variables(self) -> models.Variables:
    """Parameters and statistics."""
    return self._state('model').variables

  def predict(self, images: np.ndarray) -> np.ndarray:
    """Probabilities of uint8 images, see ``Classifier.predict``."""
    return classifier.Classifier(self._state('model')).predict(images)

  @property
  def stop(self) -> str:
    """How the run ended, see ``loop.LoopResult``."""
    return self.record['stop']

  def open(self, workdir: Folder | None, allow_unverified: bool = False
           ) -> bool:
    """Takes a folder, if one is named, and reads its result.

    Returns:
      Whether the run is finished already.

    Raises:
      FileNotFoundError: if it is, but its model was lost.
      ValueError: if the folder holds something else, or a finished run whose
        files do not belong together or are not whole.
    """
    if workdir is None:
      return False
    stops.postpone(None)  # what another job left is not for this one
    self._opened = opened = open_folder(workdir, self.config)
    self.folder = opened.path
    if opened.resumed:  # an earlier version's lacks fields that were added
      self.config = runs.read_config(opened.path, self.config['kind'])
    if opened.result is not None:
      self.record = opened.result
      chain_checks.check_finished(opened.path).settled(allow_unverified)
      if not self.record.get('no_model'):
        checkpoint.read_card(opened.path)
      self.log.restore(runs.read_log(opened.path))
      stops.note_saved(opened.path)
      return True
    hosts.first(lambda: split_files.save_splits(
        opened.path / runs.SPLITS, self.dataset, self.splits))
    self.log = runs.MetricsLog(
        opened.path / runs.METRICS if hosts.is_first() else None)
    self._begun = _begun_by_others(opened)
    if self._begun and hosts.is_first():
      warnings.warn(self._begun, stacklevel=2)
    return False

  @contextlib.contextmanager
  def checkpoints(self) -> Iterator[checkpoint.LoopCheckpoints | None]:
    """Where the loop saves itself; nowhere without a folder."""
    if self._opened is None:
      yield None
      return
    saver = checkpoint.LoopCheckpoints(self._opened.checkpoints)
    yield saver
    saver.close()

  def finish(self, states: dict[str, checkpoint.SavedModel],
             record: dict[str, Any]) -> None:
    """Keeps the classifiers and the record, and writes them to the folder."""
    if self._begun:
      record = {**record, 'notes': [*record.get('notes', ()), self._begun]}
    record = chain.sealed({**record, 'log_lines': len(self.log), 'weights': {
        name: checkpoint.fingerprint(saved.variables)
        for name, saved in states.items()}}, self.config)
    self.states = states
    self.record = record
    opened = self._opened
    if opened is not None:
      for name, saved in states.items():
        checkpoint.save_model(
            opened.checkpoints / name, saved.variables, saved.config,
            saved.task, saved.image_size, replace=True)
      hosts.first(lambda: opened.write_result(record))
      if not hosts.is_first():
        storage.refresh(opened.path)
      stops.note_saved(opened.path)
    stops.deliver()

  def save(self, folder: Folder) -> pathlib.Path:
    """Writes the run folder that the command of this job writes.

    Args:
      folder: new or empty, or one that holds this run.

    Returns:
      The folder.

    Raises:
      ValueError: if it holds something else.
    """
    states = {name: self.state(name) for name in self.states or ('model',)}
    record, events = self.record, self.log.events
    if not self.open(folder):
      self.log.restore(events)
      self.finish(states, record)
    return storage.local(folder)


def _begun_by_others(opened: runs.RunFolder) -> str | None:
  """What to know of a run that goes on from another version's checkpoint."""
  if not any((opened.checkpoints / 'loop').glob('[0-9]*')):
    return None
  then = records.read(opened.path / runs.VERSIONS, dict[str, str])
  others = [name.replace('_source', "'s code")
            for name, version in runs.versions().items()
            if then.get(name) != version]
  if not others:
    return None
  return (f'{opened.path.name} was begun with other versions of '
          f'{", ".join(others)}: its steps until now went by their rules and '
          'thresholds, those from here on go by these.')


def judged(run: ModelRun | checkpoint.SavedModel | chain.Judged | Folder,
           state: str | None = None) -> chain.Judged:
  """A model with what is known of the run that made it.

  Args:
    run: the model, or where it is.
    state: which one of an unlearning run, by default ``'model'``, the selected.

  Raises:
    ValueError: if a model that is known already is asked for another state.
  """
  if isinstance(run, chain.Judged):
    if state not in (None, run.state):
      raise ValueError(
          f'Expected the state {run.state} of a model that is read already, '
          f'got {state}.')
    return run
  state = state or 'model'
  if isinstance(run, checkpoint.SavedModel):
    return chain.Judged(run, chain.IN_MEMORY)
  if isinstance(run, ModelRun):
    return chain.Judged(
        run.state(state), str(run.folder or chain.IN_MEMORY), run.config,
        run.record, run.log.events or None,
        chain.ids_of(run.dataset, run.splits), state)
  place = storage.local(run)
  folder = checkpoint.find_model(
      place if state == 'model' else place / runs.CHECKPOINTS / state)
  return chain.Judged(checkpoint.load_model(folder), str(run),
                      state=state, **chain.of_folder(place))


def check_interrupted(stop: str, folder: pathlib.Path | None) -> None:
  """Raises Interrupted if a signal ended a loop."""
  if stop == loop.INTERRUPTED:
    raise Interrupted(
        'Stopped before the end; without a folder nothing is kept.'
        if folder is None else f'Stopped with a checkpoint in {folder}; the '
        'same command goes on from there.', saved=folder is not None)
