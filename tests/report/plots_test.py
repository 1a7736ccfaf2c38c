"""Plots: what they show, and that equal input gives equal bytes."""

import functools
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from dlfd_jax.report import plots, tables
from tests.report import fakes

_ARRAYS = fakes.per_example()
_DRAW = {
    'losses': lambda **k: plots.loss_histograms(_ARRAYS, **k),
    'roc': lambda **k: plots.roc_curves(_ARRAYS, **k),
    'trace': lambda **k: plots.trace(
        fakes.history(), thresholds={'forget threshold': .04},
        selected_step=45, **k),
    'trade_off': lambda **k: plots.trade_off(
        plots.points_of(fakes.result()), **k),
}


@functools.cache
def _svg(name):
  return _DRAW[name]()


def _words(svg):
  """The text of an SVG; matplotlib keeps it in comments beside the outlines."""
  builder = ElementTree.TreeBuilder(insert_comments=True)
  root = ElementTree.fromstring(
      svg, ElementTree.XMLParser(target=builder))
  return [' '.join(node.text.split()) for node in root.iter()
          if node.tag is ElementTree.Comment]


@pytest.mark.parametrize('name', _DRAW)
def test_a_plot_is_the_same_twice_and_leaves_no_global_state(name):
  svg = _svg(name)
  before = dict(matplotlib.rcParams)
  assert _DRAW[name]() == svg
  assert dict(matplotlib.rcParams) == before
  assert b'<dc:date>' not in svg
  assert _words(svg)


def test_png_is_offered_too():
  png = _DRAW['trade_off'](format='png')
  assert png.startswith(b'\x89PNG\r\n')
  assert b'Software' not in png


def test_an_unknown_format_is_refused():
  with pytest.raises(ValueError, match="Expected the format 'svg' or 'png', "
                     "got 'gif'"):
    _DRAW['trade_off'](format='gif')


def test_histograms_state_their_axes_and_show_three_models():
  words = _words(_svg('losses'))
  for word in ('Original', 'Unlearned', 'Retrained', 'share of images',
               'loss in nats, logarithmic; the first bin holds all below '
               '0.0001', 'unseen (test)', 'forget'):
    assert word in words


def test_roc_legend_holds_the_signed_auc_of_every_model():
  words = _words(_svg('roc'))
  original = fakes.auc(_ARRAYS, 'original')
  assert f'original: {original:.3f}' in words
  assert sum(word.startswith('retrained ') for word in words) == 3
  assert 'At low false-positive rates' in words


def test_an_auc_below_one_half_is_not_folded():
  arrays = {'unlearned/forget/loss': np.array([3., 4.], np.float32),
            'unlearned/test/loss': np.array([1., 2., 2.5], np.float32)}
  assert 'unlearned: 0.000' in _words(plots.roc_curves(arrays))


def test_a_loss_that_is_not_finite_counts_as_the_largest():
  arrays = {'unlearned/forget/loss': np.array([np.inf, np.nan, 4.]),
            'unlearned/test/loss': np.array([1., 2., 3.])}
  assert 'unlearned: 0.000' in _words(plots.roc_curves(arrays))
  plots.loss_histograms(arrays)


def test_zero_losses_stand_in_the_first_bin():
  arrays = {'original/forget/loss': np.zeros(5, np.float32),
            'original/test/loss': np.ones(5, np.float32)}
  assert 'Original' in _words(plots.loss_histograms(arrays))


def test_the_trace_names_phases_thresholds_and_the_returned_state():
  words = _words(_svg('trace'))
  for word in ('distance steps', 'finetune steps', 'forget threshold',
               'returned state', 'step'):
    assert words.count(word) == 1


def test_the_trace_of_one_check_without_a_score_is_drawn():
  plots.trace([{'event': 'check', 'step': 0, 'forgetting_score': None,
                'mia_auc': .6, 'val_accuracy': .5, 'next_phase': 'train'}])


def test_a_history_without_checks_is_refused():
  with pytest.raises(ValueError, match="at least one event of kind 'check', "
                     'got none in 1 events'):
    plots.trace([{'event': 'steps', 'step': 1}])


def test_the_trade_off_leaves_out_models_without_numbers():
  points = plots.points_of(fakes.result(retrained=False))
  words = _words(plots.trade_off(points))
  assert 'original' in words
  assert 'retrained' not in words


def test_the_trade_off_takes_other_methods_and_points_without_intervals():
  points = [
      plots.Point('DLFD', 'unlearned', tables.Cell(.52), tables.Cell(.8)),
      plots.Point('fine-tuning', 'finetune', tables.Cell(.6), tables.Cell(.8))]
  words = _words(plots.trade_off(points))
  assert {'DLFD', 'fine-tuning'} <= set(words)


def test_nothing_to_draw_is_refused():
  with pytest.raises(ValueError, match='arrays of at least one model'):
    plots.loss_histograms({})
  with pytest.raises(ValueError, match='arrays of at least one model'):
    plots.roc_curves({'forget/identity': np.zeros(1)})
  with pytest.raises(ValueError, match='a model with an attack AUC and a test'):
    plots.trade_off([])
