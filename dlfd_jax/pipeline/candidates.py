"""What ``unlearn --method=auto`` may try, by name, and for how long."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from dlfd_jax import methods, models, presets, training
from dlfd_jax.methods import base as methods_base, eu_k
from dlfd_jax.pipeline import run_configs, unlearn
from dlfd_jax.utils import plugins, validate

RETRAIN, SHORT, DEEP = 'retrain', 'eu_k_short', 'eu_k_deep'
DEFAULT = ('finetune', SHORT, 'dlfd_restore', DEEP, RETRAIN)
_SEED = 1_000_000  # of retraining: none that references would begin with
_SHORT, _DEEP = 1 / 3, 1 / 2  # of the epochs of training


@dataclasses.dataclass(frozen=True)
class Candidate:
  """What may be tried.

  Attributes:
    name: of its folder.
    config: of a method; or a recipe: then it is exact retraining.

  Raises:
    ValueError: if the name is no name of a folder, or the config none of these.
  """

  name: str
  config: methods.RunConfig | training.TrainConfig

  def __post_init__(self) -> None:
    if not re.fullmatch(r'\w[\w.-]*', self.name):
      raise ValueError('Expected a name of letters, digits, _, - and . for a '
                       f'candidate, got {self.name!r}.')
    if not isinstance(self.config, training.TrainConfig):
      methods.method_of(self.config)  # says what is wrong

  @property
  def exact(self) -> bool:
    """Whether its forgetting rests on no attack: it never saw forget."""
    return isinstance(self.config, training.TrainConfig)

  @property
  def title(self) -> str:
    """Its name for people."""
    if isinstance(self.config, training.TrainConfig):
      return 'exact retraining'
    return f'{self.config.title} ({self.name})'

  @property
  def batch_sizes(self) -> list[int]:
    """Of its stages."""
    if isinstance(self.config, training.TrainConfig):
      return [self.config.batch_size]
    return [stage.inner.batch_size for stage in self.config.stages]

  def held_out(self, problem: methods.Problem) -> np.ndarray:
    """Rows of val that it learns from."""
    part = None if isinstance(self.config, training.TrainConfig) else (
        methods_base.set_aside(
            self.config, problem.dataset, problem.splits, problem.seed))
    return np.array([], np.int64) if part is None else part.rows

  def settings(self) -> dict[str, Any]:
    """As a run records it."""
    if isinstance(self.config, training.TrainConfig):
      return {'train': dataclasses.asdict(self.config)}
    return {'method': methods.method_of(self.config),
            'config': unlearn.settings_of(self.config)}


@dataclasses.dataclass(frozen=True)
class Budget:
  """How long all candidates together may take.

  Minutes are those of a clock. A share is one of retraining's steps alone, so
  that of a candidate only its trial, steps, checks and choice count: on few
  images timing, compiling and judging would take most of it.

  Attributes:
    value: minutes, or a share of retraining.
    is_share: which of the two.

  Raises:
    ValueError: if it is no positive number.
  """

  value: float
  is_share: bool = False

  def __post_init__(self) -> None:
    validate.number('budget', self.value, 0, ends='()')

  @classmethod
  def read(cls, budget: str | float | None) -> Budget:
    """Of ``20``, minutes, or ``'30%'``, a share of retraining.

    Raises:
      ValueError: if there is none, or it is something else.

    Example:
      >>> Budget.read('30%'), Budget.read(20)
      (Budget(value=0.3, is_share=True), Budget(value=20.0, is_share=False))
    """
    words = str('' if budget is None else budget).strip()
    if not words:
      raise ValueError(
          'Expected a budget with auto, in minutes (--budget=20) or as a share '
          'of retraining (--budget=30%), got none: without one it claims '
          'nothing.')
    share = words.endswith('%')
    try:
      value = float(words.removesuffix('%')) / (100 if share else 1)
    except ValueError:
      value = math.nan
    if not 0 < value < math.inf:
      raise ValueError(
          'Expected a budget in minutes, such as 20, or as a share of '
          f'retraining, such as 30%, got {words!r}.')
    return cls(value, share)

  def __str__(self) -> str:
    return f'{100 * self.value:g}%' if self.is_share else f'{self.value:g}'


def recipe_of(start: Mapping[str, Any], preset: presets.Preset | None,
              seed: int = 0) -> tuple[training.TrainConfig, bool]:
  """The recipe of exact retraining, and whether it is the original's.

  Args:
    start: config of the original's run; of one that was unlearned before, the
      recipe is that of the first. ``{}`` = there is none.
    preset: whose recipe counts where nobody knows the original's; None = that
      of settings for any data.
    seed: of the run.
  """
  known = run_configs.recorded(start)
  recipe = known[1] if known else (
      preset or presets.STARTS[presets.OWN_DATA]).train
  return (dataclasses.replace(recipe, seed=_SEED + seed), known is not None)


def named(names: Sequence[Candidate | str], preset: presets.Preset | None,
          recipe: training.TrainConfig, model: nn.Module
          ) -> tuple[Candidate, ...]:
  """Candidates by name, in that order.

  Args:
    names: methods, with the preset's settings; ``eu_k_short`` and
      ``eu_k_deep``: half of the blocks anew for a third of the epochs of
      training, and all but the first for half of them; ``retrain``. A candidate
      is what it is.
    preset: of the methods' settings; None = those for any data, see
      ``presets.own_config``.
    recipe: of retraining.
    model: tells how many blocks there are.

  Raises:
    ValueError: if a name is none of these, or the model names no blocks.
  """
  found = []
  for name in names:
    if isinstance(name, Candidate):
      found.append(name)
    elif name == RETRAIN:
      found.append(Candidate(name, recipe))
    elif name in (SHORT, DEEP):
      count = len(models.blocks(model))
      k, share = ((-(-count // 2), _SHORT) if name == SHORT else
                  (max(count - 1, 1), _DEEP))
      found.append(Candidate(name, eu_k.EUKConfig(
          k=k, epochs=max(round(share * recipe.epochs), 1),
          batch_size=recipe.batch_size, optimizer=recipe.optimizer,
          augment=recipe.augment)))
    else:
      if name not in methods.METHODS and not plugins.is_spec(name):
        raise ValueError(
            f'Expected candidates of {SHORT}, {DEEP}, {RETRAIN}, a method '
            f'({", ".join(methods.METHODS)}) or your own as file.py:Class, got '
            f'{name!r}.')
      found.append(Candidate(
          name.rpartition(':')[2], preset.config_of(name) if preset
          else presets.own_config(name)))
  return tuple(found)


def default(preset: presets.Preset | None, recipe: training.TrainConfig,
            model: nn.Module) -> tuple[Candidate, ...]:
  """Those of ``DEFAULT`` that the model allows, see :func:`named`."""
  blocks = getattr(model, 'blocks', None)
  return named([name for name in DEFAULT
                if blocks or name not in (SHORT, DEEP)], preset, recipe, model)
