"""Anti-aliased shapes on a batch of small canvases, in NumPy.

Only additions, products, quotients, square roots, comparisons and rounding are
used, which IEEE 754 fixes to the last bit: the same input gives the same pixels
on every platform. Planes are float32 ``[b, s, s]``, colours in [0, 1].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

Plane = Any  # float32 [b, s, s], [b, 1, 1] (one per image) or one number
Color = Any  # red, green and blue: three planes, or an array [3, ...]


def clamp(x: Plane, low: float = 0.0, high: float = 1.0) -> Plane:
  """``x`` cut to ``[low, high]``."""
  return np.minimum(np.maximum(x, low), high)


def ramp(x: Plane, low: Plane, high: Plane) -> Plane:
  """0 below ``low``, 1 above ``high``, linear between."""
  return clamp((x - low) * (1.0 / (high - low)))


def hump(x: Plane) -> Plane:
  """A bell of height 1 that is 0 outside [-1, 1]: ``(1 - x^2)^2``."""
  y = np.maximum(1.0 - x * x, 0.0)
  return y * y


def wave(x: Plane) -> Plane:
  """Triangle wave of period 1 in [-1, 1]; 1 at the integers."""
  return 1.0 - 4.0 * np.abs(x - np.floor(x + 0.5))


def norm2(x: Plane, y: Plane) -> Plane:
  """Length of ``(x, y)``; its unit ball is a circle."""
  return np.sqrt(x * x + y * y)


def norm4(x: Plane, y: Plane) -> Plane:
  """4-norm of ``(x, y)``; its unit ball is a rounded square."""
  x, y = x * x, y * y
  return np.sqrt(np.sqrt(x * x + y * y))


def mix(a: Plane, b: Plane, share: Plane) -> Plane:
  """``a`` at share 0, ``b`` at share 1."""
  return a + share * (b - a)


def mix_color(a: Color, b: Color, share: Plane) -> list[Plane]:
  """:func:`mix` of two colours."""
  return [mix(x, y, share) for x, y in zip(a, b)]


def scale_color(color: Color, factor: Plane) -> list[Plane]:
  """A colour times ``factor``."""
  return [x * factor for x in color]


@dataclasses.dataclass(frozen=True)
class Pose:
  """How a head lies on its canvas, each field float32 ``[b, 1, 1]``.

  A head point ``(u, v)`` is drawn at ``scale * R (u, v) + (shift_x, shift_y)``
  of a canvas that spans [-1, 1] in x (right) and y (down).

  Attributes:
    scale: above 0.
    half_tan: tangent of half the roll angle; clockwise is positive.
    shift_x: canvas units.
    shift_y: canvas units.
  """

  scale: np.ndarray
  half_tan: np.ndarray
  shift_x: np.ndarray
  shift_y: np.ndarray

  def rotation(self) -> tuple[Plane, Plane]:
    """Cosine and sine of the roll."""
    square = self.half_tan * self.half_tan
    return (1 - square) / (1 + square), 2 * self.half_tan / (1 + square)

  def to_head(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Canvas to head coordinates."""
    cos, sin = self.rotation()
    x, y = (x - self.shift_x) / self.scale, (y - self.shift_y) / self.scale
    return cos * x + sin * y, cos * y - sin * x

  def to_canvas(self, u: Plane, v: Plane) -> tuple[Plane, Plane]:
    """Head to canvas coordinates."""
    cos, sin = self.rotation()
    return (self.scale * (cos * u - sin * v) + self.shift_x,
            self.scale * (sin * u + cos * v) + self.shift_y)


@dataclasses.dataclass(frozen=True)
class Canvas:
  """A batch of pictures in the making, or a window of it that shares memory.

  Attributes:
    rgb: three planes ``[b, s, s]``, changed in place.
    x: canvas coordinate of the columns, ``[1, 1, s]``.
    y: canvas coordinate of the rows, ``[1, s, 1]``.
    u: head coordinate to the right, ``[b, s, s]``.
    v: head coordinate downwards.
    pixel: size of a pixel in head units, ``[b, 1, 1]``.
    pose: where the head lies.
    moved: by how much ``u`` and ``v`` may fall short of the pose's own, each 0
      or ``[b, 1, 1]``: the turn of the head moves its surface.
  """

  rgb: Sequence[np.ndarray]
  x: np.ndarray
  y: np.ndarray
  u: np.ndarray
  v: np.ndarray
  pixel: np.ndarray
  pose: Pose
  moved: tuple[Plane, Plane] = (0.0, 0.0)

  @classmethod
  def blank(cls, pose: Pose, size: int) -> Canvas:
    """Black pictures of ``size`` x ``size`` pixels, one per pose."""
    centers = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    x, y = centers[None, None, :], centers[None, :, None]
    u, v = pose.to_head(x, y)
    shape = (len(pose.scale), size, size)
    rgb = [np.zeros(shape, np.float32) for _ in range(3)]
    return cls(rgb, x, y, u, v, np.float32(2 / size) / pose.scale, pose)

  def window(self, left: float, top: float, right: float,
             bottom: float) -> Canvas:
    """The part that shows head coordinates of this rectangle in any picture."""
    corners = [self.pose.to_canvas(u + share * self.moved[0],
                                   v + share * self.moved[1])
               for u in (left, right) for v in (top, bottom)
               for share in (0.0, 1.0)]
    xs, ys = zip(*corners)
    columns = _between(self.x.ravel(), xs)
    rows = _between(self.y.ravel(), ys)
    part = (slice(None), rows, columns)
    return Canvas(
        [plane[part] for plane in self.rgb], self.x[..., columns],
        self.y[:, rows], self.u[part], self.v[part], self.pixel, self.pose,
        self.moved)

  def inside(self, distance: Plane) -> Plane:
    """Share of each pixel where a signed distance in head units is below 0."""
    return clamp(0.5 - distance / self.pixel)

  def paint(self, color: Color, alpha: Plane) -> None:
    """Lays ``color`` over the picture with opacity ``alpha`` in [0, 1]."""
    for plane, value in zip(self.rgb, color):
      plane += alpha * (value - plane)

  def darken(self, amount: Plane) -> None:
    """Multiplies the picture by ``1 - amount``; below 0 it brightens."""
    for plane in self.rgb:
      plane *= 1 - amount


def _between(centers: np.ndarray, bounds: Sequence[np.ndarray]) -> slice:
  """Slice of the pixels within the outermost bounds, two pixels to spare."""
  low = min(float(b.min()) for b in bounds)
  high = max(float(b.max()) for b in bounds)
  spare = 2 * float(centers[1] - centers[0])
  return slice(int(np.searchsorted(centers, low - spare)),
               int(np.searchsorted(centers, high + spare)))


def halve(plane: np.ndarray) -> np.ndarray:
  """Mean of each 2 x 2 block, ``[b, 2s, 2s]`` to ``[b, s, s]``."""
  rows = plane[:, 0::2] + plane[:, 1::2]
  return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)
