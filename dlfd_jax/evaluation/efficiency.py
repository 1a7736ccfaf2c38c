"""How much cheaper unlearning was than training again."""

from __future__ import annotations

from dlfd_jax.evaluation import records

NO_RETRAIN = 'no retrained model was timed'
NO_SEARCH = ('the time spent on finding hyper-parameters was not stated; state '
             '0 if there was none')


def speed_up(retrain_s: float | None, unlearn_s: float,
             search_s: float | None) -> dict[str, records.Cell]:
  """Retraining time over unlearning time, without and with the search.

  Args:
    retrain_s: seconds of one retraining on one device at one precision, or
      None if unknown.
    unlearn_s: seconds of the unlearning run on the same device and precision.
    search_s: seconds spent on choosing hyper-parameters, 0 if none were, None
      if not stated: then no speed-up is given at all.

  Returns:
    ``speed_up`` and ``speed_up_with_search``, each above 0; higher means
    cheaper, retraining is 1.

  Raises:
    ValueError: if a time is not positive (the search's: negative).

  Example:
    >>> cells = speed_up(600., 30., 270.)
    >>> print(cells['speed_up'].value, cells['speed_up_with_search'].value)
    20.0 2.0
  """
  for name, value in (('retrain_s', retrain_s), ('unlearn_s', unlearn_s)):
    if value is not None and not value > 0:
      raise ValueError(f'Expected {name} > 0, got {value}.')
  if search_s is not None and not search_s >= 0:
    raise ValueError(f'Expected search_s >= 0, got {search_s}.')
  if retrain_s is None or search_s is None:
    reason = NO_RETRAIN if retrain_s is None else NO_SEARCH
    missing = records.Cell.missing(reason)
    return {'speed_up': missing, 'speed_up_with_search': missing}
  return {
      'speed_up': records.Cell(retrain_s / unlearn_s),
      'speed_up_with_search': records.Cell(retrain_s / (unlearn_s + search_s)),
  }
