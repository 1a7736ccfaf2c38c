"""What tier 3 says before it begins."""

import types

import pytest

from dlfd_jax.pipeline import shadow_models


def _said(left, **cost):
  plan = types.SimpleNamespace(
      count=8, config=cost.pop('config', object()), method='eu_k',
      left=lambda: range(left), cost=lambda: cost)
  events = []
  shadow_models.Plan.say_expected(plan, [events.append])
  event, = events
  assert event['event'] == 'expected'
  assert event['seconds'] == cost.get('expected_s')
  return event['sentence']


@pytest.mark.parametrize('sentence, said', [
    (_said(8, expected_s=38., each_s=2.5, device='cpu'),
     '8 shadow models, to be unlearned as the judged model was (EU-k). '
     'Expected: about 38 s, 2.5 s each as the judged model took on cpu.'),
    (_said(5, expected_s=12., each_s=2.5, device='cpu'),
     '8 shadow models, to be unlearned as the judged model was (EU-k); 3 '
     'finished already. Expected: about 12 s, '),
    (_said(0), '(EU-k); 8 finished already.'),
    (_said(8, config=None), 'Nothing is unlearned: the method of the judged')])
def test_what_is_to_be_unlearned_is_said_with_its_time(sentence, said):
  assert said in sentence
