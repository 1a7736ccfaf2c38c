"""What decided: the metrics behind the verdicts, and who chose what by what."""

from __future__ import annotations

import dataclasses

from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import names, tables

_MANY = {'person': 'people', None: 'units'}


@dataclasses.dataclass(frozen=True)
class Deciding:
  """A metric that votes in an overall verdict.

  Attributes:
    what: which verdict, ``forgetting`` or ``utility``.
    label: the metric's name for readers.
    delta: unlearned minus retrained.
    margin: a smaller difference does not matter, None = not recorded.
    p_value: of no difference, None = not computed.
    power: chance of "indistinguishable" at no difference, None likewise.
    sample: how many people (or images) the interval resamples.
    verdict: of this metric alone.
  """

  what: str
  label: str
  delta: Estimate
  margin: float | None
  p_value: float | None
  power: float | None
  sample: str
  verdict: str


def deciding(result: tables.Result) -> list[Deciding]:
  """The deciding metrics in the order of the verdicts; none without tier 1."""
  found = []
  for what, verdict in (result.get('verdicts') or {}).items():
    for metric, own in (verdict.get('metrics') or {}).items():
      record = tables.find_record(result, metric) or {}
      sample = names.NOT_COMPUTED
      if record.get('n_units'):
        unit = _MANY.get(record.get('unit'), f'{record.get("unit")}s')
        sample = f'{record["n_units"]:,} {unit}'
      found.append(Deciding(
          what, registry.label(metric),
          tables.find_cell(result, metric, 'delta'), record.get('margin'),
          record.get('p_value'), record.get('power'), sample,
          own or names.NOT_COMPUTED))
  return found


def sample_sentence(result: tables.Result) -> str:
  """How many models and which seeds stand behind the verdicts."""
  ran = result.get('runs') or []
  seeds = [str(run['seed']) for run in ran
           if run['model'].startswith('retrained')
           and run.get('seed') is not None]
  count = len((result.get('models') or {}).get('retrained') or ())
  many = f'{count} retrained model' + ('' if count == 1 else 's')
  if seeds:
    many += f' (seed{"" if len(seeds) == 1 else "s"} {", ".join(seeds)})'
  return f'One unlearned model and {many}.'


def choices(result: tables.Result) -> list[dict[str, str]]:
  """By column: what was chosen, by which rule, what the choice could read."""
  selection = result.get('selection') or {}
  found = []
  if selection:
    checks = selection.get('checks')
    tried = f'; {checks:,} states were measured' if checks else ''
    found.append((
        'the state that was returned',
        f'{selection.get("reason") or names.NOT_COMPUTED}{tried}',
        'retain, forget, val, the original; not test, not retrained models'))
  found += [
      ("the method's settings", _search(result),
       'val, where this project searched; otherwise not known to this report'),
      ('metrics, margins, numbers of resamples',
       'the configuration of section 8, written before anything is measured',
       'nothing'),
      ('final metrics', 'all models on the same images, once',
       'all splits; attacks compare forget with test')]
  return [dict(zip(('Choice', 'rule', 'could read'), choice, strict=True))
          for choice in found]


def _search(result: tables.Result) -> str:
  search = (result.get('selection') or {}).get('search') or {}
  preset = search.get('preset')
  rule = f'preset {preset}' if preset else 'settings in section 8'
  if search.get('trials'):
    rule += (f', searched in {search["trials"]:,} trials '
             f'({tables.as_cell(search.get("search_s"), "s").text})')
  else:
    rule += '; no search is recorded'
  stated = (result.get('efficiency') or {}).get('search_s')
  return f'{rule}; time of search for this request: ' + (
      'not stated' if stated is None else tables.as_cell(stated, 's').text)
