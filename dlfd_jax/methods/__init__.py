"""Unlearning methods by name: a config and a plan each."""

from __future__ import annotations

import dataclasses
from typing import Any

from dlfd_jax.methods import base
from dlfd_jax.methods import dlfd
from dlfd_jax.methods import dlfd_released
from dlfd_jax.methods import finetune
from dlfd_jax.methods.base import MethodConfig
from dlfd_jax.methods.base import Problem
from dlfd_jax.methods.base import UnlearnResult

__all__ = ['METHODS', 'Method', 'MethodConfig', 'Problem', 'UnlearnResult',
           'unlearn']


@dataclasses.dataclass(frozen=True)
class Method:
  """A registered method: its display name, config class and plan."""

  title: str
  config: type[MethodConfig]
  make_plan: base.MakePlan


METHODS = {
    'dlfd': Method('DLFD', dlfd.DLFDConfig, dlfd.make_plan),
    'official_compat': Method(
        'DLFD as released (official_compat)', dlfd_released.DLFDReleasedConfig,
        dlfd_released.make_plan),
    'finetune': Method(
        'Fine-tuning', finetune.FinetuneConfig, finetune.make_plan),
}


def unlearn(problem: Problem, config: MethodConfig,
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
  for method in METHODS.values():
    if type(config) is method.config:
      return base.run(problem, config, method.make_plan, **options)
  raise ValueError(
      f'Expected the config of a method in {sorted(METHODS)}, got '
      f'{type(config).__name__}.')
