"""Signs a report, and checks one that was signed, in one call each."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

from dlfd_jax.pipeline import bundle as bundle_lib, evaluate, job
from dlfd_jax.utils import runs


def sign(result: evaluate.EvaluationResult, key: str | os.PathLike,
         folder: job.Folder | None = None, *,
         request: Mapping[str, str | None] | None = None,
         exports: Sequence[str] = (), previous: job.Folder | None = None
         ) -> pathlib.Path:
  """Writes the report of an evaluation and a signed bundle of both.

  Args:
    result: a finished evaluation in a folder.
    key: file of an Ed25519 private key in PEM.
    folder: where ``report.html`` and the folder ``bundle`` go; None = that of
      the evaluation.
    request: see ``EvaluationResult.write_report``.
    exports: weights files that were exported from its models.
    previous: the bundle of the request before this one.

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
      pathlib.Path(folder or result.folder) / runs.REPORT, request)
  return bundle_lib.write(result, report, secret, known)
