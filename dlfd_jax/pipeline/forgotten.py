"""Who was forgotten, request by request: it travels from run to run.

``result.json`` of an unlearning run lists the people of its request and of all
before it. What an evaluation finds of them lies in ``judged.json`` beside it,
as it is found later, and is in the list of the next run. So it outlives the
people's images.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.pipeline import chain
from dlfd_jax.report import people as people_lib
from dlfd_jax.utils import files, runs, storage, text as text_lib, writes

KEY = 'forgotten'  # of an unlearning run's result
JUDGED = 'judged.json'
LONGEST_ID = 100  # of a request's number, which its owner gives
_FIGURES = ('value', 'place', 'unseen', 'p', 'p_adjusted', 'told_apart',
            'original_p')


def of_run(start: chain.Judged, dataset: dataset_lib.Dataset,
           splits: splits_lib.Splits,
           request_id: str | None = None) -> list[dict[str, Any]]:
  """The people of a request and of those before it.

  Args:
    start: the model that is to forget.
    dataset: the images.
    splits: of the request.
    request_id: the number that its owner gave it; None = none.

  Returns:
    One entry a person, the earliest first, an entry with ``person`` None for
    images of nobody known: ``request``, counted from 1 (None = by an earlier
    version, which recorded nobody), ``id``, its owner's number (None = not
    given), ``date`` when it was unlearned (None = now or not known), ``images``
    and ``judged``, see :func:`figures`.
  """
  before = _with_judged(start)
  known = {one['person'] for one in before}
  listed = {**dict(zip(dataset.sample_id[splits.earlier].tolist(),
                       dataset.named(splits.earlier))), **splits.gone}
  before += _entries(
      [who for who in listed.values() if (who or None) not in known], None)
  number = 1 + max((one['request'] or 1 for one in before), default=0)
  return before + _entries(dataset.named(splits.forget), number, request_id)


def _entries(names: Sequence[str | None], request: int | None,
             request_id: str | None = None) -> list[dict[str, Any]]:
  return [{'person': who or None, 'request': request, 'id': request_id,
           'date': None, 'images': images, 'judged': None}
          for who, images in collections.Counter(names).items()]


def _with_judged(one: chain.Judged) -> list[dict[str, Any]]:
  """The list of a run, with its date and what was found of the people."""
  found = [dict(entry) for entry in one.record.get(KEY) or ()]
  last = max((entry['request'] or 0 for entry in found), default=0)
  judged: Mapping[str, Any] = {}
  if one.place != chain.IN_MEMORY:
    judged = _stored(one).get('people') or {}
  for entry in found:
    if entry['request'] == last and entry['date'] is None:
      entry['date'] = one.record.get('finished')
    entry['judged'] = judged.get(entry['person'] or '', entry['judged'])
  return found


def _stored(one: chain.Judged) -> dict[str, Any]:
  """What evaluations found of the people of a run; empty if none did."""
  path = storage.local(one.place) / JUDGED
  return runs.read_json(path) if files.is_file(path) else {}


def is_altered(one: chain.Judged) -> bool:
  """Whether what evaluations found of the people of a run was changed since."""
  if one.place == chain.IN_MEMORY:
    return False
  found = _stored(one)
  # Earlier versions wrote no hash.
  return 'sha256' in found and found != chain.sealed(found, one.config)


def figures(entry: Mapping[str, Any], attack: Mapping[str, Any] | None,
            date: str) -> dict[str, Any]:
  """What is kept of a person: the rank, and the attack on all of the request.

  Args:
    entry: of ``people.ranks``.
    attack: the estimate of the main attack.
    date: of the evaluation.
  """
  return {'date': date, **{name: entry.get(name) for name in _FIGURES},
          'attack': attack and {name: attack.get(name)
                                for name in ('value', 'low', 'high')}}


def judge(one: chain.Judged, result: Mapping[str, Any],
          dataset: dataset_lib.Dataset, *, again: bool = False) -> None:
  """Keeps in the folder of a run what an evaluation found of its people.

  A later evaluation of a lower tier changes nothing.

  Args:
    one: the unlearned model.
    result: of the evaluation.
    dataset: the images, for names.
    again: it was finished before; what another one found since then stays.
  """
  if one.place == chain.IN_MEMORY or one.config.get('kind') != 'unlearn':
    return
  stored = _stored(one)
  tier = int((result.get('config') or {}).get('tier', 0))
  if stored and (again or stored.get('tier', 0) > tier):
    return

  def by_name(ranks: Sequence[Mapping[str, Any]], attack: Any
              ) -> dict[str, Any]:
    return {dataset.called(entry['person']): figures(
        entry, attack, result['finished'])
            for entry in ranks if entry['unit'] == 'person'}

  main = next((record['unlearned'] for record in result['metrics']
               if record['metric'] == registry.MAIN_ATTACK), None)
  earlier = (result.get('earlier') or {}).get('attack') or {}
  writes.write_json(storage.local(one.place) / JUDGED, chain.sealed({
      'kind': 'judged', 'schema': 1, 'tier': tier,
      'evaluation': result['sha256'], 'people': {
          **by_name(earlier.get('ranks') or (), earlier.get('unlearned')),
          **by_name(result.get('people') or (), main)}}, one.config))


def found_again(one: chain.Judged, dataset: dataset_lib.Dataset,
                splits: splits_lib.Splits, attack: Mapping[str, Any] | None
                ) -> dict[str, Any] | None:
  """What an evaluation says of the people of earlier requests.

  Args:
    one: the unlearned model.
    dataset: the images.
    splits: of its request.
    attack: see ``evaluation.earlier.again``; None = no image is there.

  Returns:
    ``people``, the entries of :func:`of_run` with ``there``, how many of their
    images the data have; ``attack``; ``visible_again``, None = cannot be said;
    ``who``, names; ``sentences`` without names. None if there was no earlier
    request.
  """
  if not splits.earlier.size and not splits.gone:
    return None
  there = dataset.named(splits.earlier)
  entries = one.record.get(KEY) or []
  last = max((entry['request'] or 0 for entry in entries), default=0)
  entries = [one for one in entries if one['request'] != last] or _entries(
      [*there, *(who or None for who in splits.gone.values())], None)
  images = collections.Counter(there)
  people = [{**entry, 'there': images[entry['person']]} for entry in entries]
  who = [dataset.called(code) if isinstance(code, int) else code
         for code in (attack or {}).get('people') or ()]
  visible = True if who else (attack or {}).get('visible_again')
  return {'people': people, 'attack': attack, 'visible_again': visible,
          'who': who,
          'sentences': [*_of_gone(people), *_of_attack(people, attack, who)]}


def _of_gone(people: Sequence[Mapping[str, Any]]) -> list[str]:
  gone = [one for one in people if not one['there']]
  if not gone:
    return []
  judged = [one['judged'] for one in gone if one['judged']]
  said = (f'Nothing can be computed of {text_lib.counted(len(gone), "person")} '
          f'of earlier requests{people_lib.request_ids(gone)}: no image of '
          'theirs is in the data.')
  if not judged:
    return [f'{said} They were not judged while there were any.']
  attacks = {_number(one['attack']): None for one in judged
             if one['attack'] and one['attack']['value'] is not None}
  apart = [one['told_apart'] for one in judged]
  when = sorted({one['date'][:10] for one in judged})
  said += (f' When {len(judged)} of them were judged '
           f'({" to ".join(dict.fromkeys([when[0], when[-1]]))}), the attack '
           f'AUC was {", ".join(attacks) or "not computed"}')
  return [said + ('.' if None in apart else
                  f', and {sum(apart)} of them were told apart by rank.')]


def _of_attack(people: Sequence[Mapping[str, Any]],
               attack: Mapping[str, Any] | None,
               who: Sequence[str]) -> list[str]:
  there = [one for one in people if one['there']]
  if attack is None or not there:
    return []
  before, now = (_number(attack[name] or {})
                 for name in ('original', 'unlearned'))
  group = (f'On {text_lib.counted(len(there), "person")} of earlier requests'
           f'{people_lib.request_ids(there)} the')
  if attack.get('older'):
    return [
        f'{group} attack AUC is {now} after this request, and {before} for an '
        'original before it that may know them: whether they have become '
        'visible again takes the model that the request started from.']
  said = (f'{group} attack AUC is {before} before this request and {now} after '
          'it: ')
  if attack['visible_again']:
    said += 'they have become visible again.'
  elif attack['visible_again'] is None:
    said += 'too few to say whether they have become visible again.'
  elif ((attack['unlearned'] or {}).get('low') or 0.0) > .5:
    said += 'they are visible; that they are so more than before is not shown.'
  else:
    said += 'that they are visible again as a group is not shown.'
  if who:
    said += (f' {text_lib.counted(len(who), "person")} of them can be told '
             'apart by rank again.')
  return [said]


def _number(estimate: Mapping[str, Any]) -> str:
  if estimate.get('value') is None:
    return 'not computed'
  return Estimate(
      estimate['value'], estimate['low'], estimate['high']).with_interval
