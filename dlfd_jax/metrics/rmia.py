"""The relative attack: is an example more likely than the population is?

Zarifzadeh et al. (2024), arXiv:2312.03262, with models that saw neither members
nor non-members of the final attack as references (OUT), and a population that
is in neither.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.metrics import ranks
from dlfd_jax.utils import validate

SLOPE = .3  # a: likelihood of models that saw an example from the others'


def ratio(likelihood: np.ndarray, references: np.ndarray,
          slope: float = SLOPE) -> np.ndarray:
  r"""How much likelier an example's label is than over all models.

  .. math:: r(x) = p(x) / (\tfrac12 [(1 + a) q(x) + (1 - a)])

  Args:
    likelihood: of the model to judge, in [0, 1], ``[n]``.
    references: of OUT models, ``[models, n]``; q is their mean.
    slope: a in [0, 1]; 1 = the others alone.

  Returns:
    At least 0, ``[n]``; higher = more member-like.

  Raises:
    ValueError: if a likelihood is outside [0, 1] or shapes do not fit.
  """
  likelihood, references = (
      validate.floats('likelihoods', values)
      for values in (likelihood, references))
  if (references.ndim != 2 or not len(references)
      or likelihood.shape != references.shape[1:]):
    raise ValueError(
        'Expected likelihoods [n] and those of references [models, n], got '
        f'{list(likelihood.shape)} and {list(references.shape)}.')
  for values in (likelihood, references):
    if not ((values >= 0) & (values <= 1)).all():
      raise ValueError('Expected likelihoods in [0, 1], got others.')
  validate.number('slope', slope, 0, 1)
  over_all = .5 * ((1 + slope) * references.mean(0) + (1 - slope))
  return np.divide(likelihood, over_all, out=np.zeros(len(likelihood)),
                   where=over_all > 0)


def score(ratios: np.ndarray, population: np.ndarray) -> np.ndarray:
  """Share of the population that an example's ratio reaches or exceeds.

  Args:
    ratios: of the examples, ``[n]``.
    population: ratios of other unseen examples, ``[m]``.

  Returns:
    In [0, 1], ``[n]``; higher = more member-like.

  Example:
    >>> print(score([1., 2.], [1., 1.5, 2.5, 3.]))
    [0.25 0.5 ]
  """
  ratios = ranks.check_scores('ratios', ratios)
  population = np.sort(ranks.check_scores('population', population))
  return np.searchsorted(population, ratios, side='right') / len(population)
