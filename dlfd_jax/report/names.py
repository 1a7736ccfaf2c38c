"""How models are called in every report, and what every report says."""

from __future__ import annotations

from collections.abc import Iterable

from dlfd_jax.evaluation import estimate, registry

MODELS = ('original', 'unlearned', 'retrained', 'null')
NOT_COMPUTED = estimate.NOT_COMPUTED
DISCLAIMER = (
    'Approximate unlearning: statistical evidence against the listed attacks, '
    'not a proof of deletion.')
LIMITS = (
    'The attacks read the outputs of the model (losses) on the forgotten and '
    'on unseen images; somebody with the weights, or with many models trained '
    'alike, may find more.',
    'An attack that finds nothing bounds that attack at this sample size, not '
    'others, and not another person whose images were never asked about.',
    'Copies are found by their pixels and a perceptual hash: another '
    'photograph of the same person that the data do not name is not found.',
    'Where the original was copied, or its outputs published, before this run, '
    'nothing here changes that.',
    'Groups and persons with few images have wide intervals; a difference that '
    'is not seen there may still exist.',
)
# Models of which some learnt the people to forget.
HALVES = {'shadows': 'the shadow models',
          'half_references': 'the models of random halves'}
AUDITED = 'the audited model'  # what `unlearned` is in an audit
MODEL_MEANINGS = {
    'original': 'trained on retain and forget',
    'unlearned': 'the original after unlearning',
    'retrained': 'trained from scratch on retain alone: the reference',
    'null': 'what there is where nothing is to be found: of attacks a guess, '
            'of accuracies the most frequent class',
}


def in_words(sentence: str) -> str:
  """A sentence that begins with a metric, called as in the tables.

  Example:
    >>> in_words('mia_auc (retrained): too few images')
    'Attack AUC (retrained): too few images'
  """
  name, space, rest = sentence.partition(' ')
  return f'{registry.label(name)}{space}{rest}' if '_' in name else sentence


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
