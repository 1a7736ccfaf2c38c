"""RUM: forgets what is little remembered first, each group by its own method.

The forget set is cut into three groups of about equal size, from low to high
memorisation. Group after group is forgotten by the method named for it, from
the model that the group before left; a group may be left as it is. Each is a
stage with optimiser, checks and choice of a state of its own, whose live attack
compares that group with val; findings of the run are of all of forget.

How well an image is remembered is a proxy's guess,

- ``'loss'``: the original's cross-entropy: what is still hard after training
  was learnt by heart; the order is that of confidence in the true label;
- ``'heldout'``: (KL(p || q) + KL(q || p)) / 2 between the answers p of the
  original and q of a model that never saw the image.

An image without a known label has no loss, was no part of the original's, and
counts as the least remembered. By image the groups may tear a person apart, and
different methods then treat one person's images: the result says of how many
people that is true. By person, the mean of a person's images places them all.

While a group is forgotten, the later ones are in no part; ``pending`` counts
them as retain, as the released code does, so that they are trained on first.
Reads val as the methods do; cost: theirs, and a pass over forget per stage.

Source: Zhao et al. (2024), arXiv:2406.01257; proxies of Zhao and Triantafillou
(2024), arXiv:2410.16516, where the loss is that of all of training and held-out
retraining that of Carlini et al. (2019), arXiv:1910.13427, which trains the
original on held-out images; here that model is given. Ours: by person, and
retain alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dlfd_jax import checkpoint, parallel
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.methods import base, finetune, live, salun
from dlfd_jax.metrics import distances, per_example, stats
from dlfd_jax.models import Variables
from dlfd_jax.utils import hosts, text, validate

LOSS, HELDOUT = 'loss', 'heldout'
IMAGE, PERSON = 'image', 'person'


@dataclasses.dataclass(frozen=True, kw_only=True)
class RumConfig(base.Composite):
  """RUM.

  Attributes:
    low: config of the method for the group that is remembered least; None =
      nothing is done.
    medium: the same for the next group.
    high: the same for the last group.
    proxy: of memorisation, ``'loss'`` or ``'heldout'``.
    retrained: for ``'heldout'`` the folder of a run or model that never saw the
      forget images, of the original's network.
    by: ``'image'``: a group is of images; ``'person'``: of people.
    pending: groups that are not forgotten yet count as retain.

  Raises:
    ValueError: if a field is out of its range, nothing is done at all, or a
      retrained model is missing or has no use.
  """

  title = 'RUM'
  parts = ('low', 'medium', 'high')

  low: base.MethodConfig | None = dataclasses.field(
      default=None, metadata={'flag': None})
  medium: base.MethodConfig | None = dataclasses.field(
      default=finetune.FinetuneConfig(), metadata={'flag': None})
  high: base.MethodConfig | None = dataclasses.field(
      default=salun.SalUnConfig(), metadata={'flag': None})
  proxy: str = dataclasses.field(default=LOSS, metadata={'flag': 'rum_proxy'})
  retrained: str | None = dataclasses.field(
      default=None, metadata={'flag': 'rum_retrained'})
  by: str = dataclasses.field(default=IMAGE, metadata={'flag': 'rum_by'})
  pending: bool = dataclasses.field(
      default=False, metadata={'flag': 'rum_pending'})

  def __post_init__(self) -> None:
    super().__post_init__()
    if not self._methods:
      raise ValueError('Expected a method for at least one group of RUM, got '
                       'nothing for each.')
    if len(self._shares) > 1:
      raise ValueError('Expected one share of val to set aside for all groups '
                       f'of RUM, got {sorted(self._shares)}.')
    validate.one_of('proxy', self.proxy, (LOSS, HELDOUT))
    validate.one_of('by', self.by, (IMAGE, PERSON))
    validate.boolean('pending', self.pending)
    if (self.retrained is None) == (self.proxy == HELDOUT):
      raise ValueError(
          f'Expected a retrained model with the proxy {HELDOUT!r} and with no '
          f'other, got {self.retrained!r} with {self.proxy!r}.')

  @property
  def _methods(self) -> dict[str, base.MethodConfig]:
    """What is done, by group, in order."""
    return {part: getattr(self, part) for part in self.parts
            if getattr(self, part) is not None}

  @property
  def inner(self) -> base.MethodConfig:
    return list(self._methods.values())[-1]

  @property
  def stages(self) -> tuple[base.Method, ...]:
    return tuple(_Group(self, name) for name in self._methods)

  @property
  def reads_held_out(self) -> float | None:
    return next(iter(self._shares), None)

  @property
  def caution(self) -> str:
    return ' '.join(dict.fromkeys(filter(None, (
        config.caution for config in self._methods.values()))))

  @property
  def _shares(self) -> set[float]:
    """What is set aside of val for the methods that read it."""
    return {share for share in (
        config.reads_held_out for config in self._methods.values())
            if share is not None}

  def check(self, problem: base.Problem) -> None:
    """Raises ValueError unless there is someone for each group."""
    people = int(self.units(problem).max()) + 1
    if people < len(self.parts):
      unit = 'image' if self.by == IMAGE else 'person'
      raise ValueError(
          f'Expected at least {text.counted(len(self.parts), unit)} to forget, '
          f'one for each group of RUM, got {people}.')
    self._retrained(problem)

  def units(self, problem: base.Problem) -> np.ndarray:
    """What stays in one group: of each forget image its unit, from 0."""
    forget = problem.splits.forget
    return np.arange(len(forget)) if self.by == IMAGE else stats.units_of(
        problem.dataset.identity[forget])

  def _retrained(self, problem: base.Problem) -> Variables | None:
    if self.retrained is None:
      return None
    saved = checkpoint.load_model(self.retrained)
    if saved.task != problem.task:
      raise ValueError(f'Expected a retrained model of the same task in '
                       f'{self.retrained}, got another.')
    checkpoint.check_same_shapes(
        saved.variables, problem.original, 'the retrained model')
    return saved.variables

  def scores(self, setting: base.Setting) -> np.ndarray:
    """How well each forget image is remembered; NaN = no label is known."""
    problem = setting.problem
    task, rows = problem.task, problem.splits.forget
    labels = problem.dataset.labels[rows]
    logits = setting.predictor(setting.original, rows).logits
    retrained = self._retrained(problem)
    if retrained is None:
      found = per_example.loss(task, logits, labels)
    else:
      other = setting.predictor(retrained, rows).logits
      found = (distances.kl(task, logits, other)
               + distances.kl(task, other, logits)) / 2
    found = np.asarray(hosts.from_first(found.tolist()))
    return np.where(per_example.has_label(task, labels), found, np.nan)

  def groups(self, problem: base.Problem,
             scores: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of every group, by name."""
    group = cut(scores, self.units(problem), len(self.parts))
    return {part: problem.splits.forget[group == number]
            for number, part in enumerate(self.parts)}

  def conclude(self, setting: base.Setting,
               selected: Variables) -> dict[str, Any]:
    """Attacks on all of forget, and what the groups are."""
    problem, scores = setting.problem, self.scores(setting)
    groups = self.groups(problem, scores)
    attack = live.LiveAttack(setting, self.inner.live_limit)
    before, after = (hosts.from_first(attack.measure(variables))
                     for variables in (setting.original, selected))
    identity = problem.dataset.identity
    people, in_groups = np.unique(np.concatenate([
        np.unique(identity[rows][identity[rows] >= 0])
        for rows in groups.values()]), return_counts=True)
    torn = int((in_groups > 1).sum())
    found = {
        'steering': attack.rule.kind, 'attack_sizes': list(attack.sizes),
        **{f'original_{name}': before[name]
           for name in ('forgetting_score', 'mia_auc')},
        **{name: after[name] for name in (
            'forgetting_score', 'mia_auc', 'forget_accuracy', 'loss_gap')},
        'groups': {name: {
            'method': type(getattr(self, name)).title if getattr(
                self, name) else 'nothing',
            'images': len(rows), 'people': len(np.unique(
                stats.units_of(identity[rows]))),
            'mean_score': _mean(scores[np.isin(problem.splits.forget, rows)])}
                   for name, rows in groups.items()},
        'people_in_several_groups': torn}
    if any(getattr(self, name) is None for name in groups):
      found['select_threshold_met'] = None  # of who is left as they were
    if attack.rule.because:
      found['steering_reason'] = attack.rule.because
    if torn:
      found['grouping'] = (
          f'{torn} of {len(people)} people to forget have images in several '
          'groups, which are treated by methods of their own; with '
          '--rum_by=person each of them is in one.')
    return found


class _Group(base.Method):
  """A group of RUM as a stage."""

  title = 'A group of RUM'

  def __init__(self, rum: RumConfig, name: str):
    self._rum, self._name = rum, name

  @property
  def inner(self) -> base.MethodConfig:
    found: base.MethodConfig = getattr(self._rum, self._name)
    return found

  def setting_of(self, setting: base.Setting) -> base.Setting:
    """The group as forget, the result of the stage before as the original."""
    problem, splits = setting.problem, setting.problem.splits
    groups = self._rum.groups(problem, self._rum.scores(setting))
    retain, forget = splits.retain, groups[self._name]
    if self._rum.pending:
      names = list(groups)
      retain = np.concatenate([retain, *(
          groups[name] for name in names[names.index(self._name) + 1:])])
    start = setting.original if setting.teacher is None else setting.teacher
    part = dataclasses.replace(
        splits, retain=retain, forget=forget,
        by_person=splits_lib.retain_forget_by_person(
            problem.dataset, retain, forget))
    return dataclasses.replace(
        setting, original=start, teacher=None,
        problem=problem.on(part, parallel.fetch(start)))

  def plan(self, setting: base.Setting) -> base.Plan:
    """That of the group's method."""
    plan = self.inner.plan(setting)
    return dataclasses.replace(plan, findings={
        **plan.findings, 'group': self._name,
        'method': type(self.inner).title})


def cut(scores: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
  """Groups of whole units in the order of their mean scores.

  Args:
    scores: ``[n]``, one per image; NaN = below all others.
    units: int ``[n]`` from 0, at least ``count`` of them.
    count: of groups.

  Returns:
    int ``[n]`` in ``[0, count)``: every group has a unit, and as near to
    ``n / count`` images as whole units allow.
  """
  known = ~np.isnan(scores)
  tries = np.bincount(units, known)
  sums = np.bincount(units, np.where(known, scores, 0.0))
  means = np.where(tries > 0, sums / np.maximum(tries, 1), -np.inf)
  order = np.argsort(means, kind='stable')
  ends = np.cumsum(np.bincount(units)[order])
  of_unit = np.empty(len(order), np.int64)
  start = 0
  for group in range(count):
    left = count - 1 - group
    stop = len(order) if not left else min(max(
        int(np.abs(ends - ends[-1] * (group + 1) / count).argmin()) + 1,
        start + 1), len(order) - left)
    of_unit[order[start:stop]] = group
    start = stop
  return of_unit[units]


def _mean(values: np.ndarray) -> float | None:
  known = values[~np.isnan(values)]
  return float(known.mean()) if len(known) else None
