"""The attack that reads a model beside retrained ones, as the registry has it.

Whoever has the retrained models asks of every image how far the judged model's
margin lies from theirs, and whether forget images lie farther off than unseen
ones: outputs on forget that were exchanged for other unseen images' pass every
attack on the model alone, not this one.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.evaluation import outputs
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.evaluation.outputs import SIDES
from dlfd_jax.metrics import per_example, reference_attack

ALIKE = 'the retrained models answer alike on every image'
NEED_THREE = 'with each left out, it needs at least three retrained models'


@once
def margins(inputs: Inputs, model: Model, split: str) -> np.ndarray:
  """Margins of a model on a split, ``[n]``; means over known attributes."""
  return per_example.margin(
      inputs.task, model.logits[split], inputs.parts[split].labels)


@once
def auc(inputs: Inputs, slot: Model, references: tuple[Model, ...], *,
        two_sided: bool = False, by_person: bool = False) -> Estimate:
  """AUC of margins above the references' mean, forget against test.

  Args:
    inputs: everything that was given.
    slot: the model to judge.
    references: the models it is compared with.
    two_sided: whether a margin below it counts as much as one above.
    by_person: of people, each with the mean over their images.
  """
  for model in (slot, *references):
    for split in SIDES:
      if split not in model.logits:
        return Estimate.missing(inputs.no_logits(split))
  if len(references) < 2:
    return Estimate.missing(
        NEED_THREE if slot in inputs.retrained else outputs.NEED_TWO)
  found = reference_attack.scores(
      [margins(inputs, slot, split) for split in SIDES],
      [np.stack([margins(inputs, model, split) for model in references])
       for split in SIDES], two_sided=two_sided)
  if found is None:
    return Estimate.missing(ALIKE)
  read = outputs.auc_by_person if by_person else outputs.auc_by_image
  return read(inputs, found)
