import numpy as np
import pytest
from scipy import special, stats as scipy_stats

from dlfd_jax import tasks
from dlfd_jax.metrics import lira, per_example, ranks


def area(members, others):
  return float(ranks.area(*ranks.roc(np.ravel(members), np.ravel(others))))


def normals(mean, sigma, n=1):
  return lira.Normals(*(np.full(n, float(v)) for v in (mean, sigma, 1e6, 1e6)))


def test_closed_forms_of_one_and_both_sides():
  inside, out = normals(2, 1), normals(0, 1)
  np.testing.assert_allclose(lira.online(1.5, inside, out), 1, atol=1e-12)
  np.testing.assert_allclose(lira.distance(1.5, out), 1.5)
  np.testing.assert_allclose(
      special.ndtr(lira.distance(1.5, out)), .933193, atol=1e-6)
  np.testing.assert_allclose(
      1 - lira.p_values(np.array([1.5]), out), .933193, atol=1e-5)
  same = lira.online(np.array([[0.], [2.]]), normals(0, 1), normals(0, 2))
  np.testing.assert_allclose(same.ravel(), [.693147, -.806853], atol=1e-6)


def test_without_the_logarithms_accuracy_falls_to_one_half():
  rng = np.random.default_rng(0)
  out, inside = normals(0, 2), normals(0, 1)
  members, others = rng.normal(0, 1, 200_000), rng.normal(0, 2, 200_000)
  scores = [lira.online(side, inside, out) for side in (members, others)]
  accuracy = np.mean([(scores[0] > 0).mean(), (scores[1] <= 0).mean()])
  assert accuracy == pytest.approx(.661337, abs=.003)
  assert area(*scores) == pytest.approx(.704833, abs=.003)
  # The mirrored example, sigmas swapped, in one pool: the sign must be right.
  mirrored = [lira.online(side, out, inside) for side in (others, members)]
  assert area(np.concatenate([scores[0], mirrored[0]]),
              np.concatenate([scores[1], mirrored[1]])) == pytest.approx(
                  .72, abs=.02)


def test_the_margin_sees_what_the_largest_softmax_does_not():
  """Who did not see an image is as sure of it, but of another class."""
  rng = np.random.default_rng(6)
  task = tasks.Task('multiclass', ('a', 'b', 'c'))
  models, n = 32, 50
  logits = rng.standard_normal((2, models, n, 3))
  logits[0, ..., 0] += 4
  logits[1, ..., 1] += 4
  logits = logits.astype(np.float32)
  margins = np.array([[per_example.margin(
      task, model, np.zeros(n, np.int64)) for model in side]
                      for side in logits])
  sure = per_example.probabilities(task, logits.reshape(-1, 3)).max(-1)
  sure = special.logit(np.minimum(sure, 1 - 1e-9)).reshape(2, models, n)
  found = []
  for values in (margins, sure):
    sides = [lira.fit(side[::2]) for side in values]
    found.append(area(*(lira.online(side[1::2], *sides) for side in values)))
  assert found[0] > .99
  assert found[1] == pytest.approx(.5, abs=.05)


def test_one_sigma_comes_from_residuals_within_examples_of_its_own_side():
  rng = np.random.default_rng(1)
  level = rng.normal(0, 3, 400)
  inside = level + .4 * rng.standard_normal((128, 400))
  out = level + rng.standard_normal((128, 400))
  fitted = [lira.fit(side, rule='pooled') for side in (inside, out)]
  np.testing.assert_allclose(
      [fit.sigma[0] for fit in fitted], [.4, 1], rtol=.02)
  fresh = [lira.online(level + sigma * rng.standard_normal((20, 400)), *fitted)
           for sigma in (.4, 1)]
  assert area(*fresh) == pytest.approx(.72, abs=.04)


def test_a_rank_far_away_is_no_tie():
  far, further = (lira.distance(x, normals(0, 1)) for x in (11., 12.))
  assert further > far
  assert special.ndtr(further) == special.ndtr(far) == 1  # these would tie


@pytest.mark.parametrize('rule', lira.RULES)
def test_left_out_is_the_fit_of_the_other_models(rule):
  rng = np.random.default_rng(2)
  margins = rng.normal(5, 2, (11, 30)) * np.exp(rng.normal(size=30))
  place = rng.permuted(np.arange(11)[:, None] * np.ones(30), axis=0)
  inside, out = place < 5, place > 5  # one model is on neither side
  found = lira.fit_sides(margins, inside, out, left_out=True, rule=rule)
  for k in range(11):
    others = np.arange(11) != k
    expected = lira.fit_sides(
        margins[others], inside[others], out[others], rule=rule)
    for one, other in zip(found, expected):
      for name in ('mean', 'sigma', 'freedom', 'count'):
        np.testing.assert_allclose(
            getattr(one, name)[k], getattr(other, name), rtol=1e-6)


@pytest.mark.parametrize('spread', [0., .3, .6, 1.2])
@pytest.mark.parametrize('references', [4, 8])
@pytest.mark.parametrize('relative', [False, True])
def test_shrinking_is_as_good_as_the_better_rule(spread, references, relative):
  """At most .005 below it: one-sided, two-sided, online."""
  rng = np.random.default_rng(3)
  n, targets = 3000, 4
  level, sigma = 3 * rng.normal(size=n), np.exp(spread * rng.normal(size=n))
  shift = sigma if relative else np.ones(n)

  def drawn(models, times=0.):
    return level + times * shift + sigma * rng.standard_normal((models, n))

  seen, unseen = drawn(references, 1), drawn(references)
  sides = drawn(targets, 1), drawn(targets)
  both = drawn(targets, rng.choice([-2., 2.], (targets, n))), sides[1]
  found = {}
  for rule in lira.RULES:
    models = np.concatenate([seen, unseen])
    first = np.repeat([True, False], references)[:, None] & np.ones(n, bool)
    inside, out = lira.fit_sides(models, first, ~first, rule=rule)
    alone = lira.fit(unseen, rule=rule)
    found[rule] = [
        area(*(lira.distance(side, alone) for side in sides)),
        area(*(abs(lira.distance(side, alone)) for side in both)),
        area(*(lira.online(side, inside, out) for side in sides))]
  best = np.maximum(found['pooled'], found['own'])
  assert (np.array(found['shrunk']) > best - .005).all()


@pytest.mark.parametrize('two_sided', [False, True])
@pytest.mark.parametrize('references', [3, 4, 8])
def test_false_positive_rates_are_those_promised(references, two_sided):
  rng = np.random.default_rng(4)
  sigma = np.exp(.6 * rng.standard_normal(40_000))
  refs, fresh = (
      sigma * rng.standard_normal((k, 40_000)) for k in (references, 1))
  out = lira.fit(refs)
  p = lira.p_values(fresh[0], out, two_sided=two_sided)
  for rate in (.01, .05):
    assert (p <= rate).mean() == pytest.approx(rate, rel=.25)
  naive = special.ndtr(-lira.distance(fresh[0], lira.fit(refs, rule='own')))
  assert (naive <= .01).mean() > .03


def test_shrinking_keeps_the_share_that_is_no_chance():
  """Log-normal variances: the best estimate, as a regression finds it."""
  rng = np.random.default_rng(5)
  freedom = np.full(50_000, 5.)
  logs = rng.normal(1, .8, 50_000)
  drawn = np.exp(logs) * rng.chisquare(5, 50_000) / 5
  found, effective = lira.shrink(drawn, freedom)
  slope = np.polyfit(np.log(drawn), logs, 1)[0]
  kept = np.polyfit(np.log(drawn), np.log(found), 1)[0]
  assert kept == pytest.approx(slope, abs=.02)
  # As good as an estimate of so many degrees of freedom.
  half = effective[0] / 2
  error = np.log(found) - special.digamma(half) + np.log(half) - logs
  assert error.mean() == pytest.approx(0, abs=.02)
  assert error.var() == pytest.approx(special.polygamma(1, half), rel=.05)


def test_two_or_equal_variances_are_pooled():
  found, freedom = lira.shrink(np.array([1., 3.]), np.array([4., 4.]))
  assert found.tolist() == [2, 2] and freedom.tolist() == [8, 8]
  found, freedom = lira.shrink(np.full(50, 2.), np.full(50, 3.))
  np.testing.assert_allclose(found, 2)
  np.testing.assert_allclose(freedom, 150)


def test_equal_margins_have_a_scale():
  fitted = lira.fit(np.ones((4, 5)))
  assert (fitted.sigma > 0).all() and np.isfinite(lira.distance(2., fitted)
                                                  ).all()


def test_p_is_that_of_a_t_test_of_one_new_value():
  rng = np.random.default_rng(6)
  refs = rng.standard_normal((5, 1))
  out = lira.fit(refs, rule='own')
  p = lira.p_values(np.array([2.]), out, two_sided=True)
  away = (2 - refs.mean()) / (refs.std(ddof=1) * np.sqrt(1 + 1 / 5))
  np.testing.assert_allclose(p, 2 * scipy_stats.t.sf(abs(away), 4))


def _two_sides(models, n, seed, shift=0., ratio=1.):
  """Half of the models a side, images of very unequal spread."""
  rng = np.random.default_rng(seed)
  first = rng.permuted(
      np.tile(np.arange(models)[:, None] < models // 2, n), axis=0)
  sigma = np.exp(1.2 * rng.standard_normal(n))
  noise = rng.standard_normal((models, n))
  return 3 * rng.standard_normal(n) + sigma * np.where(
      first, shift + ratio * noise, noise), first, sigma


@pytest.mark.parametrize('ratio', [.6, 1., 1.8])
def test_p_of_a_ratio_is_the_share_of_unseen_models_that_reach_it(ratio):
  """Which are drawn so that mean and spread with the judged one stay."""
  margins, first, _ = _two_sides(10, 40, 7, shift=.8, ratio=ratio)
  found = lira.online_p_values(margins, first, ~first)
  rng = np.random.default_rng(8)
  for k in range(10):
    inside, out = first.copy(), ~first
    inside[k], out[k] = False, True
    sides = lira.fit_sides(margins, inside, out)
    for i in (0, 17, 39):
      values = margins[out[:, i], i]
      drawn = rng.standard_normal((20_000, len(values)))
      drawn -= drawn.mean(1, keepdims=True)
      other = values.mean() + drawn[:, 0] / drawn.std(1, ddof=1) * (
          values.std(ddof=1))
      fitted = [lira.Normals(*(
          getattr(side, name)[i] for name in (
              'mean', 'sigma', 'freedom', 'count'))) for side in sides]
      reached = lira.online(other, *fitted) >= lira.online(
          margins[k, i], *fitted)
      assert found[k, i] == pytest.approx(reached.mean(), abs=.015), (k, i)


def _by_third(called, out, key):
  """Rates of false alarms of images in three groups of a key."""
  thirds = np.searchsorted(np.quantile(key, [1 / 3, 2 / 3]), key)
  rates = (called & out).sum(0) / out.sum(0)
  return np.array([rates[thirds == third].mean() for third in range(3)])


@pytest.mark.parametrize('leak,models,apart', [
    ('none', 8, 1.8), ('unequal', 32, 3.)])
def test_false_alarms_of_the_online_attack_are_alike_for_all_images(
    leak, models, apart):
  """By spread where nothing leaks, and by what an image leaks."""
  n = 6000
  shift = 2 * np.abs(np.random.default_rng(9).standard_normal(n))
  margins, first, sigma = _two_sides(
      models, n, 10, shift if leak == 'unequal' else 0.)
  key = shift if leak == 'unequal' else sigma
  called = lira.online_p_values(margins, first, ~first) <= .01
  np.testing.assert_allclose(_by_third(called, ~first, key), .01, rtol=.25)
  if leak == 'none':
    assert called[first].mean() == pytest.approx(.01, rel=.15)
  scores = lira.online(margins, *lira.fit_sides(
      margins, first, ~first, left_out=True))
  pooled = _by_third(scores > np.quantile(scores[~first], .99), ~first, key)
  assert pooled.max() > apart * pooled.min()


def test_power_of_the_calibrated_online_attack_is_that_of_a_known_shift():
  margins, first, _ = _two_sides(256, 300, 11, shift=1.)
  p = lira.online_p_values(margins, first, ~first)
  assert (p <= .01)[first].mean() == pytest.approx(.092362, abs=.006)
  np.testing.assert_allclose(lira.online_p_values(
      5 - 2 * margins, first, ~first), p, atol=1e-9)


def test_one_ratio_for_all_margins_calls_nobody():
  first = np.arange(8)[:, None] < np.full(3, 4)
  assert (lira.online_p_values(np.ones((8, 3)), first, ~first) == 1).all()


@pytest.mark.parametrize('call,words', [
    (lambda: lira.online_p_values(np.ones((4, 1)), *(
        np.arange(4)[:, None] // 2 == side for side in (0, 1))),
     'at least 3 models'),
    (lambda: lira.fit(np.ones(3)), 'models, n'),
    (lambda: lira.fit(np.full((3, 2), np.nan)), 'finite'),
    (lambda: lira.fit(np.ones((1, 2))), 'at least 2 models'),
    (lambda: lira.fit(np.ones((3, 2)), np.ones((3, 1), bool)), 'boolean'),
    (lambda: lira.fit(np.ones((3, 2)), rule='other'), 'rule'),
    (lambda: lira.fit_sides(np.ones((4, 1)), *np.eye(2, 4)[:, :, None] > 0),
     'at least 2 models'),
    (lambda: lira.fit_sides(np.ones((4, 1)), *2 * [np.ones((4, 1), bool)]),
     'one side'),
    (lambda: lira.fit_sides(np.ones((4, 1)), *(
        np.arange(4)[:, None] // 2 == side for side in (0, 1)), left_out=True),
     'at least 3 models')])
def test_bad_input_is_one_sentence(call, words):
  with pytest.raises(ValueError, match=words):
    call()
