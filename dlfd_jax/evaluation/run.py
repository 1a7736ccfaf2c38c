"""The evaluation: every entry of the registry, up to a tier.

Tier 0 needs no further training. It can say "distinguishable from unseen data"
and "distinguishable" from retraining, never "indistinguishable from
retraining". Tier 1 compares with retrained models: with two or more, of
different seeds, every metric has its null, and "indistinguishable" can be said.
With one, differences are printed and the nulls say why they are not there;
nothing is then told apart, see ``verdicts``.

Tiers 2 and 3 are attacks with reference models: RMIA and offline LiRA on the
retrained models of tier 1, one left out at a time (2); LiRA, U-LiRA, KLOM and
per-example epsilon on shadow models (3). They plug in at three places. What has
to be trained or run beside the logits is a field of ``references.References``,
checked by ``inputs.prepare``. The attack itself, a pure function of margins or
losses, stands in ``metrics``. An entry of the registry with ``tier=2`` or ``3``
binds the two; its ``form`` decides how the retrained models are used, and
``evaluate(..., tier=2)`` computes it after the lower tiers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import (
  against,
  estimate as estimate_lib,
  harm,
  inputs as inputs_lib,
  nearer,
  nulls,
  outputs as outputs_lib,
  own_metrics,
  people as people_lib,
  registry,
  shadows,
  verdicts,
)
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.evaluation.inputs import Inputs
from dlfd_jax.evaluation.references import References
from dlfd_jax.metrics import forgetting, per_example, stats

EvaluationConfig = inputs_lib.EvaluationConfig
ReferenceConfig = inputs_lib.ReferenceConfig

SHADOW_ARRAYS = ('unlearned', 'before', 'states', 'retrained')
ACCURACIES = 'accuracies'  # of shadow models, beside the names of splits
HIGHEST_TIER = max(metric.tier for metric in registry.METRICS)
_FEW_PEOPLE = 10
_FEW_PAIRS = ('Fewer than three retrained models: the interval leaves out '
              'their spread.')
_ONE = f'{verdicts.ONE_REFERENCE[0].upper()}{verdicts.ONE_REFERENCE[1:]}.'
_TWO = ('Two retrained models: one difference is all that is known of their '
        'spread, so there is no verdict; it takes three.')
_NO_RETRAINED = Estimate.missing(verdicts.NO_MODEL['retrained'])


def evaluate(outputs: Mapping[str, Any],
             dataset: dataset_lib.Dataset,
             splits: splits_lib.Splits,
             config: EvaluationConfig | None = None,
             *,
             tier: int = 0,
             references: References | None = None,
             reference_config: ReferenceConfig | None = None,
             leakage: Mapping[str, Any] | None = None,
             own: Sequence[registry.Metric] = (),
             keep: inputs_lib.Keep = inputs_lib.keep_nothing
             ) -> dict[str, Any]:
  """All metrics of an unlearning run up to a tier.

  Args:
    outputs: ``'original'`` and ``'unlearned'``: a mapping from split to logits
      float32 ``[images of the split, outputs]``, in evaluation mode and in the
      order of the split, or None; ``'retrained'``: a list of such mappings,
      possibly empty. Logits of a split may be left out; the metrics that need
      them then say so.
    dataset: the data.
    splits: retain, forget (the members), val, test (the non-members).
    config: settings; the defaults if None.
    tier: 0; 1 for the metrics against retrained models; 2 also for attacks with
      four of them or more as references; 3 also figures of shadow models.
    references: what had to be run for tier 1 beside the logits; whatever is
      left out of it makes its metrics say so.
    reference_config: settings of tier 1; the defaults if None.
    leakage: what ``data.leakage.Search.report`` gave; its counts become
      records.
    own: metrics beside those of the registry, see ``own_metrics.load``.
    keep: what of the figures takes long, see ``inputs.Inputs``.

  Returns:
    ``'data'``, ``'metrics'`` (records as dictionaries), ``'notes'`` and
    ``'not_computed'`` of a result file, all plain JSON without NaN, and
    ``'per_example'``, see :func:`per_example_arrays`,
    :func:`reference_arrays`, ``nearer.stored`` and ``shadows.stored``;
    ``'people'``, see ``people.ranks``. From tier 1 on also ``'verdicts'``
    (``forgetting`` and ``utility``, see ``verdicts.overall``) and ``'harm'``
    (``worst``: retained people by code).

  Raises:
    ValueError: if the tier is unknown, a name is unknown, no model was given, a
      split does not fit the data, or logits or references do not fit the split
      or are not finite.
  """
  if tier not in range(HIGHEST_TIER + 1):
    raise ValueError(
        f'Expected a tier from 0 to {HIGHEST_TIER}, got {tier!r}.')
  inputs = dataclasses.replace(inputs_lib.prepare(
      outputs, dataset, splits, config, references if tier else None,
      reference_config), keep=keep)
  found = [record for metric in (*registry.METRICS, *own)
           if metric.tier <= tier
           for record in records(inputs, metric, leakage)]
  result: dict[str, Any] = {
      'data': _describe(dataset, splits, leakage),
      'metrics': [record.as_dict() for record in found],
      'notes': _notes(inputs, dataset, splits),
      'not_computed': [
          line for record in found for line in record.missing_lines],
      'people': people_lib.ranks(inputs, dataset.sample_id[
          splits.forget[inputs.parts['forget'].rows]]),
      'per_example': {
          **per_example_arrays(outputs, dataset, splits),
          **(reference_arrays(references) if references and tier else {}),
          **(nearer.stored(inputs, splits) if tier else {}),
          **shadows.stored(inputs, splits)},
  }
  if own:
    result[own_metrics.KEY] = own_metrics.described(own)
  if tier:
    result['notes'] += _notes_of_tier_1(inputs)
    result['verdicts'] = overall_verdicts(
        inputs, found, people_lib.smallest_p(inputs))
    result['harm'] = {
        'limit': inputs.reference_config.harm_limit,
        'worst': harm.worst_people(inputs)}
  if inputs.shadows is not None:
    result['notes'] += shadows.notes(inputs)
    result['shadows'] = {'models': len(inputs.shadows.states),
                         'worst': shadows.worst(inputs)}
  return result


def records(inputs: Inputs, metric: registry.Metric,
            leakage: Mapping[str, Any] | None = None) -> list[Record]:
  """The record of a metric, or those of a family's members.

  Args:
    inputs: checked logits, labels, people and references.
    metric: an entry of the registry.
    leakage: counts of copies, for metrics of the data.

  Returns:
    Nothing where the task does not have the metric, or without ``leakage``.
  """
  if not metric.is_for(inputs):
    return []
  if metric.form == registry.DATA and leakage is None:
    return []
  if metric.members is None:
    return [_record(inputs, metric, (), leakage)]
  return [_record(inputs, metric, (member,), leakage)
          for member in metric.members(inputs)]


def _record(inputs: Inputs, metric: registry.Metric, member: tuple[str, ...],
            leakage: Mapping[str, Any] | None) -> Record:
  """The record of a metric, or of one member of a family."""
  name = '/'.join((metric.name, *member))
  if metric.form == registry.DATA:
    count, none = Estimate(metric.value(leakage, *member)), Estimate(0)
    return Record(
        name, metric.split, metric.direction, original=count, unlearned=count,
        retrained=count, null=none, delta=none, units=metric.units,
        notes=metric.notes, tier=metric.tier)
  sides = metric.sides or (str(metric.split),)
  n_units, unit = (
      metric.sample(inputs, *member) if metric.sample else
      inputs.units_behind(*sides))

  if metric.form == registry.SHADOW:
    return verdicts.of_shadows(
        metric, metric.value(inputs, *member), n_units=n_units, unit=unit,
        name=name,
        margin=metric.margin_in(inputs.config, inputs.reference_config),
        direction=metric.direction_in(inputs.reference_config),
        seeds={'evaluation': inputs.config.seed},
        too_few=inputs.too_few(*sides))

  def value(inputs: Inputs, model: inputs_lib.Model,
            *references: Any) -> Estimate:
    return metric.value(inputs, model, *references, *member)

  notes = list(metric.notes)
  if metric.remarks:
    notes += metric.remarks(inputs, value)
  compare: Callable[..., Record] = functools.partial(
      verdicts.compare, metric, n_units=n_units, unit=unit, name=name,
      direction=metric.direction_in(inputs.reference_config), notes=notes,
      margin=metric.margin_in(inputs.config, inputs.reference_config),
      seeds={'evaluation': inputs.config.seed},
      too_few=inputs.too_few(*(side for side in sides if side in inputs.parts)))
  given = len(inputs.retrained)
  if 0 < given < metric.least:
    compare = functools.partial(
        compare, margin=None, notes=[*notes, _ONE if given == 1 else _TWO],
        gate=verdicts.NEEDS_THREE if metric.votes else None)
  if metric.form == registry.SLOT:
    record = _slot(inputs, metric, value, compare, notes)
  else:
    retrained = [value(inputs, model) for model in inputs.retrained]
    null = (metric.null(inputs, *member) if metric.null else
            nulls.left_out(retrained))
    original, unlearned = (
        None if model is None else value(inputs, model)
        for model in (inputs.original, inputs.unlearned))
    record = compare(original, unlearned, retrained, null)
    if metric.form == registry.GAP:
      record = _as_gaps(metric, record, original, unlearned, retrained)
  return metric.finish(inputs, record) if metric.finish else record


def _slot(inputs: Inputs, metric: registry.Metric,
          value: Callable[..., Estimate], compare: Callable[..., Record],
          notes: list[str]) -> Record:
  """The record of a metric that compares a model with the retrained ones.

  Its retrained column is the floor: the mean over the retrained models, each
  against the others. With fewer than three of them that mean has no spread of
  its own, so that no verdict is given.
  """
  retrained = inputs.retrained
  original, unlearned = (
      None if model is None else
      value(inputs, model, retrained) if retrained else _NO_RETRAINED
      for model in (inputs.original, inputs.unlearned))
  floor = against.leave_one_out(inputs, value)
  if len(retrained) < 3 and metric.margin is not None:
    compare = functools.partial(
        compare, margin=None, notes=[*notes, _FEW_PAIRS],
        gate=verdicts.NEEDS_THREE if metric.votes else None)
  return compare(original, unlearned, floor,
                 widening=estimate_lib.widening_of_slots(len(retrained))
                 if metric.pairwise else 1.0,
                 null=nulls.left_out(floor) if retrained else _NO_RETRAINED)


def _as_gaps(metric: registry.Metric, record: Record,
             original: Estimate | None, unlearned: Estimate | None,
             retrained: Sequence[Estimate]) -> Record:
  """A metric's record as one of differences to the retrained models' mean.

  The verdict is that of the metric itself; a retrained model in the slot is
  compared with the other ones, so that the null's mean is 0.
  """
  if not retrained:
    return dataclasses.replace(
        record, null=_NO_RETRAINED,
        original=record.original if original is None else _NO_RETRAINED,
        unlearned=record.unlearned if unlearned is None else _NO_RETRAINED)
  null = nulls.left_out([
      estimate if estimate.value is None else _gap_to_others(
          estimate, [other for other in retrained if other is not estimate])
      for estimate in retrained])
  if original is not None:
    gap = estimate_lib.difference(original, retrained)
    record = dataclasses.replace(record, original=gap.within(
        verdicts.of_differences(metric)) if gap else Estimate.missing(next(
            str(e.reason) for e in (original, *retrained) if e.value is None)))
  if unlearned is not None:
    record = dataclasses.replace(record, unlearned=record.delta)
  return dataclasses.replace(record, retrained=null, null=null)


def _gap_to_others(estimate: Estimate, others: Sequence[Estimate]) -> Estimate:
  if not others or any(other.value is None for other in others):
    return Estimate(0.0)
  return estimate_lib.combine(
      lambda value, *rest: value - float(np.mean(rest)),
      *(Estimate(e.value) for e in (estimate, *others)))


def overall_verdicts(inputs: Inputs, found: Sequence[Record],
                     rank_p: float | None) -> dict[str, Any]:
  """The overall verdicts, by what they are about.

  Args:
    inputs: of the evaluation.
    found: at least the records of all metrics that vote, and the flag.
    rank_p: see ``people.smallest_p``.
  """
  by_name = {record.metric: record for record in found}
  sides = [inputs.parts[side] for side in outputs_lib.SIDES]
  people = None if any(part.unit != 'person' for part in sides) else min(
      part.people for part in sides)
  return {verdict: verdicts.overall(
      [by_name[name] for name in registry.voters(verdict) if name in by_name],
      roles=registry.roles(), retrained=len(inputs.retrained),
      over_forgotten=verdict == registry.FORGETTING
      and by_name['streisand'].verdict == forgetting.RAISED,
      too_few=inputs.too_few(*_sides(inputs, verdict)),
      people=people,
      rank_p=rank_p if verdict == registry.FORGETTING else None)
          for verdict in outputs_lib.VERDICT_SIDES}


def _sides(inputs: Inputs, verdict: str) -> tuple[str, ...]:
  """The parts that a verdict needs people of.

  Where a class is forgotten whole and test shows nobody of it, accuracy on
  forget is what is left, see ``data.splits.splits_notes``.
  """
  sides = outputs_lib.VERDICT_SIDES[verdict]
  return tuple(side for side in sides
               if side != inputs_lib.UNSEEN or len(inputs.parts[side]))


def _describe(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
              leakage: Mapping[str, Any] | None) -> dict[str, Any]:
  return {
      'name': dataset.name, 'n': len(dataset),
      'people': len(dataset.people_in(np.arange(len(dataset)))),
      'image_size': [int(side) for side in dataset.image_size],
      'task': {'kind': dataset.task.kind, 'names': list(dataset.task.names)},
      'splits': parts_of(dataset, splits),
      'by_person': bool(splits.by_person),
      'leakage': dict(leakage) if leakage is not None else None,
  }


def parts_of(dataset: dataset_lib.Dataset, splits: splits_lib.Splits
             ) -> dict[str, dict[str, int]]:
  """How many images and people each part has."""
  return {name: {'images': len(part), 'people': len(dataset.people_in(part))}
          for name, part in splits.parts.items()}


def _notes(inputs: Inputs, dataset: dataset_lib.Dataset,
           splits: splits_lib.Splits) -> list[str]:
  notes = list(splits_lib.splits_notes(dataset, splits))
  people = len(np.unique(inputs.parts['forget'].identity))
  if inputs.parts['forget'].unit == 'image' and dataset.has_identities:
    notes.append('Forget shows one person: intervals resample the images of '
                 'that person and say nothing about other people.')
  elif stats.ENOUGH <= people < _FEW_PEOPLE and dataset.has_identities:
    notes.append(f'Forget shows only {people} people: intervals are rough.')
  if inputs.too_few(*outputs_lib.SIDES):
    notes.append(
        'Too few to say whether forget was forgotten: '
        f'{inputs.too_few(*outputs_lib.SIDES)}.')
  small = inputs.without_intervals
  if small:
    notes.append(f'No intervals on {", ".join(small)}: too few people or '
                 f'images to say; it takes {stats.ENOUGH}.')
  if len(inputs.retrained) == 1:
    notes.append('One retrained model: the spread between trainings is in no '
                 'interval, so a difference may be that of two seeds.')
  dropped = {
      name: int((~per_example.has_label(
          dataset.task, dataset.labels[part])).sum())
      for name, part in splits.parts.items()}
  if any(dropped.values()):
    notes.append('Images without a known label are left out: ' + ', '.join(
        f'{count} of {name}' for name, count in dropped.items() if count)
        + '.')
  return notes


def _notes_of_tier_1(inputs: Inputs) -> list[str]:
  count = len(inputs.retrained)
  first = ('The nulls of tier 1 are the mean, and the smallest to largest '
           f'value, over {count} retrained models, each against the others.')
  if count < 2:
    first = (f'{count or "No"} retrained model{"" if count == 1 else "s"}: the '
             'nulls of tier 1 need two or more, of different seeds.')
  return [first, *(note for split in ('retain', 'test')
                   for note in outputs_lib.groups(inputs, split=split)[1])]


def per_example_arrays(
    outputs: Mapping[str, Any], dataset: dataset_lib.Dataset,
    splits: splits_lib.Splits) -> dict[str, np.ndarray]:
  """All that the figures of logits are computed from, by name.

  Args:
    outputs: see :func:`evaluate`.
    dataset: the data.
    splits: its parts.

  Returns:
    ``{model}/{split}/loss`` and ``margin``, float32 ``[n]``, all images of the
    split; ``logits``, float32 ``[n, outputs]``; ``{split}/sample_id``,
    ``identity``, ``labels``; where the data have columns, ``columns`` (their
    names) and ``{split}/columns``, int32 ``[n, columns]``; where classes are
    forgotten whole, ``classes`` and bool ``{split}/of_classes`` ``[n]``.
  """
  arrays = {}
  columns = dataset.columns
  if columns:
    arrays['columns'] = np.array(list(columns))
  for name, positions in splits.parts.items():
    arrays[f'{name}/sample_id'] = dataset.sample_id[positions]
    arrays[f'{name}/identity'] = dataset.identity[positions]
    arrays[f'{name}/labels'] = dataset.labels[positions]
    if columns:
      arrays[f'{name}/columns'] = np.stack(
          [column[positions] for column in columns.values()], axis=-1)
    if splits.classes:
      arrays[f'{name}/of_classes'] = np.isin(positions, splits.of_classes)
  if splits.classes:
    arrays['classes'] = np.array(splits.classes)
  by_model = {
      name: outputs.get(name) or {} for name in ('original', 'unlearned')}
  by_model |= {f'retrained_{i}': logits
               for i, logits in enumerate(outputs.get('retrained') or ())}
  for model, logits in by_model.items():
    for split, values in logits.items():
      labels = dataset.labels[splits.parts[split]]
      arrays[f'{model}/{split}/logits'] = np.asarray(values, np.float32)
      for key, function in (('loss', per_example.loss),
                            ('margin', per_example.margin)):
        arrays[f'{model}/{split}/{key}'] = function(
            dataset.task, values, labels).astype(np.float32)
  return arrays


def reference_arrays(references: References) -> dict[str, np.ndarray]:
  """Of random networks, relearning, treated and shadow models, by name.

  Returns:
    ``random_0/forget/logits`` ...; ``{model}/relearned``, int32 ``[seeds, 2]``,
    steps and whether they are the cap; see ``references.Recovery.arrays``; and
    margins of shadow models and their states, ``shadows/{split}/{field}``, and
    their accuracies, ``shadows/accuracies/{field}``: see
    ``references.Shadows``.
  """
  arrays = {f'random_{i}/forget/logits': np.asarray(logits, np.float32)
            for i, logits in enumerate(references.random_logits)}
  arrays |= {
      f'{model}/relearned': np.array(
          [(time.steps, time.capped) for time in times], np.int32)
      for model, times in references.relearned.items() if times}
  if references.recovery is not None:
    arrays |= references.recovery.arrays()
  shadows = references.shadows
  if shadows is None:
    return arrays
  of_forget = {name: getattr(shadows, name) for name in SHADOW_ARRAYS}
  for split, of_split in {'forget': of_forget, **shadows.elsewhere,
                          ACCURACIES: shadows.accuracies}.items():
    arrays |= {f'shadows/{split}/{name}': values
               for name, values in of_split.items() if values is not None}
  return arrays | {'shadows/why': np.array(shadows.why)}
