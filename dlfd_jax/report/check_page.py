"""The page of a check: one HTML file that needs nothing else, with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import copies as copies_lib, shards
from dlfd_jax.report import html, tables
from dlfd_jax.utils import text

_EARLIER = 'DLFD + restore'  # of results that do not name the method
Pair = tuple[np.ndarray, np.ndarray, Mapping[str, Any]]
_MISSED = (
    'Copies that are turned, mirrored and cropped at once, or cropped by more '
    'than about 5 % at an edge can be missed; other photographs of the same '
    'people are not looked for.')


def sentences(result: Mapping[str, Any]) -> list[str]:
  """The findings as an engineer would say them.

  Args:
    result: of ``check``.
  """
  request, cost = result['request'], result['cost']
  share = request['share_of_people']
  lines = tables.provenance(result) if 'verification' in result else []
  lines += [
      f'{text.counted(request["images"], "image")} of '
      f'{text.counted(request["people"], "person")} '
      f'{text.are(request["images"])} to be '
      f'forgotten: {100 * request["share_of_images"]:.1f} % of the training '
      'images' + (f' and {100 * share:.1f} % of the people.'
                  if share is not None else '.')]
  copies = request['copies']
  if any(copies.values()):
    words = text.listed(
        f'{count} {kind}' for kind, count in copies.items() if count)
    total = sum(copies.values())
    lines.append(
        f'{words} {"copy" if total == 1 else "copies"} of these images '
        f'{"lies" if total == 1 else "lie"} elsewhere in the data: a model '
        'trained on them may still know the picture. Decide whether to forget '
        'them, too: their ids in a file of --forget_sample_ids add to the list '
        'of people.')
  else:
    lines.append('No copy of these images lies elsewhere in the data.')
  lines.append(_MISSED)
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
    how = (f'from {cost["repeats"]} timed steps of each with {cost["network"]}'
           f'{_scaled(cost)}' if cost['repeats'] else
           f'estimated from one pass of a few images through {cost["network"]} '
           '(--repeats=3 times the steps, which takes longer)')
    lines.append(
        f'On this machine, {result["device"]}: unlearning by '
        f'{cost.get("method", _EARLIER)} '
        f'{text.duration(cost["unlearn_s"])}, retraining for '
        f'{cost["epochs"]["train"]} epochs '
        f'{text.duration(cost["retrain_s"])}, {how}.' + (
            ' Retraining is expected to cost less, and is exact: dlfd train '
            '--on=retain.' if cost['retrain_s'] < cost['unlearn_s'] else ''))
  return [*lines, *result['notes'], *result.get('data_notes', ())]


def _scaled(cost: Mapping[str, Any]) -> str:
  timed, batches = cost['timed_images'], cost['batch_sizes']
  parts = dict.fromkeys(
      f'{timed[name]} of a batch of {size} images'
      for name, size in batches.items() if timed[name] < size)
  return f', scaled from {" and ".join(parts)}' if parts else ''


def render(result: Mapping[str, Any], pairs: Sequence[Pair] = ()) -> str:
  """The page as text.

  Args:
    result: of ``check``.
    pairs: images to forget and copies of them, uint8 ``[h, w, 3]``, each with
      its entry in ``copies_listed``: the contact sheet.
  """
  def shown(image: np.ndarray) -> str:
    return html.inline(shards.encode(image), 'image/png')

  request = result['request']
  return html.fill('check.html.jinja', {
      'command': result['command'], 'sentences': sentences(result),
      'people': [(person, count, request['samples_by_person'][person])
                 for person, count in request['images_by_person'].items()],
      'copies': request['copies_listed'],
      'rule': f'{copies_lib.RULE}; {copies_lib.ALTERED_RULE}',
      'pairs': [(shown(image), shown(copy), entry)
                for image, copy, entry in pairs]})

