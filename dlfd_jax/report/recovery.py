"""Whether forget came back, in words."""

from __future__ import annotations

from dlfd_jax.evaluation import verdicts
from dlfd_jax.metrics import stats
from dlfd_jax.report import tables

_METRIC = 'recovery_accuracy'
_SAID = {
    stats.INDISTINGUISHABLE: 'no more comes back than in them',
    stats.TOO_FEW: 'these are too few people or images to say more',
    verdicts.BLIND: 'this does not tell the original from them either',
    None: 'it takes three of them for a verdict',
}


def sentences(result: tables.Result) -> list[str]:
  """What learning retain alone brought back; empty if it was not tried."""
  before = tables.find_cell(result, 'accuracy_forget', 'unlearned')
  after, retrained = (tables.find_cell(result, _METRIC, model)
                      for model in ('unlearned', 'retrained'))
  if before.value is None or after.value is None:
    return []
  first = ('After learning retain again, accuracy on forget is '
           f'{after.text} (before: {before.text})')
  if retrained.value is None:
    return [f'{first}; there is no retrained model to compare with.']
  record = tables.find_record(result, _METRIC) or {}
  verdict = record.get('verdict')
  models = tables.references(result)
  delta = tables.as_cell(record.get('delta'), signed=True)
  if verdict == stats.DISTINGUISHABLE:
    said = ('what seemed forgotten comes back' if after.value > before.value
            else 'more is known than in them')
  elif delta.high is not None and delta.high < 0 and verdict is not None:
    said = 'less is known than in them, which may be damage'
  else:
    said = _SAID.get(verdict, 'the difference is too uncertain to say more')
  if models < 2 and verdict != stats.TOO_FEW:
    said = verdicts.ONE_REFERENCE
  return [f'{first}, that of the retrained model{"" if models == 1 else "s"} '
          f'{retrained.text}: {said}.']
