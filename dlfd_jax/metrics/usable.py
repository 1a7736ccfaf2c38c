"""Whether a deletion cost more skill than it may."""

from __future__ import annotations

from collections.abc import Mapping

# Accuracy that may be lost, on people of validation and on those who stay.
MOST_LOST = {'val': 0.02, 'retain': 0.05}
_IN_WORDS = {'val': 'validation images', 'retain': 'images of those who stay'}
_ROUNDING = 1e-9


def reasons_against(original: Mapping[str, float | None],
                    unlearned: Mapping[str, float | None]) -> list[str]:
  """Sentences that stand before everything else; none if no harm was done.

  Args:
    original: its accuracy by part of the data, in [0, 1]; parts that
      ``MOST_LOST`` lacks, or without a value, are not judged.
    unlearned: likewise.

  Example:
    >>> reasons_against({'retain': 1.0}, {'retain': 0.96})
    []
  """
  sentences = []
  for part, most in MOST_LOST.items():
    before, after = original.get(part), unlearned.get(part)
    if before is None or after is None:
      continue
    if before - after > most + _ROUNDING:
      sentences.append(
          f'Do not use this model: its accuracy on {_IN_WORDS[part]} is '
          f"{100 * after:.1f} %, the original's was {100 * before:.1f} %; a "
          f'deletion may cost {100 * most:.0f} points there.')
  return sentences
