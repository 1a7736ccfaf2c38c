"""Flags that fill the fields of frozen configs, declared as data.

An option names a flag, the config field that it sets (dots lead into nested
configs) and how its text is read. A flag that is not given leaves the preset's
value; a flag that the chosen method does not have is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

from dlfd_jax import models
from dlfd_jax.data import augment as augment_lib
from dlfd_jax.utils import configs


def _number_or_name(text: str) -> float | str:
  try:
    return float(text)
  except ValueError:
    return text


@dataclasses.dataclass(frozen=True)
class _OrNone:
  """A reader that also knows the word none."""

  read: Callable[[str], Any]

  def __call__(self, text):
    return None if text.lower() == 'none' else self.read(text)


def _names(text: str) -> tuple[str, ...]:
  return tuple(part.strip() for part in text.split(',') if part.strip())


def _pairs(text: str) -> tuple[tuple[str, int], ...]:
  pairs = []
  for part in _names(text):
    name, colon, value = part.partition(':')
    if not colon:
      raise ValueError(f"Expected 'column:value', got {part!r}.")
    pairs.append((name, int(value)))
  return tuple(pairs)


def _boolean(text: str) -> bool:
  if text.lower() in ('true', '1', 'yes'):
    return True
  if text.lower() in ('false', '0', 'no'):
    return False
  raise ValueError(f'Expected true or false, got {text!r}.')


def _kind(read: Callable[[str], Any]) -> str:
  """What a reader takes, in words."""
  if isinstance(read, _OrNone):
    return f'{_kind(read.read)} or none'
  return {int: 'an integer', float: 'a number', _pairs: 'column:value pairs',
          _boolean: 'true or false', _augment: 'true or false'}.get(
              read, 'readable')


def _augment(text: str) -> augment_lib.AugmentConfig | None:
  return augment_lib.AugmentConfig() if _boolean(text) else None


@dataclasses.dataclass(frozen=True)
class Option:
  """One flag, the field it sets, its reader and its help."""

  flag: str
  read: Callable[[str], Any]
  help: str
  field: str = ''


DATA = (
    Option('data', str, "'synthetic', an .npz file, a .csv manifest, 'tree', "
           "'mufac', 'mucac', 'rafdb' or 'celeb_a'", 'source'),
    Option('labels', _names, 'label columns of a file, or the drawn task'),
    Option('multilabel', _boolean, 'read one 0/1 column as an attribute'),
    Option('merge_from', _OrNone(int),
           'classes at or above this number become one'),
    Option('thresholds', _pairs, 'column:value pairs; 1 where column >= value'),
    Option('image_size', _OrNone(int), 'pixels a side'),
    Option('root', _OrNone(str), "folder of the manifest's paths, the tree "
           'or the download'),
    Option('identity_pattern', _OrNone(str),
           "of a tree's paths; its group is the person"),
    Option('people', _OrNone(int),
           'drawn people, or how many to take of mucac or celeb_a'),
    Option('images_per_person', int, 'drawn images of each'),
    Option('data_seed', int, 'seed of the drawing'),
)
NETWORK = (
    Option('architecture', str, ', '.join(models.ARCHITECTURES)
           + ', or your own package.module:Class'),
    Option('width', int, 'size of the network; 64 is the full one'),
    Option('stem', str, "'imagenet' or 'small' (32 to 64 px)"),
    Option('head', str, "'plain' or 'paper' (pooled-256-128-c)"),
    Option('compute_dtype', str, "'float32', 'bfloat16', or 'auto': bfloat16 "
           'on accelerators'),
    Option('remat', _boolean, 'compute the values inside blocks again for the '
           'gradient: less memory, more time'),
)
_OPTIMIZER = (
    Option('optimizer', str, "'sgd' or 'adam'", 'optimizer.kind'),
    Option('learning_rate', float, 'of the optimizer',
           'optimizer.learning_rate'),
    Option('momentum', float, "of SGD, or Adam's first decay",
           'optimizer.momentum'),
    Option('weight_decay', float, 'added to the gradient',
           'optimizer.weight_decay'),
    Option('schedule', str, "'constant' or 'cosine'", 'optimizer.schedule'),
    Option('clip_norm', _OrNone(float), 'largest gradient norm, or none',
           'optimizer.clip_norm'),
    Option('augment', _augment, 'flip, shift, scale, rotate and jitter images'),
    Option('batch_size', int, 'images a step on all devices together'),
)
TRAIN = (
    Option('epochs', int, 'passes over the training images'),
    Option('seed', int, 'of initialisation, order and augmentation'),
    *_OPTIMIZER,
)
METHOD = (
    Option('epochs', int, 'passes over retain, or over what the method reads'),
    *_OPTIMIZER,
    Option('batch_norm', str, "'frozen' or 'live' in the update"),
    Option('check_every', _OrNone(int), 'steps between measurements'),
    Option('live_limit', int, 'most images a side in the live attack'),
    Option('selection', str, "state to return: 'best', 'one_se' or 'last'"),
    Option('select_threshold', _number_or_name,
           "forgetting score in [0, 1], 'null_mean' or 'null_95'"),
    Option('ot_weight', float, 'w_f of the transport term'),
    Option('ce_weight_start', float, 'lambda at the first batch'),
    Option('ce_weight_end', float, 'lambda at the last batch'),
    Option('perturb_steps', int, 'K, inner gradient steps on a batch'),
    Option('perturb_step_size', float,
           'alpha, pixel units (normalised units in official_compat)'),
    Option('perturb_radius', _OrNone(float), 'rho, pixel units, or none'),
    Option('representation', str, "'features' or 'logits'"),
    Option('sinkhorn_epsilon', float, 'entropic regularisation',
           'sinkhorn.epsilon'),
    Option('sinkhorn_iterations', int, 'most iterations',
           'sinkhorn.max_iterations'),
    Option('sinkhorn_threshold', float, 'marginal error to stop at',
           'sinkhorn.threshold'),
    Option('sinkhorn_objective', str, "'divergence' or 'entropic'",
           'sinkhorn.objective'),
    Option('update_loss', str, "'ce' or 'combined'"),
    Option('dynamic_phases', _boolean, 'switch phases by the live attack'),
    Option('forget_threshold', _number_or_name,
           "forgetting score in [0, 1], 'null_mean' or 'null_95'"),
    Option('beta', float, 'weight of retain in neggrad_plus; 1 - beta: forget'),
    Option('k', int, 'blocks from the output, head included (cf_k, eu_k)'),
    Option('alpha', float, 'weight of the divergence on retain (scrub)'),
    Option('gamma', float, 'weight of the cross-entropy on retain (scrub)'),
    Option('temperature', float, 'of the divergence (scrub, bad_teaching)'),
    Option('max_epochs', int, 'epochs that begin with a pass over forget'),
    Option('forget_batch_size', int, 'forget images a max step (scrub)'),
    Option('retain_share', float, 'part of retain that is read (bad_teaching)'),
    Option('incompetent', str, "'random' or 'uniform' teacher on forget"),
    Option('repair_learning_rate', float, "of unsir's repair",
           'repair_optimizer.learning_rate'),
    Option('noise_images', int, 'noise images per label (unsir)'),
    Option('noise_steps', int, 'Adam steps on them'),
    Option('noise_rate', float, "Adam's rate on them, pixel units"),
    Option('noise_penalty', float, 'lambda of their mean square'),
    Option('noise_share', float, 'noise among the impair images'),
    Option('retain_per_label', int, 'most retain images of a label (unsir)'),
    Option('rewind_every', _OrNone(int), 'steps between candidates, or none: '
           'an epoch', 'every'),
    Option('rewind_measure', str, "'error' or 'loss'", 'measure'),
)


def define(options: Iterable[Option], values: flags.FlagValues) -> None:
  """Declares one text flag per option; unset is None."""
  for option in options:
    flags.DEFINE_string(option.flag, None, option.help, flag_values=values)


def apply(config: Any, options: Sequence[Option], values: flags.FlagValues,
          owner: str) -> Any:
  """``config`` with the fields of all given flags replaced, all at once.

  Args:
    config: a frozen dataclass.
    options: the flags that may set it.
    values: the parsed flags.
    owner: what has no such field, for the message.

  Raises:
    ValueError: if a flag's text cannot be read, the config has no such field,
      or the config refuses the value.
  """
  changes: dict[str, Any] = {}
  for option in options:
    text = values[option.flag].value
    if text is None:
      continue
    try:
      value = option.read(text)
    except ValueError as error:
      raise ValueError(
          f'Expected --{option.flag} to be {_kind(option.read)}, got {text!r} '
          f'({option.help}).'
      ) from error
    path = configs.find(config, option.field or option.flag)
    if path is None:
      raise ValueError(
          f'Expected no --{option.flag}: {owner} has no such field.')
    changes[path] = value
  return configs.replace(config, changes)
