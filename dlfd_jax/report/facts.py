"""Facts of the report that are no tables: entries in words, what decided."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlfd_jax.data import copies as copies_lib
from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import names, tables

Facts = list[tuple[str, str]]

OTHER_MACHINE = 'they ran on different devices or at different precisions'
_LISTED_PAIRS = 20
_MOST_LABELS = 12  # that a reason is told of one by one
_OPEN = re.compile(
    r'(?P<metric>\S+) \((?P<columns>[^()]*)\): (?P<reason>.*)', re.DOTALL)
_LABELS = {
    'id': 'Request',
    'images': 'Images to forget',
    'people': 'People to forget',
    'images_of_nobody_known': 'Images to forget of unknown people',
    'share_of_images': 'Share of the training images',
    'share_of_people': 'Share of the training people',
    'retain_images': 'Images to retain',
    'retain_people': 'People to retain',
    'left_out': 'Named, but not trained on',
    'earlier_images': 'Images forgotten earlier',
    'earlier_people': 'People forgotten earlier',
    'earlier_gone': 'Images forgotten earlier and no longer in the data',
    'not_found': 'Names that are not in the data',
    'steering': 'Phases and selection go by',
    'steering_reason': 'Why not by the live attack',
    'attack_sizes': 'Images (or people ranked) behind it, forget and val',
    'null_mean': 'Null: mean',
    'null_95': 'Null: 95 % point',
    'forget_threshold': 'Distancing stops below',
    'select_threshold': 'Selection threshold',
    'forget_by': 'Distancing stops by',
    'select_by': 'The selection threshold is one of',
    'original_mia_auc': 'Attack AUC of the original on val',
    'original_forgetting_score': 'Forgetting score of the original on val',
    'attack_blind_to_original': 'Attack blind to the original',
    'select_threshold_met': 'The returned state is one of those',
    'peak_bytes': 'Peak memory of the host process',
    'device_peak_bytes': 'Peak memory of a device',
    'step_flops': 'Operations of a step by XLA, FLOP',
    'sha256_of_image_ids': 'SHA-256 of the image ids',
    'check_share': 'One check, as a share of the time between two',
    'search_s': 'Time spent on search',
    'select_s': 'Time of checks and choice',
    'evaluate_s.expected_of_rest':
        'Evaluate, expected of the runs and probes that were left',
    'evaluate_s.finished_earlier':
        'Runs and figures that were taken from earlier starts',
    'speed_up': 'Speed-up over retraining',
    'speed_up_with_search': 'Speed-up, search included',
}
_BY = {'mia_auc': '2 |attack AUC - .5|', 'forgetting_score': 'forgetting score'}
_MANY = {'person': 'people', None: 'units'}
_UNITS = {'speed_up': 'ratio', 'speed_up_with_search': 'ratio'}


def named(tree: Mapping[str, Any], labels: Mapping[str, str]) -> Facts:
  """The entries that ``labels`` names, `not computed` where there are none."""
  return [(label, plain(tree.get(key))) for key, label in labels.items()]


def all_of(tree: Mapping[str, Any]) -> Facts:
  """Every entry, nested ones by their dotted names."""
  return [(label_of(name), plain(value)) for name, value in flatten(tree)]


def findings(tree: Mapping[str, Any]) -> Facts:
  """What a run found, with the measure of its thresholds in words."""
  return all_of({name: _BY.get(value, value) if name.endswith('_by') else value
                 for name, value in tree.items()})


def settings(tree: Mapping[str, Any]) -> Facts:
  """Every field of a config by its dotted name; None is a value here."""
  return [(name, 'none' if value is None else plain(value))
          for name, value in flatten(tree)]


def efficiency_items(result: tables.Result) -> Facts:
  """Times and costs as ``(label, text)``; `not computed` where missing."""
  items = []
  for name, value in flatten(result.get('efficiency') or {}, cells=True):
    if isinstance(value, str):
      items.append((label_of(name), value))
      continue
    stem = name.rpartition('.')[0] if '.' in name else name
    cell = tables.as_cell(value, _unit(stem), reason='not recorded')
    text = cell.text if cell.value is not None else (
        f'{cell.text}: {cell.reason}')
    items.append((label_of(name), text))
  return items


def cost_sentence(result: tables.Result) -> str:
  """Whether training again would have been cheaper, in a sentence."""
  row = tables.summary_table(result).rows[-1]
  _, unlearned, retrained, _ = row.cells
  if not unlearned.value or not retrained.value:
    return ('Whether retraining would have been cheaper is not known: not both '
            'times were recorded.')
  if _reason((result.get('efficiency') or {}).get('speed_up')) == OTHER_MACHINE:
    return (f'Unlearning took {unlearned.text}, retraining {retrained.text}, '
            f'both without compilation, but {OTHER_MACHINE}: which is cheaper '
            'is not known.')
  times = retrained.value / unlearned.value
  fact = (f'Unlearning took {unlearned.text}, retraining {retrained.text}, '
          f'both without compilation: {_faster(times)}.')
  compiled = (result.get('efficiency') or {}).get('compile_s') or {}
  ours, theirs = compiled.get('unlearned'), compiled.get('retrained')
  if ours is None or theirs is None:
    return fact
  whole = [unlearned.value + ours, retrained.value + theirs]
  took = ' and '.join(tables.as_cell(seconds, 's').text for seconds in whole)
  return f'{fact} With it they took {took}: {_faster(whole[1] / whole[0])}.'


def _reason(cell: Any) -> str | None:
  return cell.get('reason') if isinstance(cell, Mapping) else None


def _faster(times: float) -> str:
  return (f'unlearning was {times:.1f} times faster' if times >= 1 else
          f'retraining was cheaper, {1 / times:.1f} times faster')


def flatten(tree: Mapping[str, Any], prefix: str = '', cells: bool = False
            ) -> Iterator[tuple[str, Any]]:
  """Yields ``(dotted name, value)`` of nested dictionaries, in their order.

  Args:
    tree: the dictionaries.
    prefix: what the names begin with.
    cells: do not open a dictionary that is a cell.

  Example:
    >>> list(flatten({'a': 1, 'b': {'c': 2}}))
    [('a', 1), ('b.c', 2)]
  """
  for key, value in tree.items():
    if isinstance(value, Mapping) and not (cells and 'value' in value):
      yield from flatten(value, f'{prefix}{key}.', cells)
    else:
      yield f'{prefix}{key}', value


def hash_of(tree: Any) -> str:
  """SHA-256 of a JSON value with sorted keys, in hexadecimal."""
  text = json.dumps(tree, sort_keys=True, separators=(',', ':'))
  return hashlib.sha256(text.encode()).hexdigest()


def left_open(lines: Sequence[str]) -> list[str]:
  """What an evaluation lists as not computed, each reason once.

  Args:
    lines: ``metric (columns): reason``; what reads otherwise stays.

  Example:
    >>> left_open(['mia_auc (null): too few', 'nomus (null): too few'])
    ['null of Attack AUC; NoMUS: too few']
  """
  groups: dict[tuple[str, str], list[str]] = {}
  others = []
  for line in lines:
    found = _OPEN.fullmatch(line)
    if found is None:
      others.append(names.in_words(line))
      continue
    groups.setdefault((found['columns'], found['reason']), []).append(
        registry.label(found['metric']))
  return [
      f'{columns} of ' + ('; '.join(labels) if len(labels) <= _MOST_LABELS else
                          f'{len(labels)} metrics') + f': {reason}'
      for (columns, reason), labels in groups.items()] + others


def _unit(name: str) -> str:
  if name in _UNITS:
    return _UNITS[name]
  for suffix, unit in (('_s', 's'), ('_bytes', 'bytes'), ('_share', 'fraction'),
                       ('_ratio', 'ratio')):
    if name.endswith(suffix):
      return unit
  return 'count'


def label_of(name: str) -> str:
  """A field's name in words.

  Example:
    >>> label_of('compile_s.distance'), label_of('peak_bytes')
    ('Compile, distance', 'Peak memory of the host process')
  """
  if name in _LABELS:
    return _LABELS[name]
  stem, _, part = name.partition('.')
  words = stem.removesuffix('_s').removesuffix('_bytes').replace('_', ' ')
  label = _LABELS.get(stem) or words[:1].upper() + words[1:]
  return f'{label}, {part.replace("_", " ")}' if part else label


def plain(value: Any) -> str:
  """A JSON value in words."""
  if value is None:
    return names.NOT_COMPUTED
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, int):
    return f'{value:,}'
  if isinstance(value, float):
    return f'{value:.4g}'
  if isinstance(value, (list, tuple)):
    return ', '.join(plain(item) for item in value) or 'none'
  if isinstance(value, Mapping):
    return '; '.join(f'{label_of(name)} {plain(item)}'
                     for name, item in flatten(value))
  return str(value)


def splits_rows(data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
  """``(split, images, people)`` in the order of the words of the project."""
  found = data.get('splits') or {}
  order = [s for s in ('retain', 'forget', 'val', 'test') if s in found]
  return [(split, plain(found[split].get('images')),
           plain(found[split].get('people'))) for split in order]


def commands(of_models: Mapping[str, str | None]) -> Facts:
  """Each command once, after the names of all that it made."""
  found: dict[str, list[str]] = {}
  for name, command in of_models.items():
    if command:
      found.setdefault(command, []).append(name.replace('_', ' '))
  return [(', '.join(made), command) for command, made in found.items()]


def run_rows(result: Mapping[str, Any]) -> list[dict[str, str]]:
  """By column, a row per run: when, from which seed and on what it was made."""
  rows = []
  for run in result.get('runs') or ():
    device, count = run.get('device'), run.get('devices')
    rows.append({
        'Model': run['model'].replace('_', ' '),
        'made (UTC)': moment(run.get('finished')),
        'seed': plain(run.get('seed')), 'steps': plain(run.get('steps')),
        'device': (f'{count} × {device}' if device and count and count > 1 else
                   plain(device)),
        'precision': plain(run.get('compute_dtype')),
        'time': tables.as_cell(run.get('work_s'), 's').text})
  return rows


def moment(text: str | None) -> str:
  """Date and time of ISO 8601 as a reader writes them, to the minute.

  Example:
    >>> moment('2026-05-04T09:30:59Z')
    '2026-05-04 09:30'
  """
  return plain(text if text is None else text[:16].replace('T', ' '))


def copies_found(leakage: Mapping[str, Any]) -> dict[str, Any]:
  """Copies between parts: rows with a pair, decisions, and pairs of forget.

  ``kinds`` are those that were looked for, ``not_looked_for`` the others; a row
  has the number of pairs of each of the former.
  """
  kinds = copies_lib.KINDS
  by_kind = {kind: leakage[kind] for kind in kinds if leakage.get(kind)}
  rows = [(pair, *(of_kind.get(pair) for of_kind in by_kind.values()))
          for pair in dict.fromkeys(
              pair for of_kind in by_kind.values() for pair in of_kind)]
  pairs = list(leakage.get('forget_pairs') or ())
  return {
      'known': bool(rows),
      'kinds': list(by_kind),
      'not_looked_for': [kind for kind in kinds if kind not in by_kind],
      'rule': leakage.get('rule', ''),
      'rows': [(row[0], *map(plain, row[1:])) for row in rows if any(row[1:])],
      'decisions': leakage.get('decisions') or {},
      'pairs': [
          {'Forget image': pair['forget'], 'copy': pair['other'],
           'in': pair['part'], 'kind': pair['kind'],
           'same person': 'unknown' if pair['same_person'] is None else
                          plain(pair['same_person'])}
          for pair in pairs[:_LISTED_PAIRS]],
      'total': leakage.get('forget_pairs_total', len(pairs)),
  }


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

  @property
  def p(self) -> str | None:
    """The p to be printed, never 0."""
    if self.p_value is None:
      return None
    return '< 0.001' if self.p_value < .0005 else f'{self.p_value:.3f}'


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
       'the settings of annex H, written before anything is measured',
       'nothing'),
      ('final metrics', 'all models on the same images, once',
       'all splits; attacks compare forget with test')]
  return [dict(zip(('Choice', 'rule', 'could read'), choice, strict=True))
          for choice in found]


def candidates(result: tables.Result) -> list[dict[str, str]]:
  """By column: what became of each candidate of ``--method=auto``.

  The original stands first; empty for any other method.
  """
  tried = (result.get('selection') or {}).get('auto')
  if not tried:
    return []

  def row(title: str, one: Mapping[str, Any], seen: list[dict[str, Any]],
          outcome: str) -> dict[str, str]:
    known = one.get('accuracies') or {}
    return {
        'Candidate': title, 'outcome': outcome,
        'accuracy on val': _figure(known.get('val')),
        'on retain': _figure(known.get('retain')),
        'attack AUC (by chance up to)': '; '.join(
            f'{of_it["attack"]} {of_it["auc"]:.3f} '
            f'({.5 + of_it["null_95"] / 2:.3f})' for of_it in seen)
                                        or names.NOT_COMPUTED,
        'p that it remembers as the original': '; '.join(
            f'{name} {p:.3g}' for name, p in (
                one.get('p_as_original') or {}).items()) or names.NOT_COMPUTED,
        'seconds (expected)': names.NOT_COMPUTED if 'took_s' not in one else (
            f'{one["took_s"]:.1f} ({_figure(one.get("expected_s"), 1)})')}

  return [
      row('the original', {'accuracies': tried['accuracies']},
          tried['original'], ''),
      *(row(one['title'], one, one['seen'],
            f'{one["outcome"]}: {" ".join(one["because"])}')
        for one in tried['candidates'])]


def _figure(value: float | None, digits: int = 3) -> str:
  return names.NOT_COMPUTED if value is None else f'{value:.{digits}f}'


def _search(result: tables.Result) -> str:
  search = (result.get('selection') or {}).get('search') or {}
  preset = search.get('preset')
  rule = f'preset {preset}' if preset else 'settings of annex H'
  if search.get('trials'):
    rule += (f', searched in {search["trials"]:,} trials '
             f'({tables.as_cell(search.get("search_s"), "s").text})')
  else:
    rule += '; no search is recorded'
  stated = (result.get('efficiency') or {}).get('search_s')
  return f'{rule}; time of search for this request: ' + (
      'not stated' if stated is None else tables.as_cell(stated, 's').text)
