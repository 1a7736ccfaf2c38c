"""The evidence report: one HTML file that needs nothing else to be read.

Beside the page stands the same as JSON, for programs: every fact that the page
shows but the pictures, under the names that the template uses.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from dlfd_jax.report import decisions, examples, facts, names, plots, tables
from dlfd_jax.utils import runs

Arrays = Mapping[str, np.ndarray]
Events = Sequence[Mapping[str, Any]]

_TEMPLATE = 'report.html.jinja'
_NOT_GIVEN = 'not given'
_SOURCE = 'dlfd_jax_source'
_TIER_0 = (
    'Tier 0 compares forget images with unseen ones. It can show that they are '
    'distinguishable, never that the model is indistinguishable from a '
    'retrained one: that verdict needs reference models (tier 1).')


def write_report(result: tables.Result, per_example: Arrays | None,
                 history: Events | None, path: str | os.PathLike) -> None:
  """Writes the evidence report as a page and as JSON beside it.

  Args:
    result: as in ``result.json``. Two entries beside the evaluation's own are
      shown where present: ``selection`` (``step``, ``reason``, ``findings`` of
      the unlearning run) and ``request`` (a mapping of what is known of the
      deletion request).
    per_example: as in ``per_example.npz``; None = without plots of losses.
    history: events of the unlearning run's ``metrics.jsonl``; None = without
      the plot of the run.
    path: of the HTML file; replaced if it is there. The JSON has the same name
      with the ending ``.json``.

  Raises:
    ValueError: if ``result`` is not an evaluation of schema 1.
  """
  write_files(render_report(result, per_example, history),
              report_facts(result, per_example), path)


def write_files(page: str, facts_of: Mapping[str, Any],
                path: str | os.PathLike) -> None:
  """Writes a rendered report; see write_report."""
  runs.write_json(pathlib.Path(path).with_suffix('.json'), facts_of)
  runs.write_text(path, page)


def render_report(result: tables.Result, per_example: Arrays | None = None,
                  history: Events | None = None) -> str:
  """The report as text; equal input gives equal text. See write_report."""
  tables.check_result(result)
  environment = jinja2.Environment(
      loader=jinja2.PackageLoader('dlfd_jax.report'), autoescape=True,
      undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
  return environment.get_template(_TEMPLATE).render(
      **_context(result, per_example or {}),
      pictures=_pictures(result, per_example or {}, history or ()))


def report_facts(result: tables.Result, per_example: Arrays | None = None
                 ) -> dict[str, Any]:
  """The report as JSON values: what the page shows, without the pictures.

  Returns:
    ``kind`` (``'report'``), ``schema`` (1) and the template's names. A table
    has ``title``, ``columns``, ``notes`` and ``rows``; a row ``key``,
    ``label``, ``direction``, ``remarks`` and ``cells``, one a column with
    ``value`` (null = not computed, see ``reason``), ``low``, ``high`` (95 %)
    and ``units``. ``request_images`` has every image of the request.
  """
  return {'kind': 'report', 'schema': 1,
          **_plain(_context(result, per_example or {}))}


def _plain(value):
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    value = {field.name: getattr(value, field.name)
             for field in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {name: _plain(part) for name, part in value.items()}
  if isinstance(value, (list, tuple)):
    return [_plain(part) for part in value]
  if isinstance(value, np.generic):
    return value.item()
  return value


def _context(result: tables.Result, arrays: Arrays) -> dict[str, Any]:
  """Every fact that the template reads."""
  data = result.get('data') or {}
  task = data.get('task') or {}
  models = dict(result.get('models') or {})
  models['retrained'] = models.get('retrained') or None
  config = result.get('config') or {}
  selection = result.get('selection') or {}
  done = result.get('done') or {}
  versions = result.get('versions') or {}
  request = result.get('request') or {}
  size = data.get('image_size')
  about = {
      **data, 'task': task.get('kind'), 'outputs': task.get('names'),
      'image_size': ' × '.join(map(str, size)) + ' pixels' if size else None}
  return {
      'disclaimer': names.DISCLAIMER,
      'not_computed': names.NOT_COMPUTED,
      'meanings': list(names.MODEL_MEANINGS.items()),
      'tier_0': _TIER_0,
      'title': facts.plain(data.get('name')),
      'subtitle': _subtitle(data),
      'data': facts.named(about, {
          'name': 'Data', 'n': 'Images', 'people': 'People',
          'image_size': 'Image size', 'task': 'Task',
          'outputs': 'Outputs'}),
      'by_person': data.get('by_person'),
      'request': _request(result),
      'named': bool(request.get('id') or request.get('received')),
      'request_images': list(result.get('request_images') or ()),
      'splits': facts.splits_rows(data),
      'copies': facts.copies_found(data.get('leakage') or {}),
      'models': facts.named({**models, 'device': result.get('device')}, {
          'original': 'Original', 'unlearned': 'Unlearned',
          'retrained': 'Retrained', 'device': 'Device'}),
      'hashes': facts.all_of(models.get('sha256') or {}),
      'data_hash': facts.plain(data.get('sha256')),
      'limits': names.LIMITS,
      'commands': facts.commands({
          **done.get('commands', {}), 'evaluation': result.get('command')}),
      'settings': facts.settings(done.get('settings') or {}),
      'versions': [item for item in versions.items()
                   if item[0] != _SOURCE],
      'source_hash': facts.plain(versions.get(_SOURCE)),
      'runs': facts.run_rows(result),
      'cost': facts.cost_sentence(result),
      'efficiency': facts.efficiency_items(result),
      'headline': tables.headline(result),
      'over_forgetting': _verdict(result, 'over_forgetting'),
      'streisand': _verdict(result, 'streisand'),
      'summary': tables.summary_table(result),
      'metrics': tables.metrics_table(result),
      'reference': tables.reference_table(result, everything=True),
      'groups': tables.groups_table(result),
      'verdicts': tables.verdict_sentences(result),
      'deciding': decisions.deciding(result),
      'sample': decisions.sample_sentence(result),
      'choices': decisions.choices(result),
      'without_copies': tables.without_copies_table(result),
      'tier': tables.tier_of(result),
      'not_run': [tables.not_run(tier) for tier in tables.TIERS
                  if tier > tables.tier_of(result)],
      'harm': (result.get('harm') or {}).get('worst') or [],
      'images': examples.remembered_images(arrays),
      'people': examples.remembered_people(arrays),
      'images_by_chance': examples.largest_by_chance(arrays),
      'people_by_chance': examples.largest_by_chance(arrays, by_person=True),
      'selection': facts.named(selection, {'step': 'Step'})
                   if selection else [],
      'findings': facts.all_of(selection.get('findings') or {}),
      'missing': [names.in_words(item)
                  for item in result.get('not_computed') or ()],
      'config': facts.settings(config),
      'config_hash': facts.hash_of(config),
  }


def _request(result: tables.Result) -> facts.Facts:
  """The request, its own number and date first, and when what was done."""
  given = dict(result.get('request') or {})
  if not given:
    return []
  known = {'id': given.pop('id', None) or _NOT_GIVEN,
           'received': given.pop('received', None) or _NOT_GIVEN}
  made = {run['model']: run.get('finished') for run in result.get('runs') or ()}
  when = {'unlearned': made.get('unlearned'),
          'evaluated': result.get('finished')}
  return facts.all_of({
      **known, **{f'{name} (UTC)': facts.moment(text)
                  for name, text in when.items()}, **given})


def _subtitle(data: Mapping[str, Any]) -> str:
  parts = [facts.plain(data.get('name'))]
  for key, word in (('n', 'images'), ('people', 'people')):
    if data.get(key) is not None:
      parts.append(f'{facts.plain(data[key])} {word}')
  return ', '.join(parts)


def _verdict(result: tables.Result, metric: str) -> str:
  record = tables.find_record(result, metric) or {}
  return record.get('verdict') or names.NOT_COMPUTED


def _pictures(result: tables.Result, arrays: Arrays,
              history: Events) -> dict[str, str]:
  """Data addresses of the plots that can be drawn, empty text for the rest."""
  selection = result.get('selection') or {}
  findings = selection.get('findings') or {}
  thresholds = {
      name.replace('_', ' '): findings[name]
      for name in ('forget_threshold', 'select_threshold')
      if isinstance(findings.get(name), (int, float))}
  drawn = {'losses': b'', 'roc': b'', 'trade_off': b'', 'trace': b''}
  if names.models_in(arrays):
    drawn['losses'] = plots.loss_histograms(arrays)
    drawn['roc'] = plots.roc_curves(arrays)
  points = plots.points_of(result)
  if any(p.attack_auc.value is not None and p.accuracy_test.value is not None
         for p in points):
    drawn['trade_off'] = plots.trade_off(points)
  if any(event.get('event') == 'check' for event in history):
    drawn['trace'] = plots.trace(
        history, thresholds=thresholds, selected_step=selection.get('step'))
  return {
      name: 'data:image/svg+xml;base64,' + base64.b64encode(picture).decode()
      if picture else '' for name, picture in drawn.items()}
