"""The evaluation against retrained models; it contains the quick one.

With two retrained models of different seeds or more, every figure has its null,
and "indistinguishable from retraining" can be said. With one, differences are
printed and the nulls say why they are not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import (
  against_retrained as against,
  inputs as inputs_lib,
  membership,
  reference_cka,
  reference_features,
  reference_harm,
  reference_inputs,
  reference_outputs,
  tier0,
  verdicts,
)
from dlfd_jax.metrics import forgetting, stats

EvaluationConfig = inputs_lib.EvaluationConfig
ReferenceConfig = reference_inputs.ReferenceConfig
References = reference_inputs.References

FORGETTING = (f'gap_{membership.MAIN}', 'gap_accuracy_forget',
              reference_features.PROBE, 'log2_ain')
UTILITY = ('gap_accuracy_retain', 'gap_accuracy_test')


def evaluate(outputs: Mapping[str, Any],
             references: References,
             dataset: dataset_lib.Dataset,
             splits: splits_lib.Splits,
             config: EvaluationConfig | None = None,
             reference_config: ReferenceConfig | None = None,
             *,
             leakage: Mapping[str, Any] | None = None) -> dict[str, Any]:
  """All records of tier 0 and tier 1.

  Args:
    outputs: logits, see ``tier0.evaluate``.
    references: what had to be run beside them; whatever is left out of it makes
      its figures say so.
    dataset: the data.
    splits: retain, forget, val, test.
    config: settings of both tiers.
    reference_config: settings of tier 1.
    leakage: see ``tier0.evaluate``.

  Returns:
    What ``tier0.evaluate`` returns, with more metrics, and ``'verdicts'``
    (``forgetting`` and ``utility``, each with ``verdict``, ``because`` and
    ``metrics``) and ``'harm'`` (``worst``: retained people by code).

  Raises:
    ValueError: as ``tier0.evaluate``, or if references do not fit.
  """
  config = config or EvaluationConfig()
  inputs = inputs_lib.prepare(outputs, dataset, splits, config)
  estimates = tier0.estimates(inputs)
  setting = reference_inputs.prepare(
      inputs, estimates, references, dataset, splits,
      reference_config or ReferenceConfig())
  result = tier0.assemble(
      inputs, estimates, outputs, dataset, splits, leakage)
  groups, left_out = reference_harm.group_records(setting)
  found = [
      *reference_outputs.gap_records(setting),
      *reference_outputs.distance_records(setting),
      reference_outputs.zrf_record(setting),
      *reference_outputs.relearn_records(setting),
      *reference_features.probe_records(setting),
      *reference_cka.cka_records(setting),
      *reference_cka.block_records(setting),
      *reference_features.collapse_records(setting),
      *reference_harm.streisand_records(setting),
      *reference_harm.harm_records(setting), *groups]
  result['metrics'] += [record.as_dict() for record in found]
  result['notes'] += [*_notes(inputs), *left_out]
  result['not_computed'] += [
      line for record in found for line in tier0.missing_lines(record)]
  result['verdicts'] = _verdicts(found, inputs)
  result['harm'] = {
      'limit': setting.config.harm_limit,
      'worst': reference_harm.worst_off(setting)}
  return result


def _notes(inputs):
  count = len(inputs.retrained)
  if count < 2:
    return [f'{count or "No"} retrained model{"" if count == 1 else "s"}: the '
            'nulls of tier 1 need two or more, of different seeds.']
  return [f'The nulls of tier 1 are the mean, and the smallest to largest '
          f'value, over {count} retrained models, each against the others.']


def _verdicts(found, inputs):
  by_name = {record.metric: record for record in found}
  flagged = by_name['streisand'].verdict == forgetting.RAISED
  made = {
      'forgetting': verdicts.overall(
          {name: _vote(by_name[name]) for name in FORGETTING},
          over_forgotten=flagged),
      'utility': verdicts.overall(
          {name: _vote(by_name[name]) for name in UTILITY})}
  if len(inputs.retrained) < 2:
    for verdict in made.values():
      if verdict['verdict'] == stats.INCONCLUSIVE:
        verdict['because'] = against.NEED_TWO
  return made


def _vote(record):
  return verdicts.Vote(record.verdict, record.p_value)
