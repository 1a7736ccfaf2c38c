"""Every metric in one place: one entry says everything about one metric.

The name of an entry is the one that stands in ``result.json``. Members of a
family are called ``{name}/{member}`` there: one per attribute, class, group of
people or block of the network. Terminal tables, reports, the paper's tables and
plots and ``docs/metrics.md`` read labels, units and choices from here.

To add a metric, write its value as a function (``outputs``, ``features``) and
an entry at the place where its row shall stand. An attack that needs reference
models is an entry of tier 2 or 3 like any other: see ``run``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlfd_jax.evaluation import (
  against,
  features,
  harm,
  inputs as inputs_lib,
  likelihood_attacks,
  nearer,
  nulls,
  outputs,
  recovery,
  reference_attack,
  relearned,
  releases,
  shadows,
)
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.evaluation.inputs import UNSEEN, Inputs
from dlfd_jax.metrics import (
  accuracy,
  distances,
  recovery as treatments,
)

MAIN_ATTACK = 'mia_auc_matched'
SINGLE, GAP, SLOT, DATA, SHADOW = 'single', 'gap', 'slot', 'data', 'shadow'
FORGETTING, UTILITY = 'forgetting', 'utility'
VOTER, COMPANION, ACCUSER = 'voter', 'companion', 'accuser'
REFERENCE_ATTACK = 'reference_attack'  # one-sided
# The main attack by other scores, which do not vote.
OTHER_SCORES = ('mia_auc_matched_margin', 'mia_auc_matched_entropy',
                'mia_auc_matched_modified_entropy')
GROUP, RECOVERY = 'group', 'recovery'
_partial = functools.partial


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
  """What a metric is, how it is computed and what it may decide.

  Attributes:
    name: in ``result.json``.
    label: for readers.
    split: what it is measured on; None if on none.
    direction: what higher means, in words.
    value: the function that computes it, see ``outputs``.
    form: ``'single'``: a number of one model. ``'gap'``: the value is such a
      number, the metric its difference to the retrained models' mean.
      ``'slot'``: a model compared with the retrained ones. ``'data'``: a number
      of the data, the same for all models. ``'shadow'``: a figure of shadow
      models, see ``shadows``.
    null: the function of inputs that says what there is where nothing is to be
      found; None = each retrained model in the slot, against the others.
    tier: the lowest tier that computes it.
    units: of the value.
    bounds: that no value can leave: t intervals of few models are cut there;
      None = none are known.
    margin: name of the setting below which differences do not matter; None = it
      has no verdict of its own.
    chance: the value at which members look like unseen data; None if there is
      no such value.
    sides: splits whose people (or images) its interval resamples, by default
      its own split.
    sample: ``(number, kind)`` of the units behind its interval, where ``sides``
      does not say it.
    pairwise: whether it is a mean over pairs of models, so that left-out models
      share most of it: see ``estimate.widening_of_slots``.
    votes: the overall verdict on which it votes, and its place there.
    role: how it votes. ``'voter'``: as it finds. ``'companion'``: never alone.
      ``'accuser'``: it can tell apart, and keeps others from saying
      "indistinguishable" only where it has the power to say it itself.
    by_person: whether it compares people, not images.
    least: the fewest retrained models for a verdict of its own; a slot takes
      three.
    notes: sentences that always go with it.
    remarks: a function of inputs and of the value function that gives more.
    finish: a function of inputs and the record that gives it another verdict.
    members: a function of inputs that names the members of a family; value,
      null and sample then take a member's name as their last argument.
    applies: a function of inputs: whether such a task or request has it; None =
      all have.
    short: a label for narrow columns; by default the label.
    about: ``'model'``; ``'group'``: a group of people, shown in a table of its
      own; ``'recovery'``: a model after a treatment, likewise; ``'data'``: in
      no table of models.
    summary: whether it stands in the short tables.
  """

  name: str
  label: str
  split: str | None
  direction: str
  value: Callable[..., Any]
  form: str = SINGLE
  null: Callable[..., Estimate] | None = None
  tier: int = 0
  units: str = 'fraction'
  bounds: tuple[float, float] | None = None
  margin: str | None = None
  chance: float | None = None
  sides: tuple[str, ...] = ()
  sample: Callable[..., tuple[int, str]] | None = None
  pairwise: bool = False
  votes: tuple[str, int] | None = None
  role: str = VOTER
  by_person: bool = False
  least: int = 1
  notes: tuple[str, ...] = ()
  remarks: Callable[..., Sequence[str]] | None = None
  finish: Callable[[Inputs, Record], Record] | None = None
  members: Callable[[Inputs], Iterable[str]] | None = None
  applies: Callable[[Inputs], bool] | None = None
  short: str = ''
  about: str = 'model'
  summary: bool = False

  def is_for(self, inputs: Inputs) -> bool:
    """Whether such a task or request has it."""
    return self.applies is None or self.applies(inputs)

  def margin_in(self, *configs: Any) -> float | None:
    """The margin under the settings of an evaluation, None if it has none."""
    for config in configs:
      if self.margin is not None and hasattr(config, self.margin):
        return float(getattr(config, self.margin))
    return None

  def direction_in(self, config: inputs_lib.ReferenceConfig) -> str:
    """The direction under the settings of an evaluation."""
    return self.direction.format(harm_limit=config.harm_limit)


_SHARE, _FROM_0, _JS = (0.0, 1.0), (0.0, math.inf), (0.0, math.log(2))
_SIDES = outputs.SIDES
_CORRECT = 'higher means more correct'
_KNOWN = ('higher means that more is known of the forgotten class; above '
          'retrained: under-forgetting, below: over-forgetting')
_AUC = ('higher means more leakage; above retrained: under-forgetting, below: '
        'over-forgetting')
_TRACE = 'higher means that traces of the images remain; the aim is the null'
_TWO_SIDED = ('higher means that forget images stand farther from retrained, '
              'to either side, than unseen ones')
_MISSES = 'farther from 0.01 means that the calibration misses'
_SCORE = ('lower means an attack nearer to a guess, in either direction; the '
          'aim is the value of retrained, not 0')
_NOMUS = "higher means better by the papers' rule, not nearer to retraining"
_GAP = 'higher means above retrained, lower below it; the aim is 0'
_EXPOSED = ('higher than 0 means that retained people look more like members '
            'than after retraining')
_FAR = 'higher means farther from retrained; the aim is the null, not 0'
_NEAR = 'higher means nearer to retrained; the aim is the null, not 1'
_ORIGINAL = ('higher means nearer to the original: 0 as another retrained '
             'model, 1 as the original')
_PEOPLE = 'higher means that features tell people apart better'
_LABEL = 'higher means that features tell the label better'
_APART = 'higher means that classes keep apart more clearly'
_ALIKE = ('higher means features more similar to retrained; the aim is the '
          'null, not 1')
_LIKE_ORIGINAL = 'higher means features more similar to the original'
_BACK = ('higher means that forget {}; above retrained: knowledge was left, '
         'below: damage')
_COPIES = 'higher means more leakage by the data'
_UNBALANCED = ('The form of the papers: classes of unequal size, so that a '
               'blind attack is not at 0.',)
_HELD_OUT = ('The interval resamples out-of-fold results and leaves out the '
             'spread of the folds.',)
_FOLDS = ('No interval: where there is nothing to find the folds differ more '
          'than resampled out-of-fold results do. The null is the yardstick.',)
_NO_INTERVAL = ('No interval: none holds where there is nothing to find, since '
                'resampling only makes this number larger. The null is the '
                'yardstick.',)
_FIXED = ("The interval keeps each image's silhouette and resamples people.",)
_RELEASES = ('higher means that two versions tell more of who was deleted; the '
             'aim is the value of retrained, not .5')
_UNAVOIDABLE = ('Where retraining lies above .5, even an exact deletion '
                'exposes the deleted people to whoever holds both versions: '
                'retrained shows how much of it no method avoids.',)
_STAYED = ('higher than 0 means that retained people are easier to tell from '
           'unseen ones than before')
_NEARER = ('higher means nearer to the original: 1 is itself, -1 a retrained '
           'model itself, 0 half-way; the aim is the null')
_INHERITED = ('A method that begins with the original stays near it on images '
              'that nobody learnt, too: only what forget adds is memory.',)
_OF_DATA = ('A property of the data, the same for all models.',)


def _is_multilabel(inputs: Inputs) -> bool:
  return inputs.task.is_multilabel


def _has_top2(inputs: Inputs) -> bool:
  return not inputs.task.is_multilabel and inputs.task.num_outputs > 2


def _by_class(inputs: Inputs) -> bool:
  return inputs.by_class


def _attributes(inputs: Inputs) -> Sequence[str]:
  return inputs.task.names if inputs.task.is_multilabel else ()


def _classes(inputs: Inputs) -> Sequence[str]:
  return inputs.task.names


# Constructors of metrics that share most of an entry; each still has its name.


def _accuracy(name: str, label: str, split: str, *, direction: str = _CORRECT,
              margin: str | None = 'accuracy_margin', **more: Any) -> Metric:
  options: dict[str, Any] = {
      'value': _partial(outputs.accuracy_on, split=split),
      'null': _partial(nulls.constant_guess, split=split), **more}
  return Metric(name=name, label=label, split=split, direction=direction,
                bounds=_SHARE, margin=margin, **options)


def _auc(name: str, label: str, **more: Any) -> Metric:
  return Metric(name=name, label=label, split='forget', direction=_AUC,
                sides=_SIDES, bounds=_SHARE, chance=.5, **more)


def _matched(name: str, label: str, score: Callable[..., Any],
             **more: Any) -> Metric:
  return _auc(name, label, value=_partial(outputs.matched_auc, score=score),
              null=_partial(nulls.permuted_matched_auc, score=score), **more)


def _attack(name: str, label: str, direction: str = _AUC,
            **more: Any) -> Metric:
  options: dict[str, Any] = {'sides': _SIDES, 'bounds': _SHARE, **more}
  return Metric(name=name, label=label, split='forget', direction=direction,
                **options)


def _gap(name: str, label: str, split: str, value: Callable[..., Estimate],
         **more: Any) -> Metric:
  options: dict[str, Any] = {
      'direction': _GAP, 'margin': 'accuracy_margin', 'tier': 1,
      'bounds': _SHARE, **more}
  return Metric(name=name, label=label, split=split, form=GAP, value=value,
                **options)


def _distance(name: str, label: str, split: str, kind: Callable[..., Any],
              direction: str = _FAR, **more: Any) -> Metric:
  return Metric(
      name=name, label=label, split=split, direction=direction, form=SLOT,
      tier=1, pairwise=True, bounds=against.bounds(kind),
      value=_partial(against.distance, kind=kind, split=split), **more)


def _normalised(name: str, label: str, split: str, **more: Any) -> Metric:
  return Metric(
      name=name, label=label, split=split, direction=_ORIGINAL, form=SLOT,
      tier=1, units='ratio of distances', margin='distance_margin',
      pairwise=True,
      value=_partial(against.normalised_js, split=split), **more)


def _beside(name: str, label: str, direction: str = _AUC, *,
            two_sided: bool = False, by_person: bool = False,
            **more: Any) -> Metric:
  return Metric(
      name=name, label=label, split='forget', direction=direction, form=SLOT,
      tier=1, sides=_SIDES, bounds=_SHARE, margin='auc_margin', summary=True,
      value=_partial(reference_attack.auc, two_sided=two_sided,
                     by_person=by_person), by_person=by_person, **more)


def _releases(name: str, label: str, change: releases.Change,
              against: str = UNSEEN, **more: Any) -> Metric:
  return _attack(
      name, label, _RELEASES, tier=1, sides=('forget', against),
      value=_partial(releases.auc, change=change, against=against), **more)


def _stayed(name: str, label: str, value: Callable[..., Estimate],
            direction: str = _AUC, **more: Any) -> Metric:
  return Metric(
      name=name, label=label, split='retain', direction=direction, tier=1,
      sides=releases.STAY, value=value, **more)


def _nearer(name: str, label: str, what: str, split: str = 'forget',
            **more: Any) -> Metric:
  return Metric(
      name=name, label=label, split=split, direction=_NEARER, form=SLOT, tier=1,
      units='ratio of distances', bounds=(-1.0, 1.0), pairwise=True,
      value=_partial(nearer.nearness, what=what, split=split),
      finish=_partial(nearer.judge, what=what, split=split), **more)


def _likelihood(name: str, label: str, scores: likelihood_attacks.Scores,
                direction: str = _AUC, *, by_person: bool = False,
                **more: Any) -> Metric:
  return Metric(
      name=name, label=label, split='forget', direction=direction, form=SLOT,
      tier=2, sides=_SIDES, bounds=_SHARE, margin='auc_margin', summary=True,
      value=_partial(likelihood_attacks.auc, scores=scores,
                     by_person=by_person), by_person=by_person, **more)


def _shadow(name: str, label: str, direction: str, value: Callable[..., Any],
            split: str = 'forget', **more: Any) -> Metric:
  options: dict[str, Any] = {'sides': (split,), **more}
  return Metric(name=name, label=label, split=split, direction=direction,
                form=SHADOW, tier=3, value=value, **options)


def _kloms(split: str, **more: Any) -> Iterable[Metric]:
  names = {  # in full: a name in a result is found here
      'forget': ('klom_forget', 'klom_histogram_forget'),
      'retain': ('klom_retain', 'klom_histogram_retain'),
      'test': ('klom_test', 'klom_histogram_test')}[split]
  forms: tuple[tuple[str, Callable[..., Any], dict[str, Any]], ...] = (
      ('Gaussian', shadows.klom_gaussian, {'margin': 'klom_margin', **more}),
      ('histogram', shadows.klom_histogram, {}))
  for name, (form, value, options) in zip(names, forms, strict=True):
    for of_mean in (options, {'members': lambda _: shadows.KLOM_POINTS}):
      yield _shadow(name, f'KLOM, {form}, {split}', _FAR,
                    _partial(value, split=split), split, units='nats',
                    bounds=_FROM_0, **of_mean)


def _probe(name: str, label: str, split: str, direction: str,
           value: Callable[..., Estimate], **more: Any) -> Metric:
  options: dict[str, Any] = {
      'notes': _HELD_OUT, 'remarks': features.random_network, **more}
  return Metric(name=name, label=label, split=split, direction=direction,
                value=value, tier=1, **options)


def _cka(name: str, label: str, split: str, value: Callable[..., Estimate],
         direction: str = _ALIKE, **more: Any) -> Metric:
  options: dict[str, Any] = {'form': SLOT, 'pairwise': True, **more}
  return Metric(
      name=name, label=label, split=split, direction=direction, tier=1,
      units='cka', value=_partial(value, split=split), **options)


def _recovery(name: str, label: str, direction: str,
              value: Callable[..., Estimate], *treated: str,
              **more: Any) -> Metric:
  options: dict[str, Any] = {'margin': 'accuracy_margin', 'bounds': _SHARE,
                             **more}
  return Metric(name=name, label=label, split='forget', direction=direction,
                tier=1, value=value, about=RECOVERY, least=3,
                remarks=recovery.remarks(*treated), **options)


def _group(name: str, label: str, split: str) -> Metric:
  return Metric(
      name=name, label=label, split=split, direction=_CORRECT, tier=1,
      bounds=_SHARE, about=GROUP,
      members=_partial(outputs.group_names, split=split),
      value=_partial(outputs.group_accuracy, split=split),
      sample=_partial(outputs.group_sample, split=split))


def _duplicates(name: str, label: str, kind: str) -> Metric:
  return Metric(name=name, label=label, split=None, direction=_COPIES,
                form=DATA, about=DATA, units='count', notes=_OF_DATA,
                value=lambda leakage, pair: leakage[kind][pair],
                null=nulls.no_copies,
                members=lambda _: [f'forget-{part}' for part in (
                    'retain', 'test', 'val')])


METRICS: tuple[Metric, ...] = (
    # Tier 0: no further training.
    _accuracy('accuracy_retain', 'Accuracy, retain', 'retain',
              short='retain acc', summary=True),
    _accuracy(
        'accuracy_forget', 'Accuracy, forget', 'forget', short='forget acc',
        summary=True,
        direction='higher means more correct; above retrained: '
        'under-forgetting, below: over-forgetting'),
    _accuracy('accuracy_val', 'Accuracy, val', 'val', summary=True,
              margin=None),
    _accuracy('accuracy_test', 'Accuracy, test', 'test', short='test acc',
              summary=True),
    _accuracy(
        'accuracy_test_forgotten', 'Accuracy, test, forgotten class', 'test',
        value=_partial(outputs.accuracy_on, split=UNSEEN),
        null=None, applies=_by_class, sides=(UNSEEN,),
        short='forgotten class acc', summary=True, direction=_KNOWN),
    _accuracy(
        'exact_match_test', 'All attributes right, test', 'test', margin=None,
        value=_partial(outputs.accuracy_on, split='test',
                       kind=accuracy.exact_match),
        null=nulls.constant_exact_match, applies=_is_multilabel),
    _accuracy(
        'balanced_accuracy_test', 'Balanced accuracy, test', 'test',
        margin=None, value=outputs.balanced_accuracy, null=nulls.one_half,
        members=_attributes, applies=_is_multilabel),
    _accuracy(
        'top2_accuracy_test', 'Top-2 accuracy, test', 'test', margin=None,
        value=_partial(outputs.accuracy_on, split='test',
                       kind=accuracy.top2_accuracy),
        null=_partial(nulls.constant_guess, split='test', top=2),
        applies=_has_top2),
    _auc('mia_auc_matched', 'Attack AUC, class-matched', margin='auc_margin',
         value=outputs.matched_auc, null=nulls.permuted_matched_auc,
         short='attack AUC', remarks=outputs.attributes_in, summary=True),
    _attack(
        'over_forgetting', 'Over-forgetting, by the main attack AUC',
        'raised where the main attack AUC and its interval are below one half: '
        'forget images look less seen than unseen ones', chance=.5,
        margin='auc_margin', value=outputs.matched_auc,
        null=nulls.permuted_matched_auc,
        finish=harm.warn_of_over_forgetting),
    _auc('mia_auc', 'Attack AUC', margin='auc_margin', value=outputs.auc,
         null=nulls.permuted_auc),
    _auc('mia_auc_person', 'Attack AUC, by person', margin='auc_margin',
         value=outputs.person_auc, null=nulls.permuted_person_auc,
         summary=True),
    _matched('mia_auc_matched_margin', 'Attack AUC, class-matched, by margin',
             outputs.per_example.margin, applies=_is_multilabel),
    _matched('mia_auc_matched_entropy', 'Attack AUC, class-matched, by entropy',
             outputs.negative_entropy),
    _matched('mia_auc_matched_modified_entropy',
             'Attack AUC, class-matched, by modified entropy',
             outputs.negative_modified_entropy),
    _auc('mia_auc_matched', 'Attack AUC, class-matched', members=_attributes,
         value=outputs.matched_auc, null=nulls.permuted_matched_auc,
         applies=_is_multilabel),
    _attack('mia_accuracy', 'Attack accuracy, balanced', notes=_FOLDS,
            value=outputs.attack_accuracy, null=nulls.permuted_accuracy),
    _attack('mia_accuracy_two_sided', 'Attack accuracy, two-sided',
            value=_partial(outputs.attack_accuracy, two_sided=True),
            null=_partial(nulls.permuted_accuracy, form='two-sided'),
            notes=_FOLDS),
    _attack('mia_tpr_at_fpr_0.01', 'Attack TPR at a pooled 1 % FPR',
            value=_partial(outputs.tpr_at, rate=.01),
            null=_partial(nulls.same_rate, rate=.01)),
    _attack('mia_tpr_at_fpr_0.001', 'Attack TPR at a pooled 0.1 % FPR',
            value=_partial(outputs.tpr_at, rate=.001),
            null=_partial(nulls.same_rate, rate=.001)),
    _attack('forgetting_score', 'Forgetting score', _SCORE, notes=_NO_INTERVAL,
            value=_partial(outputs.forgetting_score,
                           of=outputs.attack_accuracy),
            null=nulls.permuted_score, short='forgetting score', summary=True),
    _attack('nomus', 'NoMUS', _NOMUS, null=nulls.constant_nomus, summary=True,
            notes=_NO_INTERVAL,
            value=_partial(outputs.nomus, of=outputs.attack_accuracy)),
    _attack('forgetting_score_unbalanced',
            'Forgetting score, unbalanced attack', _SCORE,
            notes=_UNBALANCED + _NO_INTERVAL,
            value=_partial(outputs.forgetting_score,
                           of=outputs.unbalanced_accuracy),
            null=_partial(nulls.permuted_score, form='unbalanced')),
    _attack('nomus_unbalanced', 'NoMUS, unbalanced attack', _NOMUS,
            value=_partial(outputs.nomus, of=outputs.unbalanced_accuracy),
            null=_partial(nulls.constant_nomus, unbalanced=True),
            notes=_UNBALANCED + _NO_INTERVAL, short='NoMUS, unbalanced'),
    _attack('ks_loss', 'KS distance of losses', 'higher means more different, '
            'blind to the direction', value=outputs.ks_of_losses,
            null=nulls.permuted_ks, notes=_NO_INTERVAL),
    _attack('rf_jsd', 'RF-JSD', 'higher means forget predictions look less '
            'like unseen data', value=outputs.rf_jsd,
            null=nulls.rf_jsd_of_unseen, units='nats', notes=_NO_INTERVAL),
    _duplicates('duplicates_exact', 'Exact copies', 'exact'),
    _duplicates('duplicates_near', 'Near copies', 'near'),
    # Tier 1: against retrained models.
    _gap('gap_accuracy_forget', 'Gap in accuracy, forget', 'forget',
         against.GAPS[0], votes=(FORGETTING, 1), summary=True),
    _gap('gap_accuracy_retain', 'Gap in accuracy, retain', 'retain',
         against.GAPS[1], votes=(UTILITY, 0), summary=True),
    _gap('gap_accuracy_test', 'Gap in accuracy, test', 'test',
         against.GAPS[2], votes=(UTILITY, 1), summary=True),
    _gap('gap_accuracy_test_forgotten',
         'Gap in accuracy, test, forgotten class', 'test',
         _partial(outputs.accuracy_on, split=UNSEEN), applies=_by_class,
         sides=(UNSEEN,), votes=(FORGETTING, 17), summary=True),
    _gap('gap_mia_auc_matched', 'Gap in attack AUC, class-matched', 'forget',
         against.GAPS[3], margin='auc_margin', sides=_SIDES,
         votes=(FORGETTING, 0), summary=True),
    _gap('gap_mia_auc_person', 'Gap in attack AUC, by person', 'forget',
         outputs.person_auc, margin='auc_margin', sides=_SIDES, by_person=True,
         votes=(FORGETTING, 9), role=ACCUSER, summary=True),
    _beside(REFERENCE_ATTACK, 'Reference attack AUC', short='reference AUC'),
    _beside('reference_attack_two_sided', 'Reference attack AUC, two-sided',
            _TWO_SIDED, two_sided=True, votes=(FORGETTING, 4),
            short='reference AUC, two-sided'),
    _beside('reference_attack_person', 'Reference attack AUC, by person',
            by_person=True, short='reference AUC, by person'),
    _beside('reference_attack_person_two_sided',
            'Reference attack AUC, two-sided, by person', _TWO_SIDED,
            two_sided=True, by_person=True,
            short='reference AUC, two-sided, by person'),
    Metric(name='average_gap', label='Average gap', split='all', form=SLOT,
           direction=_FAR, value=against.average_gap, tier=1, bounds=_SHARE,
           notes=_NO_INTERVAL, sides=('retain', 'forget', 'test'),
           summary=True),
    Metric(name='tow', label='ToW', split='all', direction=_NEAR, form=SLOT,
           value=against.tow, tier=1, bounds=_SHARE, notes=_NO_INTERVAL,
           sides=('retain', 'forget', 'test'), summary=True),
    Metric(name='tow_mia', label='ToW-MIA', split='all', direction=_NEAR,
           value=_partial(against.tow, by_attack=True), form=SLOT, tier=1,
           bounds=_SHARE,
           notes=_NO_INTERVAL, sides=('retain', 'forget', 'test'),
           summary=True),
    _distance('js_forget', 'JS distance, forget', 'forget', against.js,
              units='nats', summary=True),
    _normalised('normalised_js_forget', 'JS distance, normalised, forget',
                'forget', votes=(FORGETTING, 2)),
    _distance('kl_forget', 'KL from retrained, forget', 'forget', distances.kl,
              units='nats'),
    _distance('agreement_forget', 'Agreement of labels, forget', 'forget',
              distances.agreement, _NEAR),
    _distance('activation_distance_forget', 'Activation distance, forget',
              'forget', against.activation_distance, units='norm',
              summary=True),
    _distance('js_retain', 'JS distance, retain', 'retain', against.js,
              units='nats'),
    _normalised('normalised_js_retain', 'JS distance, normalised, retain',
                'retain'),
    _distance('kl_retain', 'KL from retrained, retain', 'retain', distances.kl,
              units='nats'),
    _distance('agreement_retain', 'Agreement of labels, retain', 'retain',
              distances.agreement, _NEAR),
    _distance('activation_distance_retain', 'Activation distance, retain',
              'retain', against.activation_distance, units='norm'),
    _distance('js_test', 'JS distance, test', 'test', against.js,
              units='nats'),
    _normalised('normalised_js_test', 'JS distance, normalised, test', 'test'),
    _distance('kl_test', 'KL from retrained, test', 'test', distances.kl,
              units='nats'),
    _distance('agreement_test', 'Agreement of labels, test', 'test',
              distances.agreement, _NEAR),
    _distance('activation_distance_test', 'Activation distance, test', 'test',
              against.activation_distance, units='norm'),
    Metric(name='zrf', label='ZRF', split='forget', value=outputs.zrf, tier=1,
           direction='higher means more like a random network; above '
           'retrained: over-forgetting', bounds=_SHARE, summary=True),
    Metric(name='relearn_steps', label='Relearn time, steps', split='forget',
           direction='higher means that forget is learnt again more slowly; '
           'below retrained: knowledge is left', value=relearned.relearn_steps,
           tier=1, units='steps', sample=relearned.relearn_sample,
           remarks=relearned.capped_runs, summary=True),
    _gap('log2_ain', 'AIN, log2', 'forget', relearned.log2_steps,
         direction='higher means over-forgetting, below 0: knowledge is left; '
         'the aim is 0', units='log2', margin='ain_margin', bounds=None,
         sample=relearned.relearn_sample, remarks=relearned.capped_runs,
         votes=(FORGETTING, 8), role=COMPANION, summary=True),
    _recovery('recovery_accuracy', 'Accuracy after learning retain, forget',
              _BACK.format('comes back without any image of it'),
              recovery.accuracy_after, treatments.RETAIN,
              finish=recovery.accuse_above, votes=(FORGETTING, 16),
              role=ACCUSER),
    _recovery('recovery_rest', 'Accuracy on the rest of forget, taught again',
              _BACK.format('comes back from a part of it'),
              recovery.accuracy_on_rest, *treatments.PARTS,
              members=lambda _: treatments.PARTS,
              sample=recovery.units_of_rest),
    _recovery('recovery_copies_accuracy', 'Accuracy on copies, forget - test',
              _BACK.format('is recognised on copies, unseen images apart'),
              recovery.copies_accuracy, *treatments.COPIES, bounds=(-1.0, 1.0),
              members=lambda _: treatments.COPIES, sides=_SIDES),
    _recovery('recovery_copies_auc', 'Attack AUC on copies, class-matched',
              _AUC, recovery.copies_auc, *treatments.COPIES,
              members=lambda _: treatments.COPIES, margin='auc_margin',
              sides=_SIDES),
    _probe('probe_membership', 'Linear probe, forget or unseen', 'forget',
           'higher means that features still tell forget people from unseen '
           'ones', features.probe_membership, sides=_SIDES, bounds=_SHARE,
           margin='auc_margin', remarks=features.membership_notes,
           votes=(FORGETTING, 7), role=COMPANION, summary=True),
    _probe('probe_people_forget', 'Linear probe, person, forget', 'forget',
           _PEOPLE, features.probe_people_forget, summary=True),
    _cka('cka_forget', 'CKA to retrained, forget', 'forget', features.cka,
         margin='cka_margin', summary=True),
    _cka('cka_biased_forget', 'CKA to retrained, biased, forget', 'forget',
         _partial(features.cka, biased=True),
         remarks=_partial(features.biased_floor, split='forget')),
    _cka('cka_original_forget', 'CKA to original, forget', 'forget',
         features.cka_to_original, _LIKE_ORIGINAL, form=SINGLE),
    _cka('cka_test', 'CKA to retrained, test', 'test', features.cka,
         margin='cka_margin', summary=True),
    _cka('cka_biased_test', 'CKA to retrained, biased, test', 'test',
         _partial(features.cka, biased=True),
         remarks=_partial(features.biased_floor, split='test')),
    _cka('cka_original_test', 'CKA to original, test', 'test',
         features.cka_to_original, _LIKE_ORIGINAL, form=SINGLE),
    _cka('cka_forget', 'CKA to retrained, forget', 'forget', features.cka,
         margin='cka_margin',
         members=_partial(features.block_names, split='forget')),
    _cka('cka_test', 'CKA to retrained, test', 'test', features.cka,
         margin='cka_margin',
         members=_partial(features.block_names, split='test')),
    _probe('probe_label_test', 'Linear probe, label, test', 'test', _LABEL,
           features.probe_label, short='label probe', summary=True),
    _probe('probe_label_test', 'Linear probe, label, test', 'test', _LABEL,
           features.probe_label, members=_attributes),
    _probe('probe_people_test', 'Linear probe, person, test', 'test', _PEOPLE,
           features.probe_people_test, short='person probe', summary=True),
    _probe('silhouette_test', 'Silhouette by class, test', 'test', _APART,
           features.silhouette, notes=_FIXED, units='silhouette',
           short='silhouette', summary=True),
    _probe('silhouette_test', 'Silhouette by class, test', 'test', _APART,
           features.silhouette, notes=_FIXED, units='silhouette',
           members=_classes),
    Metric(name='forget_tail', label='Unusually high losses, forget',
           split='forget', direction='higher means that more forget losses are '
           'unusually high, above 99 % of the unseen ones', sides=_SIDES,
           value=harm.loss_tail, remarks=harm.few_unseen, tier=1,
           bounds=_SHARE, summary=True),
    Metric(name='streisand', label='Over-forgetting, signs of three',
           split='forget', direction='higher means more of three signs that '
           'forgetting itself is visible; the aim is 0', sides=_SIDES,
           value=harm.over_forgetting_signs, form=SLOT, tier=1,
           units='signs', finish=harm.raise_flag, summary=True),
    Metric(name='harmed_people', label='Retained people harmed',
           split='retain', direction='higher means that more retained people '
           'lose more than {harm_limit:g} of accuracy against retraining',
           value=harm.share_harmed, form=SLOT, tier=1, bounds=_SHARE,
           summary=True),
    _gap('gap_mia_auc_retain', 'Gap in attack AUC, retain against test',
         'retain', harm.retain_auc, direction=_EXPOSED, margin=None,
         sides=('retain', 'test')),
    _releases('two_releases', 'Two releases AUC, rise of the loss',
              releases.risen, notes=_UNAVOIDABLE, summary=True),
    _releases('two_releases_two_sided', 'Two releases AUC, change of the loss',
              releases.changed),
    _releases('two_releases_outputs', 'Two releases AUC, distance of outputs',
              releases.moved),
    _releases('two_releases_retain',
              'Two releases AUC, rise of the loss, against retain',
              releases.risen, 'retain', summary=True),
    _releases('two_releases_retain_two_sided',
              'Two releases AUC, change of the loss, against retain',
              releases.changed, 'retain'),
    _releases('two_releases_retain_outputs',
              'Two releases AUC, distance of outputs, against retain',
              releases.moved, 'retain'),
    _stayed('mia_auc_retain', 'Attack AUC, retain, class-matched',
            releases.stayed_auc, bounds=_SHARE),
    _stayed('mia_auc_retain_person', 'Attack AUC, retain, by person',
            releases.stayed_auc_by_person, bounds=_SHARE),
    _stayed('retain_exposure', 'Attack AUC, retain, above the original',
            _partial(releases.exposure, of=releases.stayed_auc), _STAYED,
            bounds=(-1.0, 1.0), summary=True),
    _stayed('retain_exposure_person',
            'Attack AUC, retain, above the original, by person',
            _partial(releases.exposure, of=releases.stayed_auc_by_person),
            _STAYED, bounds=(-1.0, 1.0)),
    _nearer('nearer_outputs_forget', 'Nearer to the original, outputs, forget',
            nearer.OUTPUTS, summary=True),
    _nearer('nearer_outputs_test', 'Nearer to the original, outputs, test',
            nearer.OUTPUTS, 'test', notes=_INHERITED),
    _nearer('nearer_features_forget',
            'Nearer to the original, features, forget', nearer.FEATURES,
            summary=True),
    _group('accuracy_retain', 'Accuracy, retain', 'retain'),
    _group('accuracy_test', 'Accuracy, test', 'test'),
    # Tier 2: attacks with at least four retrained models as references.
    _likelihood('rmia_auc', 'RMIA AUC', likelihood_attacks.rmia_scores,
                votes=(FORGETTING, 10)),
    _likelihood('rmia_auc_person', 'RMIA AUC, by person',
                likelihood_attacks.rmia_scores, by_person=True,
                votes=(FORGETTING, 11), role=ACCUSER),
    _likelihood('lira_auc', 'LiRA AUC', likelihood_attacks.lira_scores),
    _likelihood('lira_auc_two_sided', 'LiRA AUC, two-sided',
                likelihood_attacks.lira_two_sided, _TWO_SIDED),
    _likelihood('lira_auc_person', 'LiRA AUC, by person',
                likelihood_attacks.lira_scores, by_person=True),
    _likelihood('lira_auc_person_two_sided', 'LiRA AUC, two-sided, by person',
                likelihood_attacks.lira_two_sided, _TWO_SIDED, by_person=True),
    _attack('lira_tpr_at_fpr_0.01', 'LiRA TPR at a calibrated 1 % FPR',
            form=SLOT, tier=2, summary=True, value=_partial(
                likelihood_attacks.lira_rate, rate=.01, split='forget')),
    _attack('lira_fpr_at_fpr_0.01', 'LiRA FPR found at a calibrated 1 %',
            form=SLOT, tier=2, sides=(UNSEEN,), direction=_MISSES,
            value=_partial(
                likelihood_attacks.lira_rate, rate=.01, split=UNSEEN)),
    _gap('gap_mia_auc_retain_person',
         'Gap in attack AUC, retain against test, by person', 'retain',
         releases.stayed_auc_by_person, direction=_EXPOSED,
         margin=None, sides=('retain', 'test'), tier=2),
    _gap('gap_rmia_auc_retain', 'Gap in RMIA AUC, retain against test',
         'retain', likelihood_attacks.rmia_retain, direction=_EXPOSED,
         margin=None, sides=('retain', 'test'), tier=2),
    _gap('gap_rmia_auc_retain_person',
         'Gap in RMIA AUC, retain against test, by person', 'retain',
         _partial(likelihood_attacks.rmia_retain, by_person=True),
         direction=_EXPOSED, margin=None, sides=('retain', 'test'), tier=2),
    # Tier 3: shadow models that unlearned, too.
    _shadow('u_lira_auc', 'U-LiRA AUC', _TRACE, shadows.u_lira, bounds=_SHARE,
            margin='auc_margin', votes=(FORGETTING, 12), summary=True),
    _shadow('u_lira_auc_person', 'U-LiRA AUC, by person', _TRACE,
            _partial(shadows.u_lira, by_person=True), by_person=True,
            bounds=_SHARE,
            margin='auc_margin', votes=(FORGETTING, 13), role=ACCUSER,
            summary=True),
    _shadow('u_lira_accuracy', 'U-LiRA accuracy', _TRACE,
            _partial(shadows.u_lira, what='accuracy'), bounds=_SHARE),
    _shadow('u_lira_accuracy', 'U-LiRA accuracy', _TRACE, shadows.u_lira,
            bounds=_SHARE, members=lambda _: shadows.POINTS),
    _shadow('u_lira_calibrated_tpr_at_fpr_0.01',
            'U-LiRA TPR at a calibrated 1 % FPR', _TRACE,
            _partial(shadows.u_lira, what='tpr'), bounds=_SHARE),
    _shadow('u_lira_calibrated_fpr_at_fpr_0.01',
            'U-LiRA FPR found at a calibrated 1 %', _MISSES,
            _partial(shadows.u_lira, what='fpr'), bounds=_SHARE),
    _shadow('u_lira_retrained_auc', 'U-LiRA AUC against retrained',
            'higher means that traces or the footprint of the method remain',
            _partial(shadows.u_lira, against='retrained'), bounds=_SHARE,
            margin='auc_margin', votes=(FORGETTING, 18), summary=True),
    *_kloms('forget', votes=(FORGETTING, 14), summary=True),
    *_kloms('retain'), *_kloms('test'),
    _shadow('epsilon_challenge', 'Epsilon, challenge form',
            'higher means easier to tell from retrained; the aim is the null, '
            'not 0', shadows.challenge, units='nats',
            bounds=_FROM_0),
    _shadow('forgetting_quality', 'Forgetting quality F, challenge form',
            "higher means better by the challenge's rule; the aim is the null, "
            'not 1', _partial(shadows.challenge, what='quality'),
            bounds=_SHARE),
    _shadow('challenge_final_score', 'Final score, challenge form',
            "higher means better by the challenge's rule; the aim is the null, "
            'not 1', _partial(shadows.challenge, what='final'), units='score',
            bounds=_FROM_0),
    _shadow('epsilon_lb_largest', 'Epsilon that is shown, largest',
            'higher means proven leakage of an image; 0 means not shown',
            shadows.shown_epsilon, units='nats', bounds=_FROM_0,
            votes=(FORGETTING, 15),
            role=ACCUSER, summary=True),
    _shadow('privacy_harm', 'Privacy harm, U-LiRA AUC',
            'higher means that people who stay leak more than after retraining',
            shadows.privacy_harm, bounds=_SHARE),
    Metric(name='lira_online_auc', label='LiRA AUC, online', split='forget',
           direction=_AUC, tier=3, value=shadows.lira_online,
           sides=('forget',), bounds=_SHARE, margin='auc_margin', chance=.5,
           summary=True),
    Metric(name='lira_online_auc_person', label='LiRA AUC, online, by person',
           split='forget', direction=_AUC, tier=3,
           value=_partial(shadows.lira_online, by_person=True),
           sides=('forget',), bounds=_SHARE, margin='auc_margin', chance=.5,
           by_person=True, summary=True),
)

_BY_NAME = {metric.name: metric for metric in METRICS if not metric.members}
_FAMILIES = {metric.name: metric for metric in METRICS if metric.members}
_FORMER = {  # labels of what earlier versions computed, for their results
    'rmia_tpr_at_fpr_0.01': 'RMIA TPR at a pooled 1 % FPR',
    'u_lira_tpr_at_fpr_0.01': 'U-LiRA TPR at a pooled 1 % FPR'}


def find(name: str) -> Metric | None:
  """The entry of a metric as it is called in a result, None if unknown.

  Example:
    >>> find('accuracy_test/gender 1').about, find('accuracy_test').about
    ('group', 'model')
  """
  base, slash, _ = name.partition('/')
  return (_FAMILIES if slash else _BY_NAME).get(base)


def label(name: str) -> str:
  """A metric's display name; an unknown one is its own, in words.

  Example:
    >>> label('mia_tpr_at_fpr_0.01'), label('js_forget')
    ('Attack TPR at a pooled 1 % FPR', 'JS distance, forget')
    >>> label('balanced_accuracy_test/gender'), label('probe_accuracy')
    ('Balanced accuracy, test: gender', 'Probe accuracy')
    >>> label('rmia_tpr_at_fpr_0.01')  # of an earlier version's result
    'RMIA TPR at a pooled 1 % FPR'
  """
  base, _, member = name.partition('/')
  metric = find(name) or _BY_NAME.get(base)
  words = base.replace('_', ' ')
  text = metric.label if metric else _FORMER.get(
      base, words[:1].upper() + words[1:])
  return f'{text}: {member}' if member else text


def short_label(name: str) -> str:
  """A metric's name for narrow columns.

  Example:
    >>> short_label('mia_auc_matched'), short_label('nomus')
    ('attack AUC', 'NoMUS')
  """
  metric = find(name)
  return metric.short if metric and metric.short else label(name)


def voters(verdict: str) -> tuple[str, ...]:
  """Names of the metrics that vote in an overall verdict, in their order."""
  found = [(metric.votes[1], metric.name) for metric in METRICS
           if metric.votes and metric.votes[0] == verdict]
  return tuple(name for _, name in sorted(found))


def roles() -> dict[str, str]:
  """How the metrics that vote do so, by name."""
  return {metric.name: metric.role for metric in METRICS if metric.votes}


def summary(tier: int) -> tuple[str, ...]:
  """Names of a tier's metrics that stand in the short tables."""
  return tuple(metric.name for metric in METRICS
               if metric.summary and metric.tier == tier)


def markdown() -> str:
  """The table of all metrics for ``docs/metrics.md``."""
  configs = inputs_lib.EvaluationConfig(), inputs_lib.ReferenceConfig()
  rows = ['| name | label | tier | split | units | direction | null | margin | '
          'votes on |', '|---|---|---:|---|---|---|---|---:|---|']
  for metric in METRICS:
    margin = metric.margin_in(*configs)
    rows.append('| ' + ' | '.join((
        f'`{metric.name}`' if not metric.members else f'`{metric.name}/…`',
        metric.label, str(metric.tier), metric.split or '', metric.units,
        metric.direction_in(configs[1]), _null_in_words(metric),
        '' if margin is None else f'{margin:g}',
        _vote_in_words(metric))) + ' |')
  return '\n'.join(rows) + '\n'


def _vote_in_words(metric: Metric) -> str:
  if metric.votes is None:
    return ''
  return metric.votes[0] + {
      VOTER: '', COMPANION: ', never alone',
      ACCUSER: ', blocks only with power'}[metric.role]


_EXCHANGED = 'models exchanged between both sides'
_NULLS_OF_SHADOWS = {  # where it is another one
    'epsilon_lb_largest': '0: it holds without one',
    **dict.fromkeys(('klom_forget', 'klom_retain', 'klom_test'),
                    f'the formula for equal laws, its range by {_EXCHANGED}')}


def _null_in_words(metric: Metric) -> str:
  if metric.form == SHADOW:
    return _EXCHANGED if metric.members else _NULLS_OF_SHADOWS.get(
        metric.name, _EXCHANGED)
  if metric.null is None:
    return 'each retrained model against the others'
  function = getattr(metric.null, 'func', metric.null)
  words = str(function.__doc__).partition('\n')[0].rstrip('.')
  return words[:1].lower() + words[1:]
