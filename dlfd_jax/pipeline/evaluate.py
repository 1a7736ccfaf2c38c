"""``evaluate``: original, unlearned and retrained models side by side."""

from __future__ import annotations

import dataclasses
import functools
import os
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import checkpoint, loop, models, parallel
from dlfd_jax.data import (
  copies as copies_lib,
  dataset as dataset_lib,
  leakage,
  splits as splits_lib,
)
from dlfd_jax.evaluation import (
  earlier as earlier_lib,
  inputs as inputs_lib,
  kept,
  likelihood_attacks,
  own_metrics,
  registry,
  run as run_lib,
)
from dlfd_jax.metrics import usable
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  evaluation_facts as facts,
  evaluation_result,
  finished_runs,
  forgotten,
  half_references as halves_lib,
  job,
  predictors as predictors_lib,
  recovery,
  reference_models,
  relearn,
  shadow_models,
  tier_1_runs,
  weakenings,
)
from dlfd_jax.utils import (
  hosts,
  places,
  runs,
  spent as spent_lib,
  storage,
  text,
  validate,
)

References = job.Folder | reference_models.ReferenceModels
Shadows = References | shadow_models.Plan
# Whatever names a model to be measured.
AnyModel = (job.ModelRun | checkpoint.SavedModel | chain.Judged | str
            | os.PathLike)


def allowed_tier(retrained: int, shadows: bool = False) -> int:
  """The highest tier that so many retrained models are enough for.

  Args:
    retrained: their number.
    shadows: whether shadow models are there, too.

  Example:
    >>> [allowed_tier(n) for n in (0, 1, 4)], allowed_tier(0, shadows=True)
    ([0, 1, 2], 3)
  """
  if shadows:
    return 3
  return 2 if retrained >= likelihood_attacks.LEAST else int(retrained > 0)


def evaluate(
    original: AnyModel | None, unlearned: AnyModel,
    retrained: Sequence[AnyModel] = (),
    config: inputs_lib.EvaluationConfig | None = None, *,
    tier: int | None = None,
    tier_1: tier_1_runs.Tier1Config | None = None,
    shadows: Shadows | None = None,
    half_references: References | None = None,
    splits: job.Parts | None = None,
    dataset: dataset_lib.Dataset | None = None, state: str | None = None,
    search_s: float | None = None, keep_features: bool = False,
    workdir: job.Folder | None = None,
    devices: parallel.Devices | None = None, hooks: Sequence[loop.Hook] = (),
    checkpoint_seconds: float = 60.0, command: str | None = None,
    used: Mapping[str, Any] | None = None, allow_unverified: bool = False,
    audit_notes: Sequence[str] | None = None,
    metrics: Sequence[str | registry.Metric] = ()
    ) -> evaluation_result.EvaluationResult:
  """Measures an unlearned model beside the original and retrained ones.

  Args:
    original: a result of ``train``, a loaded model or a folder; None = not at
      hand, which only an audit may say.
    unlearned: a result of ``unlearn`` or its folder; any model will do.
    retrained: models that were trained on retain alone, of different seeds.
      Without one its column says `not computed`; tier 1 needs two for its
      nulls.
    config: settings of all metrics.
    tier: 0; 1 adds the metrics against retrained models; 2 attacks with four of
      them or more as references; 3 attacks on single images with ``shadows``.
      Default 0, or 1 with ``tier_1``, or 3 with ``shadows``.
    tier_1: settings of tier 1, and what it runs.
    shadows: shadow models of tier 3, see ``reference_models``. They unlearn as
      the judged model did, which takes as long as that for each; what is
      finished is kept in their folder, see ``shadow_models``.
    half_references: models for the attack on those who stay, from tier 2 on.
    splits: retain, forget, val and test; default those of ``unlearned``.
    dataset: the images; default those of ``unlearned``.
    state: ``'model'``, the selected state of ``unlearned`` and the default, or
      ``'last'``.
    search_s: seconds spent on finding hyper-parameters; without it no speed-up
      is given.
    keep_features: also keep the penultimate features of every model, which are
      many times larger than everything else.
    workdir: folder of the evaluation; None writes nothing. A finished one is
      read from it, a stopped one goes on, see ``finished_runs``.
    devices: where to run; all local devices by default.
    hooks: called with every event.
    checkpoint_seconds: least time between two of a shadow model that unlearns.
    command: how a user started this, for the record.
    used: what it printed of what it uses, likewise.
    allow_unverified: where models, data and splits do not belong together go on
      and record it.
    audit_notes: of an audit (``pipeline.audit``), on its request; None = this
      is none.
    metrics: of one's own, beside those of the registry: entries like these, or
      ``file.py:NAME`` of them.

  Raises:
    FileNotFoundError: if a folder holds no model.
    ValueError: if a model does not fit the data, models, data and splits do not
      belong together (see ``chain``), two retrained models are the same, or the
      folder holds something else.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  started = time.perf_counter()
  plan = _plan(
      original, unlearned, retrained, config or inputs_lib.EvaluationConfig(),
      tier=tier, tier_1=tier_1, shadows=shadows,
      half_references=half_references, splits=splits, dataset=dataset,
      state=state, own=own_metrics.load(metrics), audit=audit_notes is not None,
      allow_unverified=allow_unverified)
  fields = plan.fields(search_s, keep_features)
  devices = devices or parallel.Devices()
  opened, finished = None, finished_runs.FinishedRuns()
  if workdir is not None:
    opened = job.open_folder(workdir, fields)
    if opened.result is not None:
      finished_runs.clear(opened.checkpoints)  # it may have ended before that
      found = evaluation_result.load_evaluation(
          opened.path, allow_unverified=allow_unverified)
      _tell_the_run(plan, found, again=True)
      return found
    finished = finished_runs.of_evaluation(
        opened, fields, plan.judged.values(), devices, hooks)
  measured = _measure(
      plan, predictors_lib.Predictors(plan.dataset, devices), finished,
      plan.features(keep_features), started, hooks,
      checkpoint_seconds=checkpoint_seconds, command=command,
      allow_unverified=allow_unverified)
  arrays = measured.arrays(keep_features)
  judged = plan.judged['unlearned']
  names = facts.names(plan.dataset, plan.splits, measured.figures)
  salt = secrets.token_hex(16)
  result = evaluation_result.EvaluationResult(
      config=fields, arrays=arrays, history=judged.events, names=names,
      salt=salt,
      record=chain.sealed({
          'kind': 'evaluation', 'schema': 1, 'command': command,
          'verification': plan.verification,
          'arrays': {name: chain.hash_of_arrays(of)
                     for name, of in arrays.items()},
          'names': chain.hash_of(evaluation_result.people_file(names, salt))
          if names else None,
          'config': fields['config'], 'used': used, 'versions': runs.versions(),
          'device': job.device_name(), 'finished': runs.now(),
          **_findings(plan, measured, audit_notes),
          'models': _models(plan, workdir),
          'done': facts.done(plan.judged), 'runs': facts.runs_of(plan.judged),
          'efficiency': {**facts.efficiency(plan.judged, search_s),
                         'evaluate_s': measured.seconds | {
                             name.removesuffix('_s'): value for name, value
                             in spent_lib.since_last().items()
                             if name.endswith('_s')}},
          'selection': _selection(judged)}, fields))
  if opened is not None:
    result.folder = opened.path
    hosts.first(lambda: result._write(opened))
    finished_runs.clear(opened.checkpoints)
    _tell_the_run(plan, result)
  return result


def _tell_the_run(plan: _Plan, result: evaluation_result.EvaluationResult,
                  again: bool = False) -> None:
  """Keeps what was found of people beside the run that forgot them."""
  judged = plan.judged['unlearned']
  if not plan.audit and judged.state == 'model':
    hosts.first(lambda: forgotten.judge(
        judged, result.record, plan.dataset, again=again))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Plan:
  """What is evaluated, all of it checked before anything runs.

  Attributes:
    judged: the models by column.
    dataset: the images.
    splits: of the request.
    config: settings of all metrics.
    tier: 0 to 3.
    tier_1: its settings; None at tier 0.
    shadows: shadow models of tier 3; None below.
    halves: models for the attack on those who stay; None = no such attack.
    own: metrics of one's own.
    audit: whether this is an audit.
    verification: whether models, data and splits belong together.
  """

  judged: dict[str, chain.Judged]
  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  config: inputs_lib.EvaluationConfig
  tier: int
  tier_1: tier_1_runs.Tier1Config | None
  shadows: shadow_models.Plan | None
  halves: halves_lib.Plan | None
  own: Sequence[registry.Metric]
  audit: bool
  verification: dict[str, Any]

  @functools.cached_property
  def learnt(self) -> dict[str, np.ndarray]:
    """Images beside retain and forget that the method learnt from."""
    return kept.arrays(self.dataset, self.splits,
                       self.judged['unlearned'].record.get('held_out', ()))

  @property
  def relearning(self) -> relearn.RelearnConfig | None:
    """How forget is learnt again; None = it is not."""
    return None if self.tier_1 is None else tier_1_runs.relearn_config(
        self.judged.get('original'), self.tier_1)

  @property
  def recovering(self) -> relearn.RelearnConfig | None:
    """How one tries to bring forget back; None = nobody does."""
    return None if self.tier_1 is None else tier_1_runs.recovery_config(
        self.judged, self.tier_1)

  def features(self, keep_features: bool) -> Collection[str]:
    """Splits whose features are wanted."""
    return self.splits.parts if keep_features else (
        inputs_lib.FEATURED if self.tier else ())

  def settings(self) -> dict[str, Any]:
    """What decides the figures, but for models and data."""
    found = dataclasses.asdict(self.config)
    if self.tier_1 is not None:
      found |= {'tier': self.tier, **tier_1_runs.settings(
          self.tier_1, self.relearning, self.recovering)}
    return found

  def fields(self, search_s: float | None,
             keep_features: bool) -> dict[str, Any]:
    """Everything that decides the evaluation, for ``config.json``."""
    return {
        'kind': 'evaluation',
        'models': {name: one.weights for name, one in self.judged.items()},
        'fingerprint': self.dataset.fingerprint(),
        'rows': {name: chain.rows_hash(self.dataset, rows)
                 for name, rows in self.splits.parts.items()},
        'config': self.settings(), 'search_s': search_s,
        chain.KEY: chain.entry(
            self.dataset, self.splits, self.splits.retain),
        **({'keep_features': True} if keep_features else {}),
        **({own_metrics.KEY: own_metrics.identity(self.own)}
           if self.own else {}),
        **({'shadows': self.shadows.identity()} if self.shadows else {}),
        **({'half_references': [one['weights'] for one in
                                self.halves.models.record['models']]}
           if self.halves else {}),
        **({'audit': True} if self.audit else {})}


def _plan(original: AnyModel | None, unlearned: AnyModel,
          retrained: Sequence[AnyModel], config: inputs_lib.EvaluationConfig,
          *, tier: int | None, tier_1: tier_1_runs.Tier1Config | None,
          shadows: Shadows | None, half_references: References | None,
          splits: job.Parts | None, dataset: dataset_lib.Dataset | None,
          state: str | None, own: Sequence[registry.Metric], audit: bool,
          allow_unverified: bool) -> _Plan:
  """The arguments of :func:`evaluate`, checked; raises what it raises."""
  tier = _check_tier(tier, tier_1, len(retrained), shadows is not None)
  if half_references is not None and tier < 2:
    raise ValueError(
        f'Expected half-references at tier 2 or 3, got them at tier {tier}.')
  if tier and tier_1 is None:
    tier_1 = tier_1_runs.Tier1Config()
  if isinstance(unlearned, job.ModelRun):
    splits = unlearned.splits if splits is None else splits
    dataset = unlearned.dataset if dataset is None else dataset
  if dataset is None or not isinstance(splits, splits_lib.Splits):
    raise ValueError(
        'Expected the data and the splits to evaluate on, with retain and '
        f'forget, got no {"data" if dataset is None else "such splits"}.')
  weakenings.try_metrics(own, dataset, splits)  # before anything is run
  if original is None and not audit:
    raise ValueError('Expected the original model, got none: without one, '
                     '`audit` judges a model.')
  judged = _judged(original, unlearned, retrained, state, dataset)
  compared = (chain_checks.check_audit if audit else chain_checks.check_all)(
      judged, dataset, splits)
  planned = halves = None
  if shadows is not None:
    planned = shadows if isinstance(
        shadows, shadow_models.Plan) else shadow_models.plan(
            shadows, judged['unlearned'], judged.get('original'), dataset,
            splits, allow_unverified=allow_unverified)
    compared += planned.findings
  if half_references is not None:
    halves = halves_lib.plan(
        half_references, judged['unlearned'], judged.get('original'), dataset,
        splits, allow_unverified=allow_unverified)
    compared += halves.findings
  return _Plan(
      judged=judged, dataset=dataset, splits=splits, config=config, tier=tier,
      tier_1=tier_1, shadows=planned, halves=halves, own=own, audit=audit,
      verification=compared.settled(allow_unverified))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Measured:
  """What the models answer, and the figures from that.

  Attributes:
    ran: outputs by model and part.
    figures: of :func:`evaluation.run.evaluate`, without ``per_example``.
    per_example: loss and margin of every image.
    search: for copies among the parts.
    copies: of images of forget in other parts.
    earlier: of people of earlier requests; None = there are none.
    seconds: by what took them.
  """

  ran: dict[str, dict[str, models.Outputs[np.ndarray]]]
  figures: dict[str, Any]
  per_example: dict[str, np.ndarray]
  search: leakage.Search
  copies: dict[str, Any]
  earlier: dict[str, Any] | None
  seconds: dict[str, float]

  @property
  def logits(self) -> dict[str, dict[str, np.ndarray]]:
    """By model and part."""
    return _logits(self.ran)

  def arrays(self, keep_features: bool) -> dict[str, dict[str, np.ndarray]]:
    """By the file that they are written to."""
    found = {evaluation_result.PER_EXAMPLE: self.per_example}
    if keep_features:
      found[evaluation_result.FEATURES] = {
          f'{model}/{split}/features': out.features
          for model, of_model in self.ran.items()
          for split, out in of_model.items()}
    return found


def _measure(plan: _Plan, predictors: predictors_lib.Predictors,
             finished: finished_runs.FinishedRuns, features: Collection[str],
             started: float, hooks: Sequence[loop.Hook],
             **of_shadows: Any) -> _Measured:
  """Runs every model on every part, and what the tier runs besides.

  Args:
    plan: of the evaluation.
    predictors: on its data.
    finished: what earlier processes ran.
    features: splits whose features are wanted.
    started: when it began, see ``time.perf_counter``.
    hooks: called with every event.
    **of_shadows: further arguments of ``shadow_models.unlearned_shadows``.
  """
  dataset, splits = plan.dataset, plan.splits
  loaded = {name: one.saved for name, one in plan.judged.items()}
  spent: dict[str, float] = {}

  def book(name: str) -> None:
    """The seconds since the last call, or since the start."""
    spent[name] = time.perf_counter() - started - sum(spent.values())

  book('models')  # read, checked, and what was finished
  search = leakage.Search(dataset, splits)
  copies = search.report(altered=True)
  book('copies')
  apart: dict[str, float] = {}  # no parts of the whole
  further = None
  if plan.tier_1 is not None:
    further = tier_1_runs.Runs(
        loaded=loaded, dataset=dataset, splits=splits, predictors=predictors,
        options=plan.tier_1, relearning=plan.relearning,
        recovering=plan.recovering, halves=plan.halves, finished=finished,
        lessons=None if plan.recovering is None else recovery.plan(
            search, plan.recovering))
    apart['expected_of_rest'] = further.say_expected(hooks)
    book('estimate')
  unlearned_shadows = None
  if plan.shadows is not None:
    unlearned_shadows = shadow_models.unlearned_shadows(
        plan.shadows, predictors, hooks=hooks, **of_shadows)
    book('shadows')
  ran = {name: predictors.outputs(
      finished, name, saved, splits.parts, features)
         for name, saved in loaded.items()}
  logits = _logits(ran)
  earlier = forgotten.found_again(
      plan.judged['unlearned'], dataset, splits, _of_earlier(
          loaded, logits, dataset, splits, predictors, plan.config,
          plan.verification['original'] is not None))
  book('outputs')
  collected = None
  if further is not None:
    collected = dataclasses.replace(
        further.collect(ran, hooks, spent=apart), shadows=unlearned_shadows)
    book('references')
  found = run_lib.evaluate(
      _outputs(logits), dataset, splits, plan.config, tier=plan.tier,
      references=collected,
      reference_config=None if plan.tier_1 is None else plan.tier_1.config,
      leakage=copies, own=plan.own,
      keep=functools.partial(finished.arrays_of, least_s=finished_runs.SOON_S))
  found['per_example'] |= {f'{part}/{kept.LEARNT}': inside
                           for part, inside in plan.learnt.items()}
  book('figures')
  if finished.names:
    apart['finished_earlier'] = finished.earlier_s
  if plan.shadows is not None:
    found['shadows'] |= {'design': plan.shadows.models.design,
                         'method': plan.shadows.method}
  return _Measured(
      ran=ran, per_example=found.pop('per_example'), figures=found,
      search=search, copies=copies, earlier=earlier, seconds=spent | apart)


def _findings(plan: _Plan, measured: _Measured,
              audit_notes: Sequence[str] | None) -> dict[str, Any]:
  """What a record says of people, images and accuracy."""
  dataset, splits, logits = plan.dataset, plan.splits, measured.logits
  record = plan.judged['unlearned'].record
  notes = _notes(measured.figures['notes'], record, audit_notes)
  notes += measured.earlier['sentences'] if measured.earlier else []
  lost = kept.drops(logits, dataset, splits, plan.learnt)
  again_without = _without_duplicates(
      logits, measured.search, plan.config, measured.copies)
  if isinstance(again_without, str):
    notes.append(again_without)
    again_without = None
  return {
      **measured.figures, 'notes': [text.unnamed(note) for note in notes],
      'data': {**measured.figures['data'], 'sha256': dataset.fingerprint()},
      **({'audit': facts.audit(plan.judged, dataset, splits)}
         if plan.audit else {}),
      'request': facts.request(dataset, splits, plan.judged['unlearned']),
      'request_images': facts.request_images(dataset, splits),
      **({'earlier': measured.earlier} if measured.earlier else {}),
      'losses': [one.as_dict() for one in lost],
      'do_not_use': usable.sentences(lost),
      'without_duplicates': again_without}


def _models(plan: _Plan, workdir: job.Folder | None) -> dict[str, Any]:
  """Where the models lie; hashes of weights, and of files they came from."""
  config = plan.judged['unlearned'].config
  return {
      places.KEY: places.HERE,
      **_places_of(plan.judged, workdir, shadows=plan.shadows,
                   half_references=plan.halves),
      'unlearned_run': chain.run_hash(config) if config else None,
      'sha256': {name: one.weights for name, one in plan.judged.items()},
      'files': {name: one.imported['file']
                for name, one in plan.judged.items() if 'file' in one.imported}}


def _judged(original: AnyModel | None, unlearned: AnyModel,
            retrained: Sequence[AnyModel], state: str | None,
            dataset: dataset_lib.Dataset) -> dict[str, chain.Judged]:
  """All models by column, each read whole and fit for the data.

  Raises:
    FileNotFoundError: if a folder holds no model, or a run has no log.
    ValueError: if a model does not fit, or two of them are the same.
  """
  for run in (original, unlearned, *retrained):
    if isinstance(run, chain.Judged) and run.config:
      run = run.place  # its folder, or in memory
    if isinstance(run, (str, os.PathLike)) and run != chain.IN_MEMORY:
      runs.read_log(run)  # says what is missing
  judged = {} if original is None else {'original': job.judged(original)}
  judged['unlearned'] = job.judged(unlearned, state)
  judged |= {f'retrained_{i}': job.judged(run)
             for i, run in enumerate(retrained)}
  for one in judged.values():
    one.saved.check_fits(dataset.task, dataset.image_size, one.place)
  facts.check_distinct({name: one.weights for name, one in judged.items()},
                       {name: one.place for name, one in judged.items()})
  return judged


def _notes(of_evaluation: Sequence[str], record: Mapping[str, Any],
           audit_notes: Sequence[str] | None) -> list[str]:
  """Notes of the evaluation, then those of the unlearning run or the audit."""
  # Both say what is to be known of the splits: each sentence once.
  notes = list(dict.fromkeys([*of_evaluation, *(
      record.get('notes', []) if audit_notes is None else audit_notes)]))
  if record.get('findings', {}).get('attack_blind_to_original'):
    notes.append(
        'The live attack could not tell the original from unseen data at this '
        'sample size: that it cannot tell the unlearned one says nothing.')
  return notes


def _selection(unlearned: chain.Judged) -> dict[str, Any]:
  """How the judged state came to be chosen, as its run recorded it."""
  record = unlearned.record
  return {
      'step': record.get('selected_step'),
      'reason': record.get('reason'),
      'findings': record.get('findings', {}),
      'state': unlearned.state,
      'search': record.get('search'),
      'checks': len(record.get('history') or ()),
      **({'auto': record['auto']} if 'auto' in record else {})}


def _of_earlier(
    loaded: Mapping[str, checkpoint.SavedModel],
    logits: Mapping[str, Mapping[str, np.ndarray]],
    dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
    predictors: predictors_lib.Predictors,
    config: inputs_lib.EvaluationConfig, older: bool) -> dict[str, Any] | None:
  """The attack on the people of earlier requests whose images are there."""
  if not splits.earlier.size or 'original' not in loaded:
    return None
  part = {'earlier': splits.earlier}
  found = {name: {'test': logits[name]['test'],
                  **predictors.logits(saved, part)}
           for name, saved in loaded.items()}
  return earlier_lib.again(_outputs(found), dataset, splits, config, older)


def _check_tier(tier: int | None, tier_1: tier_1_runs.Tier1Config | None,
                retrained: int, shadows: bool) -> int:
  """The tier that is asked for, if it can be run."""
  if tier is None:
    tier = 3 if shadows else int(tier_1 is not None)
  validate.integer('tier', tier, 0, run_lib.HIGHEST_TIER)
  if tier_1 is not None and not tier:
    raise ValueError('Expected tier 1 to 3 with settings of tier 1, got 0.')
  least = likelihood_attacks.LEAST
  if tier > 1 and retrained < least:
    raise ValueError(
        f'Expected at least {least} retrained models at tier {tier}, each of '
        f'another seed, got {retrained}.')
  if shadows != (tier == 3):
    raise ValueError(
        'Expected shadow models at tier 3, which `references --design=random` '
        'makes, got none.' if tier == 3 else
        f'Expected shadow models at tier 3 alone, got them at tier {tier}.')
  return tier


def _places_of(judged: Mapping[str, chain.Judged],
               workdir: job.Folder | None,
               **folders: shadow_models.Plan | halves_lib.Plan | None
               ) -> dict[str, Any]:
  """Where the models lie, for the folder of an evaluation; else absolute."""
  def place(path: str) -> str:
    if path == chain.IN_MEMORY:
      return path
    return (storage.url_of(path) or os.path.abspath(path)
            if workdir is None else
            places.stored(path, workdir))

  where = {name: place(one.place) for name, one in judged.items()}
  return {'original': where.get('original'), 'unlearned': where['unlearned'],
          'retrained': [path for name, path in where.items()
                        if name.startswith('retrained')],
          **{name: place(str(plan.models.folder))
             for name, plan in folders.items() if plan}}


def _logits(ran: Mapping[str, Mapping[str, models.Outputs[np.ndarray]]]
            ) -> dict[str, dict[str, np.ndarray]]:
  return {model: {name: out.logits for name, out in of_model.items()}
          for model, of_model in ran.items()}


def _outputs(logits: Mapping[str, Any]) -> dict[str, Any]:
  return {
      'original': logits.get('original'), 'unlearned': logits['unlearned'],
      'retrained': [of_run for name, of_run in logits.items()
                    if name.startswith('retrained')]}


def _without_duplicates(
    logits: Mapping[str, Any], search: leakage.Search,
    config: inputs_lib.EvaluationConfig, copies: Mapping[str, Any]
    ) -> dict[str, Any] | str | None:
  """The records again without copies of forget images, if there are any.

  A sentence where nothing of a part would be left.
  """
  if not any(copies.get(kind, {}).get(f'forget-{part}')
             for kind in copies_lib.KINDS
             for part in ('retain', 'val', 'test')):
    return None
  try:
    cleaned = search.without_duplicates()
  except ValueError as error:
    return f'No figures without the copies of forget images. {error}'
  keep = {name: np.isin(rows, cleaned.parts[name])
          for name, rows in search.splits.parts.items()}
  again = {model: {name: of_split[keep[name]]
                   for name, of_split in of_model.items()}
           for model, of_model in logits.items()}
  try:
    found = run_lib.evaluate(_outputs(again), search.dataset, cleaned, config)
  except inputs_lib.NoLabelError as error:
    return f'No figures without the copies of forget images. {error}'
  return {'metrics': found['metrics'], 'data': found['data']}
