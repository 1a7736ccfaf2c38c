"""What shadow models found, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlfd_jax.report import tables
from dlfd_jax.utils import validate

_OTHERS = {'request': 'retrained models'}
_MOST = 5


def sentences(result: Mapping[str, Any]) -> list[str]:
  """One on U-LiRA over all images and, where there are any, one on images."""
  found = result.get('shadows') or {}
  others = _OTHERS.get(found.get('design') or '', 'models that never saw it')
  metric = 'u_lira_retrained_auc' if found.get('design') in _OTHERS else (
      'u_lira_auc')
  after, before, null = (tables.find_cell(result, metric, column)
                         for column in ('unlearned', 'original', 'null'))
  if not found or before.value is None:
    return []
  luck = f' ({null.interval} by luck)' if null.interval else ''
  text = (f'Of {found["models"]} shadow models those that learned an image are '
          f'told from {others} by U-LiRA with an AUC of {before.text}')
  if after.value is None:
    return [f'{text}; none has unlearned it, as the method is not known.']
  text += f', and after they unlearned it with {after.text}{luck}'
  shown = [_called(result, row['example']) for row in found.get('worst') or ()
           if row['shown']]
  if not shown:
    return [f'{text}. No single image is told beyond luck.']
  return [f'{text}. Told beyond luck: {validate.listed(shown, _MOST)}.']


def _called(result: Mapping[str, Any], example: int) -> str:
  images = result.get('request_images') or ()
  return (images[example]['id'] if example < len(images)
          else f'image {example} of forget')
