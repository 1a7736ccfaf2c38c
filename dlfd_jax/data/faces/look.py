"""From traits and circumstances to the numbers that a drawing needs.

Lengths are in head units: the canvas of an unscaled head spans [-1, 1] in both
directions, and the middle of the face is at (0, 0). Colours are RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlfd_jax.data.faces.canvas import (
  Color,
  Plane,
  clamp,
  hump,
  mix,
  mix_color,
  ramp,
  scale_color,
)

Values = dict[str, np.ndarray]  # of persons or pictures, by name
Look = Values

_SKIN = ((0.96, 0.82, 0.72), (0.82, 0.61, 0.46), (0.42, 0.27, 0.19))
_HAIR = ((0.88, 0.73, 0.45), (0.44, 0.28, 0.17), (0.09, 0.07, 0.07))
_RED_HAIR, _GREY_HAIR = (0.66, 0.27, 0.10), (0.80, 0.80, 0.82)
_IRIS = ((0.30, 0.52, 0.72), (0.36, 0.48, 0.28), (0.26, 0.15, 0.08))
_LIPS, _LIPSTICK = (0.70, 0.30, 0.29), (0.76, 0.10, 0.20)


def _three(colors: Sequence[Color], t: Plane) -> list[Plane]:
  """Colours at t = 0, 1/2 and 1, linear between."""
  first = mix_color(colors[0], colors[1], ramp(t, 0.0, 0.5))
  return mix_color(first, colors[2], ramp(t, 0.5, 1.0))


def _half(z: Plane, middle: float, step: float) -> Plane:
  """A trait as a share: ``middle + step z``, cut to [0, 1]."""
  return clamp(middle + step * z)


def _muted(color: Color, colorfulness: Plane) -> list[Plane]:
  """A colour with its differences from its own grey scaled down."""
  grey = (color[0] + color[1] + color[2]) * (1 / 3)
  return [mix(grey, x, colorfulness) for x in color]


def make_look(persons: Values, moments: Values) -> Look:
  """What is drawn in each picture.

  Args:
    persons: traits, one row per picture (a person's row repeated).
    moments: circumstances, one row per picture.

  Returns:
    By name, float32 ``[n]``, or ``[3, n]`` for colours.
  """
  p, m = persons, moments
  age = m['age_scale'] + 0.2 * p['ageing'] + 0.25 * m['look_age']
  look: Values = {}
  look.update(_frame(m))
  look.update(_age(age, p, m))
  look.update(_shape(age, look, p))
  look.update(_features(look, p, m))
  look.update(_hair(age, look, p, m))
  look.update(_colors(look, p, m))
  return {name: np.asarray(value, np.float32) for name, value in look.items()}


def _frame(m: Values) -> Values:
  """Pose, light and wall: nothing of the person."""
  return {
      'scale': 1.50 + 0.05 * m['scale'], 'half_tan': 0.025 * m['roll'],
      'shift_x': 0.14 * m['shift_x'], 'shift_y': 0.02 + 0.14 * m['shift_y'],
      'yaw': 0.07 * m['yaw'], 'pitch': 0.04 * m['pitch'],
      'light_x': 0.3 * m['light_x'], 'light_y': -0.25 + 0.15 * m['light_y'],
      'light_power': 0.50 + 0.15 * m['light_power'],
      'exposure': 1.02 + 0.05 * m['exposure'],
      'contrast': 1.0 + 0.06 * m['contrast'],
      'warm': 1 + 0.025 * m['warmth'], 'cool': 1 - 0.035 * m['warmth'],
      'blur': 0.15 * clamp(m['blur']), 'noise': 0.016 + 0.010 * m['noise'],
      'wall_x': m['wall_x'], 'wall_y': m['wall_y'],
      'edge': 0.9 * m['wall_edge'],
      'spot_x': 0.9 * m['spot_x'], 'spot_y': 0.7 * m['spot_y'],
      'spot_size': 0.5 + 0.3 * m['spot_size'], 'spot': 0.12 * m['spot_light'],
      'stripes': 0.06 * clamp(m['stripes']), 'phase': m['phase'],
      'collar': 0.08 * m['collar'],
  }


def _age(age: np.ndarray, p: Values, m: Values) -> Values:
  """What time does to a face, each share in [0, 1]."""
  old = ramp(age, 3.6, 8.0)
  male = p['male']
  return {
      'adult': ramp(age, 0.6, 3.2), 'old': old,
      'crease': 0.5 * p['mole_x'] + 0.5 * m['phase'],
      'lines': clamp(ramp(age, 2.8, 7.8) * (1 + 0.15 * p['wrinkling'])),
      'grey': ramp(age + 0.6 * p['greying'], 4.4, 7.2),
      'bald': ramp(age * (0.35 + 0.65 * male) + 0.9 * p['balding'], 4.4, 8.4),
      'spots': old * _half(p['wrinkling'], 0.75, 0.12),
      'pimples': hump((age - 2.5) * (1 / 1.2)) * _half(
          p['freckles'], 0.6, 0.25),
      'beard': male * ramp(age, 2.2, 3.4) * clamp(
          _half(p['beard'], 0.05, 0.55) + 0.15 * m['beard_day']),
      'moustache': male * ramp(age, 2.4, 3.6) * _half(p['beard'], -0.1, 0.6),
      'make_up': ramp(age, 1.6, 3.0) * clamp(
          _half(p['make_up'], 0.05, 0.45) + 0.25 * m['make_up_day']),
      'freckles': clamp(0.6 * p['freckles'] - 0.5) * (1 - 0.6 * old),
      'glasses': (p['glasses'] + 0.25 * age - 1.9 + 0.5 * m['glasses_day']
                  > 0).astype(np.float64),
  }


def _shape(age: np.ndarray, s: Values, p: Values) -> Values:
  """The head, the neck and where the features sit."""
  adult, old, child = s['adult'], s['old'], 1 - s['adult']
  toddler = 1 - ramp(age, 0.0, 1.4)
  # Features of children differ less by gender: traits are drawn towards 0.
  z = {name: p[name] * (0.55 + 0.45 * adult)
       for name in ('jaw', 'chin', 'brow_thickness', 'face_height')}
  width = 0.445 * (1 + 0.05 * p['face_width'] + 0.07 * toddler)
  height = 0.575 * (1 + 0.035 * z['face_height'] - 0.11 * child)
  eye_v = (0.015 + 0.016 * p['eye_height'] + 0.055 * child + 0.03 * toddler)
  mouth_v = height * 0.61 + 0.016 * p['mouth_height'] + 0.015 * toddler
  nose_v = eye_v + (mouth_v - eye_v) * (
      0.58 + 0.035 * p['nose_length'] - 0.05 * child + 0.03 * old)
  return {
      'width': width, 'height': height,
      'taper': 0.20 - 0.05 * z['jaw'] - 0.04 * toddler + 0.05 * adult,
      'square': clamp(0.28 + 0.16 * z['jaw'] + 0.15 * toddler + 0.15 * old),
      'chin': 0.16 - 0.14 * z['chin'], 'cheek': 0.3 * toddler + 0.25 * child,
      'neck': 0.16 + 0.065 * adult + 0.018 * z['jaw'] * adult,
      'shoulder': 0.54 + 0.28 * adult + 0.05 * p['male'] * adult,
      'ear': 0.105 * (1 + 0.12 * p['ear_size'] + 0.15 * old),
      'eye_u': 0.190 * (1 + 0.06 * p['eye_distance'] + 0.04 * p['face_width']),
      'eye_v': eye_v, 'slant': 0.035 + 0.085 * p['eye_slant'],
      'eye_w': 0.090 * (1 + 0.08 * p['eye_size'] + 0.22 * child),
      'nose_v': nose_v,
      'nose_w': 0.072 * (1 + 0.13 * p['nose_width'] - 0.14 * child
                         + 0.14 * old),
      'mouth_v': mouth_v,
  }


def _features(s: Values, p: Values, m: Values) -> Values:
  """Brows, eyes and mouth in this moment."""
  child, old = 1 - s['adult'], s['old']
  damp = 0.55 + 0.45 * s['adult']
  eye_h = 0.048 * (1 + 0.10 * p['eye_size'] + 0.38 * child - 0.15 * old)
  lip = 0.030 * (1 + 0.22 * p['lip_fullness'] - 0.35 * old)
  closed = clamp(m['open'])
  return {
      'eye_h': eye_h * clamp(1 + 0.70 * m['eyes'], 0.14, 1.9),
      'iris_r': 0.040 * (1 + 0.25 * child),
      'gaze': 0.022 * m['gaze'],
      'brow_v': (s['eye_v'] - 0.135 - 0.016 * p['brow_height'] * damp
                 - 0.075 * m['raise'] + 0.02 * old),
      'brow_w': 0.112 * (1 - 0.1 * child),
      'brow_t': 0.025 * clamp(
          1 + 0.28 * p['brow_thickness'] * damp - 0.25 * child, 0.35, 2.2),
      'brow_arch': 0.035 + 0.014 * p['brow_arch'],
      'brow_tilt': 0.080 * m['tilt'],
      'knit': clamp(-0.8 * m['tilt'] - 0.3 * m['raise'], 0.0, 1.0),
      'mouth_w': 0.165 * (1 + 0.07 * p['mouth_width'] - 0.12 * child
                          + 0.30 * m['wide']),
      'corners': 0.085 * m['corners'] + 0.009 * p['mouth_rest'] - 0.008 * old,
      'gap': 0.125 * closed, 'upper_lip': lip * 0.85, 'lower_lip': lip,
      'teeth': clamp(m['teeth']) * ramp(closed, 0.05, 0.25),
      'sneer': 0.034 * clamp(m['sneer']),
      'nose_lines': clamp(m['wrinkle']),
      'raise_lines': clamp(0.8 * m['raise']),
      'smile_lines': clamp(m['cheeks']),
      'mole_u': 0.14 * p['mole_x'], 'mole_v': 0.16 + 0.13 * p['mole_y'],
      'mole_r': 0.016 + 0.006 * p['mole_size'],
      'mole': clamp(1.5 * p['mole_size']),
  }


def _hair(age: np.ndarray, s: Values, p: Values, m: Values) -> Values:
  """Hair on the head; 'fall' is how far down it hangs behind the face."""
  length = _half(p['hair_length'], 0.42, 0.26) + 0.10 * m['hair_day']
  length = clamp(length * (0.5 + 0.5 * ramp(age, 0.2, 1.6)) * (
      1 - 0.35 * s['old']) * (1 - 0.7 * s['bald']))
  baby = 1 - ramp(age, 0.0, 1.0)
  return {
      'volume': (0.075 + 0.022 * p['hair_volume'] + 0.03 * length) * (
          1 - 0.5 * baby) * (1 - 0.6 * s['bald']),
      'fall': -0.10 + 1.05 * length, 'length': length,
      'hairline': (-0.60 + 0.02 * p['hairline']) * s['height'] + 0.12 * _half(
          p['hair_fringe'], 0.15, 0.5) * (1 - s['bald']) - 0.30 * s['bald']
          - 0.05 * baby,
      'sides': 0.52 + 0.12 * length + 0.10 * s['bald'],
      'part': 0.13 * p['hair_part'] * (1 - 0.7 * s['bald']),
      'strands': 0.10 + 0.05 * clamp(p['hair_strands'], -1.0, 1.0),
      'thin': 1 - 0.35 * baby,
  }


def _colors(s: Values, p: Values, m: Values) -> Values:
  """Skin, hair, eyes, lips, cloth and wall."""
  tone = _half(p['skin_tone'], 0.36, 0.24)
  r, g, b = _three(_SKIN, tone)
  warm = 0.025 * p['skin_hue']
  skin = [r * (1 + warm) * (1 + 0.02 * s['old']), g,
          b * (1 - 1.6 * warm) * (1 - 0.05 * s['old'])]
  hair_tone = clamp(_half(p['hair_tone'], 0.55, 0.24) + 0.3 * (tone - 0.3)
                    - 0.12 * (1 - s['adult']))
  hair = mix_color(_three(_HAIR, hair_tone), _RED_HAIR,
                   clamp(0.5 * p['hair_red'] - 0.4))
  brow = scale_color(mix_color(hair, _GREY_HAIR, 0.6 * s['grey']), 0.72)
  beard = mix_color(scale_color(hair, 0.85), _GREY_HAIR, 0.9 * s['grey'])
  hair = mix_color(hair, _GREY_HAIR, s['grey'])
  iris = _three(_IRIS, clamp(_half(p['iris'], 0.55, 0.3) + 0.5 * tone))
  lips = mix_color(mix_color(_LIPS, scale_color(skin, 0.72), 0.45),
                   _LIPSTICK, 0.75 * s['make_up'])
  cloth = _muted([0.42 + 0.25 * m['cloth_' + c] for c in 'rgb'],
                 0.35 + 0.6 * (1 - s['adult']))
  wall = _muted([0.56 + 0.14 * m['wall_' + c] for c in 'rgb'], 0.6)
  other = _muted([0.56 + 0.14 * m['other_' + c] for c in 'rgb'], 0.6)
  colors = {'skin': skin, 'hair': hair, 'brow': brow, 'beard_color': beard,
            'iris': iris, 'lips': lips, 'cloth': cloth, 'wall': wall,
            'other': other}
  return {name: np.stack(np.broadcast_arrays(*color)) for name, color in
          colors.items()}
