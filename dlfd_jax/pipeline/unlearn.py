"""``unlearn``: a trained classifier and a request to one that has forgotten."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from dlfd_jax import (
  checkpoint,
  loop,
  methods,
  models,
  parallel,
  predict,
  presets,
)
from dlfd_jax.data import (
  dataset as dataset_lib,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.methods import (
  base as methods_base,
  live,
  rum,
  trial,
)
from dlfd_jax.metrics import usable
from dlfd_jax.pipeline import chain, chain_checks, forgotten, job
from dlfd_jax.utils import hosts, rng, runs, spent, validate

_MOST_JUDGED = 10_000  # images of a part
_SAMPLE = 13  # salt of their draw


class UnlearnResult(job.ModelRun):
  """A classifier that has forgotten; ``model`` and ``last`` are its states.

  ``record`` has the choice of a state and its reason, the findings of the
  method, the figures of every check and the times.
  """

  @functools.cached_property
  def request(self) -> dict[str, Any]:
    """Every number of the request, see ``ResolvedRequest.counts``."""
    assert isinstance(self.splits, splits_lib.Splits)  # as `unlearn` takes
    return resolution.ResolvedRequest.of(self.dataset, self.splits).counts()

  @property
  def selected(self) -> models.Variables:
    """Variables of the selected state."""
    return self.variables

  @property
  def last(self) -> models.Variables:
    """Variables after the last step."""
    return self._state('last').variables

  @property
  def selected_step(self) -> int:
    """Number of steps before the selected state."""
    return self.record['selected_step']

  @property
  def reason(self) -> str:
    """Why that state was selected, one sentence."""
    return self.record['reason']

  @property
  def history(self) -> list[dict[str, Any]]:
    """The figures of every check."""
    return self.record['history']

  @property
  def findings(self) -> dict[str, Any]:
    """Thresholds and flags of the run."""
    return self.record['findings']


def unlearn(
    original: methods.Problem | job.ModelRun | checkpoint.SavedModel,
    config: methods.RunConfig | None = None,
    splits: splits_lib.Splits | None = None,
    dataset: dataset_lib.Dataset | None = None, *, seed: int = 0,
    notes: Sequence[str] | None = None, workdir: job.Folder | None = None,
    devices: parallel.Devices | None = None, hooks: Sequence[loop.Hook] = (),
    checkpoint_seconds: float = 60.0, command: str | None = None,
    original_path: str | None = None, used: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    allow_unverified: bool = False) -> UnlearnResult:
  """Makes a trained classifier forget; the method is that of the config.

  Args:
    original: what :func:`~dlfd_jax.pipeline.train.train` or ``load_model``
      returned, or a ``Problem``, which holds the next three, too.
    config: a ``DLFDConfig`` or another method's; None = the default method,
      with its settings for any data, see ``presets.own_config``.
    splits: retain, forget, val and test; no method reads ``test``.
    dataset: the images; default those that ``original`` was trained with.
    seed: of everything random in unlearning.
    notes: on the request; default what ``splits_notes`` finds.
    workdir: folder of the run, see ``train``; like the next four.
    devices: where to run.
    hooks: called with every event.
    checkpoint_seconds: least time between two checkpoints.
    command: how a user started this.
    original_path: where the original lies; default its own folder.
    used: what a command printed of what it uses, for the record.
    search: where the method's settings come from, for the record.
    request_id: the number of the request with its owner, for the report and the
      record of these people that later requests keep.
    allow_unverified: where original, data and split do not belong together go
      on and record it.

  Returns:
    The selected and the last state, and how they came about. The original is
    unchanged.

  Raises:
    ValueError: if the original does not fit the data, was trained on others or
      on another split, no method has that config, or the folder holds something
      else.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  devices = devices or parallel.Devices()
  if config is None:
    config = presets.own_config()
  method = methods.method_of(config)
  begun = begin(original, splits, dataset, seed, original_path, request_id)
  problem, saved = begun.problem, begun.saved
  config.check(problem)
  findings, of_others = begun.findings, {}
  retrained = _retrained(config)
  if retrained is not None:
    findings += _check_retrained(retrained, problem)
    of_others['retrained'] = retrained.weights
  verification = findings.settled(allow_unverified)
  held_out = methods_base.set_aside(
      config, problem.dataset, problem.splits, problem.seed)
  run = UnlearnResult(
      dataset=problem.dataset, splits=problem.splits,
      config=begun.run_config(
          method, settings_of(config), methods.own_code(config)) | of_others)
  if run.open(workdir, allow_unverified):
    return run
  started = time.perf_counter()
  with run.checkpoints() as saver, job.shown(
      hooks, f'unlearn with {config.title}'):
    out = methods.unlearn(
        problem, config, devices=devices, log=run.log, checkpoints=saver,
        checkpoint_seconds=checkpoint_seconds, hooks=hooks)
  job.check_interrupted(out.stop, run.folder)
  states = {name: dataclasses.replace(
      saved, variables=parallel.fetch(variables))
            for name, variables in (('model', out.selected),
                                    ('last', out.last))}
  verification['unchanged'] = checkpoint.fingerprint(
      states['model'].variables) == run.config['original']
  right = part_accuracies(
      problem.on(held_out.splits) if held_out else problem,
      {'original': problem.original, 'unlearned': out.selected}, devices)
  lost = usable.accuracy_drops(**right)
  if notes is None:
    notes = splits_lib.splits_notes(problem.dataset, problem.splits)
  run.finish(states, {
      **begun.record(run, devices), 'command': command, 'method': method,
      'stop': out.stop, 'steps': out.steps,
      'selected_step': out.selected_step, 'reason': out.reason,
      'findings': out.findings, 'check_share': out.check_share,
      'accuracies': {name: usable.accuracies(of_model)
                     for name, of_model in right.items()},
      'losses': [one.as_dict() for one in lost],
      'do_not_use': usable.sentences(lost),
      'history': out.history,
      'notes': [*notes, *filter(None, [
          held_out and held_out.note, config.caution,
          *map(out.findings.get, ('steering_reason', 'grouping'))]),
                *_of_rates(config, out.findings)],
      # Images of val that are no longer unseen, by sample id.
      'held_out': problem.dataset.sample_id[held_out.rows].tolist()
                  if held_out else [],
      'search': search, 'used': used, 'verification': verification,
      'time': {**dataclasses.asdict(out.clock), **spent.since_last(),
               'work_s': out.clock.work_s,
               # Of all sessions of an interrupted run.
               'total_s': max(time.perf_counter() - started,
                              out.clock.total_s)}})
  return run


def _retrained(config: methods.RunConfig) -> chain.Judged | None:
  """The model that tells RUM of memorisation, if it asks one."""
  if not isinstance(config, rum.RumConfig) or config.retrained is None:
    return None
  return chain.Judged(checkpoint.load_model(config.retrained), config.retrained,
                      **chain.of_folder(config.retrained))


def _check_retrained(one: chain.Judged,
                     problem: methods.Problem) -> chain_checks.Findings:
  """Whether that model never saw forget."""
  return chain_checks.check_run(one, 'retrained', problem.dataset) + (
      chain_checks.check_unseen(
          one, 'retrained', problem.dataset, problem.splits))


@dataclasses.dataclass(frozen=True, eq=False)
class Begun:
  """What an unlearning run starts from, checked.

  Attributes:
    problem: the classifier, the data and whom to forget.
    saved: the classifier as it is saved.
    start: the same with what is known of the run that made it.
    findings: of comparing it with the data and the split.
    path: where the original lies; None = in memory.
    request_id: see :func:`unlearn`.
  """

  problem: methods.Problem
  saved: checkpoint.SavedModel
  start: chain.Judged
  findings: chain_checks.Findings
  path: str | None
  request_id: str | None

  def run_config(self, method: str, settings: Mapping[str, Any],
                 own_code: Mapping[str, str | None] | None = None
                 ) -> dict[str, Any]:
    """The config of a run by a method of these settings."""
    dataset, splits = self.problem.dataset, self.problem.splits
    own_code = {**models.own_code(self.saved.config), **(own_code or {})}
    return {
        **({runs.OWN_CODE: own_code} if own_code else {}),
        **({'request_id': self.request_id} if self.request_id else {}),
        'kind': 'unlearn', 'method': method,
        'original': checkpoint.fingerprint(self.saved.variables),
        'original_path': self.path, **job.data_config(dataset),
        'rows': {name: chain.rows_hash(dataset, rows)
                 for name, rows in splits.parts.items()},
        'config': settings, 'seed': self.problem.seed,
        chain.KEY: chain.entry(
            dataset, splits, splits.retain,
            train=chain.ids_hash(dataset.sample_id[splits.train]),
            ancestors=chain.ancestors(self.start),
            recipe=chain.recipe(self.start.config))}

  def record(self, run: UnlearnResult, devices: parallel.Devices
             ) -> dict[str, Any]:
    """What the result of every such run says of request and machine."""
    network = self.saved.config
    return {
        'kind': 'unlearn', 'request': run.request,
        forgotten.KEY: forgotten.of_run(
            self.start, self.problem.dataset, self.problem.splits,
            self.request_id),
        'forget_images': run.request['images'],
        'by_person': run.request['by_person'],
        'data_notes': list(self.problem.dataset.notes),
        'device': job.device_name(), 'devices': devices.count,
        'processes': hosts.count(), 'seed': self.problem.seed,
        'compute_dtype': network and models.resolve_dtype(
            network.compute_dtype),
        'remat': network and network.remat, 'versions': runs.versions(),
        'finished': runs.now(), 'peak_bytes': runs.peak_bytes(),
        'device_peak_bytes': devices.peak_bytes()}


def begin(original: methods.Problem | job.ModelRun | checkpoint.SavedModel,
          splits: splits_lib.Splits | None,
          dataset: dataset_lib.Dataset | None, seed: int,
          original_path: str | None, request_id: str | None = None) -> Begun:
  """Compares an original with the data and the split; see :func:`unlearn`."""
  if request_id is not None:
    validate.printable('request_id', request_id, forgotten.LONGEST_ID)
  start = None
  if isinstance(original, job.ModelRun):
    start = job.judged(original)
    dataset = original.dataset if dataset is None else dataset
    if original_path is None and original.folder is not None:
      original_path = str(original.folder)
    original = original.state()
  if isinstance(original, checkpoint.SavedModel):
    if dataset is None or splits is None:
      raise ValueError('Expected the data and the splits to unlearn with, got '
                       f'no {"splits" if splits is None else "data"}.')
    original.check_fits(
        dataset.task, dataset.image_size, original_path or 'the original')
    saved = original
    start = start or chain.Judged(
        saved, original_path or chain.IN_MEMORY,
        **chain.of_folder(original_path) if original_path else {})
    problem = methods.Problem(
        models.build(saved.config), saved.variables, dataset, splits, seed)
  else:
    problem = original
    dataset, splits = problem.dataset, problem.splits
    # None for a module that only its user can build: it cannot be saved.
    known = cast(models.ModelConfig, models.config_of(problem.model))
    saved = checkpoint.SavedModel(
        problem.original, known, dataset.task, dataset.image_size)
    start = chain.Judged(saved, chain.IN_MEMORY)
  return Begun(
      problem, saved, start,
      chain_checks.check_run(start, 'original', dataset)
      + chain_checks.check_start(start, dataset, splits)
      + chain_checks.inherited([start]),
      original_path, request_id)


def _of_rates(config: methods.RunConfig,
              findings: Mapping[str, Any]) -> list[str]:
  """How the rate of each stage was chosen by trial, in words."""
  stages = [*findings.get('stages', ()), {**findings, 'method': config.title}]
  return [trial.sentence(stage['method'], stage['trial'])
          for stage in stages if 'trial' in stage]


def settings_of(config: methods.RunConfig) -> dict[str, Any]:
  """A method's config as a run records it."""
  fields = dataclasses.asdict(config)
  if isinstance(config, methods_base.Composite):  # fields do not tell of what
    for part in config.parts:
      if (inner := getattr(config, part)) is not None:
        fields[part]['name'] = methods.method_of(inner)
  return fields


def part_accuracies(
    problem: methods.Problem, variables: Mapping[str, models.Variables],
    devices: parallel.Devices) -> dict[str, dict[str, usable.PartAccuracy]]:
  """Accuracy of models, by name, on val and on who stays.

  On a sample of a part that has more than ``_MOST_JUDGED`` images.
  """
  splits, generator = problem.splits, rng.generator(problem.seed, _SAMPLE)
  parts = {name: generator.permutation(splits.stays(name))[:_MOST_JUDGED]
           for name in usable.MOST_LOST}
  parts = {name: live.labelled(problem.dataset, rows)
           for name, rows in parts.items()}
  parts = {name: rows for name, rows in parts.items() if len(rows)}
  predictor = predict.Predictor(problem.model, problem.dataset, devices)
  return {name: job.part_accuracies(
      predictor, of_model, problem.dataset, parts)
          for name, of_model in variables.items()}
