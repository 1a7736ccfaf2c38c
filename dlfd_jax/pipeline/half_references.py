"""Half-references: how likely their labels are under models without them.

Retrained models saw all who stay, so that an attack on those needs others: each
was trained on a random half of them (``reference_designs``, ``half``).
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from dlfd_jax import checkpoint
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import references as references_lib
from dlfd_jax.metrics import per_example
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  finished_runs,
  job,
  predictors as predictors_lib,
  reference_designs as designs,
  reference_models,
)

LEAST = 4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
  """Half-references, all of it checked.

  Attributes:
    models: their folder.
    dataset: the images.
    splits: of the request.
    findings: what was compared.
  """

  models: reference_models.ReferenceModels
  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  findings: chain_checks.Findings


def plan(models: job.Folder | reference_models.ReferenceModels,
         judged: chain.Judged, original: chain.Judged | None,
         dataset: dataset_lib.Dataset, splits: splits_lib.Splits, *,
         allow_unverified: bool = False) -> Plan:
  """Checks half-references for an evaluation; see ``shadow_models.plan``.

  Raises:
    FileNotFoundError: if no model is finished, or one of them is gone.
    ValueError: if they are no half-references, not all there, or too few.
  """
  models = reference_models.finished(
      models, {designs.HALF: LEAST}, 'tier 2',
      allow_unverified=allow_unverified)
  return Plan(
      models=models, dataset=dataset, splits=splits,
      findings=chain_checks.check_references(
          chain.Judged(judged.saved, str(models.folder), models.config),
          original, judged, dataset, splits))


def runs(plan: Plan) -> list[finished_runs.Run]:
  """What the models are asked for, one after the other."""
  return [finished_runs.Run(
      name=f'half/{k}', images=sum(
          len(plan.splits.parts[split]) for split in references_lib.HALVES))
          for k in range(len(plan.models.folders))]


def likelihoods(plan: Plan, predictors: predictors_lib.Predictors,
                finished: finished_runs.FinishedRuns) -> references_lib.Halves:
  """What the models say of retain, test and val; 0 where no label is known.

  Args:
    plan: see :func:`plan`.
    predictors: shared with the evaluation.
    finished: its runs.
  """
  dataset, members = plan.dataset, plan.models.membership
  assert members is not None
  parts = {split: plan.splits.parts[split] for split in references_lib.HALVES}

  def of_model(folder: str) -> dict[str, np.ndarray]:
    found = {}
    for split, logits in predictors.logits(
        checkpoint.load_model(folder), parts).items():
      labels = dataset.labels[parts[split]]
      there = per_example.has_label(dataset.task, labels)
      found[split] = np.zeros(len(labels))
      found[split][there] = per_example.likelihood(
          dataset.task, logits[there], labels[there])
    return found

  every = [finished.arrays_of(run.name, functools.partial(of_model, folder))
           for run, folder in zip(
               runs(plan), plan.models.folders, strict=True)]
  return references_lib.Halves(
      {split: np.stack([found[split] for found in every]) for split in parts},
      members.of_images(dataset.sample_id[parts['retain']])
      == references_lib.OUT)
