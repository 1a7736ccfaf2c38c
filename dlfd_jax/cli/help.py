"""The text of ``--help``: what most need; of ``--help-all``: every flag."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from absl import flags

from dlfd_jax.cli import layout, options

# Flags that name files or folders, and what of each.
PLACES = {
    'original': 'RUN', 'unlearned': 'RUN', 'retrained': 'RUN,..',
    'model': 'MODEL', 'weights': 'FILE', 'references': 'FOLDER',
    'shadows': 'FOLDER', 'half_references': 'FOLDER', 'evaluation': 'FOLDER',
    'evaluations': 'FOLDER,..', 'bundle': 'FOLDER', 'previous': 'FOLDER',
    'exports': 'FILE,..', 'sign': 'FILE', 'workdir': 'FOLDER', 'out': 'FOLDER',
    'config': 'FILE', 'data': 'DATA', 'root': 'FOLDER', 'splits': 'FILE',
    'forget_identities': 'FILE', 'forget_families': 'FILE',
    'forget_sample_ids': 'FILE', 'head_classes': 'NAMES',
    'rum_retrained': 'RUN'}
_GROUPS: dict[str, Sequence[str]] = {
    'Models and folders': (
        'original', 'unlearned', 'retrained', 'references', 'shadows',
        'half_references', 'model', 'weights', 'evaluation', 'evaluations',
        'names', 'bundle', 'out', 'workdir', 'config'),
    'The data': [option.flag for option in options.DATA],
    'The split': ('splits', 'split_seed', 'test_fraction', 'val_fraction',
                  'split_by'),
    'Who is forgotten': ('same_person', 'different_people'),
    'The network': [option.flag for option in options.NETWORK],
    'Settings': ('preset', 'on', 'method', 'budget', 'candidates', 'tier', 'n',
                 'design'),
    'The machine': (
        'devices', 'cpu_devices', 'device_bytes', 'data_workers',
        'checkpoint_seconds', 'distributed', 'coordinator', 'num_processes',
        'process_id'),
    'Output': ('json', 'tracker', 'traceback', 'help', 'help_all')}
_OTHERS = 'Settings'
_NAMES = ('preset', 'method', 'optimizer', 'schedule', 'architecture', 'stem',
          'head', 'compute_dtype')
_LONG = 40  # characters of a list that a line may have to break
_NUMBERS = {'int': 'N', 'float': 'X'}
_KINDS = {**_NUMBERS, 'comma separated list of strings': 'A,..'}
_TAKES = {'an integer': 'N', 'a number': 'X', 'true or false': 'BOOL',
          'a text': 'TEXT', 'name:value pairs with commas between': 'A:B,..'}


def group_of(flag: str) -> str:
  """The heading under which a flag stands."""
  if flag.startswith('forget_') and flag not in options.FLAGS:
    return 'Who is forgotten'
  return next((title for title, names in _GROUPS.items() if flag in names),
              _OTHERS)


def text(about: str, values: flags.FlagValues, most: Collection[str] = (),
         starts: Iterable[Any] = ()) -> str:
  """What a command does and its flags in groups, as wide as the terminal.

  Args:
    about: what it does.
    values: the flags.
    most: flags to show; none = all.
    starts: settings whose fields flags replace, shown in brackets; of other
      flags the default is shown.
  """
  columns, starts = layout.width(), list(starts)
  kinds = options.FLAGS | {
      option.flag: option for start in starts for option in options.of(start)}
  held = {flag: shown for start in starts
          for flag, shown in options.texts_of(start).items()}
  lines = [layout.prose(about.strip().replace('``', '`'), columns)]
  for title, names in _grouped(values, most):
    lines += ['', f'{title}:']
    lines += [layout.entry(*_entry(
        values[name], kinds.get(name), held.get(name), bool(most)), columns)
              for name in names]
  return '\n'.join(lines)


def _grouped(values: flags.FlagValues, most: Collection[str]
             ) -> Iterator[tuple[str, list[str]]]:
  shown = {name for name in values if values[name].help.strip()
           and (not most or name in most or name in ('help', 'help_all'))}
  for title, first in _GROUPS.items():
    own = [name for name in sorted(shown) if group_of(name) == title]
    order = [*most, *first]
    own.sort(key=lambda name: order.index(name) if name in order else 999)
    if own:
      yield title, own


def _entry(flag: flags.Flag, option: options.Option | None,
           held: str | None, brief: bool) -> tuple[str, str]:
  """The flag as it is typed, and what it means; in brief, one sentence."""
  if flag.name == 'help':
    return '-h, --help', flag.help
  if flag.name == 'help_all':
    return '--help-all', flag.help
  meaning = meaning_of(flag)
  if brief:
    meaning = meaning.split('. ')[0]
  if held:
    meaning += f' [{_short(held)}]'
  takes = _takes(flag, option)
  return f'--{flag.name}' + (f'={takes}' if takes else ''), meaning


def meaning_of(flag: flags.Flag) -> str:
  """What a flag means, its choices and its default."""
  choices = getattr(flag.parser, 'enum_values', None)
  said = [f'one of {", ".join(choices)}'] if choices else []
  if has_default(flag):
    default = default_of(flag)
    said.append('default ' + (  # lines break between the items of a long list
        default if len(default) < _LONG else default.replace(',', ', ')))
  meaning = flag.help.partition('>: ')[2] if choices else flag.help
  return f'{meaning} ({"; ".join(said)})' if said else meaning


def has_default(flag: flags.Flag) -> bool:
  """Whether a flag that is not given has a value that tells something."""
  return flag.default is not None and flag.default is not False and (
      flag.default not in ('', []))


def default_of(flag: flags.Flag) -> str:
  """The value of a flag that is not given, as it would be typed."""
  return str(flag.default_as_str).strip("'")


def _takes(flag: flags.Flag, option: options.Option | None) -> str | None:
  if flag.flag_type() == 'bool':
    return None
  if flag.name in PLACES and flag.flag_type() not in _NUMBERS:
    return PLACES[flag.name]
  if flag.name in _NAMES or getattr(flag.parser, 'enum_values', None):
    return 'NAME'
  if option is not None and flag.flag_type() == 'string':
    takes = option.takes.removesuffix(' or none')
    return 'A,..' if 'several' in takes else _TAKES.get(takes, 'VALUE')
  return _KINDS.get(flag.flag_type(), 'TEXT')


def _short(value: str) -> str:
  """A value for the eye: numbers with four digits."""
  try:
    return value if float(value).is_integer() else f'{float(value):.4g}'
  except ValueError:
    return value
