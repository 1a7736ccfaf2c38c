"""Names of the data sets and of their variants, without any import."""

from __future__ import annotations

_FORGET_SETS = ('benchmark', 'gli', 'clean', 'gli_clean')

# The first variant is meant where none is named.
VARIANTS: dict[str, tuple[str, ...]] = {
    'mufac': ('official', 'clean'),
    'mucac': _FORGET_SETS,
    'rafdb': ('official',),
    'celeb_a': _FORGET_SETS,
    'cifar10': ('official',),
    'cifar100': ('official',),
}


def is_name(source: str) -> bool:
  """Whether a source is one of these data sets, with or without a variant."""
  return source.partition('/')[0] in VARIANTS


def parse(source: str) -> tuple[str, str]:
  """The data set and the variant of ``'mucac'`` or ``'mucac/gli'``.

  Raises:
    ValueError: if the data set has no such variant.

  Example:
    >>> parse('mucac'), parse('mucac/gli')
    (('mucac', 'benchmark'), ('mucac', 'gli'))
  """
  name, slash, variant = source.partition('/')
  if not slash:
    return name, VARIANTS[name][0]
  if variant not in VARIANTS[name]:
    raise ValueError(
        f'Expected one of {", ".join(VARIANTS[name])} after {name}/, got '
        f'{variant!r}.')
  return name, variant
