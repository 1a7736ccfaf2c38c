"""Grids of panels."""

import pytest

from dlfd_jax.report import canvas, palette, panels


@pytest.mark.parametrize('count', range(1, 15))
def test_every_panel_has_a_place_and_no_row_is_empty(count):
  rows, columns = panels.shape(count)
  assert columns <= panels.MOST_COLUMNS
  assert (rows - 1) * columns < count <= rows * columns


def test_unused_axes_are_removed():
  with canvas.drawing(4, 4) as figure:
    axes = panels.grid(figure, 5)
    assert len(axes) == len(figure.axes) == 5


def test_a_long_title_is_wrapped_beside_its_marker():
  with canvas.drawing(3, 3) as figure:
    axis, = panels.grid(figure, 1)
    panels.heading(axis, 'DLFD as released (official_compat)',
                   palette.Style(palette.BLUE, '^'))
    assert axis.get_title(loc='left').count('\n') == 1
    assert axis.lines[0].get_marker() == '^'


def test_no_panel_is_refused():
  with pytest.raises(ValueError, match='at least one panel'):
    panels.shape(0)
