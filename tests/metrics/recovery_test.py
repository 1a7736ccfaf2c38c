"""Who is taught again: by person, nested, never everybody."""

import numpy as np
import pytest

from dlfd_jax.metrics import recovery

_EACH = np.repeat(np.arange(40), 3)  # 40 people, 3 images each


def _draw(identity, known=None, seed=0):
  identity = np.asarray(identity)
  return recovery.draw_parts(
      identity, np.ones(len(identity), bool) if known is None else known, seed)


def test_people_are_drawn_with_all_their_images_and_parts_are_nested():
  five, ten = (_draw(_EACH)[name].taught for name in ('5 %', '10 %'))
  for taught, people in ((five, 2), (ten, 4)):
    assert taught.sum() == 3 * people
    assert not np.intersect1d(_EACH[taught], _EACH[~taught]).size
  assert (ten | ~five).all()
  again = _draw(_EACH)['10 %'].taught
  assert (again == ten).all()
  assert (_draw(_EACH, seed=1)['10 %'].taught != ten).any()


@pytest.mark.parametrize('identity, sizes', [
    ([7], ['forget has 1 image: no part leaves a rest'] * 3),
    ([-1], ['forget has 1 image: no part leaves a rest'] * 3),
    # One person: the other images of the same person are the rest.
    ([7] * 12, ['1 % of 12 images is none', 1, 1]),
    ([-1] * 12, ['1 % of 12 images is none', 1, 1]),
    ([1, 1, 2, 2], ['1 % of 2 people is nobody'] + [
        '5 % of 2 people is nobody', '10 % of 2 people is nobody']),
    (np.arange(9), ['1 % of 9 people is nobody', '5 % of 9 people is nobody',
                    1]),
    (np.arange(50), [1, 3, 5]), (np.arange(300), [3, 15, 30]),
    ([], ['forget has 0 images: no part leaves a rest'] * 3),
])
def test_small_requests_have_fewer_parts_and_say_why(identity, sizes):
  found = [part.reason or int(part.taught.sum())
           for part in _draw(np.asarray(identity, int)).values()]
  assert found == sizes


def test_images_without_a_label_teach_nothing():
  known = _EACH % 4 != 0
  taught = _draw(_EACH, known)['10 %'].taught
  assert taught.sum() == 3 * 3 and not taught[~known].any()


def test_lengths_must_agree():
  with pytest.raises(ValueError, match=r'as many images, got \[2\] and \[3\]'):
    recovery.draw_parts(np.zeros(2, int), np.ones(3, bool))


def test_stored_names_are_words_and_distinct():
  names = [recovery.array_name(name) for name in recovery.TREATMENTS]
  assert len(set(names)) == len(recovery.TREATMENTS)
  assert all(name.isidentifier() for name in names)
  with pytest.raises(ValueError, match='treatment'):
    recovery.array_name('3 %')
