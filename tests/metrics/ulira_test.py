import numpy as np
import pytest

from dlfd_jax.metrics import lira, ranks, ulira


def world(models, n, shift=0., seed=0, ratio=1., scale=1.):
  """Margins of a random design: each example's models in two halves."""
  rng = np.random.default_rng(seed)
  first = rng.permuted(
      np.tile(np.arange(models)[:, None] < models // 2, n), axis=0)
  noise = rng.standard_normal((models, n))
  margins = 3 * rng.standard_normal(n) + np.where(
      first, shift + ratio * noise, noise)
  return scale * margins, first, ~first


def test_unit_shift_at_128_models():
  found = ulira.scores(*world(128, 300, shift=1.))
  assert found.auc() == pytest.approx(.757, abs=.01)
  assert found.accuracies().mean() == pytest.approx(.690, abs=.01)
  moved = ulira.scores(5 + 2 * world(128, 300, shift=1.)[0],
                       *world(128, 300, shift=1.)[1:])
  np.testing.assert_allclose(moved.values, found.values, atol=1e-8)


@pytest.mark.parametrize('models,point,worst', [
    (16, .73, .78), (32, .67, .73), (64, .61, .65), (128, .58, .61)])
def test_null_of_the_pooled_auc_and_of_single_examples(models, point, worst):
  found = ulira.scores(*world(models, 400, seed=1))
  assert .48 < found.auc() < .51
  accuracies = np.sort(found.accuracies())
  assert np.quantile(accuracies, .95) == pytest.approx(point, abs=.05)
  assert accuracies[-10:].mean() == pytest.approx(worst, abs=.05)


def test_scores_are_not_compared_within_an_example():
  """Without the judged model its side's mean lies farther from it.

  With variances of each image's own it is .44, with shrunk ones .46.
  """
  found = ulira.scores(*world(128, 400, seed=1))
  within = np.mean([ranks.area(*ranks.roc(
      values[first], values[~first]))
                    for values, first in zip(found.values.T, found.first.T)])
  assert .40 < within < .47
  assert found.auc() == pytest.approx(.5, abs=.015)


def test_margins_see_what_correctness_does_not():
  rng = np.random.default_rng(2)
  first = np.tile(np.arange(128)[:, None] < 64, 50)
  margins = rng.standard_normal((128, 50)) + np.where(first, 8, 4)
  assert ulira.scores(margins, first, ~first).accuracies().mean() == (
      pytest.approx(.977250, abs=.005))


def test_permuted_sides_keep_their_sizes():
  rng = np.random.default_rng(3)
  _, first, second = world(12, 20)
  second = second & (np.arange(12)[:, None] > 0)  # one on neither
  a, b = ulira.permuted(first, second, rng, together=False)
  assert (a.sum(0) == first.sum(0)).all() and (b.sum(0) == second.sum(0)).all()
  assert not (a & b).any() and ((a | b) == (first | second)).all()
  assert (a != first).any()
  same = np.tile(np.arange(12)[:, None] < 6, 20)
  a, _ = ulira.permuted(same, ~same, rng, together=True)
  assert (a == a[:, :1]).all() and a.sum() == same.sum()


def test_null_of_permutations_holds_what_is_found_without_a_trace():
  outside = 0
  for seed in range(8):
    margins, first, second = world(16, 60, seed=seed)
    drawn = ulira.null(
        margins, first, second, np.arange(60), lambda s: s.auc(), draws=24,
        seed=0, together=False)
    value = ulira.scores(margins, first, second).auc()
    outside += not drawn.min() <= value <= drawn.max()
  assert outside <= 2


def test_people_are_told_apart_better_than_images():
  rng = np.random.default_rng(4)
  units = np.repeat(np.arange(40), 4)
  _, by, _ = world(32, 40, seed=4)
  first = by[:, units]
  margins = rng.standard_normal((32, 160)) + .7 * first
  images = ulira.scores(margins, first, ~first)
  people = ulira.scores(ulira.by_person(margins, units), by, ~by)
  assert people.auc() > images.auc() + .1
  np.testing.assert_allclose(
      ulira.by_person(margins, units)[:, 3], margins[:, 12:16].mean(1))
  with pytest.raises(ValueError, match='one side'):
    ulira.of_units(world(32, 160)[1], units)


def test_worst_examples_count_beyond_the_null_alone():
  margins, first, second = world(64, 100, seed=5)
  margins[:, 7] += 3 * first[:, 7]
  drawn = ulira.null(
      margins, first, second, np.arange(100),
      lambda s: s.accuracies().max(), draws=30, seed=0, together=False)
  rows = ulira.worst(ulira.scores(margins, first, second), drawn)
  assert rows[0]['example'] == 7 and rows[0]['shown']
  assert not any(row['shown'] for row in rows[1:])


@pytest.mark.parametrize('right,tries,p', [(22, 32, .025051), (44, 64, .001845),
                                           (0, 8, 1)])
def test_binomial(right, tries, p):
  assert ulira.binomial_p(right, tries) == pytest.approx(p, abs=1e-6)


def test_called_are_shares_of_both_sides():
  margins, first, second = world(128, 300, shift=1., seed=10)
  second &= np.arange(128)[:, None] > 3  # some on neither side
  hits, alarms = ulira.called(margins, first, second, .01)
  assert hits == pytest.approx(.092362, abs=.015)
  assert alarms == pytest.approx(.01, abs=.002)
  p = lira.online_p_values(margins, first, second)
  assert ulira.called(margins, first, second, .2) == (
      (p <= .2)[first].mean(), (p <= .2)[second].mean())
  with pytest.raises(ValueError, match='rate'):
    ulira.called(margins, first, second, 0.)


def test_privacy_harm():
  one, other = (ulira.scores(*world(64, 200, shift=shift, seed=seed))
                for seed, shift in ((6, .5), (7, 0.)))
  assert ulira.privacy_harm(one, other) == pytest.approx(
      float(one.auc() - other.auc()))
  same = ulira.scores(*world(64, 200, seed=8))
  assert abs(ulira.privacy_harm(same, other)) < .02


def test_privacy_harm_by_hand():
  """Of AUCs .60 and .55: 6 of 10 models lie lower, or 6 and 5 by halves."""
  first = np.arange(20)[:, None] < 10
  others = np.arange(10.)
  kept = np.full(10, 5.5), np.repeat([5.5, 4.5], 5)
  one, other = (ulira.Scores(np.append(side, others)[:, None], first, ~first)
                for side in kept)
  assert float(one.auc()) == pytest.approx(.6)
  assert ulira.privacy_harm(one, other) == pytest.approx(.05)


def test_weights_are_repetitions():
  margins, first, second = world(8, 12, seed=9, shift=1.)
  found = ulira.scores(margins, first, second)
  rng = np.random.default_rng(0)
  models, examples = rng.integers(0, 3, (2, 8)), rng.integers(0, 3, (2, 12))
  for row in range(2):
    pick = np.ix_(np.repeat(np.arange(8), models[row]),
                  np.repeat(np.arange(12), examples[row]))
    again = ulira.Scores(*(part[pick] for part in (
        found.values, first, second)))
    assert found.auc(models, examples)[row] == pytest.approx(again.auc())
