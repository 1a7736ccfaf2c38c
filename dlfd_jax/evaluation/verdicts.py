"""The two overall verdicts: on forgetting and on utility."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.metrics import stats

LEVEL = .05
OVER_FORGOTTEN = f'{stats.DISTINGUISHABLE} (over-forgotten)'


@dataclasses.dataclass(frozen=True)
class Vote:
  """One deciding metric.

  Attributes:
    verdict: of the metric alone, None if it was not computed.
    p_value: of no difference to retraining, None likewise.
  """

  verdict: str | None
  p_value: float | None


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
  """Which hypotheses Holm's (1979) step-down rule rejects.

  Example:
    >>> holm([.03, .01, .04])
    [False, True, False]
  """
  order = sorted(range(len(p_values)), key=lambda i: p_values[i])
  rejected = [False] * len(p_values)
  for rank, i in enumerate(order):
    if p_values[i] > level / (len(p_values) - rank):
      break
    rejected[i] = True
  return rejected


def overall(votes: Mapping[str, Vote], *,
            over_forgotten: bool = False) -> dict[str, Any]:
  """One verdict from several deciding metrics.

  "indistinguishable" only if every metric is; "distinguishable" if one is after
  Holm's correction; else "inconclusive". A metric that was not computed can
  only keep the verdict from being "indistinguishable".

  Args:
    votes: by metric name, at least one.
    over_forgotten: the Streisand flag, which forces "distinguishable".

  Returns:
    ``verdict``, ``metrics`` (name to its own verdict) and ``because``, words.

  Raises:
    ValueError: if there is no metric.
  """
  if not votes:
    raise ValueError('Expected at least one deciding metric, got none.')
  computed = [name for name, vote in votes.items() if vote.p_value is not None]
  rejected = holm([float(votes[name].p_value or 0.0) for name in computed])
  found = [
      name for name, is_rejected in zip(computed, rejected)
      if is_rejected and votes[name].verdict == stats.DISTINGUISHABLE]
  single = {name: vote.verdict for name, vote in votes.items()}
  missing = [name for name, verdict in single.items() if verdict is None]
  if over_forgotten:
    verdict, because = OVER_FORGOTTEN, 'the over-forgetting flag is raised'
  elif found:
    verdict = stats.DISTINGUISHABLE
    because = 'told apart by ' + ', '.join(found)
  elif all(v == stats.INDISTINGUISHABLE for v in single.values()):
    verdict = stats.INDISTINGUISHABLE
    because = 'every deciding metric lies within its margin'
  else:
    verdict = stats.INCONCLUSIVE
    because = 'the intervals are too wide to say either'
    if missing:
      because = 'not computed: ' + ', '.join(missing)
  return {'verdict': verdict, 'because': because, 'metrics': single}
