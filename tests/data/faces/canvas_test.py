import numpy as np
import pytest

from dlfd_jax.data.faces import canvas as canvas_lib


def _pose(scale=1.0, half_tan=0.0, shift_x=0.0, shift_y=0.0):
  return canvas_lib.Pose(*(
      np.array([[[value]]], np.float32)
      for value in (scale, half_tan, shift_x, shift_y)))


def test_clamp_ramp_hump_and_wave_at_known_points():
  np.testing.assert_allclose(
      canvas_lib.ramp(np.array([0.0, 1.0, 2.0, 3.0, 9.0]), 1.0, 3.0),
      [0, 0, 0.5, 1, 1])
  np.testing.assert_allclose(
      canvas_lib.hump(np.array([-2.0, -1.0, 0.0, 0.5, 1.0])),
      [0, 0, 1, 0.5625, 0])
  np.testing.assert_allclose(
      canvas_lib.wave(np.array([-1.0, 0.0, 0.25, 0.5, 1.25])), [1, 1, 0, -1, 0])


def test_norms_of_a_diagonal():
  assert canvas_lib.norm2(np.float64(3), np.float64(4)) == 5
  np.testing.assert_allclose(canvas_lib.norm4(np.float64(1), np.float64(1)),
                             2**0.25)


def test_mix_goes_from_the_first_to_the_second():
  assert canvas_lib.mix(2.0, 6.0, 0.25) == 3
  assert canvas_lib.mix_color((0, 1, 2), (4, 5, 6), 0.5) == [2, 3, 4]
  assert canvas_lib.scale_color((0, 1, 2), 3) == [0, 3, 6]


def test_pose_there_and_back():
  pose = _pose(scale=1.3, half_tan=0.2, shift_x=0.1, shift_y=-0.2)
  u, v = pose.to_head(*pose.to_canvas(np.float32(0.3), np.float32(-0.4)))
  np.testing.assert_allclose([u.item(), v.item()], [0.3, -0.4], rtol=1e-5)


def test_roll_is_by_twice_the_half_angle():
  cos, sin = _pose(half_tan=np.tan(np.pi / 12)).rotation()
  np.testing.assert_allclose(
      [cos.item(), sin.item()], [np.cos(np.pi / 6), 0.5], rtol=1e-6)


@pytest.mark.parametrize('scale', [0.7, 1.0])
def test_a_disc_covers_its_area_and_has_soft_edges(scale):
  canvas = canvas_lib.Canvas.blank(_pose(scale=scale, shift_x=0.1), 64)
  alpha = canvas.inside(canvas_lib.norm2(canvas.u, canvas.v) - 0.5)
  share = alpha.mean() * 4  # the canvas has an area of 4
  assert share == pytest.approx(np.pi * (0.5 * scale)**2, rel=0.01)
  assert ((alpha > 0.05) & (alpha < 0.95)).sum() > 50


def test_paint_blends_and_darken_multiplies():
  canvas = canvas_lib.Canvas.blank(_pose(), 4)
  canvas.paint((1.0, 0.5, 0.0), np.float32(0.5))
  canvas.darken(np.float32(0.2))
  assert [plane[0, 1, 2] for plane in canvas.rgb] == pytest.approx(
      [0.4, 0.2, 0.0])


def test_a_window_shares_memory_and_holds_its_rectangle():
  canvas = canvas_lib.Canvas.blank(_pose(half_tan=0.1, shift_x=0.2), 40)
  part = canvas.window(-0.2, -0.1, 0.3, 0.2)
  part.paint((1.0, 1.0, 1.0), np.float32(1))
  inside = ((canvas.u > -0.2) & (canvas.u < 0.3) & (canvas.v > -0.1)
            & (canvas.v < 0.2))
  assert (canvas.rgb[0][inside] == 1).all()
  assert part.u.size < 0.3 * canvas.u.size


def test_a_window_grows_by_how_far_the_surface_moved():
  canvas = canvas_lib.Canvas.blank(_pose(), 40)
  moved = canvas_lib.Canvas(
      canvas.rgb, canvas.x, canvas.y, canvas.u - np.float32(0.2), canvas.v,
      canvas.pixel, canvas.pose, moved=(np.float32([[[0.2]]]), 0.0))
  part = moved.window(-0.1, -0.1, 0.1, 0.1)
  assert part.x.min() < -0.1 and part.x.max() > 0.3


def test_halve_is_the_mean_of_blocks():
  plane = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
  np.testing.assert_array_equal(
      canvas_lib.halve(plane), [[[2.5, 4.5], [10.5, 12.5]]])
