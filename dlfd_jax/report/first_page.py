"""The report's first page: what was asked, what was done, what is to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlfd_jax.report import answers, facts, names, people, tables
from dlfd_jax.utils import text as text_lib

_NOT_GIVEN = 'not given'
_COPIES = {'exact': 'exact copies', 'near': 'near-duplicates',
           'mirrored': 'mirrored ones', 'cropped': 'slightly cropped ones'}
_HASH = 12  # digits that tell models apart


def asked(result: tables.Result) -> facts.Facts:
  """The request: its number, its date, whom and how much it names."""
  request = result.get('request') or {}
  found = [('Request', request.get('id') or _NOT_GIVEN),
           ('Received', request.get('received') or _NOT_GIVEN)]
  if classes := request.get('classes'):
    found.append(('To forget whole', facts.plain(classes)))
  for key, label in (('people', 'People to forget'),
                     ('images', 'Images to forget')):
    if request.get(key) is not None:
      share = request.get(f'share_of_{key}')
      found.append((label, facts.plain(request[key]) + (
          '' if share is None else f' ({100 * share:.1f} % of training)')))
  if request.get('images_of_nobody_known'):
    found.append(('Of these, of unknown people',
                  facts.plain(request['images_of_nobody_known'])))
  left_out = {name: count for name, count in (
      request.get('left_out') or {}).items() if count}
  if left_out:
    found.append(('Named, but not trained on', ', '.join(
        f'{text_lib.counted(count, "image")} ({name})'
        for name, count in left_out.items())))
  if request:
    found.append(('Names not found', str(len(request.get('not_found') or ()))))
  if request.get('earlier_images'):
    found.append(('Forgotten earlier', (
        f'{text_lib.counted(request.get("earlier_people") or 0, "person")}, '
        f'{text_lib.counted(request["earlier_images"], "image")}'
        + people.request_ids(
            (result.get('earlier') or {}).get('people') or ()))))
  return found


def done(result: tables.Result) -> list[str]:
  """How the model was made and judged, in sentences."""
  said = []
  ran = {run['model']: run for run in result.get('runs') or ()}
  run = ran.get('unlearned') or {}
  if result.get('audit') is not None:
    said.append('A finished model was judged; this audit made none.')
  elif run.get('finished'):
    method = (result.get('request') or {}).get('method')
    took = tables.as_cell(run.get('work_s'), 's')
    compiled = ((result.get('efficiency') or {}).get('compile_s') or {}).get(
        'unlearned')
    compiling = '' if not compiled else (
        f' and {tables.as_cell(compiled, "s").text} of compiling')
    state = result.get('selection') or {}
    said.append(
        'The unlearned model was made from the original on '
        f'{facts.moment(run["finished"])} UTC'
        + ('' if took.value is None else f' in {took.text}{compiling}')
        + f' (method: {method or "not known"})'
        + ('' if state.get('step') is None else
           f'. It is the state after step {state["step"]}'
           + (' (annex F: why)' if state.get('reason') else '')) + '.')
  unseen = ((result.get('data') or {}).get('splits') or {}).get('test') or {}
  references = tables.references(result)
  beside = text_lib.counted(references, 'retrained model')
  said.append(
      f'Judged at tier {tables.tier_of(result)}'
      + (f' on {facts.moment(result["finished"])} UTC'
         if result.get('finished') else '')
      + (f', beside {beside}' if references else ', without retrained models')
      + (f'; unseen people: {unseen["people"]:,} of the test set '
         f'({unseen["images"]:,} images)'
         if unseen.get('people') and unseen.get('images') else '') + '.')
  return said


def to_do(result: tables.Result) -> list[str]:
  """What no program has done yet: the model's use, copies, old models."""
  models = result.get('models') or {}
  hashes = models.get('sha256') or {}
  outcome = answers.answers(result)
  audit = result.get('audit') is not None
  model = names.AUDITED if audit else 'the unlearned model'
  when = 'Then delete'
  if any(one.refuses for one in outcome):
    use = f'Do not put {model} into use'
    when = 'Once another model is in use, delete'
  elif not any(one.is_open for one in outcome):
    use = f'Put {model} into use in place of the original'
  else:
    use = f'Decide by the recommendation whether to use {model}'
    when = 'Once that is decided, delete'
  found = [*_trained_on(result, audit),
           f'{use}{_of_weights(hashes.get("unlearned"))}.',
           _copies(result, when)]
  if models.get('original') and not audit:
    found.append(
        f'{when} the old checkpoints, which still know these people: the '
        f'original{_of_weights(hashes.get("original"), models["original"])}, '
        f'{_file_of(models)}, and the states that the runs stored while '
        'they worked (checkpoints/loop in their folders)'
        + (', the candidates of the unlearning run among them'
           if (result.get('selection') or {}).get('auto') else '') + '.')
  halves = [f'{what}{_of_weights(None, models[name])}'
            for name, what in names.HALVES.items() if models.get(name)]
  if halves:
    found.append(f'{when} {text_lib.listed(halves)}: some of them learnt these '
                 'people.')
  knows = ('models that still know these people' if audit else
           'exports of the original')
  found.append(f'Recall {knows}: weights files, servers, devices.')
  return found


def _file_of(models: Mapping[str, Any]) -> str:
  """What an original was made from: a file, where it was imported."""
  known = (models.get('files') or {}).get('original')
  return ('what it was made from' if known is None else
          'the weights file that it was imported from (SHA-256 '
          f'{known[:_HASH]}), and what that was made from')


def _copies(result: tables.Result, when: str) -> str:
  count = (result.get('request') or {}).get('images')
  images = 'the images' if count is None else (
      f'the {text_lib.counted(count, "image")}')
  leakage = (result.get('data') or {}).get('leakage') or {}
  counts = {name: _with_forget(leakage.get(kind))
            for kind, name in _COPIES.items()}
  looked = {name: count for name, count in counts.items() if count is not None}
  said = f'{when} {images} and their copies, in backups too.'
  if not looked:
    return f'{said} Copies within the data were not looked for.'
  found = text_lib.listed(
      f'{name} ({text_lib.counted(count, "pair") if count else "none"} found)'
      for name, count in looked.items())
  said += f' Looked for within the data: {found}'
  if any(looked.values()):
    said += '; decide on each that was found (annex A)'
  missing = [name for name in counts if name not in looked]
  return f'{said}.' + (
      f' Not looked for: {text_lib.listed(missing)}, which dlfd check looks '
      'for.' if missing else '')


def _trained_on(result: tables.Result, audit: bool) -> list[str]:
  """What is to do first where retain still holds copies of forget images."""
  leakage = (result.get('data') or {}).get('leakage') or {}
  count = sum(pairs.get('forget-retain', 0) for kind in _COPIES
              if (pairs := leakage.get(kind)))
  if audit or not count:
    return []
  return [f'The new model was trained on copies of these images, too '
          f'({text_lib.counted(count, "pair")}, annex A): unlearn again with '
          'them in the request, or record why they stay.']


def _with_forget(pairs: Mapping[str, Any] | None) -> int | None:
  """How many pairs a forget image makes with one that stays."""
  found = [pairs[f'forget-{part}'] for part in ('retain', 'val', 'test')
           if f'forget-{part}' in pairs] if pairs else []
  return sum(found) if found else None


def _of_weights(known: str | None, place: str | None = None) -> str:
  if place and place.startswith('../'):  # as the evaluation's folder sees it
    place = f'folder {place.rpartition("/")[2]}'
  words = [*([place] if place else []),
           *([f'weights {known[:_HASH]}'] if known else [])]
  return f' ({", ".join(words)})' if words else ''
