"""Two releases and nearness in words."""

import pytest

from dlfd_jax.metrics import nearer
from dlfd_jax.report import releases


def _record(metric, unlearned, retrained=None, **more):
  def cell(value):
    if value is None:
      return {'value': None, 'reason': 'none'}
    return {'value': value, 'low': value - .05, 'high': value + .05}

  return {'metric': metric, 'units': 'fraction', 'notes': [], **more,
          'unlearned': cell(unlearned), 'retrained': cell(retrained)}


def _said(*records):
  return releases.sentences({'metrics': list(records)})


def test_two_releases_stand_beside_retraining_and_say_what_is_unavoidable():
  assert _said(_record('two_releases', .8, .85)) == [
      'Whoever holds the original and the unlearned model tells forget from '
      'unseen images by the rise of the loss with an AUC of 0.800 (0.750 to '
      '0.850), with retraining 0.850 (0.800 to 0.900): even an exact deletion '
      'exposes the deleted people to whoever holds both versions.']
  alone, = _said(_record('two_releases', .8))
  assert 'with retraining' not in alone and 'exact deletion' not in alone


@pytest.mark.parametrize('retrained', [.55, .5, .45])
def test_exact_deletion_is_accused_only_above_a_guess(retrained):
  said, = _said(_record('two_releases', .8, retrained))
  assert 'even an exact deletion exposes' not in said
  assert said.endswith('exposes the deleted people is not shown here.')


def test_those_who_stay_have_a_signed_change():
  assert _said(_record('retain_exposure', .06, .01)) == [
      "Retained against unseen images: the attack's AUC changed by +0.060 "
      '(+0.010 to +0.110) (after retraining: +0.010 (-0.040 to +0.060)).']


@pytest.mark.parametrize('side', [
    nearer.ORIGINAL, nearer.RETRAINED, nearer.UNDECIDED])
def test_each_side_is_said_with_p_and_false_alarms(side):
  alarms = 'False alarms: of 3 retrained models, each judged by the others, 0.'
  assert _said(
      _record('nearer_outputs_forget', .2, verdict=side, p_value=.0123,
              notes=['Mean.', alarms]),
      _record('nearer_features_forget', .1, verdict=nearer.UNDECIDED,
              p_value=.4)) == [
      f'On forget the unlearned model is by outputs {side} (p 0.012), by '
      f'features {nearer.UNDECIDED} (p 0.4).', alarms]


def test_without_records_or_p_nothing_is_said():
  assert _said() == []
  assert _said(_record('two_releases', None),
               _record('nearer_outputs_forget', .2, verdict=nearer.ORIGINAL,
                       p_value=None)) == []
