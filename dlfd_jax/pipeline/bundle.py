"""A signed bundle of an evaluation, and what can be checked of it later.

The folder holds the report, the evaluation that it was written from and
``manifest.json``: the SHA-256 of these files, of the models' weights, of
exported weights, the data, the request and the code. ``signature.json`` signs
the manifest with Ed25519. A bundle names what it cannot prove.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import _version, checkpoint, parallel
from dlfd_jax.data import (
  copies as copies_lib,
  dataset as dataset_lib,
  leakage,
  splits as splits_lib,
)
from dlfd_jax.evaluation import again
from dlfd_jax.metrics import per_example
from dlfd_jax.models import torch_weights, weight_files
from dlfd_jax.pipeline import chain, evaluation_result, job, predictors
from dlfd_jax.report import names
from dlfd_jax.utils import (
  files,
  places,
  records,
  runs,
  schemas,
  storage,
  text,
  validate,
)

FOLDER, MANIFEST, SIGNATURE = 'bundle', 'manifest.json', 'signature.json'
_SIGNED = {runs.REPORT, 'report.json', runs.RESULT, runs.CONFIG,
           evaluation_result.PER_EXAMPLE}
_ALGORITHM = 'Ed25519'
_TOLERANCE = .01  # of logits and losses: other devices round otherwise
CANNOT_PROVE = (
    'That the holder of the key evaluated these models on these data and kept '
    'nothing back: a signature says who answers for it, not that it is true.',
    'That no copy of the images, the original or earlier exports exists '
    'elsewhere.',
    'That the date and the number of the request are right: they were typed.',
    *names.LIMITS)


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
  """A bundle whose signature and files are as they were signed.

  Attributes:
    folder: where it lies.
    manifest: what was signed.
    public_key: hexadecimal, of the signer.
    evaluation: the evaluation in it.
  """

  folder: pathlib.Path
  manifest: dict[str, Any]
  public_key: str
  evaluation: evaluation_result.EvaluationResult

  def statements(self) -> list[str]:
    """What was signed, in sentences for its reader."""
    code, earlier = self.manifest['code'], self.manifest['previous']
    return [
        f'Signed by the key {self.public_key}. Whose key that is, you must '
        'know from its owner.',
        f'{len(self.manifest["sha256"])} files are as they were signed.',
        f'Code: dlfd_jax {code["dlfd_jax"]}, source {code["source"]}.',
        f'Previous request: {earlier["manifest"]}.' if earlier else
        f'Previous request: none is named{self._without_previous()}.',
        *_chosen(self.evaluation.record.get('selection') or {}),
        *(f'Still knows these people: {one["what"]}'
          + (f', {one["place"]}' if one['place'] else '')
          + (f', weights {one["weights"][:16]}' if one['weights'] else '')
          + '.' for one in self.manifest['still_know']),
        *(f'Cannot be proved: {text}'
          for text in self.manifest['cannot_prove'])]

  def _without_previous(self) -> str:
    """Whether there was one all the same."""
    asked = self.evaluation.record.get('request') or {}
    return (', although people were forgotten before: --previous of `dlfd '
            'report` names the bundle' if asked.get('earlier_images') else '')


def _chosen(selection: Mapping[str, Any]) -> list[str]:
  """What was tried where ``unlearn --method=auto`` chose the model."""
  tried = selection.get('auto')
  return [] if tried is None else [
      f'Chosen among {len(tried["candidates"])} candidates. '
      f'{tried["sentence"]}',
      *(f'Candidate {one["title"]}: {one["outcome"]}. '
        f'{" ".join(one["because"])}' for one in tried['candidates'])]


def _cryptography() -> tuple[Any, Any, Any]:
  try:
    from cryptography import exceptions
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519
  except ModuleNotFoundError as error:
    raise ValueError('Expected the package cryptography for signatures, found '
                     f'none: {text.by_extra("sign")}.') from error
  return serialization, ed25519, exceptions


def read_key(path: str | os.PathLike) -> Any:
  """An Ed25519 private key from a PEM file.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if it holds something else, or needs a password.
  """
  serialization, ed25519, exceptions = _cryptography()
  files.check_file(path, 'an Ed25519 private key in PEM')
  try:
    key = serialization.load_pem_private_key(
        pathlib.Path(path).read_bytes(), password=None)
  except (ValueError, TypeError,  # TypeError: it has a password
          exceptions.UnsupportedAlgorithm) as error:
    raise ValueError(
        f'Expected an Ed25519 private key in PEM without a password in {path}, '
        'got something else: `openssl genpkey -algorithm ed25519` makes one.'
    ) from error
  if not isinstance(key, ed25519.Ed25519PrivateKey):
    raise ValueError(f'Expected an Ed25519 key in {path}, got a key of another '
                     'kind: `openssl genpkey -algorithm ed25519` makes one.')
  return key


def facts(found: evaluation_result.EvaluationResult,
          exports: Sequence[str] = (),
          previous: job.Folder | None = None) -> dict[str, Any]:
  """What a bundle says of an evaluation, but for the hashes of its files.

  Args:
    found: a finished evaluation in a folder.
    exports: weights files that were written from its models.
    previous: the bundle of the request before this one.

  Raises:
    FileNotFoundError: if an export or the previous bundle is not there.
    ValueError: if an export is of no model of the evaluation, a model is
      another one by now, the previous bundle is altered or of another model,
      the figures do not follow from the stored outputs, or an earlier version
      made the evaluation.
  """
  models = _models(found)
  arrays = found.per_example or {}
  if 'unlearned' not in models or 'unlearned/test/logits' not in arrays:
    raise ValueError(
        'Expected an evaluation with the hashes of its models and the logits '
        f'in {evaluation_result.PER_EXAMPLE} in {found.folder}, got one '
        'without: evaluate again with this version.')
  code = (found.record.get('versions') or {}).get('dlfd_jax_source')
  try:
    checked = again.check(found.record, arrays)
  except ValueError as error:
    if code == runs.source_hash():
      raise
    raise ValueError(f'{error} Another version of dlfd_jax made it: evaluate '
                     'again with this version.') from error
  exported = [_export(path, models) for path in exports]
  return {
      'kind': 'bundle', 'schema': 1,
      'data': {name: value for name, value in (
          found.config.get(chain.KEY) or {}).items() if isinstance(value, str)},
      'request': chain.hash_of(found.record.get('request_images')),
      'models': models, 'exports': exported,
      'still_know': _still_know(found, models, exported),
      'code': {'dlfd_jax': _version.__version__, 'source': runs.source_hash(),
               'of_the_evaluation': code},
      'previous': _previous(previous, models),
      'cannot_prove': [*CANNOT_PROVE, *(
          ['What the stored outputs do not determine: times, costs, pictures '
           f'and {checked.left_in_words()}.'] if checked.left else [])]}


def write(found: evaluation_result.EvaluationResult, report: pathlib.Path,
          key: Any, known: Mapping[str, Any]) -> pathlib.Path:
  """Writes the signed bundle beside a report.

  Args:
    found: a finished evaluation in a folder.
    report: its ``report.html``, which was just written.
    key: see :func:`read_key`.
    known: see :func:`facts`.

  Returns:
    The bundle's folder.

  Raises:
    FileExistsError: if files are in it that this program did not write.
  """
  assert found.folder is not None
  contents = {path.name: path.read_bytes() for path in (
      report, report.with_suffix('.json'),
      *(found.folder / name for name in (
          runs.RESULT, runs.CONFIG, evaluation_result.PER_EXAMPLE)))}
  manifest = {**known, 'sha256': {
      name: hashlib.sha256(content).hexdigest()
      for name, content in contents.items()}}
  text = json.dumps(manifest, indent=2) + '\n'
  public = key.public_key().public_bytes_raw().hex()
  folder = report.parent / FOLDER
  folder.mkdir(exist_ok=True)
  runs.publish(folder / SIGNATURE, {
      'kind': 'signature', 'algorithm': _ALGORITHM, 'public_key': public,
      'signature': key.sign(text.encode()).hex()},
               {MANIFEST: text, **contents})
  return folder


def _models(found: evaluation_result.EvaluationResult
            ) -> dict[str, dict[str, Any]]:
  """Place and hashes by model: of the weights and of files that hold them.

  ``tensors`` is the hash of its tensors in PyTorch, ``file`` the SHA-256 of the
  file that it was imported from.
  """
  stored = found.record.get('models') or {}
  listed = {name: stored.get(name) for name in ('original', 'unlearned')}
  listed |= {f'retrained_{i}': place
             for i, place in enumerate(stored.get('retrained') or ())}
  state = (found.record.get('selection') or {}).get('state') or 'model'
  came_from = stored.get('files') or {}
  models = {}
  for name, weights in (stored.get('sha256') or {}).items():
    place, file = listed.get(name), came_from.get(name)
    path = place and places.found(place, found.folder or '.')
    models[name] = {
        'place': place, 'weights': weights,
        'tensors': _tensors(path, weights, state if name == 'unlearned' else
                            'model', file) if path else None,
        'file': file or (_imported_from(path) if path else None)}
  return models


def _tensors(path: str | pathlib.Path, weights: str, state: str,
             file: str | None) -> str | None:
  """Hash of the state dict that an export holds; None if it is not at hand.

  Args:
    path: of the model.
    weights: its hash.
    state: which one of a run.
    file: SHA-256 of the file that an audit read, None = it read none.
  """
  if files.is_file(path):
    if files.sha256(path) != file:
      raise ValueError('Expected the weights file that the audit read in '
                       f'{path}, got another one: audit it anew.')
    return _hash_of_file(path)
  if not os.path.isdir(path):
    return None
  saved = job.judged(path, state).saved
  if checkpoint.fingerprint(saved.variables) != weights:
    raise ValueError(f'Expected the model of the evaluation in {path}, got '
                     'another one.')
  if not torch_weights.has_twin(saved.config.architecture):
    return None
  return chain.hash_of_arrays(
      torch_weights.to_state(saved.variables, saved.config))


def _imported_from(path: str | pathlib.Path) -> str | None:
  """SHA-256 of the file that a folder was imported from; None = not known."""
  return (checkpoint.imported(path).get('file') if os.path.isdir(path)
          else None)


def _hash_of_file(path: str | os.PathLike) -> str:
  return chain.hash_of_arrays(weight_files.read(path).tensors)


def _export(path: str, models: Mapping[str, Mapping[str, Any]]
            ) -> dict[str, Any]:
  tensors = _hash_of_file(path)
  of = [name for name, model in models.items() if model['tensors'] == tensors]
  if not of:
    raise ValueError(f'Expected {path} to hold the weights of a model of this '
                     'evaluation, got those of none.')
  return {'file': pathlib.Path(path).name, 'sha256': files.sha256(path),
          'model': of[0]}


def _still_know(found: evaluation_result.EvaluationResult,
                models: Mapping[str, Mapping[str, Any]],
                exported: Sequence[Mapping[str, Any]]
                ) -> list[dict[str, Any]]:
  """What was trained on these people, or began from what was."""
  known: list[dict[str, Any]] = []

  def add(what: str, place: str | None, weights: str | None) -> None:
    if weights is None or weights not in [one['weights'] for one in known]:
      known.append({'what': what, 'place': place, 'weights': weights})

  if 'original' in models:
    add('the original', models['original']['place'],
        models['original']['weights'])
  place = models['unlearned']['place']
  run = pathlib.Path(places.found(place, found.folder or '.')) if (
      place and place != chain.IN_MEMORY) else None
  if run is not None and files.is_file(run / runs.CONFIG):
    config = runs.read_config(run, 'train', 'unlearn')
    for one in (config.get(chain.KEY) or {}).get('ancestors') or ():
      add('a model that the unlearned one was made from', None, one['weights'])
  for one in exported:
    if one['model'] == 'original':
      add('an export of the original', one['file'], None)
  for name in ('original', 'unlearned'):
    place = (models.get(name) or {}).get('place')
    for below, what in (
        (f'{runs.CHECKPOINTS}/loop', f'states of the {name} run while it '
         'worked'),
        (runs.CANDIDATES, f'candidates of the {name} run')):
      if place and (pathlib.Path(places.found(place, found.folder or '.'))
                    / below).is_dir():
        add(what, f'{place}/{below}', None)
  for name, what in names.HALVES.items():
    place = (found.record.get('models') or {}).get(name)
    if place:
      add(f'{what}, of which some learnt these people', place, None)
  return known


def _previous(folder: job.Folder | None,
              models: Mapping[str, Mapping[str, Any]]
              ) -> dict[str, str] | None:
  if folder is None:
    return None
  earlier = read(folder)
  made = earlier.manifest['models']['unlearned']['weights']
  if made != (models.get('original') or {}).get('weights'):
    raise ValueError(
        f'Expected the unlearned model of the bundle {folder} to be the '
        'original of this evaluation, got another one.')
  return {'manifest': files.sha256(pathlib.Path(folder) / MANIFEST),
          'unlearned': made}


def read(folder: job.Folder, public_key: str | None = None) -> Bundle:
  """A bundle, after its signature and files were checked.

  Args:
    folder: of it.
    public_key: hexadecimal, the signer's; None = any.

  Raises:
    FileNotFoundError: if a file of it is missing.
    ValueError: if a file is altered or added, or the signature is not valid,
      or is another signer's.
  """
  _, ed25519, exceptions = _cryptography()
  folder = storage.local(folder)
  signed = records.read(folder / SIGNATURE, schemas.Signature)
  content = _content(folder / MANIFEST)
  if _content(folder / SIGNATURE) != (
      json.dumps(signed, indent=2) + '\n').encode():
    raise ValueError(f'Expected {folder / SIGNATURE} as it was written, got '
                     'one that was altered.')
  if public_key is not None and signed['public_key'] != public_key.lower():
    raise ValueError(f'Expected a bundle signed by {validate.shown(public_key)}'
                     f', got the signature of {signed["public_key"]}.')
  try:
    ed25519.Ed25519PublicKey.from_public_bytes(
        bytes.fromhex(signed['public_key'])).verify(
            bytes.fromhex(signed['signature']), content)
  except (ValueError, exceptions.InvalidSignature) as error:
    raise ValueError(
        f'Expected {folder / MANIFEST} as it was signed, got another manifest, '
        'key or signature: the bundle was altered.') from error
  manifest = dict(records.read(folder / MANIFEST, schemas.Bundle))
  if set(manifest['sha256']) != _SIGNED or (
      'unlearned' not in manifest['models']):
    raise ValueError(f'Expected {folder / MANIFEST} to list the files and '
                     'models of a bundle, got others.')
  hashes = {**manifest['sha256'], MANIFEST: hashlib.sha256(content).hexdigest()}
  for name, known in hashes.items():
    if hashlib.sha256(_content(folder / name)).hexdigest() != known:
      raise ValueError(f'Expected {folder / name} as it was signed, got one '
                       'that was altered.')
  if ({name: known[:1] for name, known in signed['files'].items()}
      != {name: [known] for name, known in hashes.items()}):
    raise ValueError(f'Expected {folder / SIGNATURE} as it was written, got '
                     'one that was altered.')
  more = sorted({path.name for path in folder.iterdir()}
                - {*hashes, SIGNATURE})
  if more:
    raise ValueError(f'Expected no files in {folder} but the signed ones, got '
                     f'{validate.listed(more)}.')
  found = evaluation_result.load_evaluation(folder)
  if chain.hash_of(found.record.get('request_images')) != manifest['request']:
    raise ValueError(f'Expected the request of {folder} as it was signed, got '
                     'another one.')
  _check_arrays(found.per_example or {}, manifest['models'],
                folder / evaluation_result.PER_EXAMPLE)
  return Bundle(folder, manifest, signed['public_key'], found)


def _check_arrays(arrays: Mapping[str, np.ndarray], models: Iterable[str],
                  path: pathlib.Path) -> None:
  """Raises ValueError unless there is all that figures are computed from."""
  for part in splits_lib.SPLITS_PARTS:
    wanted = [f'{part}/{name}' for name in ('sample_id', 'identity', 'labels')]
    wanted += [f'{model}/{part}/{name}' for model in models
               for name in ('loss', 'margin', 'logits')]
    wanted += [f'{part}/columns'] if 'columns' in arrays else []
    lengths = {arrays[name].shape[:1] for name in wanted if name in arrays}
    if not all(name in arrays for name in wanted) or len(lengths) != 1 or (
        arrays[f'{part}/labels'].dtype.kind != 'i'):
      raise ValueError(f'Expected sample ids, people, labels and outputs of '
                       f'every model on {part} in {path}, got others.')


def _content(path: pathlib.Path) -> bytes:
  files.check_file(path, 'a file of a bundle')
  return path.read_bytes()


def check_figures(bundle: Bundle) -> again.Checked:
  """Computes the evaluation again from the stored outputs.

  Returns:
    How many numbers agree, and which metrics need more than what is stored.

  Raises:
    ValueError: if a figure of the evaluation, or a fact of the report, differs.
  """
  from dlfd_jax.report import html  # matplotlib is slow to import

  found = bundle.evaluation
  try:
    checked = again.check(found.record, found.per_example or {})
    html.check_report(bundle.folder / runs.REPORT, found.record,
                      found.per_example)
  except ValueError as error:
    code = bundle.manifest['code']
    if code['of_the_evaluation'] == runs.source_hash():
      raise
    raise ValueError(
        f'{error} Another version of dlfd_jax made it: {code["dlfd_jax"]}, '
        f'source {code["of_the_evaluation"]}; this is {_version.__version__}, '
        f'source {runs.source_hash()}.') from error
  return checked


def check_model(bundle: Bundle, path: str) -> str:
  """Whether a model is the one that was judged; says which one it is.

  Args:
    bundle: the bundle.
    path: a run, a model's folder or a file of weights.

  Raises:
    ValueError: if it is none of the bundle's, or one that still knows the
      people.
  """
  models = bundle.manifest['models']
  if not files.is_file(path):
    key, now = 'weights', checkpoint.fingerprint(
        checkpoint.load_model(path).variables)
  elif (now := files.sha256(path)) in [
      model.get('file') for model in models.values()]:
    key = 'file'
  else:
    key, now = 'tensors', _hash_of_file(path)
  found = [name for name, model in models.items() if model.get(key) == now]
  knows = [one['what'] for one in bundle.manifest['still_know']
           if one['weights'] == (models[found[0]]['weights'] if found else now)]
  if knows:
    raise ValueError(f'Expected the unlearned model in {path}, got {knows[0]}, '
                     'which still knows these people.')
  if 'unlearned' not in found:
    raise ValueError(f'Expected the unlearned model in {path}, got ' + (
        f'the model {found[0]}.' if found else
        'weights that are in no line of this bundle'
        + ('.' if key == 'weights' else
           ', which knows files that its models were exported to or imported '
           'from (if by an earlier version, name the folder that '
           'import_weights wrote).')))
  return f'The model in {path} is the one that was judged.'


def check_data(bundle: Bundle, dataset: dataset_lib.Dataset,
               model: str | None, devices: parallel.Devices) -> list[str]:
  """Compares the data, and what a model answers on them, with a bundle.

  Args:
    bundle: the bundle.
    dataset: the data at hand.
    model: folder of the unlearned model; None = its losses are not computed.
    devices: where it runs.

  Returns:
    Sentences on what agrees.

  Raises:
    ValueError: at the first difference.
  """
  arrays = bundle.evaluation.per_example or {}
  parts: dict[str, Any] = {}
  for part in splits_lib.SPLITS_PARTS:
    rows = parts[part] = splits_lib.find_samples(
        dataset, arrays[f'{part}/sample_id'])
    if (rows < 0).any():
      raise ValueError(
          f'Expected the images of the bundle in the data, got data without '
          f'{(rows < 0).sum()} of {part}.')
    for name, now in (('labels', dataset.labels[rows]),
                      ('identity', dataset.identity[rows])):
      if not np.array_equal(arrays[f'{part}/{name}'], now):
        raise ValueError(f'Expected the data of the bundle, got data with '
                         f'other {name} in {part}.')
  for one in bundle.evaluation.record.get('request_images') or ():
    row = splits_lib.find_samples(dataset, np.array([one['id']]))[0]
    if hashlib.sha256(dataset.images[row].tobytes()).hexdigest() != (
        one['sha256']):
      raise ValueError(f'Expected the image {one["id"]!r} of the request as it '
                       'was, got other pixels.')
  said = ['Labels, people and the images of the request are those of the '
          'bundle.']
  counted = (bundle.evaluation.record.get('data') or {}).get('leakage') or {}
  again.check_copies(bundle.evaluation.record, leakage.Search(
      dataset, splits_lib.Splits(**parts, by_person=False)).report(
          altered=copies_lib.ALTERED[0] in counted))
  said.append('So are the counts of copies.')
  now_all = chain.data_hashes(dataset, np.concatenate(list(parts.values())))
  known = bundle.manifest['data']
  if known.get('ids') == now_all['ids']:
    if known['images'] != now_all['images']:
      raise ValueError('Expected the data of the bundle, got data with other '
                       'pixels.')
    said.append('So are the pixels of all images.')
  else:
    said.append('The pixels of the other images were not compared: the hash in '
                'the bundle is of more images than these parts have, as of '
                'earlier requests.')
  if model is not None and not files.is_file(model):
    for part, logits in predictors.Predictors(dataset, devices).logits(
        checkpoint.load_model(model), parts).items():
      for name, found in (('logits', logits), ('loss', per_example.loss(
          dataset.task, logits, dataset.labels[parts[part]]))):
        if not np.allclose(found, arrays[f'unlearned/{part}/{name}'],
                           _TOLERANCE, _TOLERANCE, equal_nan=True):
          raise ValueError(f'Expected the {name} of {model} on {part} as '
                           'stored, got others.')
    said.append('The model gives the stored outputs of every image.')
  return said
