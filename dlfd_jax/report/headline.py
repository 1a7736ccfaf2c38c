"""What an evaluation found beside its answers, in sentences."""

from __future__ import annotations

from dlfd_jax.report import people, recovery, releases, shadows, tables


def sentences(result: tables.Result) -> list[str]:
  """What every attack that was run found.

  Args:
    result: of an evaluation, with people called as they are to be shown.
  """
  return [found for of in (tables.headline, recovery.sentences,
                           people.sentences, releases.sentences,
                           shadows.sentences) for found in of(result)]
