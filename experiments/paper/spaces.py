"""What a search may change in each method: fields, ranges, choices.

Every method gets the rate of its update and the one or two numbers that its
paper tells to tune; most get the passes over the data, too (UNSIR has its two
passes with a rate each, SSD takes none). All else is the start's. A method
without a row here, such as one of a user's own, gets what it names as
``searched``, else rate and passes. Of a method that is restored the
teacher keeps its start: the same trials as everybody's would be lost in the
fields of two methods at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna import distributions

from dlfd_jax import methods, presets
from dlfd_jax.utils import configs

Distribution = distributions.BaseDistribution
Space = dict[str, Distribution]
# Wrappers but SCRUB+R, a method of its paper, and the released code's fixed
# settings have nothing to tune.
FIXED = ('official_compat', 'rewind', 'restore')
SEARCHED = tuple(name for name in methods.METHODS if name not in FIXED)
_RATE = 'optimizer.learning_rate'


def _log(low, high):
  return distributions.FloatDistribution(low, high, log=True)


def _choice(*values):
  return distributions.CategoricalDistribution(tuple(dict.fromkeys(values)))


RESTORED: Space = {
    'restore.weight': _log(.3, 10.),
    'restore.epochs': distributions.IntDistribution(2, 6),
    f'restore.{_RATE}': _log(.005, .1)}


def space_of(preset: presets.Preset, method: str) -> Space:
  """Dotted field paths of a method's config and what each may be.

  Args:
    preset: the start; rates and passes are ranges around its own.
    method: a name in :data:`SEARCHED`, or a class of one's own.

  Raises:
    ValueError: if such a class names what cannot be searched.
  """
  if own := methods.resolve(method).searched:
    return _own(preset.config_of(method), own, method)
  ours = preset.methods['dlfd']
  most = ours.epochs
  passes = {'epochs': _choice(max(most // 4, 1), max(most // 2, 1), most)}
  rate = {_RATE: _log(ours.optimizer.learning_rate / 10,
                      ours.optimizer.learning_rate * 3)}
  adam = _log(1e-4, 1e-2)
  blocks = distributions.IntDistribution(1, 6)
  # At least as many passes as max passes, as SCRUB demands.
  scrub = {_RATE: rate[_RATE],
           'epochs': _choice(max(most // 2, 2), max(most, 2)),
           'max_epochs': _choice(1, 2), 'alpha': _log(1e-3, 0.5)}
  step = ours.perturb_step_size
  distance = {**rate, **passes,
              'perturb_step_size': _log(
                  min(.1 / 255, step), max(2 / 255, step)),
              'ot_weight': _log(.3, 10.)}
  return {
      'dlfd': distance,
      'dlfd_restore': RESTORED,
      'finetune': {**rate, **passes},
      'neggrad': {_RATE: _log(ours.optimizer.learning_rate / 100,
                              ours.optimizer.learning_rate), **passes},
      'neggrad_plus': {**rate, **passes,
                       'beta': distributions.FloatDistribution(.5, .99)},
      'cf_k': {**rate, **passes, 'k': blocks},
      'eu_k': {_RATE: _log(preset.train.optimizer.learning_rate / 5,
                           preset.train.optimizer.learning_rate * 2),
               'k': blocks, 'epochs': _choice(*(
                   max(preset.train.epochs // part, 1) for part in (5, 3, 1)))},
      'l1_sparse': {**rate, **passes, 'gamma': _log(1e-5, 1e-2)},
      'salun': {**rate, **passes,
                'mask_share': distributions.FloatDistribution(.1, .9)},
      'amun': {**rate, **passes, 'use_retain': _choice(True, False)},
      'align': {**rate, **passes, 'retain_weight': _log(.1, 10.),
                'class_cost': distributions.FloatDistribution(0., .9)},
      'rum': {**{f'{part}.{path}': found for part in ('medium', 'high')
                 for path, found in {**rate, **passes}.items()},
              'high.mask_share': distributions.FloatDistribution(.1, .9)},
      'ssd': {'alpha': _log(.5, 100.)},
      'lfssd': {'alpha': _log(.5, 100.)},
      'margin_matching': {
          _RATE: _log(.005, .05), 'epochs': _choice(2, 3, 4),
          'weight': _log(.1, 3.)},
      'regun': {**rate, **passes, 'retain_weight': _log(.3, 10.)},
      'msg': {**rate, **passes,
              'renewed': distributions.FloatDistribution(.1, .9)},
      'sfr_on': {**rate, **passes, 'ascent_weight': _log(.1, 100.),
                 'ascent_every': _choice(1, 2, 5)},
      'kgl_top1': {**rate, **passes, 'uniform_optimizer.learning_rate':
                   rate[_RATE], 'forget_optimizer.learning_rate': _log(
                       ours.optimizer.learning_rate / 100,
                       ours.optimizer.learning_rate)},
      'lotus': {_RATE: adam, **passes, 'retain_share': _choice(.3, 1.),
                'temperature_slope': _log(.5, 20.)},
      'fisher': {'noise_scale': _log(1e-4, 1e-1)},
      'unsir': {_RATE: adam, 'repair_optimizer.learning_rate': adam},
      'bad_teaching': {_RATE: adam, **passes, 'retain_share': _choice(.3, 1.)},
      'scrub': scrub,
      'scrub_r': {f'method.{path}': found for path, found in scrub.items()},
  }.get(method, {**rate, **passes})


def _own(config: methods.RunConfig, searched: Mapping[str, Any],
         method: str) -> Space:
  """What a class names: whole numbers, numbers from 0, others by factors."""
  space: Space = {}
  for path, given in searched.items():
    where = f'{path!r} in `searched` of the method {method}'
    if isinstance(given, list):
      if len(given) < 2:
        raise ValueError(
            f'Expected two choices or more of {where}, got {given}.')
      space[path] = _choice(*given)
    elif (isinstance(given, tuple) and len(given) == 2
          and all(type(end) in (int, float) for end in given)
          and given[0] < given[1]):
      low, high = given
      space[path] = (
          distributions.IntDistribution(low, high)
          if type(low) is type(high) is int else
          distributions.FloatDistribution(low, high, log=low > 0))
    else:
      raise ValueError('Expected (low, high) or a list of choices for '
                       f'{where}, got {given!r}.')
    for value in given:
      try:
        configs.replace(config, {path: value})
      except ValueError as error:
        raise ValueError(f'Expected {where} to be allowed: {error}') from error
  return space


def start_of(config: methods.RunConfig, space: Space) -> dict[str, Any]:
  """The start's own values, moved into the space where they lie outside.

  A choice that the start does not make becomes the last one.
  """
  values = {}
  for path, found in space.items():
    value = config
    for name in path.split('.'):
      value = getattr(value, name)
    if isinstance(found, distributions.CategoricalDistribution):
      values[path] = value if value in found.choices else found.choices[-1]
    else:
      assert isinstance(found, (distributions.FloatDistribution,
                                distributions.IntDistribution))
      values[path] = min(max(value, found.low), found.high)
  return values


def lies_in(space: Space, values: dict[str, Any]) -> bool:
  """Whether a stored trial is one of this space, which may have changed."""
  return values.keys() == space.keys() and all(
      values[path] in found.choices
      if isinstance(found, distributions.CategoricalDistribution) else
      found.low <= values[path] <= found.high  # type: ignore[attr-defined]
      for path, found in space.items())


def suggest(space: Space, start: dict[str, Any],
            tried: list[dict[str, Any]], seed: int) -> dict[str, Any]:
  """The values of the next trial: a pure function of those before it.

  Args:
    space: of the method.
    start: the values of the first trial.
    tried: ``values`` and ``score`` of every finished trial, in order.
    seed: of the search.

  Returns:
    The start first; then four random points; then by a tree-structured Parzen
    estimator (Bergstra et al. 2011).
  """
  if not tried:
    return start
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  study = optuna.create_study(
      direction='maximize', sampler=optuna.samplers.TPESampler(
          seed=seed * 1000 + len(tried), n_startup_trials=5))
  for trial in tried:
    study.add_trial(optuna.trial.create_trial(
        params=trial['values'], distributions=space, value=trial['score']))
  return dict(study.ask(space).params)


def describe(space: Space) -> dict[str, Any]:
  """The space in JSON values, for a result."""
  found: dict[str, Any] = {}
  for path, of_path in space.items():
    if isinstance(of_path, distributions.CategoricalDistribution):
      found[path] = {'choices': list(of_path.choices)}
    else:
      found[path] = {name: getattr(of_path, name)
                     for name in ('low', 'high', 'log')}
  return found
