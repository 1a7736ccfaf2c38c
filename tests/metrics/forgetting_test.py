"""Forgetting score and NoMUS, against every row of the published tables."""

import numpy as np
import pytest

from dlfd_jax.metrics import attack, forgetting

# Test accuracy, attack accuracy, NoMUS as printed by the authors' notebooks.
_MUFAC = [
    ('Original', .6330, .6924, .6241),
    ('Retrained', .6084, .5548, .7494),
    ('Fine-tuning', .6376, .6884, .6304),
    ('CF-k', .6223, .6837, .6274),
    ('EU-k', .6297, .6894, .6255),
    ('NegGrad', .4116, .4751, .6809),
    ('UNSIR impaired only', .2646, .5256, .6067),
    ('UNSIR repaired', .4907, .5309, .7144),
    ('BadTeaching', .4202, .5628, .6473),
    ('SCRUB', .6463, .6638, .6594),
    ('DLFD', .6197, .5279, .7819),
]
_RAF_DB = [
    ('Original', .7503, .6742, .7010),
    ('Retrained', .7194, .5196, .8401),
    ('Fine-tuning', .7516, .6831, .6927),
    ('CF-k', .7513, .6729, .7027),
    ('EU-k', .7523, .6740, .7021),
    ('NegGrad', .7324, .6466, .7196),
    ('UNSIR impaired only', .3862, .5196, .6736),
    ('UNSIR repaired', .6216, .5196, .7912),
    ('BadTeaching', .5153, .5211, .7365),
    ('SCRUB', .7507, .6376, .7378),
    ('DLFD', .6607, .5465, .7839),
]


@pytest.mark.parametrize('name, accuracy, mia, expected', _MUFAC + _RAF_DB)
def test_published_rows(name, accuracy, mia, expected):
  got = forgetting.nomus(accuracy, forgetting.forgetting_score(mia))
  assert got == pytest.approx(expected, abs=1.1e-4), name


@pytest.mark.parametrize('accuracy, mia, expected', [
    (.6330, .6924, .62410), (.6084, .5548, .74940), (.6197, .5279, .78195),
    (.4116, .4751, .68090), (.386245, .5, .693123),
    (.386245, 332 / 639, .673561)])
def test_rows_of_the_specification(accuracy, mia, expected):
  got = forgetting.nomus(accuracy, forgetting.forgetting_score(mia))
  assert got == pytest.approx(expected, abs=1e-5)


def test_score_does_not_see_the_direction_but_the_auc_does():
  unseen = np.random.default_rng(0).uniform(1, 2, 100)
  for forget_loss, signed in ((0., 1.), (10., 0.)):
    forget = np.full(100, forget_loss)
    mia = attack.balanced_accuracy(-forget, -unseen, draws=2)
    assert forgetting.forgetting_score(mia) == 1
    assert attack.auc(-forget, -unseen) == signed


@pytest.mark.parametrize('low', [0., .3, .5])
def test_score_is_symmetric_about_one_half(low):
  assert forgetting.forgetting_score(low) == pytest.approx(
      forgetting.forgetting_score(1 - low))


def test_null_of_the_half_score_at_the_published_size():
  rng = np.random.default_rng(1)
  half = [abs(attack.balanced_accuracy(
      rng.exponential(size=1500), rng.exponential(size=1504), draws=1) - .5)
          for _ in range(400)]
  assert .009 < np.mean(half) < .012
  assert .021 < np.quantile(half, .95) < .030


@pytest.mark.parametrize('call, message', [
    (lambda: forgetting.forgetting_score(1.2), 'mia_accuracy in'),
    (lambda: forgetting.nomus(-.1, 0), 'accuracy_test in'),
    (lambda: forgetting.nomus(.1, 2), 'score in'),
    (lambda: forgetting.nomus(.1, .2, weight=3), 'weight in'),
])
def test_values_outside_their_range_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
