"""Unlearning methods by name: a config and a plan each."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from dlfd_jax import loop
from dlfd_jax.methods import (
  bad_teaching,
  base,
  cf_k,
  dlfd,
  dlfd_released,
  eu_k,
  finetune,
  neggrad,
  neggrad_plus,
  rewind,
  scrub,
  unsir,
)
from dlfd_jax.methods.base import MethodConfig, Problem, UnlearnResult

__all__ = ['METHODS', 'Method', 'MethodConfig', 'Problem', 'RunConfig',
           'UnlearnResult', 'WRAPPERS', 'make_plan', 'method_of', 'unlearn']


RunConfig = MethodConfig | rewind.RewindConfig


@dataclasses.dataclass(frozen=True)
class Method:
  """A registered method: its display name, config class and plan."""

  title: str
  config: type[MethodConfig] | type[rewind.RewindConfig]
  make_plan: base.MakePlan


def method_of(config: RunConfig) -> str:
  """Name of the method that has this config.

  Raises:
    ValueError: if there is none.
  """
  for name, method in METHODS.items():
    if type(config) is method.config:
      return name
  raise ValueError(
      f'Expected the config of a method in {sorted(METHODS)}, got '
      f'{type(config).__name__}.')


def make_plan(setting: base.Setting,
              config: RunConfig) -> tuple[loop.Plan, base.MethodController]:
  """Plan and controller of the method that has this config."""
  return METHODS[method_of(config)].make_plan(setting, config)


_rewind = functools.partial(rewind.make_plan, make_inner=make_plan)
METHODS = {
    'dlfd': Method('DLFD', dlfd.DLFDConfig, dlfd.make_plan),
    'official_compat': Method(
        'DLFD as released (official_compat)', dlfd_released.DLFDReleasedConfig,
        dlfd_released.make_plan),
    'finetune': Method(
        'Fine-tuning', finetune.FinetuneConfig, finetune.make_plan),
    'neggrad': Method('NegGrad', neggrad.NegGradConfig, neggrad.make_plan),
    'neggrad_plus': Method(
        'NegGrad+', neggrad_plus.NegGradPlusConfig, neggrad_plus.make_plan),
    'cf_k': Method('CF-k', cf_k.CFKConfig, cf_k.make_plan),
    'eu_k': Method('EU-k', eu_k.EUKConfig, eu_k.make_plan),
    'unsir': Method('UNSIR', unsir.UnsirConfig, unsir.make_plan),
    'bad_teaching': Method(
        'BadTeaching', bad_teaching.BadTeachingConfig, bad_teaching.make_plan),
    'scrub': Method('SCRUB', scrub.ScrubConfig, scrub.make_plan),
    'scrub_r': Method('SCRUB+R', rewind.ScrubRConfig, _rewind),
    'rewind': Method('Rewind', rewind.RewindConfig, _rewind),
}
# Methods that run another one.
WRAPPERS = tuple(name for name, method in METHODS.items()
                 if issubclass(method.config, rewind.RewindConfig))


def unlearn(problem: Problem, config: RunConfig,
            **options: Any) -> UnlearnResult:
  """Makes a trained classifier forget; the method is that of the config.

  Args:
    problem: the classifier, the data and whom to forget.
    config: a ``DLFDConfig`` or another method's.
    **options: ``devices``, ``log``, ``checkpoints``, ``hooks`` ...; see
      ``methods.base.run``.

  Returns:
    The selected and the last variables, and how they came about. The
    problem's own variables are unchanged.

  Raises:
    ValueError: if no method has that config.
  """
  return base.run(problem, config, METHODS[method_of(config)].make_plan,
                  **options)
