"""What is no metric, in words."""

import pytest

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import facts
from tests.report import fakes


def test_costs_carry_their_units_or_say_why_they_are_missing():
  items = dict(facts.efficiency_items(fakes.result()))
  assert items.items() >= {
      'Time, unlearned': '6.4 s', 'Speed-up over retraining': '8.5×',
      'Images processed': '11,520',
      'Peak memory of the host process': '1.31 GB',
      'One check, as a share of the time between two': '0.083',
      'Compile, distance': '8.1 s', 'Precision': 'float32'}.items()
  items = dict(facts.efficiency_items(fakes.result(retrained=False)))
  assert items.items() >= {
      'Speed-up over retraining': 'not computed: no retrained model was timed',
      'Time, retrained': 'not computed: not recorded'}.items()


def _times(unlearned, retrained, compiled=()):
  result = fakes.result()
  result['efficiency'] = {
      'time_s': {'unlearned': unlearned, 'retrained': retrained},
      'compile_s': dict(compiled)}
  return facts.cost_sentence(result)


def test_what_is_no_part_of_an_evaluation_does_not_read_as_one():
  assert facts.label_of('evaluate_s.models') == 'Evaluate, models'
  assert 'that were left' in facts.label_of('evaluate_s.expected_of_rest')
  assert facts.label_of('evaluate_s.finished_earlier').startswith(
      'Runs and figures')


def test_the_cost_sentence_says_who_was_faster():
  assert _times(6., 60.) == (
      'Unlearning took 6.0 s, retraining 60.0 s, both without compilation: '
      'unlearning was 10.0 times faster.')
  assert _times(60., 30.).endswith(
      'retraining was cheaper, 2.0 times faster.')
  assert 'is not known' in _times(6., None)
  assert _times(
      6., 60., {'unlearned': 24., 'retrained': 0.}).endswith(
      'With it they took 30.0 s and 60.0 s: unlearning was 2.0 times faster.')
  assert _times(
      6., 60., {'unlearned': None, 'retrained': 3.}) == _times(6., 60.)


def test_seconds_of_different_machines_are_not_compared():
  result = fakes.result()
  result['efficiency'] = {
      'time_s': {'unlearned': 60., 'retrained': 6.},
      'speed_up': Estimate.missing(facts.OTHER_MACHINE).as_dict()}
  said = facts.cost_sentence(result)
  assert 'different devices' in said and 'not known' in said
  assert 'faster' not in said and 'cheaper, ' not in said


@pytest.mark.parametrize(('value', 'words'), [
    (None, 'not computed'), (True, 'yes'), (False, 'no'), (12345, '12,345'),
    (.123456, '0.1235'), ([1, 'a'], '1, a'), ([], 'none'), ('x', 'x')])
def test_json_values_are_put_in_words(value, words):
  assert facts.plain(value) == words


def test_a_missing_entry_is_named_as_not_computed():
  assert facts.named({'a': 1}, {'a': 'A', 'b': 'B'}) == [
      ('A', '1'), ('B', 'not computed')]
  assert facts.all_of({'rule': {'step_size': .5}}) == [
      ('Rule, step size', '0.5')]


def test_pairs_that_exist_are_listed_and_a_long_list_is_cut_and_counted():
  leakage = fakes.leakage()
  found = facts.copies_found(leakage)
  assert found['known']
  assert sorted(found['rows']) == [
      ('forget-retain', '0', '1'), ('test-test', '0', '3')]
  assert found['not_looked_for'] == ['mirrored', 'cropped']
  found = facts.copies_found({**leakage, 'mirrored': {'forget-test': 2}})
  assert ('forget-test', '0', '0', '2') in found['rows']
  assert ('test-test', '0', '3', 'not computed') in found['rows']
  assert found['kinds'] == ['exact', 'near', 'mirrored']
  assert found['total'] == 1
  assert set(found['decisions']) == {'retain', 'val', 'test'}
  assert not facts.copies_found({})['known']
  leakage['forget_pairs'] *= 50
  leakage['forget_pairs_total'] = 50
  found = facts.copies_found(leakage)
  assert (len(found['pairs']), found['total']) == (20, 50)


def test_the_hash_does_not_depend_on_the_order_of_keys():
  assert facts.hash_of({'a': 1, 'b': 2}) == facts.hash_of({'b': 2, 'a': 1})
  assert facts.hash_of({}) == (
      '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')


def test_splits_keep_the_order_of_their_words():
  data = {'splits': {'test': {'images': 2}, 'retain': {'images': 1000,
                                                       'people': 9}}}
  assert facts.splits_rows(data) == [
      ('retain', '1,000', '9'), ('test', '2', 'not computed')]


def test_a_command_that_made_several_models_stands_once():
  assert facts.commands({
      'original': 'demo', 'retrained_0': 'demo', 'unlearned': 'unlearn',
      'evaluation': None}) == [
          ('original, retrained 0', 'demo'), ('unlearned', 'unlearn')]


def test_a_run_that_is_not_known_is_a_row_of_not_computed():
  [row] = facts.run_rows({'runs': [{'model': 'retrained_0'}]})
  assert row.pop('Model') == 'retrained 0'
  assert set(row.values()) == {'not computed'} and len(row) == 6
