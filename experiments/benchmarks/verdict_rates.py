r"""How often overall verdicts are wrong, on simulated models.

  python -m experiments.benchmarks.verdict_rates \
      --out=docs/results/verdict_rates

An image has a difficulty that all models share, a model a skill of its own, and
both together a rest. Images in training gain a margin; what the unlearned model
still knows of forget is a share of that gain. At a share of 0 the unlearned
model is one more retrained one: then "distinguishable" is false. At a share
above 0 "indistinguishable" is false. The second table is about utility: all
models are right on .98 of the images, the unlearned one on .90.

Only the metrics that vote are computed, by the functions of an evaluation.
There is no relearning and there are no features, so AIN and the probe abstain.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import sys
import time
from typing import Any

import numpy as np
from absl import flags
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.cli import command
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, registry, run
from dlfd_jax.report import render
from experiments.publish import programs

PER_PERSON = 4
IMAGES = (3, 4, 5, 6, 7, 8)
ACCURATE, WORSE = 0.98, 0.90
GAIN = 2.0  # of the margin by training
_CONFIG = inputs_lib.EvaluationConfig(bootstrap=100, permutations=20, draws=1)
_NEEDED = [metric for metric in registry.METRICS
           if metric.votes or metric.name == 'streisand']
_WORDS = ('distinguishable', 'indistinguishable', 'inconclusive', 'cannot say',
          'too few to say')

Logits = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Setting:
  """How many people there are, and how far models of one law lie apart.

  Attributes:
    people: by split.
    skill: standard deviation of the margin between models.
    rest: of an image's margin between them.
    share: of the repetitions: larger samples take longer.
    retrained: numbers of retrained models.
    leaks: shares of what the original knows of forget.
  """

  people: dict[str, int]
  skill: float
  rest: float
  share: float
  retrained: tuple[int, ...]
  leaks: tuple[float, ...]


SETTINGS = {
    'small': Setting({'retain': 60, 'forget': 30, 'val': 5, 'test': 60},
                     0.1, 0.7, 1.0, (1, 3, 5, 8), (0.0, 0.3)),
    'large': Setting({'retain': 300, 'forget': 300, 'val': 5, 'test': 300},
                     0.005, 0.1, 0.2, (5,), (0.0, 0.1))}
PARTS = ('retain', 'forget', 'val', 'test')


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
             margins: dict[str, Any]) -> dict[str, str]:
  """Both overall verdicts on models with these margins, by split."""
  def logits(of_model: Logits) -> Logits:
    found = {}
    for name, values in of_model.items():
      right = data.labels[splits.parts[name]]
      found[name] = np.zeros((len(values), 2), np.float32)
      found[name][np.arange(len(values)), right] = values
    return found

  inputs = inputs_lib.prepare({
      'original': logits(margins['original']),
      'unlearned': logits(margins['unlearned']),
      'retrained': [logits(one) for one in margins['retrained']]},
      data, splits, _CONFIG)
  found = [record for metric in _NEEDED
           for record in run.records(inputs, metric)]
  return {what: str(verdict['verdict']) for what, verdict
          in run.overall_verdicts(inputs, found).items()}


def leaking(splits: splits_lib.Splits, setting: Setting, retrained: int,
            leak: float, seed: list[int]) -> dict[str, Any]:
  """Margins of one law, but for what the unlearned model still knows."""
  rng = np.random.default_rng(seed)
  people = {name: rng.normal(0.8, 1.0, len(rows)) + np.repeat(
      rng.normal(0.0, 0.5, len(rows) // PER_PERSON), PER_PERSON)
            for name, rows in splits.parts.items()}

  def model(known: float) -> Logits:
    skill = rng.normal(0.0, setting.skill)
    gain = {'retain': GAIN, 'forget': known * GAIN}
    return {name: ease + skill + gain.get(name, 0.0) + rng.normal(
        0.0, setting.rest, len(ease)) for name, ease in people.items()}

  return {'original': model(1.0), 'unlearned': model(leak),
          'retrained': [model(0.0) for _ in range(retrained)]}


def damaged(splits: splits_lib.Splits, retrained: int,
            seed: list[int]) -> dict[str, Any]:
  """Margins whose signs are right as often as :data:`ACCURATE` says."""
  rng = np.random.default_rng(seed)

  def model(accuracy: float) -> Logits:
    return {name: special.ndtri(accuracy) + rng.normal(size=len(rows))
            for name, rows in splits.parts.items()}

  return {'original': model(ACCURATE), 'unlearned': model(WORSE),
          'retrained': [model(ACCURATE) for _ in range(retrained)]}


def counted(found: list[str]) -> dict[str, float]:
  """The share of every verdict, told by its first words."""
  counts = collections.Counter(
      next(word for word in _WORDS if verdict.startswith(word))
      for verdict in found)
  return {word: counts[word] / len(found) for word in _WORDS}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  repetitions = command.value(values, 'repetitions')
  started = time.process_time()
  rows = []
  for name, setting in SETTINGS.items():
    data, splits = data_of(setting.people, PER_PERSON)
    count = max(1, round(setting.share * repetitions))
    for retrained, leak in itertools.product(setting.retrained, setting.leaks):
      found = [verdicts(data, splits, leaking(
          splits, setting, retrained, leak, [retrained, round(100 * leak), i]))
               for i in range(count)]
      rows += [{'setting': name, 'verdict_on': what, 'retrained': retrained,
                'leak': leak, 'repetitions': count, 'per_image': sum(
                    'per image' in one[what] for one in found) / count,
                **counted([one[what] for one in found])}
               for what in ('forgetting', 'utility')]
  small = []
  for images in IMAGES:
    data, splits = data_of(
        dict.fromkeys(PARTS, images), known=False)
    found = [verdicts(data, splits, damaged(splits, 3, [images, i]))['utility']
             for i in range(repetitions)]
    small.append({'images': images, **counted(found)})
  return {'repetitions': repetitions, 'rows': rows, 'small': small,
          'settings': {name: dataclasses.asdict(setting)
                       for name, setting in SETTINGS.items()},
          'cpu_s': round(time.process_time() - started)}


def markdown(result: dict[str, Any]) -> str:
  """The page."""
  error = 100 * (.05 * .95 / result['repetitions'])**.5

  def shares(row: dict[str, Any]) -> list[str]:
    return [f'{100 * row[word]:.1f}' for word in _WORDS]

  rows = [[row['setting'], row['verdict_on'], f'{row["retrained"]}',
           f'{row["leak"]:g}', f'{row["repetitions"]}', *shares(row),
           f'{100 * row["per_image"]:.1f}']
          for row in result['rows']]
  settings = '; '.join(
      f'{name}: {of["people"]["forget"]} people to forget, '
      f'{of["people"]["test"]} unseen and {of["people"]["retain"]} retained '
      f'ones, {PER_PERSON} images each, standard deviation of the margin '
      f'between models {of["skill"]:g} in all and {of["rest"]:g} by image'
      for name, of in result['settings'].items())
  return '\n'.join([
      '# How often verdicts are wrong', '',
      'Per cent of simulated evaluations. A leak of 0: the unlearned model is '
      'of the law of the retrained ones, and "distinguishable" is false. Above '
      '0 it keeps that share of what the original knows of forget: on '
      'forgetting "indistinguishable" is false; its utility is that of a '
      'retrained model in every row. '
      f'{settings}. The standard error of 5 is {error:.1f} in '
      f'{result["repetitions"]} repetitions. "per image": of the'
      ' "indistinguishable" ones, those that cannot say it of persons.', '',
      *render.markdown_lines(
          ['sample', 'verdict on', 'retrained', 'leak', 'repetitions', *_WORDS,
           'per image'], rows, 'llrrr' + 'r' * (len(_WORDS) + 1)), '',
      f'Utility of a model that is right on {WORSE:g} of the images, beside '
      f'three retrained ones that are right on {ACCURATE:g}, with so many '
      'images on each side and no known people; "indistinguishable" is false:',
      '', *render.markdown_lines(
          ['images', *_WORDS],
          [[f'{row["images"]}', *shares(row)] for row in result['small']],
          'r' * (len(_WORDS) + 1)), '',
      'Only the metrics that vote were computed, without features and '
      f'relearning; {result["cpu_s"]} CPU seconds. '
      + programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.verdict_rates', __doc__,
    {'repetitions': (200, 'simulated evaluations of each row', 1)},
    _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
