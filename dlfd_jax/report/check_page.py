"""The page of a check: one HTML file that needs nothing else, with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import leakage
from dlfd_jax.report import drawing, html, tables

_PAIRS = 4  # in a row of the contact sheet
_INCHES = 1.3  # of an image there


def sentences(result: Mapping[str, Any]) -> list[str]:
  """The findings as an engineer would say them.

  Args:
    result: of ``check``.
  """
  request, cost = result['request'], result['cost']
  share = request['share_of_people']
  lines = tables.provenance(result) if 'verification' in result else []
  lines += [
      f'{request["images"]} images of {request["people"]} people are to be '
      f'forgotten: {100 * request["share_of_images"]:.1f} % of the training '
      'images' + (f' and {100 * share:.1f} % of the people.'
                  if share is not None else '.')]
  copies = request['copies']
  if any(copies.values()):
    lines.append(
        f'{copies["exact"]} exact and {copies["near"]} near copies of these '
        'images lie elsewhere in the data: a model trained on them still '
        'knows the picture. Decide whether to delete them, too.')
  else:
    lines.append('No copy of these images lies elsewhere in the data.')
  if request['copies_of_other_people']:
    lines.append(
        f'{request["copies_of_other_people"]} of these pairs carry the names '
        'of two different people: one of the names may be wrong.')
  twice = request['people_in_two_parts_total']
  if result['split'] is None:
    lines.append('The split of the original is not known here, so whether '
                 'anybody is in two parts of it could not be checked.')
  elif twice:
    first = ', '.join(list(request['people_in_two_parts'])[:5])
    lines.append(f'{twice} people are in two parts of the split ({first}'
                 f'{", ..." if twice > 5 else ""}): their test images are not '
                 'those of unseen people.')
  else:
    lines.append('Nobody is in two parts of the split.')
  if cost is None:
    lines.append('The costs were not measured.')
  else:
    lines.append(
        f'On this machine, {result["device"]}: unlearning by DLFD + restore '
        f'about {_minutes(cost["unlearn_s"])}, retraining about '
        f'{_minutes(cost["retrain_s"])}, from {cost["repeats"]} timed steps of '
        f'each with {cost["network"]}{_scaled(cost)}.')
  return [*lines, *result['notes'], *result.get('data_notes', ())]


def _scaled(cost: Mapping[str, Any]) -> str:
  timed, batches = cost['timed_images'], cost['batch_sizes']
  parts = dict.fromkeys(
      f'{timed[name]} of a batch of {size} images'
      for name, size in batches.items() if timed[name] < size)
  return f', scaled from {" and ".join(parts)}' if parts else ''


def _minutes(seconds: float) -> str:
  if seconds < 90:
    return f'{seconds:.0f} s'
  if seconds < 5400:
    return f'{seconds / 60:.0f} min'
  return f'{seconds / 3600:.1f} h'


def render(result: Mapping[str, Any], sheet: bytes | None) -> str:
  """The page as text.

  Args:
    result: of ``check``.
    sheet: PNG of the copies; None = none.
  """
  request = result['request']
  return html.fill('check.html.jinja', {
      'command': result['command'], 'sentences': sentences(result),
      'people': [(person, count, request['samples_by_person'][person])
                 for person, count in request['images_by_person'].items()],
      'copies': request['copies_listed'], 'rule': leakage.RULE,
      'sheet': sheet and html.inline(sheet, 'image/png')})


def contact_sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> bytes:
  """A PNG of pairs of images: forget left, its copy right, with a caption.

  Args:
    pairs: image, its copy (uint8 ``[h, w, 3]``) and the caption; at least one.

  Raises:
    ValueError: if there is none.
  """
  if not pairs:
    raise ValueError('Expected at least one pair of images, got none.')
  rows = -(-len(pairs) // _PAIRS)
  with drawing.new_figure(
      _PAIRS * 2 * _INCHES, rows * (_INCHES + .35)) as figure:
    axes = figure.subplots(rows, 2 * _PAIRS, squeeze=False)
    for axis in axes.flat:
      axis.set_axis_off()
    for k, (image, copy, caption) in enumerate(pairs):
      row, column = divmod(k, _PAIRS)
      left, right = axes[row, 2 * column], axes[row, 2 * column + 1]
      left.imshow(image)
      right.imshow(copy)
      left.set_title(caption, fontsize=6, fontweight='normal')
    return drawing.to_bytes(figure, 'png')
