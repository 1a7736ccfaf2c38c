"""``audit``: what a model that was made elsewhere still tells of some people.

The same figures as ``evaluate``, in its column ``unlearned``, of any
classifier: imported weights, the work of another tool, an original that has
forgotten nobody. Each further model that is given allows more: the original to
compare with, retrained models the verdicts of tier 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.pipeline import evaluate as evaluate_lib, evaluation_result


def audit(model: evaluate_lib.AnyModel, splits: splits_lib.Splits | None = None,
          dataset: dataset_lib.Dataset | None = None, *,
          original: evaluate_lib.AnyModel | None = None,
          retrained: Sequence[evaluate_lib.AnyModel] = (),
          tier: int | None = None,
          notes: Sequence[str] = (), **options: Any
          ) -> evaluation_result.EvaluationResult:
  """Measures what a classifier tells of the people of a request.

  Whoever is in ``forget`` counts as a member, whoever is in ``val`` and
  ``test`` as unseen. Runs of this program are compared with that. What others
  were trained on is not known, which the result says first.

  Args:
    model: a loaded model, a result of ``train`` or ``unlearn``, or a folder.
    splits: retain, forget, val and test; default those of ``model``.
    dataset: the images; likewise.
    original: the model before anybody was forgotten, if it is at hand.
    retrained: models that were trained on retain alone, of different seeds.
    tier: as of ``evaluate``; None = the highest that the given models allow.
    notes: on the request, for the reader of the result.
    **options: as of :func:`~dlfd_jax.pipeline.evaluate.evaluate`.

  Raises:
    FileNotFoundError, ValueError, job.Interrupted: as of ``evaluate``; also if
      val or test have images that a run says it was trained on.
  """
  if tier is None:  # or what `tier_1` asks for, see `evaluate`
    tier = evaluate_lib.allowed_tier(
        len(retrained), options.get('shadows') is not None) or None
  return evaluate_lib.evaluate(
      original, model, retrained, tier=tier, splits=splits, dataset=dataset,
      audit_notes=notes, **options)
