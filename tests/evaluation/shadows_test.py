"""Tier 3: figures of shadow models, from their margins."""

import numpy as np
import pytest

from dlfd_jax.evaluation import inputs, run, shadows as shadow_figures
from dlfd_jax.metrics import epsilon, klom
from tests.evaluation import fakes
from tests.evaluation.reference_attack_test import _World

_QUICK = run.EvaluationConfig(bootstrap=30, permutations=30, draws=1)
_SMALL = run.ReferenceConfig(
    probe_folds=2, probe_permutations=2, probe_people=5, jackknife_groups=3)
_IMAGES = 3
_DATA = fakes.dataset(people=60, images=_IMAGES)
_PARTS = fakes.splits(_DATA, (.4, .6, .7))
_WORLD = _World(_DATA, _PARTS)


def drawn(n, models, *, trace=0., memory=2., seed=0, images=1, keep=False,
          level=None):
  """Shadow models in the random design; ``trace`` is left of ``memory``."""
  rng = np.random.default_rng(seed)
  states = np.arange(models) % (3 if keep else 2)
  states = np.repeat(rng.permuted(np.tile(
      states[:, None], -(-n // images)), axis=0), images, axis=1)[:, :n]
  level = rng.normal(0, 2, n) if level is None else level
  before = level + .5 * rng.standard_normal((models, n)) + memory * (
      states != inputs.OUT)
  after = level + .5 * rng.standard_normal((models, n)) + trace * (
      states == inputs.FORGET) + memory * (states == inputs.KEEP)
  exact = level + .5 * rng.standard_normal((models, n)) + memory * (
      states == inputs.KEEP)
  return inputs.Shadows(after, before, states.astype(np.int8),
                        retrained=exact if keep else None)


def _evaluate(shadows, retrained=8, data=_DATA, parts=_PARTS, world=_WORLD):
  result = run.evaluate(
      {'original': world.model(0, memory=3.0), 'unlearned': world.model(7),
       'retrained': [world.model(100 + i) for i in range(retrained)]},
      data, parts, _QUICK, tier=3, reference_config=_SMALL,
      references=inputs.References(shadows=shadows))
  return result, {r['metric']: r for r in result['metrics']
                  if r['tier'] == 3}


def _shadows(**options):
  """Their margins are those of the world's retrained models, but for seeds."""
  at = _PARTS.forget
  others = run.evaluate(
      {'unlearned': _WORLD.model(100)}, _DATA, _PARTS, _QUICK)['per_example'][
          'unlearned/forget/margin']
  return drawn(len(at), 24, images=_IMAGES, level=others, **options)


@pytest.fixture(scope='module')
def traced():
  return _evaluate(_shadows(trace=1.))


@pytest.fixture(scope='module')
def clean():
  return _evaluate(_shadows())


def test_a_trace_is_seen_and_told(traced):
  result, found = traced
  for name in ('u_lira_auc', 'u_lira_auc_person'):
    record = found[name]
    assert record['verdict'] == 'distinguishable', name
    assert record['gate'] == 'sees the original', name
    assert record['unlearned']['value'] > record['null']['high']
    assert record['original']['value'] > record['unlearned']['value']
  assert found['u_lira_auc_person']['unlearned']['value'] > (
      found['u_lira_auc']['unlearned']['value'])
  assert found['u_lira_retrained_auc']['unlearned']['value'] > .6
  assert found['klom_forget']['delta']['value'] > .5
  assert result['verdicts']['forgetting']['metrics']['u_lira_auc'] == (
      'distinguishable')
  assert result['shadows']['models'] == 24
  assert len(result['shadows']['worst']) == 10


def test_exact_unlearning_is_not_told_apart(clean):
  result, found = clean
  for name in ('u_lira_auc', 'u_lira_auc_person', 'epsilon_lb_largest'):
    assert found[name]['verdict'] != 'distinguishable', name
  assert abs(found['u_lira_auc']['delta']['value']) < .04
  assert found['epsilon_lb_largest']['unlearned']['value'] is None
  assert not any(row['shown'] for row in result['shadows']['worst'])
  assert .1 < found['forgetting_quality']['null']['value'] < 1


def test_epsilon_is_shown_by_models_that_are_enough(traced):
  _, few = traced
  assert few['epsilon_lb_largest']['unlearned']['reason'] == (
      '12 unlearned and 8 retrained models of an image could not show any '
      f'epsilon at 0.05 over {len(_PARTS.forget)} images, however well they '
      'were told apart; 22 a side could')
  many = drawn(len(_PARTS.forget), 60, images=_IMAGES, trace=9.)
  _, found = _evaluate(many, retrained=30)
  shown = found['epsilon_lb_largest']
  assert 0 < shown['unlearned']['value'] <= epsilon.most_shown(
      30, 30, epsilon.LEVEL / len(_PARTS.forget))
  assert shown['null']['value'] == 0


def test_the_null_of_klom_is_the_formula(clean):
  _, found = clean
  assert found['klom_forget']['null']['value'] == pytest.approx(
      klom.gaussian_null(12, 8))


def test_models_change_places_with_their_own_retrained_ones():
  """Exchanged with others they would bring what those kept to the null."""
  of = {}
  for memory in (0., 6.):
    shadows = drawn(90, 60, memory=memory, keep=True)
    sides = shadow_figures._Sides(
        np.concatenate([shadows.unlearned, shadows.retrained]),
        *(np.concatenate(halves) for halves in (
            (shadows.states == inputs.FORGET, np.zeros((60, 90), bool)),
            (np.zeros((60, 90), bool), shadows.states == inputs.FORGET))),
        paired=True)
    rng = np.random.default_rng(0)
    of[memory] = [klom.gaussian(*sides.exchanged(rng).dense())[0].mean()
                  for _ in range(40)]
    both = sides.exchanged(rng).margins.reshape(2, 60, 90)
    assert {(a, b) for a, b in zip(both[0, :, 0], both[1, :, 0])} <= {
        pair for a, b in zip(shadows.unlearned[:, 0], shadows.retrained[:, 0])
        for pair in ((a, b), (b, a))}
  np.testing.assert_allclose(of[6.], of[0.])
  assert np.mean(of[6.]) == pytest.approx(klom.gaussian_null(20, 20), rel=.25)


@pytest.mark.slow
def test_shadows_that_never_knew_see_nothing():
  _, found = _evaluate(_shadows(memory=0.))
  assert found['u_lira_auc']['gate'] == 'cannot see the original'


@pytest.mark.long
def test_privacy_harm_needs_people_who_are_kept(clean):
  _, found = clean
  assert 'kept nobody' in found['privacy_harm']['unlearned']['reason']
  _, found = _evaluate(_shadows(keep=True))
  assert abs(found['privacy_harm']['unlearned']['value']) < .1


@pytest.mark.parametrize('shadows,retrained,name,reason', [
    (None, 4, 'u_lira_auc', 'no shadow models'),
    (4, 4, 'u_lira_auc', 'only 2 shadow models'),
    (16, 2, 'klom_forget', 'at least 4 retrained'),
    (16, 3, 'klom_histogram_forget', '128')])
def test_what_cannot_be_computed_says_why(shadows, retrained, name, reason):
  n = len(_PARTS.forget)
  _, found = _evaluate(
      shadows and drawn(n, shadows, images=_IMAGES), retrained)
  assert reason in found[name]['unlearned']['reason']


@pytest.mark.parametrize('call,words', [
    (lambda: inputs.Shadows(np.ones((4, 2)), np.ones((4, 3)),
                            np.ones((4, 2), np.int8)), 'one shape'),
    (lambda: inputs.Shadows(*2 * [np.ones((4, 2))],
                            np.full((4, 2), 3, np.int8)), 'states 0, 1 and 2'),
    (lambda: _evaluate(drawn(5, 16)), 'images of forget')])
def test_bad_input_is_one_sentence(call, words):
  with pytest.raises(ValueError, match=words):
    call()
