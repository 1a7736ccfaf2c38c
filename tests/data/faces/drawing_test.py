import numpy as np
import pytest

from dlfd_jax.data.faces import drawing, look as look_lib, synthetic

SIZE = 32


def _draw(count=12, size=SIZE, **changes):
  """Pictures ``[count, 3, size, size]`` of some people, one value changed."""
  persons = synthetic.draw_people(count, seed=1)
  moments = synthetic.draw_moments(persons, 1, seed=1, age_spread=0.0)
  for name in (*synthetic.ACTIONS, *synthetic.CIRCUMSTANCES):
    moments[name] = 0.0 * moments[name]
  for name, value in changes.items():
    group = persons if name in persons and name != 'age_scale' else moments
    group[name] = np.full(count, float(value))
  look = look_lib.make_look(persons, moments)
  return np.stack(drawing.draw_faces(look, size), 1)


def _crop(pictures, top, bottom, left=8, right=24):
  return pictures[:, :, top:bottom, left:right]


def test_a_picture_does_not_depend_on_those_drawn_with_it():
  persons = synthetic.draw_people(30, seed=5)
  moments = synthetic.draw_moments(persons, 1, seed=5, age_spread=1.5)
  look = look_lib.make_look(persons, moments)
  together = np.stack(drawing.draw_faces(look, SIZE), 1)
  for i in range(30):
    one = {name: value[..., i:i + 1] for name, value in look.items()}
    alone = np.stack(drawing.draw_faces(one, SIZE), 1)
    np.testing.assert_array_equal(alone[0], together[i])


OLD = ('greying', 'wrinkling', 'balding', 'ageing')  # seen in the old alone


@pytest.mark.parametrize('name', [
    name for name in synthetic.TRAITS
    if name not in ('beard', 'glasses', 'mole_x', 'mole_y')])
def test_every_trait_is_visible(name):
  options = {'age_scale': 5.5} if name in OLD else {}
  few, many = _draw(**options, **{name: -1.6}), _draw(**options, **{name: 1.6})
  assert np.abs(few - many).max((1, 2, 3)).mean() > 0.02


@pytest.mark.parametrize(
    'name', [name for name in synthetic.CIRCUMSTANCES if name != 'noise'])
def test_every_circumstance_changes_the_picture(name):
  """Noise is left out: the camera adds it after the drawing."""
  persons = synthetic.draw_people(40, seed=1)
  pictures = []
  for value in (-0.9, 0.9):
    moments = synthetic.draw_moments(persons, 1, seed=1, age_spread=1.5)
    moments[name] = np.full(40, value)
    look = look_lib.make_look(persons, moments)
    pictures.append(np.stack(drawing.draw_faces(look, SIZE), 1))
  assert np.abs(pictures[0] - pictures[1]).max() > 0.02


def test_an_open_mouth_is_dark_and_shown_teeth_are_bright():
  mouth = lambda **c: _crop(_draw(age_scale=3.5, **c), 22, 28, 12, 20)
  closed, opened = mouth(), mouth(open=1.0)
  teeth = mouth(open=1.0, teeth=1.0)
  assert opened[:, 1].min((1, 2)).mean() < closed[:, 1].min((1, 2)).mean() - 0.1
  assert teeth[:, 1].mean() > opened[:, 1].mean() + 0.02


def test_hair_greys_and_skin_gets_rough_with_age():
  def hair_color(age):
    top = _crop(_draw(age_scale=age, male=0, greying=0.5, balding=-1.5),
                3, 7, 12, 20)
    return (top.max(1) - top.min(1)).mean()

  def roughness(age):
    cheeks = _crop(_draw(age_scale=age, male=0, hair_length=-1.5), 17, 23)
    return np.abs(np.diff(cheeks, axis=2)).mean()

  assert hair_color(7.5) < 0.6 * hair_color(3.5)
  assert roughness(7.5) > 1.2 * roughness(3.5)


def test_smaller_pictures_are_the_same_faces():
  large, small = _draw(size=64), _draw(size=32)
  assert small.dtype == np.float32 and small.shape == (12, 3, 32, 32)
  means = large.reshape(12, 3, 32, 2, 32, 2).mean((3, 5))
  assert np.abs(means - small).mean() < 0.02
