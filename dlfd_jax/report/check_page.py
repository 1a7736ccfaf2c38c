"""The page of a check: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import jinja2

from dlfd_jax.data import leakage

_TEMPLATE = 'check.html.jinja'


def sentences(result: Mapping[str, Any]) -> list[str]:
  """The findings as an engineer would say them.

  Args:
    result: of ``check``.
  """
  request, cost = result['request'], result['cost']
  share = request['share_of_people']
  lines = [
      f'{request["images"]} images of {request["people"]} people are to be '
      f'forgotten: {100 * request["share_of_images"]:.1f} % of the training '
      'images' + (f' and {100 * share:.1f} % of the people.'
                  if share is not None else '.')]
  copies = request['copies']
  if any(copies.values()):
    lines.append(
        f'{copies["exact"]} exact and {copies["near"]} near copies of these '
        'images lie elsewhere in the data: a model trained on them still '
        'knows the picture. Decide whether they go too.')
  else:
    lines.append('No copy of these images lies elsewhere in the data.')
  if request['copies_of_other_people']:
    lines.append(
        f'{request["copies_of_other_people"]} of these pairs bear the names '
        'of two different people: a name may be wrong.')
  twice = request['people_in_two_parts_total']
  if result['split'] is None:
    lines.append('The split of the original is not known here, so nobody can '
                 'say who is in two parts of it.')
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
        f'On this machine, {result["device"]}: unlearning by DLFD about '
        f'{_minutes(cost["unlearn_s"])}, retraining about '
        f'{_minutes(cost["retrain_s"])}, from {cost["repeats"]} timed steps of '
        f'each with {cost["network"]}{_scaled(cost)}.')
  return [*lines, *result['notes']]


def _scaled(cost):
  timed, batches = cost['timed_images'], cost['batch_sizes']
  parts = dict.fromkeys(
      f'{timed[name]} of a batch of {size} images'
      for name, size in batches.items() if timed[name] < size)
  return f', scaled from {" and ".join(parts)}' if parts else ''


def _minutes(seconds):
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
  environment = jinja2.Environment(
      loader=jinja2.PackageLoader('dlfd_jax.report'), autoescape=True,
      undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
  picture = None
  if sheet is not None:
    picture = 'data:image/png;base64,' + base64.b64encode(sheet).decode()
  request = result['request']
  return environment.get_template(_TEMPLATE).render(
      command=result['command'], sentences=sentences(result),
      people=[(person, count, request['samples_by_person'][person])
              for person, count in request['images_by_person'].items()],
      copies=request['copies_listed'], sheet=picture, rule=leakage.RULE)
