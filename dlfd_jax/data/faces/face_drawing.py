"""Draws a batch of faces, layer upon layer, from the numbers of a look."""

from __future__ import annotations

import dataclasses

import numpy as np

from dlfd_jax.data.faces import face_parts
from dlfd_jax.data.faces.drawing import (
  Canvas,
  Pose,
  halve,
  hump,
  mix,
  mix_color,
  norm2,
  norm4,
  ramp,
  scale_color,
  wave,
)
from dlfd_jax.data.faces.face_look import Look


def draw_faces(look: Look, size: int) -> list[np.ndarray]:
  """Pictures of ``size`` x ``size`` pixels without camera noise.

  Args:
    look: of :func:`~dlfd_jax.data.faces.face_look.make_look`, ``b`` pictures.
    size: side in pixels.

  Returns:
    Three float32 planes ``[b, size, size]``, red, green, blue in [0, 1].
  """
  # One value per picture, as [b, 1, 1]; a colour as [3, b, 1, 1].
  look = {name: value[..., None, None] for name, value in look.items()}
  pose = Pose(look['scale'], look['half_tan'], look['shift_x'],
              look['shift_y'])
  canvas = Canvas.blank(pose, 2 * size)  # drawn at twice the size
  _wall(canvas, look)
  _hair_behind(canvas, look)
  _body(canvas, look)
  head = canvas.window(-0.75, -0.85, 0.75, 0.85)
  _ears(head, look)
  surface, outline = _head(head, look)
  face_parts.draw(surface, outline, look)
  _beard(surface, outline, look)
  face_parts.draw_mouth(surface, look)
  _hair_front(head, outline, look)
  face_parts.draw_glasses(surface, look)
  return [_camera(plane, look, c) for c, plane in enumerate(canvas.rgb)]


def _wall(canvas, s):
  """Two colours that meet at a soft edge, a spot of light and stripes."""
  across = s['wall_x'] * canvas.x + s['wall_y'] * canvas.y
  side = ramp(across - s['edge'] * 0.6, -0.15, 0.15)
  color = mix_color(s['wall'], s['other'], side)
  spot = hump(norm2(canvas.x - s['spot_x'], canvas.y - s['spot_y'])
              / s['spot_size'])
  stripes = wave(3.0 * (across + s['phase']))
  light = 1 + s['spot'] * spot + s['stripes'] * stripes
  canvas.paint(scale_color(color, light), np.float32(1))


def _hair_behind(canvas, s):
  """The hair around the head, and what of it falls on behind the face."""
  u, v = canvas.u, canvas.v
  width = _hair_width(v, s)
  top = -s['height'] - s['volume']
  around = (norm2(u / width, v / top) - 1) * width
  wide = width * (1 + 0.12 * s['length'] * ramp(v, -0.3, 0.5))
  low = s['fall'] + 0.06 * wave(u * 4 + s['part']) * s['length']
  side = np.abs(u) - wide + 0.9 * hump((v - low) / 0.22) * 0.12
  falling = np.maximum(side, np.maximum(v - low, -v))
  strands = (wave(u * 9 + s['part']) + wave(u * 21 + v)) * s['strands']
  light = 0.70 + 0.6 * strands + 0.15 * s['light_x'] * u
  canvas.paint(scale_color(s['hair'], light), canvas.inside(
      np.minimum(np.where(v < 0.05, around, np.float32(1)), falling))
      * (1 - s['bald'] * (v < -0.05)))


def _hair_width(v, s):
  """Half the width of the hair at a height; short hair narrows to the ears."""
  short = 1 - ramp(s['fall'], -0.05, 0.25)
  return s['width'] + s['volume'] * (1 - 1.1 * short * ramp(v, -0.35, 0.05))


def _body(canvas, s):
  """Neck and clothes."""
  part = canvas.window(-1.6, 0.25, 1.6, 1.6)
  u, v = part.u, part.v
  shade = 0.82 - 0.30 * ramp(s['height'] + 0.16 - v, 0.0, 0.18)
  neck = np.abs(u) - s['neck'] - 0.25 * np.maximum(v - 0.72, 0)
  part.paint(scale_color(s['skin'], shade), part.inside(neck) * (v > 0.25))
  n = norm2(u / s['shoulder'], (v - 1.16) / 0.53)
  cloth = part.inside((n - 1) * 0.5)
  collar = part.inside((0.9 * np.abs(u) + v - 0.90 - s['collar']) * 0.7)
  light = 0.95 + 0.25 * s['light_x'] * u - 0.3 * np.maximum(n - 0.7, 0)
  part.paint(scale_color(s['cloth'], light), cloth * (1 - collar))


def _ears(head, s):
  """Two ears; the one on the far side of a turned head is partly hidden."""
  u = head.u + 0.25 * s['yaw']
  x = (np.abs(u) - s['width'] * 0.97) / (0.55 * s['ear'])
  y = (head.v - s['eye_v'] - 0.05) / s['ear']
  n = norm2(x, y)
  alpha = head.inside((n - 1) * 0.5 * s['ear'])
  head.paint(scale_color(s['skin'], 0.70 + 0.22 * ramp(n, 0.2, 0.8)), alpha)


def _head(head, s):
  """The bare head in its light; returns the face's surface and its outline.

  The surface is the same pixels with head coordinates moved by the turn of the
  head: most in the middle, where it stands out most, and not at all at the rim.
  """
  u, v = head.u, head.v
  below = np.maximum(v, 0) / s['height']
  x = u / s['width'] * (
      1 + s['taper'] * below * below * 1.4
      + s['chin'] * below * below * below * below
      - s['cheek'] * 0.35 * hump((v - 0.25) * 3))
  y = v / s['height']
  square = np.where(v > 0, s['square'], np.float32(0.25))
  n = mix(norm2(x, y), norm4(x, y), square)
  outline = (n - 1) * s['width']
  depth = np.sqrt(np.maximum(1 - 0.85 * n * n, 0.0225))
  lit = (s['light_x'] * x + s['light_y'] * y) * 0.55 + depth
  light = 1.10 - 0.62 * s['light_power'] + 0.66 * s['light_power'] * lit
  light = light - 0.14 * ramp(n, 0.82, 1.0)
  red = hump(norm2((np.abs(u) - 0.24) / 0.2, (v - 0.22) / 0.17))
  blush = red * (0.05 + 0.06 * (1 - s['adult']) + 0.05 * s['make_up'])
  r, g, b = scale_color(s['skin'], light)
  head.paint((r, g * (1 - blush), b * (1 - blush)), head.inside(outline))
  dome = np.maximum(1 - n * n, 0)
  surface = dataclasses.replace(
      head, u=u - s['yaw'] * dome, v=v - s['pitch'] * dome,
      moved=(s['yaw'], s['pitch']))
  return surface, outline


def _beard(surface, outline, s):
  """Stubble or beard along the jaw, and a moustache."""
  u, v = surface.u, surface.v
  low = ramp(v - 0.12 - 0.5 * np.maximum(0.3 - np.abs(u), 0), -0.06, 0.14)
  rim = ramp(outline, -0.30, -0.16)
  around = np.maximum(low * rim, ramp(v - s['mouth_v'], 0.06, 0.13))
  grain = 0.85 + 0.15 * wave(u * 17) * wave(v * 15)
  surface.paint(s['beard_color'], surface.inside(outline) * around * grain
                * s['beard'] * 0.85)
  x = u / (s['mouth_w'] * 1.05)
  y = (v - 0.45 * s['nose_v'] - 0.55 * s['mouth_v'] + 0.012
       - 0.05 * x * x) / 0.034
  surface.paint(s['beard_color'], 0.9 * s['moustache'] * hump(x * 0.8)
                * ramp(-np.abs(y), -1.3, -0.6))


def _hair_front(head, outline, s):
  """The hair that frames the face, from the crown down to the hairline."""
  u, v = head.u, head.v
  width = _hair_width(v, s)
  n = norm2(u / width, v / (s['height'] + s['volume']))
  x = (u - s['yaw'] * 0.15) / s['width']
  line = (s['hairline'] + s['part'] * x * (1 - 0.4 * x * x)
          + s['sides'] * x * x * x * x + 0.10 * x * x)
  cap = head.inside((n - 1) * width)
  alpha = cap * head.inside((v - line) * 0.75)
  # The hair at the sides ends at the ears or falls on with the long hair.
  end = np.maximum(s['fall'], 0.02)
  alpha = alpha * ramp(end - v, 0.0, 0.08) * s['thin']
  slope = v * (2 + 9 * s['part'])
  strands = (wave(u * 7 + slope) + wave(u * 19 + 2 * slope)) * 0.6
  strands = strands * s['strands']
  shine = 0.22 * hump((n - 0.72) * 4) * ramp(-v, 0.1, 0.5)
  light = (0.92 + strands + shine + 0.22 * s['light_x'] * u
           - 0.2 * ramp(v - line, -0.06, 0.0))
  head.paint(scale_color(s['hair'], light), alpha)


def _camera(plane, s, channel):
  """Light colour, exposure, contrast and blur, at the final size."""
  tint = (s['warm'], 1, s['cool'])[channel]
  plane = halve(plane) * (s['exposure'] * tint)
  plane = (plane - 0.5) * s['contrast'] + 0.5
  rows = np.pad(plane, ((0, 0), (1, 1), (0, 0)), mode='edge')
  soft = 0.25 * rows[:, :-2] + 0.5 * plane + 0.25 * rows[:, 2:]
  columns = np.pad(soft, ((0, 0), (0, 0), (1, 1)), mode='edge')
  soft = 0.25 * columns[..., :-2] + 0.5 * soft + 0.25 * columns[..., 2:]
  return mix(plane, soft, s['blur'])
