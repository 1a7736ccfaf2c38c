"""Likelihood-ratio attacks: how one model's margins lie among those of others.

References are models that did not see an example (OUT), or did (IN). Of each
example they leave a normal distribution of its margin. Its variance, estimated
from 4 to 16 values, is poor, and one variance for all examples is wrong where
they differ: it is shrunk from the one towards the other, by as much as the
variances of all examples say that they differ by more than chance.

Margins are those of ``per_example.margin``; never of probabilities, which pile
up at 1.

References: Carlini et al. (2022), arXiv:2112.03570 (the attacks);
arXiv:2603.11799 (why variances are shrunk); Smyth (2004) (moments of log
variances, for another prior).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import special

from dlfd_jax.utils import validate

RULES = ('shrunk', 'pooled', 'own')
# A variance below this share of the middle one is one of equal values, whose
# logarithm would say nothing but that they are equal.
_LEAST_SHARE = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Normals:
  """A normal distribution of every example's margin.

  Attributes:
    mean: ``[..., n]``.
    sigma: standard deviation above 0, ``[..., n]``.
    freedom: degrees of freedom behind ``sigma``, infinite where it is one for
      all of many examples, ``[..., n]``.
    count: how many models there were, ``[..., n]``.
  """

  mean: np.ndarray
  sigma: np.ndarray
  freedom: np.ndarray
  count: np.ndarray


def check_margins(name: str, values: np.ndarray) -> np.ndarray:
  """Margins ``[models, n]`` as float64.

  Raises:
    ValueError: if they have another shape or are not finite.
  """
  values = validate.floats(name, values)
  if values.ndim != 2 or not values.size:
    raise ValueError(
        f'Expected {name} [models, n] with at least one of each, got '
        f'{list(values.shape)}.')
  if not np.isfinite(values).all():
    raise ValueError(f'Expected finite {name}, got others.')
  return values


def check_sides(unlearned: np.ndarray, retrained: np.ndarray,
                least: int) -> tuple[np.ndarray, np.ndarray]:
  """Margins of the same examples under unlearned and retrained models.

  Args:
    unlearned: ``[N, n]``.
    retrained: ``[M, n]``.
    least: fewest models of each.

  Raises:
    ValueError: if they are not that.
  """
  sides = [check_margins(f'{name} margins', values) for name, values in (
      ('unlearned', unlearned), ('retrained', retrained))]
  if sides[0].shape[1] != sides[1].shape[1]:
    raise ValueError(
        f'Expected margins of the same examples, got {sides[0].shape[1]} and '
        f'{sides[1].shape[1]}.')
  if min(map(len, sides)) < least:
    raise ValueError(
        f'Expected at least {least} models on each side, got {len(sides[0])} '
        f'unlearned and {len(sides[1])} retrained.')
  return sides[0], sides[1]


def fit(margins: np.ndarray, inside: np.ndarray | None = None, *,
        rule: str = 'shrunk') -> Normals:
  """The distribution of each example's margin over models.

  Args:
    margins: ``[models, n]``.
    inside: bool ``[models, n]``, which models count for which example; None =
      all for all.
    rule: ``'shrunk'``; ``'pooled'``, one variance for all examples; ``'own'``,
      each example's.

  Returns:
    Arrays ``[n]``.

  Raises:
    ValueError: if an example has fewer than 2 models.
  """
  margins = check_margins('margins', margins)
  if inside is None:
    inside = np.ones(margins.shape, bool)
  own = _own(margins, _check_membership(inside, margins, 2))
  return _with_rule(own, rule)


def fit_sides(margins: np.ndarray, inside: np.ndarray, out: np.ndarray, *,
              left_out: bool = False,
              rule: str = 'shrunk') -> tuple[Normals, Normals]:
  """The distributions of two sides, to be compared with each other.

  What counts in a comparison is their ratio, and two variances of few models
  each make a poor one. Both are therefore one variance of the example times a
  ratio that is shrunk towards the ratio of all examples, and that variance is
  estimated from both sides.

  Args:
    margins: ``[models, n]``.
    inside: bool ``[models, n]``, which models are on the first side of which
      example.
    out: likewise, on the second side; a model on neither counts for nothing.
    left_out: as many fits as models, row k without model k.
    rule: see ``fit``.

  Returns:
    Both sides, arrays ``[n]``, or ``[models, n]``.

  Raises:
    ValueError: if an example has fewer than 2 models on a side (3 with
      ``left_out``), or a model on both.
  """
  margins, inside, out = _check_both(margins, inside, out, 3 if left_out else 2)
  first, second = (_own(margins, side, -int(left_out))
                   for side in (inside, out))
  if rule != 'shrunk':
    return _with_rule(first, rule), _with_rule(second, rule)
  return _together(first, second)


def _together(first: Normals, second: Normals) -> tuple[Normals, Normals]:
  """Both sides with one variance of each example times a shrunk ratio."""
  noise = _noise(first.freedom) + _noise(second.freedom)
  ratio = _shrunk_mean(_log(first) - _log(second), noise)[0]
  freedom = first.freedom + second.freedom
  common, freedom = shrink(
      (first.freedom * first.sigma**2 * np.exp(-ratio / 2)
       + second.freedom * second.sigma**2 * np.exp(ratio / 2)) / freedom,
      freedom)
  return tuple(dataclasses.replace(  # type: ignore[return-value]
      side, sigma=np.sqrt(common * np.exp(sign * ratio / 2)), freedom=freedom)
               for side, sign in ((first, 1), (second, -1)))


def _check_both(
    margins: np.ndarray, inside: np.ndarray, out: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  margins = check_margins('margins', margins)
  inside, out = (_check_membership(side, margins, least)
                 for side in (inside, out))
  if (inside & out).any():
    raise ValueError('Expected each model on one side of an example at most.')
  return margins, inside, out


def _check_membership(inside: np.ndarray, margins: np.ndarray,
                      least: int) -> np.ndarray:
  inside = validate.array('membership', inside)
  if inside.shape != margins.shape or inside.dtype != bool:
    raise ValueError(
        f'Expected a boolean membership {list(margins.shape)}, got '
        f'{inside.dtype} {list(inside.shape)}.')
  fewest = inside.sum(0).min()
  if fewest < least:
    raise ValueError(
        f'Expected at least {least} models on each side of every example, got '
        f'{fewest}.')
  return inside


def _own(margins: np.ndarray, inside: np.ndarray, judged: int = 0) -> Normals:
  """Each example's own mean and variance, the latter above 0.

  Args:
    margins: ``[models, n]``.
    inside: bool ``[models, n]``.
    judged: 0: of the models inside, ``[n]``. Else ``[models, n]``, row k with
      model k among them (1), or without it (-1).
  """
  count = inside.sum(0)
  mean = np.where(inside, margins, 0.0).sum(0) / count
  away = margins - mean
  squares = np.where(inside, away**2, 0.0).sum(0)
  if judged:
    moves = inside if judged < 0 else ~inside
    before, count = count, count + judged * moves
    away = np.where(moves, away, 0.0)
    mean = mean + judged * away / count
    squares = np.maximum(squares + judged * away**2 * before / count, 0.0)
  freedom = np.broadcast_to(count - 1.0, squares.shape)
  variance = squares / freedom
  middle = np.median(variance, axis=-1, keepdims=True)
  # Equal margins everywhere: any scale will do, as long as it is one.
  middle = np.where(middle > 0, middle, variance.mean(-1, keepdims=True))
  least = np.where(middle > 0, _LEAST_SHARE * middle, 1.0)
  return Normals(mean, np.sqrt(np.maximum(variance, least)), freedom,
                 np.broadcast_to(count, squares.shape))


def _with_rule(own: Normals, rule: str) -> Normals:
  validate.one_of('rule', rule, RULES)
  if rule == 'own':
    return own
  variance, freedom = (_pool if rule == 'pooled' else shrink)(
      own.sigma**2, own.freedom)
  return dataclasses.replace(own, sigma=np.sqrt(variance), freedom=freedom)


def _pool(variance: np.ndarray,
          freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  total = freedom.sum(-1, keepdims=True)
  pooled = (freedom * variance).sum(-1, keepdims=True) / total
  return (np.broadcast_to(pooled, variance.shape),
          np.broadcast_to(total, variance.shape))


def _of_few(function: Callable[[np.ndarray], np.ndarray],
            values: np.ndarray) -> np.ndarray:
  """A slow function of every value, where few of them differ."""
  few, places = np.unique(values, return_inverse=True)
  return function(few)[places].reshape(values.shape)


def _noise(freedom: np.ndarray) -> np.ndarray:
  """Variance of the logarithm of an estimated variance."""
  return _of_few(lambda few: special.polygamma(1, few / 2), freedom)


def _log(side: Normals) -> np.ndarray:
  """Unbiased estimate of the logarithm of each variance."""
  half = side.freedom / 2
  return 2 * np.log(side.sigma) - special.digamma(half) + np.log(half)


def _shrunk_mean(values: np.ndarray, noise: np.ndarray
                 ) -> tuple[np.ndarray, np.ndarray]:
  """Values moved towards their mean, and how far they truly spread.

  Args:
    values: ``[..., n]``.
    noise: variance of the error of each, ``[..., n]``.

  Returns:
    The values, and the variance that noise does not explain, ``[..., 1]``.
  """
  mean = values.mean(-1, keepdims=True)
  spread = np.zeros_like(mean)
  if values.shape[-1] > 2:
    spread = np.maximum(values.var(-1, ddof=1, keepdims=True)
                        - noise.mean(-1, keepdims=True), 0.0)
  return mean + spread / (spread + noise) * (values - mean), spread


def shrink(variance: np.ndarray,
           freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  r"""Variances moved towards a common one.

  The logarithm of a variance of d degrees of freedom has an error of variance
  :math:`\psi'(d / 2)`. What the logarithms of all examples spread beyond it,
  :math:`\tau^2`, is true, and each keeps :math:`\tau^2 / (\tau^2 + \psi')` of
  its own distance to their mean. Where they spread no more than by chance all
  are the pooled one.

  Args:
    variance: above 0, ``[..., n]``; examples on the last axis.
    freedom: of each, at least 1, ``[..., n]``.

  Returns:
    The variances, and the degrees of freedom of an estimate as good as each, at
    most all that there are.
  """
  pooled, total = _pool(variance, freedom)
  noise = _noise(freedom)
  logs, spread = _shrunk_mean(
      _log(Normals(variance, np.sqrt(variance), freedom, freedom)), noise)
  varied = spread > 0
  half = _of_few(_inverse_trigamma, np.where(
      varied, spread * noise / (spread + noise), 1.0))
  # From the logarithm back to a variance of so many degrees of freedom.
  found = np.exp(logs + special.digamma(half) - np.log(half))
  return (np.where(varied, found, pooled),
          np.where(varied, np.minimum(2 * half, total), total))


def _inverse_trigamma(values: np.ndarray) -> np.ndarray:
  """Where trigamma takes values above 0; Newton's method from below."""
  x = .5 + 1 / values
  for _ in range(10):
    slope = special.polygamma(1, x)
    x = x + slope * (1 - slope / values) / special.polygamma(2, x)
  return x


def distance(margins: np.ndarray, out: Normals) -> np.ndarray:
  """Standard deviations above the margin of models that did not see it.

  Its rank is that of offline LiRA, whose probability ``ndtr(distance)`` would
  tie above 8 deviations; its absolute value is the two-sided attack, which sees
  over-forgetting too.

  Args:
    margins: of the model to judge, ``[..., n]``.
    out: see ``fit``.
  """
  return (margins - out.mean) / out.sigma


def p_values(margins: np.ndarray, out: Normals, *,
             two_sided: bool = False) -> np.ndarray:
  """False-positive rate of the rule that just calls an example a member.

  Calibrated for each example: mean and variance are estimates, so that a new
  unseen model's distance follows Student's t distribution, widened by the error
  of the mean. The normal one would promise 1 % and give 6 % of 4 references.

  Args:
    margins: ``[..., n]``.
    out: see ``fit``.
    two_sided: whether margins far below count as well.

  Returns:
    In [0, 1]; small = member-like.
  """
  away = distance(margins, out) / np.sqrt(1 + 1 / out.count)
  if two_sided:
    return 2 * special.stdtr(out.freedom, -np.abs(away))
  return special.stdtr(out.freedom, -away)


def online(margins: np.ndarray, inside: Normals, out: Normals) -> np.ndarray:
  r"""Online LiRA, higher = more member-like, any real number.

  .. math:: \log N(\phi; \mu_{in}, \sigma_{in}^2)
            - \log N(\phi; \mu_{out}, \sigma_{out}^2)

  Args:
    margins: ``[..., n]``.
    inside: of models that saw the example.
    out: of models that did not.
  """
  # Without the logarithms of sigma the rank inside one example is the same, the
  # sign and the rank between examples are not.
  return (np.log(out.sigma) - np.log(inside.sigma)
          + .5 * distance(margins, out)**2
          - .5 * distance(margins, inside)**2)


def online_p_values(margins: np.ndarray, inside: np.ndarray,
                    out: np.ndarray) -> np.ndarray:
  """False-positive rate of the rule "a likelihood ratio of at least this one".

  The chance that a model that is out has a ratio of at least the judged model's
  for the same example, so that a threshold on it gives every example the same
  rate of false alarms; one on the ratio itself does not.

  Margins with such a ratio lie beyond that of the judged model and the other
  margin of the same ratio, or between the two. The judged model counts as one
  that is out: inside is fitted without it, out with it. If out is normal, the
  model's distance from the mean in standard deviations, both taken with it, is
  independent of both (Basu 1955), and so of the other margin but for the little
  that shrinkage takes from other examples. Its distribution (Thompson 1935) is
  that of each example by itself, whatever its spread. Fitted without the model,
  out would lean away from it, and false alarms would be more than promised.

  Args:
    margins: ``[models, n]``.
    inside: bool ``[models, n]``, which models are on the first side of which
      example.
    out: likewise, on the second side.

  Returns:
    In [0, 1], ``[models, n]``; small = like the first side.

  Raises:
    ValueError: as ``fit_sides`` with ``left_out``.
  """
  margins, inside, out = _check_both(margins, inside, out, 3)
  others, law = _own(margins, inside, -1), _own(margins, out, 1)
  first, second = (side.sigma**2 for side in _together(others, law))
  with np.errstate(divide='ignore', invalid='ignore'):
    # Where the ratio has its turning point; equal variances have none.
    middle = (others.mean * second - law.mean * first) / (second - first)
    mirrored = 2 * middle - margins
  between = np.abs(
      _chance_below(mirrored, law) - _chance_below(margins, law))
  found = np.where(first <= second, between, 1 - between)
  return np.where(np.isnan(mirrored), 1.0, found)  # one ratio for all margins


def _chance_below(margins: np.ndarray, law: Normals) -> np.ndarray:
  """Chance that one of the values of a law lies below a margin.

  Args:
    margins: ``[..., n]``; infinite ones are beyond all values.
    law: fitted with the value whose chance it is.
  """
  away, count = distance(margins, law), law.count
  room = (count - 1)**2 - count * away**2
  t = away * np.sqrt(count * (count - 2) / np.where(room > 0, room, 1.0))
  return special.stdtr(count - 2.0, np.where(
      room > 0, t, np.copysign(np.inf, away)))
