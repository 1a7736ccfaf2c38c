"""Signs a report, and checks one that was signed, in one call each."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

from dlfd_jax import parallel
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.pipeline import bundle as bundle_lib, evaluation_result, job
from dlfd_jax.utils import runs


def sign(result: evaluation_result.EvaluationResult, key: str | os.PathLike,
         folder: job.Folder | None = None, *,
         request: Mapping[str, str | None] | None = None,
         exports: Sequence[str] = (), previous: job.Folder | None = None,
         named: bool = False) -> pathlib.Path:
  """Writes the report of an evaluation and a signed bundle of both.

  Args:
    result: a finished evaluation in a folder.
    key: file of an Ed25519 private key in PEM.
    folder: where ``report.html`` and the folder ``bundle`` go; None = that of
      the evaluation.
    request: see ``EvaluationResult.write_report``.
    exports: weights files that were exported from its models.
    previous: the bundle of the request before this one.
    named: see ``EvaluationResult.write_report``; the key to pseudonyms is not
      in the bundle.

  Returns:
    The bundle's folder.

  Raises:
    FileExistsError: if files are in it that this program did not write.
    FileNotFoundError: if the key, an export or the previous bundle is missing.
    ValueError: if the evaluation is in memory alone or lacks what a bundle
      holds, or one of the files is something else.
  """
  if result.folder is None:
    raise ValueError('Expected an evaluation in a folder, got one in memory: '
                     'save it, or evaluate with a workdir.')
  secret = bundle_lib.read_key(key)
  known = bundle_lib.facts(result, exports, previous)
  report = result.write_report(
      pathlib.Path(folder or result.folder) / runs.REPORT, request,
      named=named)
  return bundle_lib.write(result, report, secret, known)


@dataclasses.dataclass(frozen=True)
class Verified:
  """What was found of a bundle that is as it was signed.

  Attributes:
    public_key: hexadecimal, of the signer.
    figures: how many numbers follow from the stored outputs.
    not_computed: metrics that need more than what is stored.
    said: all of it in sentences: what agrees, what was signed, what still knows
      the people and what no bundle can prove.
  """

  public_key: str
  figures: int
  not_computed: tuple[str, ...]
  said: tuple[str, ...]


def verify(folder: job.Folder, *, model: str | None = None,
           dataset: dataset_lib.Dataset | None = None,
           public_key: str | None = None,
           devices: parallel.Devices | None = None) -> Verified:
  """Checks a bundle that :func:`sign` wrote.

  Args:
    folder: of the bundle.
    model: a run, folder or exported file that may be the model that was judged.
    dataset: its data; with a model also its losses are compared.
    public_key: hexadecimal, the signer's; None = any.
    devices: where the model runs; all local devices by default.

  Raises:
    FileNotFoundError: if a file of the bundle is missing.
    ValueError: at the first thing that is not as it was signed.
  """
  found = bundle_lib.read(folder, public_key)
  checked = bundle_lib.check_figures(found)
  said = [f'{checked.values} numbers of the evaluation follow from the stored '
          'outputs, and the report says what it says, pictures aside.']
  if checked.left:
    said.append('Not computed again, as the outputs do not determine them: '
                f'{checked.left_in_words()}.')
  if model is not None:
    said.append(bundle_lib.check_model(found, model))
  if dataset is not None:
    said += bundle_lib.check_data(
        found, dataset, model, devices or parallel.Devices())
  return Verified(found.public_key, checked.values, tuple(checked.left),
                  (*said, *found.statements()))
