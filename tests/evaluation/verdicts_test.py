"""Overall verdicts: all for equal, any (after Holm) for different."""

import pytest

from dlfd_jax.evaluation import verdicts
from dlfd_jax.metrics import stats

_SAME = verdicts.Vote(stats.INDISTINGUISHABLE, .6)
_WIDE = verdicts.Vote(stats.INCONCLUSIVE, .3)


def _apart(p):
  return verdicts.Vote(stats.DISTINGUISHABLE, p)


def _verdict(*votes, **options):
  named = {str(i): vote for i, vote in enumerate(votes)}
  return verdicts.overall(named, **options)['verdict']


def test_all_must_be_indistinguishable():
  assert _verdict(_SAME, _SAME) == 'indistinguishable'
  assert _verdict(_SAME, _WIDE) == 'inconclusive'


def test_one_is_enough_to_tell_apart_but_only_after_holm():
  assert _verdict(_SAME, _apart(.001), _SAME) == 'distinguishable'
  assert _verdict(_WIDE, _apart(.03), _WIDE) == 'inconclusive'
  assert _verdict(_apart(.03)) == 'distinguishable'


def test_a_small_but_certain_difference_within_the_margin_is_none():
  tiny = verdicts.Vote(stats.INDISTINGUISHABLE, 1e-9)
  assert _verdict(tiny, _SAME) == 'indistinguishable'


def test_what_was_not_computed_forbids_indistinguishable():
  none = verdicts.Vote(None, None)
  found = verdicts.overall({'a': _SAME, 'b': none})
  assert found['verdict'] == 'inconclusive'
  assert found['because'] == 'not computed: b'
  assert _verdict(_apart(1e-4), none) == 'distinguishable'


def test_the_over_forgetting_flag_overrules_everything():
  assert _verdict(_SAME, over_forgotten=True) == (
      'distinguishable (over-forgotten)')


def test_holm_steps_down():
  assert verdicts.holm([.01, .04, .03, .005]) == [True, False, False, True]
  assert verdicts.holm([.02, .03]) == [True, True]
  assert verdicts.holm([]) == []


def test_a_verdict_needs_a_metric():
  with pytest.raises(ValueError, match='at least one deciding metric'):
    verdicts.overall({})
