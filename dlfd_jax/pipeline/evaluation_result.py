"""What an evaluation found: in memory or in its folder, and as a report."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax.evaluation import arrays as arrays_lib
from dlfd_jax.pipeline import chain_checks, job
from dlfd_jax.report import (
  answers as answers_lib,
  headline,
  pseudonyms,
  render,
  tables,
)
from dlfd_jax.utils import (
  files,
  hosts,
  places,
  records,
  runs,
  schemas,
  storage,
  writes,
)

PER_EXAMPLE = 'per_example.npz'
FEATURES = 'features.npz'
PEOPLE = 'people.json'


@dataclasses.dataclass(eq=False, kw_only=True)
class EvaluationResult:
  """What an evaluation found.

  Attributes:
    record: every metric of every model, as in ``result.json``.
    config: everything that decides it, as in ``config.json``.
    folder: where it lies; None = in memory alone.
    arrays: by file name: losses and margins of every image, and the features
      if they were kept; of a folder they are read when they are needed.
    history: events of the unlearning run, for the report; None = not known.
    names: of people by number, where the data have names; of a folder they
      are read when they are needed, from a file for its owner alone.
    salt: of the hash of that file.
  """

  record: dict[str, Any]
  config: dict[str, Any]
  folder: pathlib.Path | None = None
  arrays: dict[str, dict[str, np.ndarray]] = dataclasses.field(
      default_factory=dict)
  history: list[dict[str, Any]] | None = None
  names: dict[int, str] | None = None
  salt: str = ''

  def value(self, metric: str, model: str = 'unlearned') -> float | None:
    """A metric of ``original``, ``unlearned``, ``retrained`` or ``null``."""
    return tables.find_cell(self.record, metric, model).value

  def table(self) -> str:
    """The main metrics of all models, as Markdown."""
    parts = [render.to_markdown(table) for table in self.tables()]
    return '\n'.join([*self.answers(), '', *parts, *self.headline()])

  def answers(self) -> list[str]:
    """Forgotten, working, like a retrained model; and what to do with it."""
    return answers_lib.lines(self.record)

  def headline(self) -> list[str]:
    """What the main attack and others found, in sentences that name people."""
    called, _ = pseudonyms.applied(self.record, {}, self._names())
    return headline.sentences(called)

  def tables(self, *, brief: bool = False) -> list[tables.Table]:
    """The summary and, if it was run, tier 1.

    What was tried to bring forget back is a sentence beside these, and a table
    of the report.

    Args:
      brief: of tier 1 what decides its verdicts, as a terminal shows it.
    """
    found = [tables.summary_table(self.record)]
    if self.record.get('verdicts'):
      found.append(tables.brief_table(self.record) if brief else
                   tables.reference_table(self.record, delta=False))
    return found

  def save(self, folder: job.Folder) -> pathlib.Path:
    """Writes the folder that ``dlfd evaluate`` writes; see ``ModelRun.save``.

    Raises:
      ValueError: if it holds something else.
    """
    opened = job.open_folder(folder, self.config)
    if opened.result is None:
      hosts.first(lambda: self._write(opened))
    return opened.path

  def _write(self, opened: runs.RunFolder) -> None:
    for name, arrays in self.arrays.items():
      writes.write_arrays(opened.path / name, arrays, compressed=True)
    if self.names:
      writes.publish(opened.path / PEOPLE, people_file(self.names, self.salt),
                     mode=writes.PRIVATE)
    opened.write_result(self.record)

  def write_report(self, path: job.Folder,
                   request: Mapping[str, str | None] | None = None, *,
                   named: bool = False) -> pathlib.Path:
    """Writes the report: one HTML file, and the same facts as JSON beside it.

    Args:
      path: of the HTML file; folders are made.
      request: ``id`` and ``received`` of the deletion request, to be printed;
        without an id that of the unlearning run is.
      named: people by name and images by id, not by pseudonyms whose key is
        written beside the report, for its owner alone:
        ``pseudonyms.key_path``.

    Returns:
      The path.

    Raises:
      FileExistsError: if a file of such a name is there that is none of ours.
      ValueError: if the record is no whole evaluation.
    """
    from dlfd_jax.report import html  # matplotlib is slow to import

    path, record = storage.local(path), self.record
    if request:
      given = {name: text for name, text in request.items() if text}
      record = {
          **record, 'request': {**(record.get('request') or {}), **given}}
    html.write_report(record, self.per_example, self._history(), path,
                      self._names(), named=named)
    return path

  @property
  def per_example(self) -> dict[str, np.ndarray] | None:
    """Loss and margin of every image, see ``evaluation.run.evaluate``."""
    if PER_EXAMPLE in self.arrays or self.folder is None:
      return self.arrays.get(PER_EXAMPLE)
    path = self.folder / PER_EXAMPLE
    if not files.is_there(path):
      return None
    found = files.read_arrays(path)
    arrays_lib.check(found, str(path))
    return found

  def _history(self) -> list[dict[str, Any]] | None:
    run = self._unlearned_run()
    # Without a result it is a model alone, or its run is gone.
    if self.history is None and run and files.is_file(
        pathlib.Path(run) / runs.RESULT):
      return runs.read_log(run) or None
    return self.history

  def _names(self) -> dict[int, str]:
    path = (self.folder or pathlib.Path()) / PEOPLE
    if self.names is not None or self.folder is None or not files.is_there(
        path):
      return self.names or {}
    return {int(code): name for code, name in records.read(
        path, schemas.People)['people'].items()}

  def _unlearned_run(self) -> str | None:
    """The folder of the unlearning run, if it can be known.

    Nobody knows where the relative paths of an earlier version began.
    """
    stored = self.record.get('models') or {}
    place = stored.get('unlearned')
    if not place or stored.get(places.KEY) != places.HERE:
      return None
    return places.found(place, self.folder or '.')


def people_file(names: Mapping[int, str], salt: str) -> dict[str, Any]:
  """Who is who. Its hash is public: without the salt names could be guessed."""
  return {'kind': 'people', 'salt': salt, 'people': {
      str(code): name for code, name in names.items()}}


def load_evaluation(folder: job.Folder, *,
                    allow_unverified: bool = False) -> EvaluationResult:
  """A finished evaluation.

  Args:
    folder: of it.
    allow_unverified: where its files do not belong together go on and add it to
      the record's ``verification``.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if the folder holds something else, or its files are altered or
      from another evaluation.
  """
  folder = storage.local(folder)
  record = records.read(folder / runs.RESULT, schemas.Evaluation)
  config = (runs.read_config(folder, 'evaluation')
            if files.is_file(folder / runs.CONFIG) else {})
  result = EvaluationResult(record=record, folder=folder, config=config)
  of_models = record.get('models') or {}
  found = chain_checks.together([
      chain_checks.check_result(str(folder), config, record),
      chain_checks.check_arrays(
          str(folder), record, PER_EXAMPLE, result.per_example),
      chain_checks.check_names(folder / PEOPLE, record.get('names')),
      chain_checks.check_same_run(
          result._unlearned_run(), of_models.get('unlearned_run'))]
  ).settled(allow_unverified)
  own = record.get('verification')
  if found['allowed'] or (own and found['unverified']):
    own = own or found
    result.record = {**record, 'verification': {**own, **{
        name: list(dict.fromkeys([*own[name], *found[name]]))
        for name in ('unverified', 'allowed')}}}
  return result
