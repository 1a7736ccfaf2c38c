"""Result files to tables: pure functions from a result to rows.

A result is the dictionary that an evaluation writes to ``result.json``. What
it does not hold is a cell that says `not computed`, never a missing row or a 0.
Renderers are in :mod:`~dlfd_jax.report.render`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dlfd_jax.evaluation import estimate, own_metrics, registry, verdicts
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.metrics import stats
from dlfd_jax.report import names
from dlfd_jax.utils import records, schemas

Result = Mapping[str, Any]

TIERS = {
    1: 'against retrained models', 2: 'attacks with reference models',
    3: 'per-example attacks with shadow models'}
EARLIER_RULES = (
    'An earlier version gave this verdict: there, metrics that cannot see the '
    'original voted, and one retrained model could tell apart. Evaluate again.')
_NO_RECORD = 'the evaluation did not measure it'


@dataclasses.dataclass(frozen=True)
class Row:
  """One metric.

  Attributes:
    key: the metric's name in the result.
    label: its name for readers.
    direction: what a higher or lower value means, in words.
    cells: one per column of the table.
    remarks: verdict and notes.
  """

  key: str
  label: str
  direction: str
  cells: tuple[Estimate, ...]
  remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
  """Rows under columns.

  Attributes:
    title: one line.
    columns: names of the cells' columns.
    rows: the metrics, in order.
    notes: sentences below the table.
  """

  title: str
  columns: tuple[str, ...]
  rows: tuple[Row, ...]
  notes: tuple[str, ...] = ()


def compact(table: Table, without: Sequence[Row] = ()) -> Table:
  """A table less the columns and rows in which nothing was computed.

  Args:
    table: any.
    without: rows that stand elsewhere.
  """
  there = {row.key for row in without}
  rows = [row for row in table.rows if row.key not in there]
  kept = [i for i in range(len(table.columns))
          if any(row.cells[i].value is not None for row in rows)]
  rows = [dataclasses.replace(row, cells=tuple(row.cells[i] for i in kept))
          for row in rows if any(cell.value is not None for cell in row.cells)]
  return dataclasses.replace(
      table, rows=tuple(rows), columns=tuple(table.columns[i] for i in kept))


def empty_columns(table: Table) -> list[tuple[str, list[str]]]:
  """Columns in which nothing was computed, by the reason of the first row."""
  found: dict[str, list[str]] = {}
  for i, column in enumerate(table.columns):
    if table.rows and all(row.cells[i].value is None for row in table.rows):
      found.setdefault(str(table.rows[0].cells[i].reason), []).append(column)
  return list(found.items())


def check_result(result: Result) -> None:
  """Raises ValueError unless ``result`` is a whole evaluation."""
  records.fit(result, schemas.Evaluation, 'the result')


def provenance(result: Result) -> list[str]:
  """What stands before everything else: harm, no change, no verification.

  Empty where data, models and split of the result are known to belong together
  and the unlearned model differs from the original, as accurate as before.
  """
  lines = list(result.get('do_not_use') or ())
  found = result.get('verification')
  if found is None:
    return [*lines, 'Not verified: the version that wrote this result recorded '
            'no hashes that tie it to its models and data.']
  lines += _of_audit(result)
  if found.get('unchanged'):
    lines.append('Nothing changed: the unlearned model equals the original bit '
                 'by bit.')
  lines += [f'Not verified, allowed by --allow_unverified: {text}'
            for text in found.get('allowed') or ()]
  lines += [f'Not verified: {text}' for text in found.get('unverified') or ()]
  if found.get('original'):
    lines.append(f'Original: {found["original"]}.')
  return lines


def _of_audit(result: Result) -> list[str]:
  """Which model an audit judged, and what its run says; else nothing."""
  audit = result.get('audit')
  if audit is None:
    return []
  lines = ['Audit: "unlearned" stands for the audited model.']
  known, parts = audit.get('forget_in_training'), (
      result.get('data') or {}).get('splits') or {}
  if known is not None:
    images = (parts.get('forget') or {}).get('images')
    lines.append(f'By the record of its run it was last trained on {known} of '
                 f'the {images} images of these people.')
  return lines


def find_record(result: Result, metric: str) -> Mapping[str, Any] | None:
  """The record of a metric, or None."""
  for record in result.get('metrics', ()):
    if record['metric'] == metric:
      return record
  return None


def find_cell(result: Result, metric: str, column: str) -> Estimate:
  """One cell of a metric; `not computed` if the result has no such record."""
  record = find_record(result, metric)
  if record is None:
    return Estimate.missing(_NO_RECORD)
  return as_cell(record.get(column), record.get('units') or 'fraction',
                 column == 'delta')


def as_cell(found: Any, units: str = 'fraction', signed: bool = False,
            reason: str = _NO_RECORD) -> Estimate:
  """A number, a cell's dictionary or None as a cell.

  Args:
    found: as it stands in the result.
    units: see ``estimate.format_number``.
    signed: whether a plus is written.
    reason: why there is no value, where ``found`` does not say.
  """
  if not isinstance(found, Mapping):
    found = {'value': found}
  numbers = [found.get(key) for key in ('value', 'low', 'high')]
  value, low, high = (
      None if number is None or not math.isfinite(number) else float(number)
      for number in numbers)
  if value is not None:
    return Estimate(value, low, high, units=units, signed=signed)
  if numbers[0] is not None:
    reason = f'it was {numbers[0]}'
  return Estimate.missing(found.get('reason') or reason, units)


def tier_of(result: Result) -> int:
  """The highest tier that the result has records of."""
  return max((record.get('tier') or 0 for record in result.get('metrics', ())),
             default=0)


def _row(result: Result, metric: str, columns: Sequence[str]) -> Row:
  record = find_record(result, metric) or {}
  remarks = [str(note) for note in record.get('notes') or ()]
  if record.get('verdict'):
    gate = record.get('gate')
    remarks.insert(0, f'Verdict: {record["verdict"]}' + (
        f'; {gate}.' if gate and gate != record['verdict'] else '.'))
  return Row(
      metric, own_metrics.label(result, metric), record.get('direction') or '',
      tuple(find_cell(result, metric, column) for column in columns),
      tuple(remarks))


def _time_row(result: Result) -> Row:
  times = (result.get('efficiency') or {}).get('time_s') or {}
  cells = (as_cell(times.get(model), 's', reason='no time was recorded')
           for model in names.MODELS[:3])
  none = Estimate.missing('a time has no null', 's')
  return Row('time_s', 'Time, without compiling', 'lower means cheaper',
             (*cells, none))


def _is_of_all(metric: str) -> bool:
  """Whether every task and request has it, so that its absence is told."""
  entry = registry.find(metric)
  return entry is None or entry.applies is None


def summary_table(result: Result, *, delta: bool = False) -> Table:
  """The table that a run ends with: original, unlearned, retrained, null.

  Args:
    result: see the module.
    delta: whether unlearned minus retrained is a column.

  Returns:
    The four accuracies, the main attack, by image and by person, forgetting
    score, NoMUS and time.

  Raises:
    ValueError: if ``result`` is something else.
  """
  check_result(result)
  columns = (*names.MODELS, 'delta') if delta else names.MODELS
  rows = [_row(result, metric, columns) for metric in (
      *registry.summary(0), *own_metrics.names(result, range(1)))
          if find_record(result, metric) or _is_of_all(metric)]
  time = _time_row(result)
  if delta:
    time = dataclasses.replace(time, cells=(
        *time.cells, Estimate.missing('a time has no difference', 's')))
  return Table(
      'Original, unlearned, retrained', columns, (*rows, time),
      ('With a number: its 95 % interval. The aim is to equal retrained.',
       *(str(note) for note in result.get('notes') or ())))


def metrics_table(result: Result) -> Table:
  """Every record of tier 0, with unlearned minus retrained.

  A record that is a verdict without numbers has no row, nor has a count of
  copies, which is one of the data and not of a model.
  """
  check_result(result)
  columns = (*names.MODELS, 'delta')
  rows = tuple(
      _row(result, record['metric'], columns)
      for record in result.get('metrics', ())
      if not record.get('tier') and not _only_verdict(record)
      and _about(record) == 'model')
  return Table('All metrics', columns, rows,
               ('delta: unlearned minus retrained.',))


def reference_table(result: Result, *, everything: bool = False,
                    delta: bool = True) -> Table:
  """The metrics of tier 1, `not computed` where it was not run.

  Args:
    result: see the module.
    everything: every record of tier 1 that is not about a group of people, not
      only the main ones.
    delta: whether unlearned minus retrained is a column.

  Raises:
    ValueError: if ``result`` is something else.
  """
  check_result(result)
  columns = (*names.MODELS, 'delta') if delta else names.MODELS
  chosen = [metric for tier in range(1, max(tier_of(result), 1) + 1)
            for metric in registry.summary(tier)]
  chosen += own_metrics.names(result, range(1, 4))
  if everything and tier_of(result):
    chosen = [record['metric'] for record in result['metrics']
              if record.get('tier') and _about(record) == 'model']
  rows = tuple(_row(result, metric, columns) for metric in chosen)
  if not tier_of(result):
    rows = tuple(dataclasses.replace(row, cells=tuple(
        dataclasses.replace(cell, reason=not_run(1)) for cell in row.cells))
                 for row in rows)
  return Table(
      'Against retrained models', columns, rows,
      ('null: each retrained model in the place of the unlearned one, against '
       'the others; its range is the smallest to the largest value.',
       *verdict_sentences(result)))


def voting_table(result: Result, *, delta: bool = True) -> Table:
  """The metrics of tier 1 that vote in a verdict; no row without verdicts."""
  votes = [metric for verdict in (result.get('verdicts') or {}).values()
           for metric in verdict.get('metrics') or ()]
  return _some_of(reference_table(result, everything=True, delta=delta),
                  'What decides the verdict', votes)


def brief_table(result: Result) -> Table:
  """What decides, and metrics of one's own from tier 1 on; for a terminal.

  The one-sided reference attack stands beside the two-sided one, which votes:
  it tells in which direction a model differs.
  """
  voting = voting_table(result, delta=False)
  table = reference_table(result, everything=True, delta=False)
  found = _some_of(table, voting.title, [
      *(row.key for row in voting.rows), registry.REFERENCE_ATTACK,
      *own_metrics.names(result, range(1, 4))])
  more = len(table.rows) - len(found.rows)
  return found if not more else dataclasses.replace(found, notes=(
      *found.notes, f'{more} further metrics against retrained models are in '
      'annex C of the report.'))


def _some_of(table: Table, title: str, keys: Iterable[str]) -> Table:
  """The rows of these keys, as far as a table has them."""
  shown = {row.key: row for row in table.rows}
  return dataclasses.replace(table, title=title, rows=tuple(
      shown[key] for key in dict.fromkeys(keys) if key in shown))


def groups_table(result: Result) -> Table:
  """Accuracies of classes and of the data's groups, tier 1; maybe no row."""
  return _table_about(result, registry.GROUP, 'Accuracy by group')


def recovery_table(result: Result) -> Table:
  """What came back after each treatment, tier 1; no row without any figure."""
  table = _table_about(
      result, registry.RECOVERY, 'Attempts to bring forget back',
      'Every model after the same treatment. null: the retrained ones; its '
      'range is the smallest to the largest value. The first row can tell a '
      'model apart; the others have no part in the verdict.')
  if all(cell.value is None for row in table.rows for cell in row.cells):
    return dataclasses.replace(table, rows=())
  return table


def _table_about(result: Result, about: str, title: str,
                 *notes: str) -> Table:
  check_result(result)
  columns = (*names.MODELS, 'delta')
  return Table(
      title, columns, tuple(
          _row(result, record['metric'], columns)
          for record in result.get('metrics', ()) if _about(record) == about),
      notes)


def _about(record: Mapping[str, Any]) -> str:
  """What a record is about: a model, a group of people or the data."""
  metric = registry.find(record['metric'])
  return metric.about if metric else 'model'


def not_run(tier: int) -> str:
  """Why a tier's metrics are not there."""
  return f'tier {tier} was not run ({TIERS[tier]})'


def verdict_sentences(result: Result) -> tuple[str, ...]:
  """The overall verdicts in sentences; `not computed` without tier 1."""
  found = result.get('verdicts')
  if not found:
    return (f'Overall verdict: {names.NOT_COMPUTED}, as {not_run(1)}.',)
  lines = [
      f'Overall verdict on {what} at tier {tier_of(result)}: '
      f'{verdict["verdict"]} ({_in_words(verdict)}).'
      for what, verdict in found.items()]
  if any(verdict.get('rules') != verdicts.RULES for verdict in found.values()):
    lines.append(EARLIER_RULES)
  return tuple(lines)


def _in_words(verdict: Mapping[str, Any]) -> str:
  """Why, with the metrics called as in the tables."""
  known = verdict.get('metrics') or {}
  return re.sub(r'\w+', lambda word: registry.label(word[0])
                if word[0] in known else word[0], verdict['because'])


def without_copies_table(result: Result) -> Table | None:
  """The summary again without copies of forget images; None if there are none.

  Raises:
    ValueError: if ``result`` is something else.
  """
  found = result.get('without_duplicates')
  if not found:
    return None
  table = summary_table({**result, 'metrics': found['metrics'],
                         'efficiency': {}, 'notes': []})
  return dataclasses.replace(
      table, title='Without copies of forget images', rows=table.rows[:-1])


def _only_verdict(record: Mapping[str, Any]) -> bool:
  values = [as_cell(record.get(model)).value for model in names.MODELS]
  return bool(record.get('verdict')) and values == [None] * len(values)


def headline(result: Result) -> list[str]:
  """What the main attack found, in sentences that also say what it cannot.

  They are read off the record whose difference and verdict the tables print:
  that of tier 1 if it was run, else that of tier 0.
  """
  check_result(result)
  original, unlearned, retrained = (
      find_cell(result, registry.MAIN_ATTACK, model)
      for model in names.MODELS[:3])
  if original.value is None and result.get('audit') is not None:
    return _without_original(result, unlearned, retrained)
  if original.value is None or unlearned.value is None:
    return ['The main attack was not computed for the original and the '
            'unlearned model.']
  first = (
      f'The main attack (class-matched AUC, {estimate.format_number(.5)} is a '
      f'guess) scores {original.with_interval} on the original and '
      f'{unlearned.with_interval} on the unlearned model'
      + (f'; {retrained.with_interval} on the retrained '
         f'{"one" if references(result) == 1 else "ones"}.'
         if retrained.value is not None else
         '; there is no retrained model to compare with.'))
  record = main_difference(result)
  if record.get('verdict') == stats.TOO_FEW:
    return [first, 'These are too few people or images to say more.']
  if retrained.value is None:
    return [first]
  return [first, difference_sentence(record, references(result))]


def main_difference(result: Result) -> Mapping[str, Any]:
  """The main attack's record with its difference to retraining, or ``{}``.

  That of tier 1 if it was run, else that of tier 0.
  """
  return find_record(result, f'gap_{registry.MAIN_ATTACK}') or find_record(
      result, registry.MAIN_ATTACK) or {}


def difference_sentence(record: Mapping[str, Any], references: int) -> str:
  """What a record's difference to retraining says, and no more than that.

  Args:
    record: of a metric with a margin.
    references: how many retrained models there are.
  """
  delta = as_cell(record.get('delta'), record.get('units') or 'fraction', True)
  if delta.value is None:
    return 'Its difference to retraining was not computed.'
  found = f'Unlearned minus retrained is {delta.text}'
  if not delta.interval:
    return f'{found}, without an interval: closeness cannot be judged.'
  found = f'{found} ({delta.interval})'
  verdict, gate = record.get('verdict'), record.get('gate')
  if references < 2:
    more = (', more than chance between images explains'
            if verdicts.leaves_out_0(delta) else '')
    return f'{found}{more}; {verdicts.ONE_REFERENCE}.'
  margin = f'within {record.get("margin") or 0:g}'
  if verdict is None:
    return f'{found}.'
  said = {
      stats.DISTINGUISHABLE: 'by itself this attack tells the unlearned '
                             'model apart',
      stats.INDISTINGUISHABLE: f'this attack finds it equal {margin}',
  }.get(verdict, 'this attack neither tells the unlearned model apart nor '
                 f'finds it equal {margin}')
  if gate == verdicts.BLIND:
    either = '' if verdict == stats.DISTINGUISHABLE else ' either'
    said += ('. It does not tell the original from the retrained models'
             f'{either}, so it has no vote on forgetting')
  elif gate == verdicts.UNCHECKED:
    said += '. Whether it would see a trace is unchecked'
  return f'{found}: {said}.'


def references(result: Result) -> int:
  """How many retrained models stand behind a result."""
  return len((result.get('models') or {}).get('retrained') or ())


def _without_original(result: Result, audited: Estimate,
                      retrained: Estimate) -> list[str]:
  """The headline of an audit to which no original was given."""
  if audited.value is None:
    return [f'The main attack was not computed: {audited.reason}.']
  lines = [
      f'The main attack (class-matched AUC, {estimate.format_number(.5)} is a '
      f'guess) scores {audited.with_interval} on the audited model'
      + (f', {retrained.with_interval} on retrained ones.'
         if retrained.value is not None else '; no other model was given.')]
  verdict = (find_record(result, registry.MAIN_ATTACK) or {}).get('verdict')
  if verdict == stats.TOO_FEW:
    lines.append('These are too few people or images to say more.')
  elif verdict == verdicts.UNSEEN:
    lines.append('It tells these people from unseen ones.')
  elif retrained.value is not None:
    lines.append(
        difference_sentence(main_difference(result), references(result)))
  elif verdict:
    lines.append('It does not tell these people from unseen ones. Whether a '
                 'model that never saw them would look alike, only retrained '
                 'models show.')
  return lines
