"""Draws a batch of faces, layer upon layer, from the numbers of a look.

Both halves of a face are drawn at once in ``m = |u|``, the distance from its
middle line.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dlfd_jax.data.faces.canvas import (
  Canvas,
  Plane,
  Pose,
  clamp,
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
from dlfd_jax.data.faces.look import Look

_DARK = (0.07, 0.05, 0.05)
_WHITE = (0.95, 0.94, 0.92)
_INSIDE = (0.30, 0.07, 0.08)


def draw_faces(look: Look, size: int) -> list[np.ndarray]:
  """Pictures of ``size`` x ``size`` pixels without camera noise.

  Args:
    look: of :func:`~dlfd_jax.data.faces.look.make_look`, ``b`` pictures.
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
  # What lies under beard, hair and glasses comes first.
  _skin(surface, outline, look)
  _lines(surface, look)
  _nose(surface, look)
  _eyes(surface, look)
  _brows(surface, look)
  _beard(surface, outline, look)
  _mouth(surface, look)
  _hair_front(head, look)
  _glasses(surface, look)
  return [_camera(plane, look, c) for c, plane in enumerate(canvas.rgb)]


def _wall(canvas: Canvas, s: Look) -> None:
  """Two colours that meet at a soft edge, a spot of light and stripes."""
  across = s['wall_x'] * canvas.x + s['wall_y'] * canvas.y
  side = ramp(across - s['edge'] * 0.6, -0.15, 0.15)
  color = mix_color(s['wall'], s['other'], side)
  spot = hump(norm2(canvas.x - s['spot_x'], canvas.y - s['spot_y'])
              / s['spot_size'])
  stripes = wave(3.0 * (across + s['phase']))
  light = 1 + s['spot'] * spot + s['stripes'] * stripes
  canvas.paint(scale_color(color, light), np.float32(1))


def _hair_behind(canvas: Canvas, s: Look) -> None:
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


def _hair_width(v: np.ndarray, s: Look) -> np.ndarray:
  """Half the width of the hair at a height; short hair narrows to the ears."""
  short = 1 - ramp(s['fall'], -0.05, 0.25)
  return s['width'] + s['volume'] * (1 - 1.1 * short * ramp(v, -0.35, 0.05))


def _body(canvas: Canvas, s: Look) -> None:
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


def _ears(head: Canvas, s: Look) -> None:
  """Two ears; the one on the far side of a turned head is partly hidden."""
  u = head.u + 0.25 * s['yaw']
  x = (np.abs(u) - s['width'] * 0.97) / (0.55 * s['ear'])
  y = (head.v - s['eye_v'] - 0.05) / s['ear']
  n = norm2(x, y)
  alpha = head.inside((n - 1) * 0.5 * s['ear'])
  head.paint(scale_color(s['skin'], 0.70 + 0.22 * ramp(n, 0.2, 0.8)), alpha)


def _head(head: Canvas, s: Look) -> tuple[Canvas, np.ndarray]:
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


def _beard(surface: Canvas, outline: np.ndarray, s: Look) -> None:
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


def _hair_front(head: Canvas, s: Look) -> None:
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


def _camera(plane: np.ndarray, s: Look, channel: int) -> np.ndarray:
  """Light colour, exposure, contrast and blur, at the final size."""
  tint = (s['warm'], 1, s['cool'])[channel]
  plane = halve(plane) * (s['exposure'] * tint)
  plane = (plane - 0.5) * s['contrast'] + 0.5
  rows = np.pad(plane, ((0, 0), (1, 1), (0, 0)), mode='edge')
  soft = 0.25 * rows[:, :-2] + 0.5 * plane + 0.25 * rows[:, 2:]
  columns = np.pad(soft, ((0, 0), (0, 0), (1, 1)), mode='edge')
  soft = 0.25 * columns[..., :-2] + 0.5 * soft + 0.25 * columns[..., 2:]
  return mix(plane, soft, s['blur'])


def _skin(face: Canvas, outline: np.ndarray, s: Look) -> None:
  """Freckles, spots of age and a mole."""
  u, v = face.u, face.v
  cheeks = hump((v - 0.14) / 0.25) * ramp(0.42 - np.abs(u), 0.0, 0.1)
  dots = wave(u * 11 + v * 4 + s['mole_u']) * wave(v * 12 - u * 5)
  amount = 0.30 * s['freckles'] * cheeks * ramp(dots, 0.1, 0.6)
  x = u + 0.05 * wave(v * 2.3 + 9 * s['mole_u'])
  y = v + 0.05 * wave(u * 2.9 + 7 * s['mole_v'])
  patches = (wave(x * 2.7 + y * 1.1 + 5 * s['mole_v'])
             + wave(y * 2.7 - x * 1.1 + 5 * s['mole_u'])) * 0.5
  amount = amount + 0.28 * s['spots'] * ramp(patches, 0.1, 0.55)
  mole = norm2(u - s['mole_u'], v - s['mole_v']) - s['mole_r']
  amount = np.maximum(amount, 0.75 * s['mole'] * face.inside(mole))
  skin = face.inside(outline)
  face.darken(amount * skin)
  zits = wave(u * 5.3 + v * 2.1 + 7 * s['mole_v']) * wave(
      v * 5.9 - u * 1.7 + 3 * s['mole_u'])
  red = 0.45 * s['pimples'] * skin * ramp(zits, 0.45, 0.8)
  face.rgb[1][...] *= 1 - red
  face.rgb[2][...] *= 1 - red


def _crease(part: Canvas, distance: np.ndarray, width: Plane) -> np.ndarray:
  """A soft line where ``distance`` is 0, ``width`` from middle to end."""
  return hump(distance / np.maximum(width, 0.7 * part.pixel))


def _lines(face: Canvas, s: Look) -> None:
  """Wrinkles, folds and bags: age first, emotion too."""
  lines = s['lines']
  brow = face.window(-0.46, -0.62, 0.46, 0.16)
  u, v = brow.u, brow.v - s['brow_v']
  area = ramp(0.38 - np.abs(u), 0.0, 0.14) * ramp(-v, 0.0, 0.06) * ramp(
      v, -0.34, -0.26)
  strength = clamp(lines + 0.45 * s['raise_lines'] * (0.3 + lines))
  folds = ramp(wave(v * 7.5 - 2.2 * u * u + 0.25 * wave(u * 2 + s['crease'])
                    + s['crease']), -0.1, 0.8)
  brow.darken(0.42 * strength * area * folds)
  frown = _crease(brow, np.abs(u) - 0.028, 0.013) * hump((v - 0.01) / 0.085)
  brow.darken(clamp(0.45 * lines + 0.5 * s['knit']) * frown)

  middle = face.window(-0.62, -0.25, 0.62, 0.68)
  m, v = np.abs(middle.u), middle.v
  area = hump((m - 0.26) / 0.2) * hump((v - s['eye_v'] - 0.24) / 0.26)
  folds = ramp(wave(m * 5.2 - v * 3.0 + 0.2 * wave(v * 3 + s['crease'])
                    + 2 * s['crease']), -0.1, 0.8)
  middle.darken(0.36 * lines * area * folds)
  out = m - s['eye_u'] - 1.1 * s['eye_w']
  crow = clamp(0.9 * lines + 0.25 * s['smile_lines'] * lines)
  for slope in (-0.5, 0.1, 0.7):
    ray = v - s['eye_v'] - slope * out
    middle.darken(0.4 * crow * hump((out - 0.05) / 0.06) * _crease(
        middle, ray, 0.012))
  x = (m - s['eye_u']) / s['eye_w']
  bag = v - s['eye_v'] - s['eye_h'] - 0.030 - 0.02 * (1 - x * x)
  middle.darken((0.06 + 0.38 * lines) * hump(x * 0.8) * _crease(
      middle, bag, 0.022))
  middle.darken(0.12 * s['old'] * hump(x * 0.7) * hump(
      (v - s['eye_v'] - s['eye_h'] - 0.02) / 0.05))
  t = ramp(v, s['nose_v'] - 0.03, s['mouth_v'] + 0.02)
  start, end = s['nose_w'] * 1.25, s['mouth_w'] * 1.12 + 0.03
  fold = m - start - (end - start) * t * (2 - t)
  reach = hump((v - 0.5 * (s['nose_v'] + s['mouth_v']) - 0.01) / 0.17)
  strength = clamp(0.10 * s['adult'] + 0.55 * lines + 0.40 * s['smile_lines']
                   + 0.30 * s['nose_lines'])
  middle.darken(0.60 * strength * reach * _crease(middle, fold, 0.030))
  jowl = m - s['mouth_w'] * 1.15 - 0.25 * (v - s['mouth_v'])
  middle.darken(0.34 * s['old'] * lines * hump(
      (v - s['mouth_v'] - 0.09) / 0.09) * _crease(middle, jowl, 0.024))
  for k in (0, 1):
    wrinkle = v - s['eye_v'] - 0.02 - 0.045 * k + 0.5 * m
    middle.darken(0.4 * s['nose_lines'] * ramp(0.085 - m, 0.0, 0.04) * _crease(
        middle, wrinkle, 0.014))


def _nose(face: Canvas, s: Look) -> None:
  """Bridge, wings, nostrils and the shadow on the side away from the light."""
  part = face.window(-0.25, -0.2, 0.25, 0.45)
  u = part.u - 0.22 * s['yaw'] * ramp(part.v, s['eye_v'], s['nose_v'])
  v, m = part.v, np.abs(u)
  w, tip = s['nose_w'], s['nose_v']
  up = ramp(v, s['eye_v'] - 0.08, tip)
  edge = m - w * (0.42 + 0.50 * up * up)
  length = ramp(v, s['eye_v'] - 0.10, s['eye_v'] + 0.06) * ramp(
      tip + 0.02 - v, 0.0, 0.05)
  side = np.where(u * s['light_x'] < 0, np.float32(1), np.float32(0.35))
  part.darken((0.10 + 0.22 * np.abs(s['light_x'])) * side * length * hump(
      edge / 0.042))
  part.darken(-0.12 * length * hump(u / (0.40 * w)))
  part.darken(-0.10 * hump(norm2(u, v - tip + 0.035) / (0.75 * w)))
  wing = norm2((m - 0.72 * w) / (0.42 * w), (v - tip + 0.012) / (0.46 * w))
  part.darken(0.24 * hump((wing - 1) * 1.6) * ramp(m, 0.6 * w, w))
  under = norm2(u / (1.1 * w), (v - tip - 0.018) / 0.030)
  part.darken(0.26 * hump(under))
  hole = norm2((m - 0.45 * w) / (0.28 * w), (v - tip - 0.004) / (0.17 * w))
  part.darken(0.62 * part.inside((hole - 1) * 0.2 * w))


def _eyes(face: Canvas, s: Look) -> None:
  """Eyeball, iris, pupil, glint, lids and lashes."""
  part = face.window(-0.42, -0.25, 0.42, 0.32)
  m, v = np.abs(part.u), part.v
  half = np.where(part.u < 0, np.float32(-1), np.float32(1))
  w, h = s['eye_w'], s['eye_h']
  du = m - s['eye_u']
  dv = v - s['eye_v'] + s['slant'] * du
  x = du / w
  arch = np.maximum(1 - x * x, -1.0)
  upper, lower = -1.15 * h * arch, 0.80 * h * arch
  socket = hump(norm2(x * 0.62, (dv + 0.3 * h + 0.02) / (1.8 * h + 0.04)))
  part.darken(0.16 * socket)
  shadow = s['make_up'] * hump(x * 0.75) * hump((dv - upper + 0.02) / 0.045)
  part.paint((0.36, 0.24, 0.38), 0.5 * shadow)
  opening = part.inside(np.maximum(upper - dv, dv - lower))
  opening = opening * (np.abs(x) < 1)
  ball = 1 - 0.30 * ramp(upper + 0.5 * h - dv, 0.0, 0.5 * h)
  part.paint(scale_color(_WHITE, ball), opening)
  iu, iv = du - half * s['gaze'], dv + 0.10 * h
  r = norm2(iu, iv)
  part.paint(scale_color(s['iris'], 0.65 + 0.5 * ramp(r, 0.1 * s['iris_r'],
                                                       0.8 * s['iris_r'])),
             opening * part.inside(r - s['iris_r']))
  part.paint(_DARK, opening * part.inside(r - 0.48 * s['iris_r']))
  glint = norm2(iu * half - 0.35 * s['iris_r'] * s['light_x'],
                iv + 0.35 * s['iris_r'])
  part.paint((1.0, 1.0, 1.0), 0.9 * opening * part.inside(
      glint - 0.24 * s['iris_r']))
  lash = 0.009 + 0.012 * s['make_up']
  ends = ramp(1.12 - np.abs(x), 0.0, 0.12)
  part.paint(_DARK, 0.85 * ends * part.inside(np.abs(dv - upper) - lash))
  part.darken(0.25 * ends * _crease(part, dv - lower, 0.014))
  fold = dv - upper + 0.028 + 0.012 * s['old']
  part.darken((0.20 + 0.12 * s['lines']) * hump(x * 0.85) * _crease(
      part, fold, 0.014))


def _brows(face: Canvas, s: Look) -> None:
  part = face.window(-0.42, -0.42, 0.42, 0.12)
  m, v = np.abs(part.u), part.v
  x = (m - 1.02 * s['eye_u'] + 0.012 * s['knit']) / s['brow_w']
  bend = x - 0.25
  line = s['brow_v'] + s['brow_arch'] * bend * bend + s['brow_tilt'] * x
  thick = s['brow_t'] * (1 - 0.35 * clamp(x) - 0.15 * clamp(-x))
  alpha = part.inside(np.maximum(np.abs(v - line) - thick, (
      np.abs(x) - 1) * s['brow_w']))
  hairs = 0.90 + 0.10 * wave(m * 30 + v * 14)
  part.paint(s['brow'], alpha * hairs * (0.62 + 0.30 * s['adult']))


def _mouth(face: Canvas, s: Look) -> None:
  """Lips, teeth and the dark inside."""
  part = face.window(-0.36, 0.05, 0.36, 0.68)
  u = part.u - 0.06 * s['yaw']
  w = s['mouth_w']
  x = u / w
  bow = np.maximum(1 - x * x, -1.0)
  v = part.v - s['mouth_v'] - s['corners'] * (bow - 0.45)
  cupid = 1 - 0.30 * hump(x * 5) + 0.12 * hump((np.abs(x) - 0.25) * 4)
  round_ = np.sqrt(np.maximum(bow, 0))
  top = -s['gap'] * 0.40 * round_ - s['sneer'] * hump(x * 1.1)
  bottom = s['gap'] * 0.60 * round_
  upper = top - s['upper_lip'] * cupid * bow
  lower = bottom + s['lower_lip'] * (0.25 * bow + 0.75 * round_ * bow) * 1.15
  inside_u = (np.abs(x) < 1)
  lips = part.inside(np.maximum(upper - v, v - lower))
  tone = 1.0 - 0.16 * (v < 0.5 * (top + bottom)) + 0.22 * hump(
      (v - bottom - 0.45 * s['lower_lip']) / (0.5 * s['lower_lip'])) * hump(x)
  part.paint(scale_color(s['lips'], tone), lips * inside_u)
  opening = part.inside(np.maximum(top - v, v - bottom)) * inside_u
  opening = opening * ramp(s['gap'], 0.004, 0.012)
  part.paint(_INSIDE, opening)
  rows = part.inside(v - top - 0.55 * (bottom - top) - 0.006)
  part.paint(_WHITE, opening * rows * s['teeth'] * ramp(
      1 - np.abs(x), 0.05, 0.25))
  tongue = hump(norm2(x * 1.5, (v - bottom) / np.maximum(s['gap'], 0.01) * 2))
  part.paint((0.70, 0.32, 0.33), 0.8 * opening * tongue * (1 - s['teeth']))
  line = _crease(part, v - 0.5 * (top + bottom), 0.013)
  part.darken(0.62 * line * inside_u * (1 - ramp(s['gap'], 0.002, 0.02)))
  corner = norm2((np.abs(x) - 1.0) * w, v) / 0.030
  part.darken(0.30 * hump(corner))
  part.darken(0.13 * hump(norm2(x * 1.3, (v - lower - 0.028) / 0.03)))


def _glasses(face: Canvas, s: Look) -> None:
  """Rims, bridge and temples, over eyes and hair."""
  part = face.window(-0.55, -0.25, 0.55, 0.32)
  m, v = np.abs(part.u), part.v - s['eye_v'] - 0.012
  n = norm4((m - 1.03 * s['eye_u']) / 0.145, v / 0.105)
  rim = np.abs(n - 1) * 0.11 - 0.011
  bridge = np.maximum(np.abs(v + 0.02) - 0.010, m - 0.6 * s['eye_u'] + 0.04)
  temple = np.maximum(np.abs(v + 0.03) - 0.010, 1.03 * s['eye_u'] + 0.14 - m)
  alpha = part.inside(np.minimum(rim, np.minimum(bridge, temple)))
  part.paint(scale_color(_DARK, 1.5), s['glasses'] * alpha * (
      m < s['width'] + 0.03))
  part.paint((0.9, 0.95, 1.0), 0.08 * s['glasses'] * part.inside(
      (n - 1) * 0.1))
