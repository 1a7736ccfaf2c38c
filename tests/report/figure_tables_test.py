"""The trade-off over tasks, and the gain by complexity."""

import functools

import pytest

from dlfd_jax.report import figure_tables as lib
from tests.report import pictures


def _figure(mean):
  return lib.Figure(mean, mean - .02, mean + .02)


def _points(shift=0.0):
  return [lib.Point(name, name, _figure(auc), _figure(.8 + shift))
          for name, auc in (('original', .7), ('dlfd', .52), ('dlfd/last', .55),
                            ('retrained', .5))]


def _gains():
  return [lib.Gain(task, classes, against, 'x', values)
          for task, classes in (('a', 2), ('b', 2), ('c', 8))
          for against, values in (('finetune', (.1, .2)), ('best', (.01,)))]


def _axes(monkeypatch):
  seen = []
  monkeypatch.setattr(
      lib.canvas, 'to_bytes', lambda figure, format: seen.extend(
          figure.axes) or b'')
  return seen


def test_both_pictures_are_valid_and_deterministic():
  pictures.check(functools.partial(
      lib.tradeoff, {'a': _points(), 'b': _points(.1)}, spread='seeds'))
  pictures.check(functools.partial(lib.complexity, _gains()))


def test_each_task_has_its_panel_and_retrained_is_shaded(monkeypatch):
  seen = _axes(monkeypatch)
  lib.tradeoff({'a': _points(), 'b': _points(.1)[:-1]}, spread='seeds')
  assert [axis.get_title(loc='left') for axis in seen] == ['a', 'b']
  assert [len(axis.patches) for axis in seen] == [2, 0]


def test_tasks_of_as_many_classes_stand_beside_each_other(monkeypatch):
  seen = _axes(monkeypatch)
  lib.complexity(_gains())
  places = seen[0].get_xticks()
  assert len(set(places)) == 3
  assert sum(places[:2]) / 2 == pytest.approx(2)
  assert places[2] == 8


def test_a_gain_of_one_seed_has_no_spread():
  assert lib.Gain('a', 2, 'best', 'x', (.3,)).deviation == 0
  assert lib.Gain('a', 2, 'best', 'x', (.1, .3)).deviation == pytest.approx(
      .02**.5)


def test_nothing_to_draw_is_refused():
  with pytest.raises(ValueError, match='got none for b'):
    lib.tradeoff({'a': _points(), 'b': []}, spread='')
  with pytest.raises(ValueError, match='Expected rows'):
    lib.tradeoff({}, spread='')
  with pytest.raises(ValueError, match='another row, got none'):
    lib.complexity([])
