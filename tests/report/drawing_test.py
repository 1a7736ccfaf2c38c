"""One look for a model in every plot, and grids of panels."""

import pytest

from dlfd_jax import methods
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import drawing

# A method that has no look of its own yet is one of the others.
KNOWN = [name for name in (
    'original', 'retrained', 'finetune_alike', *methods.METHODS)
         if name in drawing._LOOKS]


def test_a_known_model_looks_the_same_whatever_else_there_is():
  alone = drawing.styles(['scrub'])['scrub']
  assert drawing.styles(['mine', 'original', 'scrub'])['scrub'] == alone


def test_all_methods_and_as_many_others_as_are_allowed_look_different():
  others = [f'm{i}' for i in range(drawing.MOST_FURTHER)]
  looks = drawing.styles([*others, *KNOWN])
  assert len({(s.color, s.marker) for s in looks.values()}) == len(looks)
  with pytest.raises(ValueError, match='Expected at most 12 names .* got 13'):
    drawing.styles([*others, *KNOWN, 'one more'])


@pytest.mark.parametrize('names', [
    ['original', 'retrained', 'dlfd', 'dlfd_restore', 'finetune', 'eu_k'],
    ['original', 'retrained', 'mine', 'yours', 'finetune', 'eu_k']])
def test_others_take_colours_that_nobody_has(names):
  looks = drawing.styles(names).values()
  assert len({style.color for style in looks}) == len(names)


def test_a_last_state_is_hollow():
  looks = drawing.styles(['dlfd', 'dlfd/last'])
  assert looks['dlfd'].face == looks['dlfd'].color
  assert looks['dlfd/last'].face == 'none'
  assert looks['dlfd/last'].edge == looks['dlfd'].color


@pytest.mark.parametrize('count', range(1, 15))
def test_every_panel_has_a_place_and_no_row_is_empty(count):
  rows, columns = drawing.grid_shape(count)
  assert columns <= drawing.MOST_COLUMNS
  assert (rows - 1) * columns < count <= rows * columns


def test_unused_axes_are_removed_and_no_panel_is_refused():
  with drawing.new_figure(4, 4) as figure:
    assert len(drawing.grid(figure, 5)) == len(figure.axes) == 5
    with pytest.raises(ValueError, match='at least one panel'):
      drawing.grid(figure, 0)


def test_a_long_title_is_wrapped_beside_its_marker():
  with drawing.new_figure(3, 3) as figure:
    axis, = drawing.grid(figure, 1)
    drawing.heading(axis, 'DLFD as released (official_compat)',
                    drawing.styles(['official_compat'])['official_compat'])
    assert axis.get_title(loc='left').count('\n') == 1
    assert axis.lines[0].get_marker() == '^'


@pytest.mark.parametrize('cell, bar', [
    (Estimate(.5, .4, .7), [[.1], [.2]]),
    (Estimate(.5, .6, .7), [[0], [.2]]),  # a value below its interval
    (Estimate(.5), None), (Estimate.missing('not measured'), None)])
def test_a_bar_reaches_to_the_ends_of_the_interval(cell, bar):
  assert drawing.error_bar(cell) == (bar and [
      pytest.approx(side) for side in bar])


def test_an_unknown_format_is_refused():
  with drawing.new_figure(1, 1) as figure, pytest.raises(
      ValueError, match="Expected the format 'svg' or 'png', got 'gif'"):
    drawing.to_bytes(figure, 'gif')
