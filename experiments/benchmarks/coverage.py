r"""How often 95 % intervals hold, on simulated people, images and models.

  python -m experiments.benchmarks.coverage --out=docs/results/coverage

Intervals of one model: an image's margin is normal, part of it a person's own;
what a model knows of forget is added to all margins there. Differences: images
have a difficulty that all models share, models a skill and a memory of forget
of their own where seeds matter, and both together a rest; the judged model is
one more retrained one, or worse by a known amount. The metrics that vote are
those of ``verdict_rates``, on one more retrained model. Values, intervals and
differences are those of the functions of an evaluation.
"""

from __future__ import annotations

import collections
import functools
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.cli import command
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import (
  against,
  estimate as estimate_lib,
  harm,
  inputs as inputs_lib,
  outputs,
  references as references_lib,
  registry,
  run,
)
from dlfd_jax.metrics import attack, ranks, stats
from dlfd_jax.pipeline import reference_designs as designs
from dlfd_jax.report import render
from experiments.benchmarks import verdict_rates
from experiments.publish import programs

PEOPLE = (2, 5, 13, 50)
PER_PERSON = 4
RETRAINED = (1, 3, 5, 8)
LEAKS = (0.0, 1.0)
_PERSON, _JITTER = .6, .5  # of the margin: the person's part; another model's
_CONFIG = inputs_lib.EvaluationConfig(bootstrap=200, draws=4)
_LIFT = {'retain': .25, 'val': 2.05, 'forget': 1.28, 'test': 1.28}
# Of the margins of several models: shared, of each model, rest.
_DIFFICULTY, _SKILL, _REST, _WORSE = .8, .15, .6, .5
_FEW = 10  # simulations where nothing has an interval
_VOTERS = ((13, 50), (3, 5, 8))  # people, retrained
_ATTACKS = ('rmia_auc', 'rmia_auc_person', 'lira_auc', 'lira_auc_two_sided',
            'lira_auc_person')  # of tier 2, from four retrained models
_SHADOWS = 32
_OF_SHADOWS = ('u_lira_auc', 'u_lira_auc_person', 'u_lira_retrained_auc',
               'klom_forget')
_TRACES = (0.0, .25)  # of the margin, where models differ by .5
_SHADOW_PEOPLE = (5, 13, 50)
_WITHHELD = .1  # of the repetitions
WITHHELD = 'attack accuracy, if it had one'
_LOSS = functools.partial(np.logaddexp, 0)


def _margins(rng: np.random.Generator, people: int, images: int,
             lift: float) -> np.ndarray:
  """Margins of a side ``[people * images]``, variance 1."""
  own = np.repeat(rng.normal(0, _PERSON, people), images)
  rest = rng.normal(0, math.sqrt(1 - _PERSON**2), people * images)
  return lift + own + rest


def truths(leak: float, images: int, draws: int = 40_000) -> dict[str, float]:
  """What the intervals of one model should hold, by name."""
  rng = np.random.default_rng(0)
  forget, test = (_margins(rng, draws, images, lift)
                  for lift in (_LIFT['forget'] + leak, _LIFT['test']))
  by_person = [-_LOSS(-side).reshape(draws, images).mean(1)
               for side in (forget, test)]
  limit = float(special.ndtri(.99))
  logits = [np.stack([m, np.zeros_like(m)], -1) for m in (
      test, test + rng.normal(0, _JITTER, test.size))]
  return {
      **{f'accuracy of {special.ndtr(lift):.2f}': float(special.ndtr(lift))
         for lift in (_LIFT['retain'], _LIFT['test'], _LIFT['val'])},
      'attack AUC': float(special.ndtr(leak / math.sqrt(2))),
      'attack AUC, class-matched': float(special.ndtr(leak / math.sqrt(2))),
      'attack AUC, by person': attack.auc(*by_person),
      'attack TPR at 1 % FPR': float(special.ndtr(leak - limit)),
      'unusually high losses': float(special.ndtr(-limit - leak)),
      'JS distance': float(against.js(
          tasks.Task('multiclass', ('a', 'b')), *logits).mean()),
  }


def one_model(rng: np.random.Generator, people: int, images: int,
              leak: float) -> dict[str, estimate_lib.Estimate]:
  """The estimates of one simulated evaluation, by name."""
  n = people * images
  labels = rng.integers(0, 2, 4 * n).astype(np.int32)
  identity = np.repeat(np.arange(4 * people), images)
  data = dataset_lib.Dataset(
      images=np.zeros((4 * n, 1, 1, 3), np.uint8), labels=labels,
      identity=(identity if images > 1 else np.full(4 * n, -1)).astype(
          np.int32),
      sample_id=np.arange(4 * n).astype(str),
      task=tasks.Task('multiclass', ('a', 'b')))
  splits = splits_lib.Splits(
      *np.split(np.arange(4 * n), 4), by_person=images > 1)
  models: dict[str, Any] = {'unlearned': {}, 'retrained': [{}]}
  for name, rows in splits.parts.items():
    margins = _margins(
        rng, people, images, _LIFT[name] + leak * (name == 'forget'))
    for of_model, values in (
        (models['unlearned'], margins),
        (models['retrained'][0], margins + rng.normal(0, _JITTER, n))):
      of_model[name] = np.where(
          labels[rows][:, None] == [0, 1], values[:, None], 0)
  inputs = inputs_lib.prepare(models, data, splits, _CONFIG)
  model, other = inputs.unlearned, inputs.retrained
  assert model is not None
  found = {
      f'accuracy of {special.ndtr(_LIFT[split]):.2f}':
      outputs.accuracy_on(inputs, model, split=split)
      for split in ('retain', 'test', 'val')}
  attacked = (outputs.attack_accuracy(inputs, model)
              if rng.random() < _WITHHELD else estimate_lib.Estimate(0))
  if attacked.replicates is not None:
    found[WITHHELD] = estimate_lib.Estimate.resampled(
        float(attacked.value or 0.0), attacked.replicates, people,
        estimate_lib.SHARE)
  return found | {
      'attack AUC': outputs.auc(inputs, model),
      'attack AUC, class-matched': outputs.matched_auc(inputs, model),
      'attack AUC, by person': outputs.person_auc(inputs, model),
      'attack TPR at 1 % FPR': outputs.tpr_at(inputs, model, rate=.01),
      'unusually high losses': harm.loss_tail(inputs, model),
      'JS distance': against.distance(
          inputs, model, other, kind=against.js, split='test'),
  }


def several_models(rng: np.random.Generator, people: int, seeds: bool,
                   ) -> dict[tuple[str, int], estimate_lib.Estimate]:
  """Differences of a simulated judged model, by metric and references."""
  count = max(RETRAINED) + 1
  skill, memory = rng.normal(0, _SKILL * seeds, (2, count, 1, 1))
  sides = {}
  for name in ('forget', 'test'):
    shape = people, PER_PERSON
    shared = (_DIFFICULTY * rng.normal(size=shape)
              + _PERSON * rng.normal(size=(people, 1)))
    sides[name] = (1 + shared + skill + memory * (name == 'forget')
                   + _REST * rng.normal(size=(count, *shape)))
  weights = {name: stats.draw_multiplicities(
      people, _CONFIG.bootstrap, rng).astype(np.float64) for name in sides}

  def share(margins: np.ndarray) -> estimate_lib.Estimate:
    right = (margins > 0).mean(1)
    drawn = weights['test']
    return estimate_lib.Estimate.resampled(
        float(right.mean()), drawn @ right / drawn.sum(1), people,
        estimate_lib.SHARE)

  def area(model: int) -> estimate_lib.Estimate:
    scores = [side[model].mean(1) for side in sides.values()]
    read = lambda *drawn: ranks.area(*ranks.roc(scores[0], scores[1], *drawn))
    return estimate_lib.Estimate.resampled(
        float(read()), read(*weights.values()), people, estimate_lib.SHARE)

  test = sides['test']
  metrics = {
      'accuracy': [share(margins) for margins in test],
      'attack AUC, by person': [area(model) for model in range(count)]}
  worse = share(test[0] - _WORSE)
  found = {}
  for retrained in RETRAINED:
    for name, (judged, *others) in metrics.items():
      found[name, retrained] = estimate_lib.difference(
          judged, others[:retrained])
    found['accuracy, worse', retrained] = estimate_lib.difference(
        worse, metrics['accuracy'][1:retrained + 1])
  return {key: gap for key, gap in found.items() if gap is not None}


def difference_truths(seeds: bool) -> dict[str, float]:
  """What the intervals of the differences should hold."""
  deviation = math.sqrt(_DIFFICULTY**2 + _PERSON**2 + _REST**2
                        + seeds * _SKILL**2)
  return {
      'accuracy': 0.0, 'attack AUC, by person': 0.0,
      'accuracy, worse': float(special.ndtr((1 - _WORSE) / deviation)
                               - special.ndtr(1 / deviation))}


def _row(found: list[estimate_lib.Estimate], truth: float,
         **about: Any) -> dict[str, Any]:
  """Coverage and median width of the intervals that there are."""
  there = [(e.low, e.high) for e in found
           if e.low is not None and e.high is not None]
  held = [low - 1e-9 <= truth <= high + 1e-9 for low, high in there]
  return {
      **about, 'truth': truth, 'without': len(found) - len(there),
      'coverage': float(np.mean(held)) if there else None,
      'width': float(np.median(np.diff(there))) if there else None}


def _collect(one: Callable[[np.random.Generator], dict[Any, Any]],
             repetitions: int, *seed: int) -> dict[Any, list[Any]]:
  found = collections.defaultdict(list)
  for i in range(repetitions):
    for name, estimate in one(np.random.default_rng([*seed, i])).items():
      if estimate.value is not None:
        found[name].append(estimate)
  return found


def single_rows(repetitions: int, people: tuple[int, ...] = PEOPLE,
                ) -> Iterator[dict[str, Any]]:
  """A row for each interval of one model."""
  for size, images, leak in itertools.product(people, (1, PER_PERSON), LEAKS):
    if images == 1 and leak:
      continue
    right = truths(leak, images)
    found = _collect(functools.partial(
        one_model, people=size, images=images, leak=leak),
        repetitions if size >= stats.ENOUGH else _FEW,
        1, size, images, int(leak))
    for name, estimates in found.items():
      mean = float(np.mean([estimate.value for estimate in estimates]))
      yield _row(estimates, right.get(name, mean), metric=name, people=size,
                 images=images, leak=leak)


def difference_rows(repetitions: int, people: tuple[int, ...] = PEOPLE,
                    ) -> Iterator[dict[str, Any]]:
  """A row for each interval of a difference."""
  for size, seeds in itertools.product(people, (False, True)):
    right = difference_truths(seeds)
    found = _collect(functools.partial(
        several_models, people=size, seeds=seeds),
        repetitions if size >= stats.ENOUGH else _FEW, 2, size, seeds)
    for (name, retrained), estimates in found.items():
      yield _row(estimates, right[name], metric=name, people=size,
                 seeds=seeds, retrained=retrained)


def voter_rows(repetitions: int) -> Iterator[dict[str, Any]]:
  """A row for each metric that votes: how often its difference holds 0."""
  people, counts = _VOTERS
  metrics = [*verdict_rates.NEEDED, *map(_metric, _ATTACKS)]
  for size, models in itertools.product(people, verdict_rates.SKILLS):
    data, splits = verdict_rates.data_of(
        {**dict.fromkeys(verdict_rates.PARTS, size), 'val': 5}, PER_PERSON)
    found = collections.defaultdict(list)
    for i in range(repetitions):
      original, judged, retrained = verdict_rates.simulated(
          splits, *verdict_rates.SKILLS[models], [3, size, i])
      for count, (_, records) in zip(counts, verdict_rates.verdicts(
          data, splits, original, judged[:1], retrained, counts, metrics)):
        for record in records:
          if record.delta.error:
            found[record.metric, count].append(record.delta)
    for (metric, count), deltas in found.items():
      yield _row(deltas, 0.0, metric=metric, models=models, people=size,
                 retrained=count)


def _metric(name: str) -> registry.Metric:
  found = registry.find(name)
  assert found is not None, name
  return found


def by_shadows(rng: np.random.Generator, people: int, trace: float,
               ) -> dict[tuple[str, str], estimate_lib.Estimate]:
  """Figures of simulated shadow models, and their differences to the null.

  Each model unlearned a random half of the people and keeps ``trace`` of their
  margins; eight retrained models keep nothing.
  """
  data, splits = verdict_rates.data_of(
      dict.fromkeys(verdict_rates.PARTS, people), PER_PERSON)
  skill, rest = verdict_rates.SKILLS['apart']
  ease = {name: rng.normal(verdict_rates.EASE, 1.0, len(rows))
          for name, rows in splits.parts.items()}

  def model() -> dict[str, np.ndarray]:
    level = rng.normal(0.0, skill)
    return {name: of + level + rng.normal(0.0, rest, len(of))
            for name, of in ease.items()}

  def logits(margins: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.where(data.labels[splits.parts[name]][:, None] == [0, 1],
                           of[:, None], 0.0) for name, of in margins.items()}

  states = designs.random_states(
      _SHADOWS, people, int(rng.integers(2**31)))
  states = np.repeat(states, PER_PERSON, axis=1)
  before, after = (np.stack([model()['forget'] for _ in range(_SHADOWS)])
                   + gain * (states == references_lib.FORGET)
                   for gain in (verdict_rates.GAIN, trace))
  inputs = inputs_lib.prepare(
      {'original': logits(model()), 'unlearned': logits(model()),
       'retrained': [logits(model()) for _ in range(max(RETRAINED))]},
      data, splits, verdict_rates.CONFIG,
      references_lib.References(
          shadows=references_lib.Shadows(after, before, states)))
  found = {}
  for name in _OF_SHADOWS:
    record, = run.records(inputs, _metric(name))
    found[name, 'figure'] = record.unlearned
    found[name, 'difference to its null'] = record.delta
  return found


def shadow_rows(repetitions: int, people: tuple[int, ...] = _SHADOW_PEOPLE,
                ) -> Iterator[dict[str, Any]]:
  """A row for each interval of figures of shadow models.

  What a figure should be with a trace, or of so many models, has no closed
  form: its mean over the simulations stands for it, but for a difference where
  nothing is left, which should be 0.
  """
  for size, trace in itertools.product(people, _TRACES):
    found = _collect(functools.partial(by_shadows, people=size, trace=trace),
                     repetitions, 4, size, int(100 * trace))
    for (name, what), estimates in found.items():
      mean = float(np.mean([estimate.value for estimate in estimates]))
      truth = 0.0 if what != 'figure' and not trace else mean
      yield _row(estimates, truth, metric=name, what=what, people=size,
                 trace=trace, mean=mean)


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  repetitions = command.value(values, 'repetitions')
  started = time.process_time()
  return {'repetitions': repetitions,
          'single': list(single_rows(repetitions)),
          'differences': list(difference_rows(repetitions)),
          'voters': list(voter_rows(repetitions)),
          'shadows': list(shadow_rows(repetitions)),
          'cpu_s': round(time.process_time() - started)}


def _cell(row: dict[str, Any] | None) -> str:
  if row is None:
    return ''
  if row['coverage'] is None:
    return 'none'
  return f'{100 * row["coverage"]:.1f}'


def _table(rows: list[dict[str, Any]], keys: tuple[str, ...], across: str,
           columns: tuple[int, ...], heads: list[str]) -> list[str]:
  by_key: dict[tuple[Any, ...], dict[int, dict[str, Any]]] = {}
  for row in rows:
    by_key.setdefault(tuple(row[key] for key in keys), {})[row[across]] = row
  lines = [[*(_word(part) for part in key), *(
      _cell(of_key.get(column)) for column in columns)]
           for key, of_key in by_key.items()]
  return render.markdown_lines(
      [*heads, *(f'{column}' for column in columns)], lines,
      'l' + ''.join('l' if head in ('models', 'interval of') else 'r'
                    for head in heads[1:]) + 'r' * len(columns))


def _word(part: Any) -> str:
  if isinstance(part, bool):
    return 'yes' if part else 'no'
  return part if isinstance(part, str) else f'{part:g}'


def markdown(result: dict[str, Any]) -> str:
  """The page."""
  error = 100 * (.05 * .95 / result['repetitions'])**.5
  return '\n'.join([
      '# How often 95 % intervals hold', '',
      f'Per cent of {result["repetitions"]} simulations each; the standard '
      f'error of 95 is {error:.1f}. "none": too few people for an interval. '
      'Exact intervals may hold more often. KS distance, forgetting score, '
      'NoMUS, RF-JSD, average gap and ToW have no interval; nor have attack '
      'accuracies (the row, of a tenth of the simulations, shows why: where '
      'there is no leak, resampled out-of-fold results would hold their mean '
      'too rarely) and unusually high losses with fewer than 100 unseen '
      'images; the null is printed instead.', '',
      '## One model', '',
      'By people a side. One image: nobody is known, and images are the units. '
      'A leak: forget margins lie one standard deviation higher.', '',
      *_table(result['single'], ('metric', 'images', 'leak'), 'people', PEOPLE,
              ['metric', 'images', 'leak']), '',
      '## Differences to retrained models', '',
      f'By retrained models; {PER_PERSON} images of each person. "worse": the '
      f'judged model is less often right by '
      f'{-difference_truths(False)["accuracy, worse"]:.2f}. With one retrained '
      'model the spread between seeds is unknown and in no interval.', '',
      *_table(result['differences'], ('metric', 'people', 'seeds'),
              'retrained', RETRAINED,
              ['metric', 'people', 'seed noise']), '',
      '## Differences of the metrics that vote, and of tier 2', '',
      'The judged model is one more retrained one, models are those of '
      f'`verdict_rates`; {verdict_rates.RESAMPLES} resamples.', '',
      *_table(result['voters'], ('metric', 'models', 'people'), 'retrained',
              _VOTERS[1], ['metric', 'models', 'people']), '',
      '## Figures of shadow models', '',
      f'By people to forget; {_SHADOWS} shadow models, each of which unlearned '
      f'a random half of them, {PER_PERSON} images of each person, '
      f'{max(RETRAINED)} retrained models, {verdict_rates.RESAMPLES} '
      'resamples. A trace: what is left of the margin on unlearned images, '
      'where models differ by '
      f'{verdict_rates.SKILLS["apart"][1]:g}. The figure should be its own '
      'mean over the simulations, the difference to its null 0 without a '
      "trace. KLOM's own interval is left out of evaluations with fewer than "
      '50 people.', '',
      *_table(result['shadows'], ('metric', 'what', 'trace'), 'people',
              _SHADOW_PEOPLE, ['metric', 'interval of', 'trace']), '',
      f'{_CONFIG.bootstrap} resamples else; {result["cpu_s"]} CPU seconds. '
      + programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.coverage', __doc__,
    {'repetitions': (2000, 'simulations of each row', 1)}, _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
