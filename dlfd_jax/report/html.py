"""The evidence report: one HTML file that needs nothing else to be read.

Two pages and an annex that folds. Beside it stands the same as JSON, for
programs: every fact that the page shows but the pictures, under the names that
the template uses; and the key of its pseudonyms, for the owner alone.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np

from dlfd_jax.evaluation import shadows
from dlfd_jax.report import (
  answers as answers_lib,
  facts,
  first_page,
  headline,
  names,
  people,
  plots,
  pseudonyms,
  tables,
)
from dlfd_jax.utils import records, runs, schemas, text as text_lib, writes

Arrays = Mapping[str, np.ndarray]
Events = Sequence[Mapping[str, Any]]
Names = Mapping[int, str]  # of people, by their number in the data

_SOURCE = 'dlfd_jax_source'
_NOT_GIVEN = 'not given'
_CODES = ('subject_codes', 'earlier_subject_codes')  # of earlier versions
_PICTURES = ('losses', 'roc', 'trade_off', 'trace')
_TIER_0 = (
    'Tier 0 compares forget images with unseen ones. It can show that they are '
    'distinguishable, never that the model is indistinguishable from a '
    'retrained one: that verdict needs reference models (tier 1).')


def write_report(result: tables.Result, per_example: Arrays | None,
                 history: Events | None, path: str | os.PathLike,
                 people_names: Names | None = None, *,
                 named: bool = False) -> None:
  """Writes the evidence report as a page and as JSON beside it.

  Args:
    result: as in ``result.json``. Two entries beside the evaluation's own are
      shown where present: ``selection`` (``step``, ``reason``, ``findings`` of
      the unlearning run) and ``request`` (a mapping of what is known of the
      deletion request).
    per_example: as in ``per_example.npz``; None = without plots of losses.
    history: events of the unlearning run's ``metrics.jsonl``; None = without
      the plot of the run.
    path: of the HTML file; its folder is made, and a report of ours replaced
      if it is there. The JSON has the same name with the ending ``.json``.
    people_names: of people by number, as far as they are known.
    named: people by these names and images by their ids; else by pseudonyms,
      whose key is written to ``pseudonyms.key_path``, for its owner alone.

  Raises:
    FileExistsError: if another file has one of these names.
    ValueError: if ``result`` is not an evaluation of schema 1; nothing is
      written then.
  """
  known = people_names or {}
  shown = known if named else None
  page = render_report(result, per_example, history, shown)
  values = report_facts(result, per_example, shown)
  path, key = pathlib.Path(path), pseudonyms.key_path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  if not named:
    writes.check_ours(key, pseudonyms.KIND)
  runs.publish(path.with_suffix('.json'), values, {path.name: page})
  if not named:
    runs.publish(key, pseudonyms.key_of(result, per_example or {}).as_dict(
        known), mode=writes.PRIVATE)


def render_report(result: tables.Result, per_example: Arrays | None = None,
                  history: Events | None = None,
                  people_names: Names | None = None) -> str:
  """The report as text; equal input gives equal text. See write_report.

  Args:
    result: as in ``result.json``.
    per_example: as in ``per_example.npz``.
    history: events of the unlearning run.
    people_names: what people are called; None = pseudonyms.
  """
  tables.check_result(result)
  arrays = per_example or {}
  return fill('report.html.jinja', _context(result, arrays, people_names),
              pictures=_pictures(result, arrays, history or ()))


def check_report(path: pathlib.Path, result: tables.Result,
                 per_example: Arrays | None) -> None:
  """Raises ValueError unless a report says what an evaluation found.

  Its pictures are not compared, and the number and date of the request are
  what it says, as are the names of people where it has names.

  Args:
    path: of the HTML file; the JSON lies beside it.
    result: as in ``result.json``.
    per_example: as in ``per_example.npz``.
  """
  stored = runs.read_json(path.with_suffix('.json'))
  asked = {key: text for key, (_, text) in zip(
      ('id', 'received'), stored.get('request') or ()) if text != _NOT_GIVEN}
  result = {**result, 'request': {**(result.get('request') or {}), **asked}}
  called = stored.get('people_names')
  if called is not None:
    called = {int(code): name for code, name in records.fit(
        called, schemas.NamesByNumber, f'the names in {path.name}').items()}
  for name, value in report_facts(result, per_example, called).items():
    if stored.get(name) != value:
      raise ValueError(f'Expected {name} of {path.with_suffix(".json")} as the '
                       'evaluation gives it, got something else.')
  written = path.read_text('utf-8')
  page = fill('report.html.jinja', _context(result, per_example or {}, called),
              pictures={name: name if f'<figure data-picture="{name}">'
                        in written else '' for name in _PICTURES})
  if _without_pictures(page) != _without_pictures(written):
    raise ValueError(f'Expected the text of {path} as the evaluation gives it, '
                     'got another one.')


def _without_pictures(page: str) -> str:
  return re.sub('<figure.*?</figure>', '', page, flags=re.DOTALL)


def fill(template: str, context: Mapping[str, Any], **more: Any) -> str:
  """A template of this package with its names filled in, safe as HTML."""
  environment = jinja2.Environment(
      loader=jinja2.PackageLoader('dlfd_jax.report'), autoescape=True,
      finalize=_visible, undefined=jinja2.StrictUndefined, trim_blocks=True,
      lstrip_blocks=True)
  environment.filters |= {
      'compact': tables.compact, 'empty_columns': tables.empty_columns,
      'known': _known, 'filled': _filled}
  return environment.get_template(template).render(context, **more)


def _visible(value: Any) -> Any:
  """Text without marks that turn or hide what stands beside it."""
  return text_lib.visible(value) if type(value) is str else value


def _known(items: facts.Facts) -> facts.Facts:
  """Entries that were computed."""
  return [item for item in items if not item[1].startswith(names.NOT_COMPUTED)]


def _filled(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
  """Rows by column, less the columns in which nothing was computed."""
  empty = {head for head in rows[0] if all(
      row[head] == names.NOT_COMPUTED for row in rows)}
  return [{head: text for head, text in row.items() if head not in empty}
          for row in rows]


def inline(picture: bytes, kind: str) -> str:
  """A picture as the address of an ``img``; ``kind`` is its MIME type."""
  return f'data:{kind};base64,{base64.b64encode(picture).decode()}'


def report_facts(result: tables.Result, per_example: Arrays | None = None,
                 people_names: Names | None = None) -> dict[str, Any]:
  """The report as JSON values: what the page shows, without the pictures.

  Args:
    result: as in ``result.json``.
    per_example: as in ``per_example.npz``.
    people_names: see :func:`render_report`.

  Returns:
    ``kind`` (``'report'``), ``schema`` (1) and the template's names. A table
    has ``title``, ``columns``, ``notes`` and ``rows``; a row ``key``,
    ``label``, ``direction``, ``remarks`` and ``cells``, one a column with
    ``value`` (null = not computed, see ``reason``), ``low``, ``high`` (95 %)
    and ``units``. ``request_images`` has every image of the request;
    ``people_names`` is null where people have pseudonyms.
  """
  context = json.dumps(
      _context(result, per_example or {}, people_names),
      default=lambda value: value.item()
      if isinstance(value, np.generic) else dataclasses.asdict(value))
  return {'kind': 'report', 'schema': 1, **json.loads(context)}


def _context(result: tables.Result, arrays: Arrays,
             people_names: Names | None = None) -> dict[str, Any]:
  """Every fact that the template reads."""
  result, arrays = pseudonyms.applied(result, arrays, people_names)
  data = result.get('data') or {}
  task = data.get('task') or {}
  models = dict(result.get('models') or {})
  models['retrained'] = models.get('retrained') or None
  config = result.get('config') or {}
  selection = result.get('selection') or {}
  done = result.get('done') or {}
  versions = result.get('versions') or {}
  answered = answers_lib.answers(result)
  size = data.get('image_size')
  about = {
      **data, 'task': task.get('kind'), 'outputs': task.get('names'),
      'image_size': ' × '.join(map(str, size)) + ' pixels' if size else None}
  counts = [f'{facts.plain(data[key])} {word}'
            for key, word in (('n', 'images'), ('people', 'people'))
            if data.get(key) is not None]
  verdicts = {
      name: (tables.find_record(result, name) or {}).get('verdict')
      or names.NOT_COMPUTED for name in ('over_forgetting', 'streisand')}
  return {
      'disclaimer': names.DISCLAIMER,
      'not_computed': names.NOT_COMPUTED,
      'meanings': list({**names.MODEL_MEANINGS, **(
          {} if result.get('audit') is None else
          {'unlearned': names.AUDITED})}.items()),
      'tier_0': _TIER_0,
      'title': facts.plain(data.get('name')),
      'subtitle': ', '.join([facts.plain(data.get('name')), *counts]),
      'data': facts.named(about, {
          'name': 'Data', 'n': 'Images', 'people': 'People',
          'image_size': 'Image size', 'task': 'Task',
          'outputs': 'Outputs'}),
      'by_person': data.get('by_person'),
      'people_names': None if people_names is None else {
          str(code): name for code, name in people_names.items()},
      'asked': first_page.asked(result),
      'did': first_page.done(result),
      'to_do': first_page.to_do(result),
      'request': _request(result),
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
      'answers': [dataclasses.asdict(one) for one in answered],
      'advice': answers_lib.advice(answered),
      'provenance': tables.provenance(result),
      'headline': headline.sentences(result),
      **verdicts,
      'summary': tables.summary_table(result, delta=True),
      'metrics': tables.metrics_table(result),
      'votes': tables.voting_table(result),
      'reference': tables.reference_table(result, everything=True),
      'groups': tables.groups_table(result),
      'recovery': tables.recovery_table(result),
      'verdicts': tables.verdict_sentences(result),
      'deciding': facts.deciding(result),
      'sample': facts.sample_sentence(result),
      'choices': facts.choices(result),
      'candidates': facts.candidates(result),
      'without_copies': tables.without_copies_table(result),
      'tier': tables.tier_of(result),
      'not_run': [tables.not_run(tier) for tier in tables.TIERS
                  if tier > tables.tier_of(result)],
      'harm': (result.get('harm') or {}).get('worst') or [],
      'images': most_remembered(arrays),
      'people': most_remembered(arrays, by_person=True),
      'ranks': people.rows(result),
      'earlier_people': people.earlier_rows(result),
      'images_by_chance': largest_by_chance(arrays),
      'epsilons_shown': epsilons_shown(arrays),
      'people_by_chance': largest_by_chance(arrays, by_person=True),
      'selection': facts.named(selection, {
          'step': 'Step', 'reason': 'Why this state'}) if selection else [],
      'findings': facts.findings(selection.get('findings') or {}),
      'missing': facts.left_open(result.get('not_computed') or ()),
      'config': facts.settings(config),
      'config_hash': facts.hash_of(config),
      'chain': {name: result.get(name)
                for name in ('run', 'sha256', 'arrays', 'verification')},
  }


def _request(result: tables.Result) -> facts.Facts:
  """The request, its own number and date first, and when what was done."""
  request = {key: value for key, value in (
      result.get('request') or {}).items() if key not in _CODES}
  if not request:
    return []
  first = {key: request.pop(key, None) or _NOT_GIVEN
           for key in ('id', 'received')}
  finished = {run['model']: run.get('finished')
              for run in result.get('runs') or ()}
  return facts.all_of({
      **first,
      'unlearned (UTC)': facts.moment(finished.get('unlearned')),
      'evaluated (UTC)': facts.moment(result.get('finished')), **request})


@dataclasses.dataclass(frozen=True)
class Remembered:
  """A forget image, or a person's mean over their forget images.

  Attributes:
    name: what the image or the person is called.
    images: how many images the values average over.
    original: margin under the original model, None = not computed.
    unlearned: margin under the unlearned model.
    retrained: mean margin over the retrained models, None = not computed.
    epsilon: of an image, lower bound from shadow models for it alone, at .05;
      None = not computed.
  """

  name: str
  images: int
  original: float | None
  unlearned: float
  retrained: float | None
  epsilon: float | None = None

  @property
  def excess(self) -> float | None:
    """Unlearned minus retrained, 0 = like retrained, None = not computed."""
    if self.retrained is None:
      return None
    return self.unlearned - self.retrained


def most_remembered(arrays: Arrays, *, by_person: bool = False,
                    count: int = 10) -> list[Remembered]:
  """The forget images, or people, that the unlearned model is most sure of.

  Args:
    arrays: ``{model}/forget/margin``, ``{model}/forget/loss`` and
      ``forget/sample_id``; for people ``forget/identity``, -1 = unknown, and
      what they are called, see ``pseudonyms.PERSON``; for images, where it is
      there, ``shadows.EPSILON``.
    by_person: means over each person's images; those of nobody are left out.
    count: how many, at least 1.

  Returns:
    At most ``count``, by falling margin above the retrained models' mean, or by
    falling margin if there is no retrained model. Empty without the arrays of
    the unlearned model.
  """
  units, margins = _forget_margins(arrays, by_person)
  if 'unlearned' not in margins:
    return []
  retrained = [values for model, values in margins.items()
               if model.startswith('retrained')]
  original = margins.get('original')
  shown = np.full(len(units), np.nan)
  if not by_person:
    shown = arrays.get(shadows.EPSILON, shown)
  rows = [
      Remembered(
          name, images, None if original is None else float(original[i]),
          float(margins['unlearned'][i]),
          float(np.mean([values[i] for values in retrained]))
          if retrained else None,
          None if np.isnan(shown[i]) else float(shown[i]))
      for i, (name, images) in enumerate(units)]
  return sorted(rows, key=lambda row: (
      -(row.unlearned if row.excess is None else row.excess), row.name))[:count]


def largest_by_chance(arrays: Arrays, by_person: bool = False
                      ) -> tuple[float, float] | None:
  """The largest excess of each retrained model over the mean of the others.

  What the worst case looks like where nothing is remembered.

  Returns:
    Smallest and largest over the retrained models; None with fewer than two,
    or without known people.
  """
  units, by_model = _forget_margins(arrays, by_person)
  retrained = [values for model, values in by_model.items()
               if model.startswith('retrained')]
  if len(retrained) < 2 or not units:
    return None
  margins = np.stack(retrained)
  others = (margins.sum(0) - margins) / (len(margins) - 1)
  worst = (margins - others).max(1)
  return float(worst.min()), float(worst.max())


def epsilons_shown(arrays: Arrays) -> tuple[int, int] | None:
  """(of how many images some epsilon is shown, of how many it was computed).

  None where it was computed for none.
  """
  values = arrays.get(shadows.EPSILON, np.array([]))
  computed = int(np.isfinite(values).sum())
  return (int((values > 0).sum()), computed) if computed else None


def _forget_margins(arrays: Arrays, by_person: bool
                    ) -> tuple[list[tuple[str, int]], dict[str, np.ndarray]]:
  """Names and image counts of units, and each model's mean margin of them."""
  margins = {model: np.asarray(arrays[f'{model}/forget/margin'], np.float64)
             for model in names.models_in(arrays)
             if f'{model}/forget/margin' in arrays}
  if not by_person:
    return [(str(name), 1) for name in arrays.get('forget/sample_id', ())], (
        margins)
  identity = np.asarray(arrays.get('forget/identity', ()))
  people, first, counts = np.unique(
      identity, return_index=True, return_counts=True)
  people, first, counts = (of[people >= 0] for of in (people, first, counts))
  called = arrays.get(pseudonyms.PERSON, identity)[first]
  return list(zip(map(str, called), counts.tolist())), {
      model: np.array([values[identity == person].mean() for person in people])
      for model, values in margins.items()}


def _pictures(result: tables.Result, arrays: Arrays,
              history: Events) -> dict[str, str]:
  """Data addresses of the plots that can be drawn, empty text for the rest."""
  selection = result.get('selection') or {}
  findings = selection.get('findings') or {}
  thresholds = {  # earlier versions had only those of the score
      f'{name} threshold': (findings.get(f'{name}_by') or 'forgetting_score',
                            findings[f'{name}_threshold'])
      for name in ('forget', 'select')
      if isinstance(findings.get(f'{name}_threshold'), (int, float))}
  drawn = dict.fromkeys(_PICTURES, b'')
  if names.models_in(arrays):
    drawn['losses'] = plots.loss_histograms(arrays, stacked=True)
    drawn['roc'] = plots.roc_curves(arrays)
  points = plots.points_of(result)
  if points:
    drawn['trade_off'] = plots.trade_off(points, narrow=True)
  if any(event.get('event') == 'check' for event in history):
    drawn['trace'] = plots.trace(
        history, thresholds=thresholds, selected_step=selection.get('step'))
  return {name: inline(picture, 'image/svg+xml') if picture else ''
          for name, picture in drawn.items()}
