r"""How often overall verdicts are wrong, and how often they can be right.

  python -m experiments.benchmarks.verdict_rates \
      --out=docs/results/verdict_rates

An image has a difficulty that all models share, a model a skill of its own, and
both together a rest. Images in training gain a margin, which the original has
on forget, too. Of the judged models one is of the law of the retrained ones:
"distinguishable" is false. The others keep a share of the gain on forget, lack
as much, or are less often right: "indistinguishable" is false. The last table
is about few images: all models are right on .98 of them, the judged one on .90.

Only the metrics that vote at tier 1 are computed, by the functions of an
evaluation. There is no relearning and there are no features, so AIN and the
probe abstain; ranks of people cannot tell apart where there are as many to
forget as unseen ones.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.cli import command
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, registry, run
from dlfd_jax.evaluation.estimate import Record
from dlfd_jax.report import render
from experiments.publish import programs

PER_PERSON = 4
PEOPLE = {30: 1.0, 100: .25, 300: .1, 1000: .01}  # and share of repetitions
# Of them in how many models are judged whose verdict is less in doubt, those
# that are not of the law of the retrained ones; and how many at least.
OTHERS, LEAST = .05, 20
RETRAINED = (1, 3, 5, 8)
IMAGES = (3, 4, 5, 6, 7, 8)
SMALL = .25  # share of the repetitions with few images
ACCURATE, WORSE = 0.98, 0.90
GAIN = 2.0  # of the margin by training
EASE, PERSON = .8, .5  # of the margin: its mean, a person's standard deviation
SKILLS = {  # standard deviations between models: of all margins, of an image's
    'alike': (.005, .1), 'apart': (.02, .5)}
# Of the gain on forget, what a judged model has, and of accuracy on test, what
# it lacks.
JUDGED = {'retrained': (0.0, 0.0), 'leak': (.3, 0.0),
          'over-forgotten': (-.3, 0.0), 'worse by .02': (0.0, .02),
          'worse by .05': (0.0, .05)}
FALSE = {  # of a judged model, and of what it is judged on
    'retrained': {'forgetting': 'distinguishable',
                  'utility': 'distinguishable'},
    'leak': {'forgetting': 'indistinguishable'},
    'over-forgotten': {'forgetting': 'indistinguishable'},
    'worse by .02': {'utility': 'indistinguishable'},
    'worse by .05': {'utility': 'indistinguishable'}}
RESAMPLES = 100
CONFIG = inputs_lib.EvaluationConfig(
    bootstrap=RESAMPLES, permutations=20, draws=1)
NEEDED = [metric for metric in registry.METRICS if metric.tier <= 1
           and (metric.votes or metric.name == 'streisand')]
_WORDS = ('distinguishable', 'indistinguishable', 'inconclusive', 'cannot say',
          'too few to say')
PARTS = ('retain', 'forget', 'val', 'test')

Logits = dict[str, np.ndarray]
Verdicts = dict[str, str]


def data_of(sizes: dict[str, int], per_person: int = 1, *, known: bool = True,
            ) -> tuple[dataset_lib.Dataset, splits_lib.Splits]:
  """Two classes in turns; ``sizes`` are people (or images) by split."""
  total = sum(sizes.values()) * per_person
  identity = np.repeat(np.arange(total // per_person), per_person)
  data = dataset_lib.Dataset(
      images=np.zeros((total, 1, 1, 3), np.uint8),
      labels=(np.arange(total) % 2).astype(np.int32),
      identity=(identity if known else np.full(total, -1)).astype(np.int32),
      sample_id=np.array([str(i) for i in range(total)]),
      task=tasks.Task('multiclass', ('a', 'b')))
  ends = np.cumsum(list(sizes.values()))[:-1] * per_person
  return data, splits_lib.Splits(
      *np.split(np.arange(total), ends), by_person=known)


def verdicts(data: dataset_lib.Dataset, splits: splits_lib.Splits,
             original: Logits, judged: Sequence[Logits],
             retrained: Sequence[Logits], counts: Sequence[int],
             metrics: Sequence[registry.Metric] = NEEDED,
             ) -> Iterator[tuple[Verdicts, list[Record]]]:
  """Overall verdicts and records on models with these margins, by split.

  Yields:
    For each number of retrained models in ``counts``, of each judged model.
  """
  def logits(of_model: Logits) -> Logits:
    found = {}
    for name, values in of_model.items():
      right = data.labels[splits.parts[name]]
      found[name] = np.zeros((len(values), 2), np.float32)
      found[name][np.arange(len(values)), right] = values
    return found

  everything = inputs_lib.prepare(
      {'original': logits(original),
       'retrained': [logits(one) for one in (*retrained, *judged)]},
      data, splits, CONFIG)
  models = everything.retrained
  of_models: dict[Any, Any] = {}  # what other models do not change
  for count, model in itertools.product(counts, models[len(retrained):]):
    inputs = dataclasses.replace(
        everything, unlearned=model, retrained=models[:count],
        memo=dict(of_models))
    found = [record for metric in metrics
             for record in run.records(inputs, metric)]
    of_models |= {
        key: value for key, value in inputs.memo.items()
        if any(isinstance(part, inputs_lib.Model) for part in key[1])}
    yield {what: str(verdict['verdict']) for what, verdict in
           run.overall_verdicts(inputs, found, None).items()}, found


def simulated(splits: splits_lib.Splits, skill: float, rest: float,
              seed: list[int]) -> tuple[Logits, list[Logits], list[Logits]]:
  """Margins of the original, of each judged model, of the retrained ones."""
  rng = np.random.default_rng(seed)
  people = {name: rng.normal(EASE, 1.0, len(rows)) + np.repeat(
      rng.normal(0.0, PERSON, len(rows) // PER_PERSON), PER_PERSON)
            for name, rows in splits.parts.items()}
  deviation = np.sqrt(1 + PERSON**2 + skill**2 + rest**2)
  right = special.ndtr(EASE / deviation)

  def model(known: float, lost: float = 0.0) -> Logits:
    level = rng.normal(0.0, skill) - EASE + deviation * special.ndtri(
        right - lost)
    gain = {'retain': GAIN, 'forget': known * GAIN}
    return {name: ease + level + gain.get(name, 0.0) + rng.normal(
        0.0, rest, len(ease)) for name, ease in people.items()}

  return (model(1.0), [model(*about) for about in JUDGED.values()],
          [model(0.0) for _ in range(max(RETRAINED))])


def damaged(splits: splits_lib.Splits, seed: list[int],
            ) -> tuple[Logits, list[Logits], list[Logits]]:
  """Margins whose signs are right as often as :data:`ACCURATE` says."""
  rng = np.random.default_rng(seed)

  def model(accuracy: float) -> Logits:
    return {name: special.ndtri(accuracy) + rng.normal(size=len(rows))
            for name, rows in splits.parts.items()}

  return model(ACCURATE), [model(WORSE)], [model(ACCURATE) for _ in range(3)]


def counted(found: Sequence[str]) -> dict[str, float]:
  """The share of every verdict, told by its first words."""
  counts = collections.Counter(
      next(word for word in _WORDS if verdict.startswith(word))
      for verdict in found)
  return {word: counts[word] / len(found) for word in _WORDS}


def rates(people: int, models: str, repetitions: int,
          ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
  """Rows of verdicts, and rows of the metrics that vote on retrained models."""
  data, splits = data_of({**dict.fromkeys(PARTS, people), 'val': 5}, PER_PERSON)
  said: dict[Any, list[str]] = collections.defaultdict(list)
  votes: dict[Any, list[Record]] = collections.defaultdict(list)
  others = min(repetitions, max(LEAST, round(OTHERS * repetitions)))
  for i in range(repetitions):
    original, judged_models, retrained_models = simulated(
        splits, *SKILLS[models], [people, i])
    names = list(JUDGED)[:None if i < others else 1]
    found = verdicts(
        data, splits, original, judged_models[:len(names)], retrained_models,
        RETRAINED)
    for (retrained, judged), (verdict, records) in zip(
        itertools.product(RETRAINED, names), found, strict=True):
      for what in FALSE[judged]:
        said[retrained, judged, what].append(verdict[what])
      if judged == 'retrained' and retrained > 1:
        for record in records:
          if record.delta.error:
            votes[retrained, record.metric].append(record)
  about = {'people': people, 'models': models}
  return [
      {**about, 'repetitions': len(found), 'retrained': retrained,
       'judged': judged, 'verdict_on': what,
       'per_image': sum('per image' in one for one in found) / len(found),
       **counted(found)}
      for (retrained, judged, what), found in said.items()
  ], [{**about, 'repetitions': repetitions, 'retrained': retrained,
       'metric': metric,
       'margin': found[0].margin,
       'error': float(np.median([one.delta.error for one in found])),
       'power': float(np.mean([one.power for one in found])),
       'indistinguishable': float(np.mean([
           one.verdict == 'indistinguishable' for one in found])),
       'distinguishable': float(np.mean([
           one.verdict == 'distinguishable' for one in found]))}
      for (retrained, metric), found in votes.items()]


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  repetitions = command.value(values, 'repetitions')
  started = time.process_time()
  rows: list[dict[str, Any]] = []
  voters: list[dict[str, Any]] = []
  for (people, share), models in itertools.product(PEOPLE.items(), SKILLS):
    of_verdicts, of_votes = rates(
        people, models, max(1, round(share * repetitions)))
    rows += of_verdicts
    voters += of_votes
  small = []
  for images in IMAGES:
    data, splits = data_of(dict.fromkeys(PARTS, images), known=False)
    found = [next(verdicts(data, splits, *damaged(splits, [images, i]), (3,)))
             for i in range(max(LEAST, round(SMALL * repetitions)))]
    small.append({'images': images, 'repetitions': len(found),
                  **counted([verdict['utility'] for verdict, _ in found])})
  return {'repetitions': repetitions, 'rows': rows, 'voters': voters,
          'small': small, 'cpu_s': round(time.process_time() - started)}


def _per_cent(share: float) -> str:
  return f'{100 * share:.1f}'


def _across(rows: Sequence[dict[str, Any]], keys: Sequence[str],
            value: str) -> list[str]:
  """A table of shares by retrained models."""
  by_key: dict[tuple[Any, ...], dict[int, str]] = {}
  for row in rows:
    by_key.setdefault(tuple(row[key] for key in keys), {})[
        row['retrained']] = _per_cent(row[value])
  columns = sorted({row['retrained'] for row in rows})
  return render.markdown_lines(
      [*keys, *map(str, columns)],
      [[*map(str, key), *(found.get(column, '') for column in columns)]
       for key, found in by_key.items()],
      ''.join('r' if key in ('people', 'repetitions') else 'l' for key in keys)
      + 'r' * len(columns))


def markdown(result: dict[str, Any]) -> str:
  """The page."""
  rows = [{**row, 'verdict on': row['verdict_on'],
           'wrong': row[FALSE[row['judged']][row['verdict_on']]]}
          for row in result['rows']]
  honest = [row for row in rows if row['judged'] == 'retrained']
  worse = [row for row in rows if row['judged'] != 'retrained']
  skills = '; '.join(f'{name}: {skill:g} in all and {rest:g} by image'
                     for name, (skill, rest) in SKILLS.items())
  key = ('models', 'verdict on', 'people', 'repetitions')
  return '\n'.join([
      '# How often verdicts are wrong, and how often they can be right', '',
      'Per cent of simulated evaluations at tier 1, by retrained models. '
      f'"people": to forget, unseen and retained ones each, {PER_PERSON} '
      'images a person. Standard deviation of the margin between models: '
      f'{skills} (between images: 1.1). The standard error of 5 is '
      f'{100 * (.05 * .95 / result["repetitions"])**.5:.1f} in '
      f'{result["repetitions"]:,} repetitions; more people have fewer.', '',
      '## A judged model of the law of the retrained ones', '',
      '"Indistinguishable" is right; with one retrained model nothing is said.',
      '', *_across(honest, key, 'indistinguishable'), '',
      '"Distinguishable" is wrong:', '',
      *_across(honest, key, 'wrong'), '',
      '## A judged model that is not', '',
      f'"leak": it keeps {JUDGED["leak"][0]:g} of what the original knows of '
      'forget; "over-forgotten": its margins on forget lie as much below. Both '
      'are judged on forgetting, the worse ones, by their accuracy on test, on '
      'utility. "Indistinguishable" is wrong; .02 is the margin itself, where '
      '2.5 % would be.', '',
      *_across(worse, ('judged', *key), 'indistinguishable'), '',
      '"Distinguishable" is right:', '',
      *_across(worse, ('judged', *key), 'distinguishable'), '',
      '## What keeps retrained models from being "indistinguishable"', '',
      'Of each metric that votes, on a judged model of the law of the '
      'retrained ones: the median standard error of its difference, its power '
      '(mean of what the evaluation says), and how often its own verdict is '
      '"indistinguishable" and "distinguishable". A metric by person does not '
      'block without power.', '',
      *render.markdown_lines(
          ['models', 'people', 'retrained', 'metric', 'margin',
           'standard error', 'power', 'indistinguishable', 'distinguishable'],
          [[row['models'], f'{row["people"]}', f'{row["retrained"]}',
            f'`{row["metric"]}`', f'{row["margin"]:g}', f'{row["error"]:.4f}',
            *map(_per_cent, (row['power'], row['indistinguishable'],
                             row['distinguishable']))]
           for row in result['voters']], 'lrrlrrrrr'), '',
      '## Few images', '',
      f'Utility of a model that is right on {WORSE:g} of the images, beside '
      f'three retrained ones that are right on {ACCURATE:g}, with so many '
      'images on each side and no known people; "indistinguishable" is false '
      f'({result["small"][0]["repetitions"]} simulations each):', '',
      *render.markdown_lines(
          ['images', *_WORDS],
          [[f'{row["images"]}', *(_per_cent(row[word]) for word in _WORDS)]
           for row in result['small']],
          'r' * (len(_WORDS) + 1)), '',
      'Only the metrics that vote were computed, without features and '
      f'relearning; {result["cpu_s"]} CPU seconds. '
      + programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.verdict_rates', __doc__,
    {'repetitions': (100, 'simulated evaluations of each row', 1)},
    _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
