"""How models, metrics and numbers are called and written in every report."""

from __future__ import annotations

from collections.abc import Iterable

MODELS = ('original', 'unlearned', 'retrained', 'null')
NOT_COMPUTED = 'not computed'
DISCLAIMER = (
    'Approximate unlearning: statistical evidence against the listed attacks, '
    'not a proof of deletion.')
LIMITS = (
    'The attacks read the answers of the model (losses) on the forgotten and '
    'on unseen images; somebody with the weights, or with many models trained '
    'alike, may find more.',
    'An attack that finds nothing bounds that attack at this sample size, not '
    'others, and not another person whose images were never asked about.',
    'Copies are found by their pixels and a perceptual hash: another '
    'photograph of the same person that the data do not name is not found.',
    'Where the original was copied, or its answers published, before this run, '
    'nothing here changes that.',
    'Groups and persons with few images have wide intervals; a difference that '
    'is not seen there may still exist.',
)
MODEL_MEANINGS = {
    'original': 'trained on retain and forget',
    'unlearned': 'the original after unlearning',
    'retrained': 'trained from scratch on retain alone: the reference',
    'null': 'what a perfect result would show at this sample size',
}

_LABELS = {
    'accuracy_retain': 'Accuracy, retain',
    'accuracy_forget': 'Accuracy, forget',
    'accuracy_val': 'Accuracy, val',
    'accuracy_test': 'Accuracy, test',
    'exact_match_test': 'All attributes right, test',
    'top2_accuracy_test': 'Top-2 accuracy, test',
    'balanced_accuracy_test': 'Balanced accuracy, test',
    'mia_auc_matched': 'Attack AUC, class-matched',
    'mia_auc_matched_entropy': 'Attack AUC, class-matched, by entropy',
    'mia_auc_matched_modified_entropy':
        'Attack AUC, class-matched, by modified entropy',
    'mia_auc': 'Attack AUC',
    'mia_auc_person': 'Attack AUC, by person',
    'mia_accuracy': 'Attack accuracy, balanced',
    'mia_accuracy_two_sided': 'Attack accuracy, two-sided',
    'forgetting_score': 'Forgetting score',
    'forgetting_score_unbalanced': 'Forgetting score, unbalanced attack',
    'nomus': 'NoMUS',
    'nomus_unbalanced': 'NoMUS, unbalanced attack',
    'ks_loss': 'KS distance of losses',
    'rf_jsd': 'RF-JSD',
    'over_forgetting': 'Over-forgetting, by the main attack AUC',
    'time_s': 'Time',
    'gap_accuracy_forget': 'Gap in accuracy, forget',
    'gap_accuracy_retain': 'Gap in accuracy, retain',
    'gap_accuracy_test': 'Gap in accuracy, test',
    'gap_mia_auc_matched': 'Gap in attack AUC, class-matched',
    'gap_mia_auc_retain': 'Gap in attack AUC, retain against test',
    'average_gap': 'Average gap',
    'tow': 'ToW',
    'tow_mia': 'ToW-MIA',
    'zrf': 'ZRF',
    'relearn_steps': 'Relearn time, steps',
    'log2_ain': 'AIN, log2',
    'probe_membership': 'Linear probe, forget or unseen',
    'probe_people_forget': 'Linear probe, person, forget',
    'probe_people_test': 'Linear probe, person, test',
    'probe_label_test': 'Linear probe, label, test',
    'silhouette_test': 'Silhouette by class, test',
    'forget_tail': 'Unusually high losses, forget',
    'streisand': 'Over-forgetting, signs of three',
    'harmed_people': 'Retained people harmed',
}
_ON_SPLIT = {
    'js': 'JS distance', 'normalised_js': 'JS distance, normalised',
    'kl': 'KL from retrained', 'agreement': 'Agreement of labels',
    'activation_distance': 'Activation distance', 'cka': 'CKA to retrained',
    'cka_biased': 'CKA to retrained, biased',
    'cka_original': 'CKA to original',
}
_TPR = 'mia_tpr_at_fpr_'
_UNIT_SUFFIX = {'nats': ' nats', 'bits': ' bits', 's': ' s', 'ratio': '×'}


def metric_label(name: str) -> str:
  """A metric's display name; an unknown one is its own, in words.

  Example:
    >>> metric_label('mia_tpr_at_fpr_0.01')
    'Attack TPR at 1 % FPR'
    >>> metric_label('balanced_accuracy_test/gender')
    'Balanced accuracy, test: gender'
    >>> metric_label('js_forget')
    'JS distance, forget'
    >>> metric_label('probe_accuracy')
    'Probe accuracy'
  """
  name, _, part = name.partition('/')
  stem, _, split = name.rpartition('_')
  if name in _LABELS:
    label = _LABELS[name]
  elif stem in _ON_SPLIT:
    label = f'{_ON_SPLIT[stem]}, {split}'
  elif name.startswith(_TPR):
    label = f'Attack TPR at {100 * float(name.removeprefix(_TPR)):g} % FPR'
  else:
    label = name.replace('_', ' ')
    label = label[:1].upper() + label[1:]
  return f'{label}: {part}' if part else label


def in_words(sentence: str) -> str:
  """A sentence that begins with a metric, called as in the tables.

  Example:
    >>> in_words('mia_auc (retrained): too few images')
    'Attack AUC (retrained): too few images'
  """
  name, space, rest = sentence.partition(' ')
  return f'{metric_label(name)}{space}{rest}' if '_' in name else sentence


def format_number(value: float, units: str = 'fraction',
                  signed: bool = False) -> str:
  """A number as reports print it.

  Args:
    value: finite.
    units: ``fraction``, ``nats``, ``bits``, ``s``, ``bytes``, ``count``,
      ``ratio`` or any other word, which is then left out.
    signed: also write a plus.

  Example:
    >>> format_number(.8416), format_number(75.4, 's')
    ('0.842', '75.4 s')
    >>> format_number(-.0123, signed=True), format_number(1638, 'count')
    ('-0.012', '1,638')
    >>> format_number(3.2e9, 'bytes'), format_number(11.42, 'ratio')
    ('3.20 GB', '11.4×')
  """
  plus = '+' if signed else ''
  value = 0.0 if abs(value) < 1e-12 else value  # no "-0.000" by rounding
  if units == 'count':
    return f'{value:{plus},.0f}'
  if units == 'bytes':
    return f'{value / 1e9:{plus}.2f} GB'
  if units in ('s', 'ratio'):
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2
  else:
    digits = 3
  return f'{value:{plus},.{digits}f}{_UNIT_SUFFIX.get(units, "")}'


def models_in(keys: Iterable[str]) -> list[str]:
  """The models whose arrays have the keys ``{model}/{split}/loss``.

  Example:
    >>> models_in(['retrained_10/test/loss', 'retrained_9/test/loss',
    ...            'original/test/loss', 'test/sample_id'])
    ['original', 'retrained_9', 'retrained_10']
  """
  found = {key.partition('/')[0] for key in keys if key.endswith('/loss')}
  retrained = sorted(
      (name for name in found if name.startswith('retrained_')),
      key=lambda name: int(name.removeprefix('retrained_')))
  return [*(m for m in ('original', 'unlearned') if m in found), *retrained]
