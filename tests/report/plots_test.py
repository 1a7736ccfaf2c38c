"""Plots of evaluations: what they show, and that nothing else changes them."""

import functools

import numpy as np
import pytest

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import plots
from tests.report import fakes, pictures

_ARRAYS = fakes.per_example()
_POINTS = plots.points_of(fakes.result())


@pytest.mark.slow
@pytest.mark.parametrize('draw, words', [
    (functools.partial(plots.loss_histograms, _ARRAYS), [
        'Original', 'Unlearned', 'Retrained', 'share of images', 'forget',
        'unseen (test)',
        'loss in nats, logarithmic; the first bin holds all below 0.0001']),
    (functools.partial(plots.roc_curves, _ARRAYS), [
        'At low false-positive rates',
        f'original: {fakes.auc(_ARRAYS, "original"):.3f}',
        *(f'retrained {i}: {fakes.auc(_ARRAYS, f"retrained_{i}"):.3f}'
          for i in range(3))]),
    (functools.partial(
        plots.trace, fakes.history(), thresholds={
            'forget threshold': ('mia_auc', .04),
            'select threshold': ('forgetting_score', .1)},
        selected_step=45), [
            'distance steps', 'finetune steps', 'forget threshold',
            'select threshold', 'returned state', 'step']),
    (functools.partial(plots.trade_off, _POINTS), [
        'original', 'unlearned', 'retrained', 'accuracy on test',
        'Test accuracy against attack AUC; bars: 95 % intervals'])])
def test_a_plot_says_what_it_shows(draw, words):
  shown = pictures.check(draw)
  assert {word: shown.count(word) for word in words} == dict.fromkeys(words, 1)


@pytest.mark.parametrize('forget', [[3., 4., 5.], [np.inf, np.nan, 4.]])
def test_an_auc_is_not_folded_and_what_is_not_finite_is_the_largest_loss(
    forget):
  assert 'unlearned: 0.000' in pictures.words(plots.roc_curves({
      'unlearned/forget/loss': np.array(forget),
      'unlearned/test/loss': np.array([1., 2., 2.5])}))


@pytest.mark.parametrize('forget', [
    np.zeros(5, np.float32), np.array([np.inf, np.nan, 4.])])
def test_histograms_take_losses_of_zero_and_without_an_end(forget):
  arrays = {'original/forget/loss': forget, 'original/test/loss': np.ones(5)}
  [axis] = pictures.axes_of(lambda: plots.loss_histograms(arrays))
  assert [sum(stairs.get_data().values) for stairs in axis.patches] == (
      pytest.approx([1, 1]))


def test_the_trace_of_one_check_without_a_score_is_drawn():
  axes = pictures.axes_of(lambda: plots.trace([{
      'event': 'check', 'step': 0, 'forgetting_score': None, 'mia_auc': .6,
      'val_accuracy': .5, 'next_phase': 'train'}]))
  drawn = [list(line.get_ydata()) for axis in axes for line in axis.lines]
  assert [.6] in drawn and [.5] in drawn


@pytest.mark.parametrize('of, panel, heights', [
    ('forgetting_score', 0, [.1]), ('mia_auc', 1, [.45, .55])])
def test_a_threshold_is_drawn_on_the_axis_of_what_it_is_a_value_of(
    of, panel, heights):
  axes = pictures.axes_of(lambda: plots.trace(
      fakes.history(), thresholds={'forget threshold': (of, .1)}))
  assert {i: sorted(
      line.get_ydata()[0] for line in axis.lines
      if line.get_linestyle() not in ('-', ':')) for i, axis in enumerate(axes)
          } == {i: heights if i == panel else [] for i in range(3)}


def test_a_model_without_numbers_is_no_point():
  points = plots.points_of(fakes.result(retrained=False))
  assert [point.name for point in points] == ['original', 'unlearned']


def test_evaluations_of_one_request_share_original_and_retrained():
  results = {name: fakes.result() for name in 'ab'}
  assert [point.name for point in plots.points_of(results['a'], results)] == [
      'original', 'a', 'b', 'retrained']


@pytest.mark.parametrize('span', [.004, .03, .3])
def test_both_axes_of_the_trade_off_have_a_scale(span):
  points = [plots.Point(name, name, Estimate(.5 + span * k), Estimate(.6))
            for k, name in enumerate(('original', 'unlearned', 'retrained'))]
  axis, = pictures.axes_of(lambda: plots.trade_offs(
      {'': points}, bars='seeds', narrow=True))
  for ticks, (low, high) in ((axis.get_xticks(), axis.get_xlim()),
                             (axis.get_yticks(), axis.get_ylim())):
    assert sum(low <= tick <= high for tick in ticks) >= 3


def test_the_trade_off_takes_points_without_intervals():
  points = [plots.Point(name, title, Estimate(.5), Estimate(.8))
            for name, title in (('dlfd', 'DLFD'), ('retrained', 'Retrained'))]
  assert {'DLFD', 'Retrained'} <= set(pictures.words(plots.trade_off(points)))


def _around(value):
  return Estimate(value, value - .02, value + .02)


def _row(shift=0.0):
  return [plots.Point(name, name, _around(auc), _around(.8 + shift))
          for name, auc in (('original', .7), ('dlfd', .52), ('dlfd/last', .55),
                            ('retrained', .5))]


def _crowd():
  """Eight models around the retrained one, two of them far away."""
  places = {'retrained': (.50, .80), 'dlfd': (.51, .80), 'scrub': (.52, .79),
            'scrub_r/last': (.52, .79), 'cf_k': (.49, .81), 'eu_k': (.50, .82),
            'original': (.95, .85), 'neggrad': (.90, .60)}
  return [plots.Point(name, name, _around(auc), _around(accuracy))
          for name, (auc, accuracy) in places.items()]


def _axes(**tasks):
  return pictures.axes_of(lambda: plots.trade_offs(tasks, bars='seeds'))


def test_each_task_has_its_panel_and_retrained_is_shaded():
  axes = _axes(a=_row(), b=_row(.1)[:-1])
  assert [axis.get_title(loc='left') for axis in axes] == ['a', 'b']
  assert [len(axis.patches) for axis in axes] == [2, 0]


def test_a_crowd_around_retrained_is_drawn_again_larger():
  whole, near, other = _axes(a=_crowd(), b=_row())
  assert [axis.get_title(loc='left') for axis in (whole, near, other)] == [
      'a', 'in the dashed frame', 'b']
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


def test_a_last_state_is_a_ring_around_the_model_that_it_equals():
  [axis] = _axes(a=_crowd()[2:4] + _crowd()[:1])
  sizes = {line.get_markerfacecolor(): line.get_markersize()
           for line in axis.lines if len(line.get_xdata()) == 1
           and line.get_marker() in ('d', 'o')}
  assert sizes.pop('none') > max(sizes.values())


# DejaVu Sans has no ideographs: matplotlib says so and draws a box.
@pytest.mark.filterwarnings('ignore:Glyph:UserWarning')
@pytest.mark.parametrize('name', [r'$\frac{$', 'Zoë 雪 $x$'])
def test_no_name_is_taken_for_a_formula(name):
  points = plots.points_of(fakes.result(), {name: fakes.result()})
  assert name in pictures.words(plots.trade_offs({name: points}, bars=name))


@pytest.mark.parametrize('draw, sentence', [
    (lambda: plots.loss_histograms({}), 'arrays of at least one model'),
    (lambda: plots.roc_curves({'forget/identity': np.zeros(1)}),
     'arrays of at least one model'),
    (lambda: plots.trade_off([]), 'attack AUC and a test accuracy, got'),
    (lambda: plots.trade_offs({}, bars=''), 'got none'),
    (lambda: plots.trade_offs({'a': _row(), 'b': []}, bars=''),
     'got none for b'),
    (lambda: plots.trace([{'event': 'steps', 'step': 1}]),
     "at least one event of kind 'check', got none in 1 events")])
def test_nothing_to_draw_is_refused(draw, sentence):
  with pytest.raises(ValueError, match=sentence):
    draw()
