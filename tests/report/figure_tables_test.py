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


def _crowd():
  """Eight rows around the retrained model, two of them far away."""
  places = {'retrained': (.50, .80), 'dlfd': (.51, .80), 'scrub': (.52, .79),
            'scrub_r/last': (.52, .79), 'cf_k': (.49, .81), 'eu_k': (.50, .82),
            'original': (.95, .85), 'neggrad': (.90, .60)}
  return [lib.Point(name, name, _figure(auc), _figure(accuracy))
          for name, (auc, accuracy) in places.items()]


def test_a_crowd_around_retrained_is_drawn_again_larger(monkeypatch):
  seen = _axes(monkeypatch)
  lib.tradeoff({'a': _crowd(), 'b': _points()}, spread='seeds')
  assert [axis.get_title(loc='left') for axis in seen] == [
      'a', 'in the dashed frame', 'b']
  whole, near, _ = seen
  frame = whole.patches[-1]
  (left, right), (bottom, top) = near.get_xlim(), near.get_ylim()
  assert frame.get_xy() == pytest.approx((left, bottom))
  assert frame.get_width() == pytest.approx(right - left)
  assert frame.get_height() == pytest.approx(top - bottom)
  assert left < .50 < .52 < right < .90 and bottom < .79 < top
  # The other half lies outside, and none of its bars crosses the panel.
  drawn = [line.get_xydata()[0] for line in near.lines
           if line.get_marker() not in ('None', '|', '_')
           and len(line.get_xdata()) == 1]
  assert len(drawn) >= 4
  assert all(left <= x <= right and bottom <= y <= top for x, y in drawn)


def test_a_last_state_is_a_ring_around_the_model_that_it_equals(monkeypatch):
  seen = _axes(monkeypatch)
  lib.tradeoff({'a': _crowd()[2:4] + _crowd()[:1]}, spread='seeds')
  sizes = {line.get_markerfacecolor(): line.get_markersize()
           for line in seen[0].lines if len(line.get_xdata()) == 1
           and line.get_marker() in ('d', 'o')}
  assert sizes.pop('none') > max(sizes.values())


def test_gains_over_one_other_stand_at_their_classes(monkeypatch):
  seen = _axes(monkeypatch)
  lib.complexity([gain for gain in _gains() if gain.against == 'finetune'][1:])
  marked = [x for line in seen[0].lines if line.get_marker() == 'v'
            for x in line.get_xdata()]
  assert marked == [2, 8]
  assert 'one standard deviation' in seen[0].get_xlabel()


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
