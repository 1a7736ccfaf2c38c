"""What part each image is in, as a column of the source says.

Nothing is guessed: a column that looks like a split and was not named is a
question to the user, and so is a word that means no part.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.data.splits import PARTITION_PARTS, SPLITS_PARTS
from dlfd_jax.utils import validate

IGNORE = 'ignore'  # as the column of the split: there is none
EARLIER = 'split, if any'  # what versions did that did not ask about others
_WORDS = {
    **{word: word for word in (*PARTITION_PARTS, *SPLITS_PARTS)},
    **dict.fromkeys(('training', 'trn'), 'train'),
    **dict.fromkeys(('valid', 'validation', 'validate', 'dev', 'development'),
                    'val'),
    **dict.fromkeys(('testing', 'tst'), 'test')}
# What CelebA's list_eval_partition says; in a column that a user named alone.
_CELEBA = {'0': 'train', '1': 'val', '2': 'test'}
_FOLDS = {'fold', 'folds', 'kfold', 'kfolds'}  # their numbers are no parts
_COLUMNS = {*_FOLDS, 'split', 'splits', 'partition', 'partitions', 'part',
            'subset', 'set', 'usage', 'phase', 'datasplit', 'datasetsplit',
            'splitname', 'trainvaltest', 'traintest', 'istrain', 'istest',
            'evaluationstatus', 'heldout', 'aufteilung'}
# They stand in names and say that these are parts, not which.
_LIKE_PARTS = {*_FOLDS, 'eval', 'evaluation', 'holdout', 'split', 'splits',
               'subset', 'partition', 'publictest', 'privatetest'}
# What makes a column or a folder look like parts; it is asked, not translated.
_ALIKE = {
    **_WORDS,
    **dict.fromkeys((
        'trainset', 'trainingset', 'trainieren', 'entrainement', 'entraînement',
        'apprentissage', 'entrenamiento', 'treino', 'treinamento',
        'addestramento', 'обучение', '训练', '训练集', '訓練', '学習',
        '훈련', '학습'), 'train'),
    **dict.fromkeys((
        'valset', 'validationset', 'devset', 'validierung', 'validación',
        'validacion', 'validação', 'validacao', 'validazione', 'валидация',
        '验证', '验证集', '検証', '검증'), 'val'),
    **dict.fromkeys((
        'testset', 'testingset', 'testen', 'prueba', 'teste', 'тест', '测试',
        '测试集', 'テスト', '테스트'), 'test')}
# Stand beside such words in names of columns and arrays.
_BETWEEN = {'is', 'in', 'for', 'set', 'data', 'dataset', 'id', 'ids', 'no',
            'nr', 'cv', 'index', 'indices', 'idx', 'rows', 'positions', 'mask',
            'masks', 'flag', 'flags', 'used', 'use', 'only', 'images', 'image'}
_MOST_PARTS = 10  # values of a column that is a split, but for folds


def part_of(word: str, codes: Mapping[str, str] | None = None) -> str | None:
  """The part that a word means; None if it means none.

  Args:
    word: in any case: the parts themselves; training, trn; valid, validation,
      validate, dev, development; testing, tst.
    codes: parts by further words; they come first.
  """
  word = word.strip()
  codes = codes or {}
  return codes.get(word) or codes.get(word.lower()) or _WORDS.get(word.lower())


def is_like_part(word: str) -> bool:
  """Whether a name may be that of a part, such as ``train_images``."""
  return any(piece in _ALIKE or piece in _LIKE_PARTS for piece in _pieces(word))


def _pieces(word: str) -> list[str]:
  """Words in a name, in lower case: ``is``, ``train`` of ``isTrain_2``."""
  word = re.sub('(?<=[a-z])(?=[A-Z])', ' ', unicodedata.normalize('NFKC', word))
  return re.findall(r'[^\W\d_]+', word.lower())


def is_named_like_split(name: str) -> bool:
  """Whether a column's name says that it holds parts, such as ``is_train``."""
  pieces = set(_pieces(name)) - _BETWEEN
  return ''.join(_pieces(name)) in _COLUMNS or bool(pieces) and pieces <= (
      _ALIKE.keys() | _LIKE_PARTS)


def _is_like_split(name: str, values: Sequence[str]) -> bool:
  """Whether a column may be a split, by its name or by its values."""
  distinct = {value for value in values if value.strip()}
  if ''.join(_pieces(name)) in _COLUMNS:
    return True
  if len(distinct) > _MOST_PARTS:
    return False
  if is_named_like_split(name) and len(set(values)) > 1:  # blank may be a no
    return True
  alike = [value for value in distinct if is_like_part(value)]
  parts = parts_in(alike)
  return 1 < len(alike) > len(distinct) / 2 and (
      'train' in parts or len(parts) > 1)


def parts_in(words: Iterable[str]) -> set[str]:
  """The parts whose words stand in any of these."""
  return {_ALIKE[piece] for word in words for piece in _pieces(word)
          if piece in _ALIKE}


def check_paths(paths: Sequence[str]) -> None:
  """Refuses paths that name parts where nothing else says the parts.

  Args:
    paths: of all images, as ``train/ann_1.png``.

  Raises:
    ValueError: if a folder at one place in all of them is a word for a part,
      and not for the same one.
  """
  for names in zip(*([path.replace('\\', '/').split('/')[:-1]
                     for path in paths])):
    first: dict[str | None, str] = {}
    for name, path in zip(names, paths):
      first.setdefault(part_of(name), path)
    if None not in first and len(first) > 1:
      raise ValueError(
          'Expected a column that says what part each image is in, as folders '
          f'name parts, got none beside {validate.listed(first.values())}: '
          f'write it as a column split, or say --split_column={IGNORE} to '
          'draw a split.')


def split_column(
    columns: Mapping[str, Sequence[str]], others: Collection[str],
    name: str | None = None,
    codes: Mapping[str, str] | None = None) -> tuple[str | None, list[str]]:
  """Which column of a table says what part each image is in, and what it says.

  Args:
    columns: all of the table, as texts.
    others: those that say something else, such as the labels.
    name: of the column that a user named; ``'ignore'`` = none is to be read,
      and the split is drawn; None = the one that is called ``split``, if any.
    codes: parts by the values of the column, where these are no words that
      ``part_of`` knows; by default 0, 1 and 2 are train, val and test in a
      column that was named and has all three.

  Returns:
    The column's name, None if there is none, and the parts; values that mean
    no part are left for ``read_split_column`` to refuse.

  Raises:
    ValueError: if the named column is not there, or a value of it has no part,
      or none was named and a column looks like a split.
  """
  if name == IGNORE or name == EARLIER and 'split' not in columns:
    return None, []
  name = None if name == EARLIER else name
  if name is None and 'split' not in columns:
    if codes:
      raise ValueError('Expected a split column for split_codes, got none: '
                       'name it by --split_column.')
    for other, values in columns.items():
      if other not in others and _is_like_split(other, values):
        raise ValueError(
            f'Expected --split_column where a column looks like a split, got '
            f'none and the column {other!r} with '
            f'{validate.listed(sorted(set(values)), 5)}: say '
            f'--split_column={other}, or --split_column={IGNORE} to draw a '
            'split.')
    return None, []
  if name is not None and (name not in columns or name in others):
    raise ValueError(
        f'Expected --split_column to name a column that is not read otherwise, '
        f'got {name!r} among {validate.listed(columns)}.')
  column = 'split' if name is None else name
  values = columns[column]
  if (name is not None and not codes and not _FOLDS & set(_pieces(name))
      and set(_CELEBA) <= set(values)):  # 0 and 1 alone may be no and yes
    codes = _CELEBA
  parts = [part_of(value, codes) for value in values]
  if name is not None and None in parts:
    raise ValueError(
        f'Expected train, val or test in column {name!r}, got '
        f'{values[parts.index(None)]!r}: say by --split_codes what its values '
        f'{validate.listed(sorted(set(values)), 5)} mean, such as '
        '--split_codes=a:train,b:val,c:test.')
  return column, [part or value for part, value in zip(parts, values)]


def read_split_column(dataset: dataset_lib.Dataset) -> np.ndarray:
  """The part of each image as the source fixes it, text ``[n]``.

  Raises:
    ValueError: if there is no column, or a value is none of train, retain,
      forget, val and test.
  """
  if dataset.split is None:
    raise ValueError(
        f'Expected a split column in {dataset.name!r}, got none.')
  column = np.array([part_of(word) or word for word in
                     np.char.strip(dataset.split.astype(str)).tolist()])
  allowed = sorted({*PARTITION_PARTS, *SPLITS_PARTS})
  bad = np.flatnonzero(~np.isin(column, allowed))
  if bad.size:
    raise ValueError(
        f'Expected split to be one of {", ".join(allowed)}, got '
        f'{str(column[bad[0]])!r} for {dataset.where(bad[0])}.')
  return column


def partition_from_column(dataset: dataset_lib.Dataset, *,
                          check: bool = True
                          ) -> splits_lib.Partition | splits_lib.Splits:
  """The split that the source fixes, from ``dataset.split``.

  Args:
    dataset: the data.
    check: whether a person in two parts is an error here. Say False only where
      ``resolve_request`` follows: it leaves listed persons out of ``val`` and
      ``test``, and checks the rest.

  Returns:
    ``Partition`` if the column says train/val/test, ``Splits`` if it says
    retain/forget/val/test.

  Raises:
    ValueError: if there is no column, a value is none of the five words, train
      is mixed with retain or forget, a part is empty, or ``check_splits``
      objects.
  """
  column = read_split_column(dataset)
  cut = bool(np.isin(column, ('retain', 'forget')).any())
  if cut and (column == 'train').any():
    raise ValueError(
        'Expected split to say either train or retain and forget, got both.')
  parts = {name: np.flatnonzero(column == name)
           for name in (SPLITS_PARTS if cut else PARTITION_PARTS)}
  for name, rows in parts.items():
    if not rows.size:
      raise ValueError(
          f'Expected at least one image in {name}, got 0 among the '
          f'{len(column)} of {dataset.name!r}, whose split says '
          f'{validate.listed(np.unique(column))}.')
  splits: splits_lib.Partition | splits_lib.Splits
  if cut:
    retain, forget, val, test = parts.values()
    classes, of_classes = splits_lib.whole_classes(
        dataset, retain, forget, (val, test))
    splits = splits_lib.Splits(
        retain, forget, val, test,
        by_person=splits_lib.retain_forget_by_person(dataset, retain, forget),
        classes=classes, of_classes=of_classes)
  else:
    splits = splits_lib.Partition(**parts)
  if check:
    splits_lib.check_splits(dataset, splits)
  return splits
