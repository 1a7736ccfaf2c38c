"""The first page: what was asked, done and is to be done, from the record."""

import pytest

from dlfd_jax.report import first_page
from tests.report import fakes


@pytest.mark.parametrize('request_of, said', [
    ({'id': 'R-1', 'received': '2026-05-04', 'people': 2, 'images': 9,
      'share_of_images': .25}, [
          ('Request', 'R-1'), ('Received', '2026-05-04'),
          ('People to forget', '2'),
          ('Images to forget', '9 (25.0 % of training)'),
          ('Names not found', '0')]),
    ({'images': 3, 'images_of_nobody_known': 1, 'classes': ['a', 'b'],
      'left_out': {'val': 2, 'test': 0}, 'not_found': ['Ann'],
      'earlier_images': 4, 'earlier_people': 1}, [
          ('Request', 'not given'), ('Received', 'not given'),
          ('To forget whole', 'a, b'), ('Images to forget', '3'),
          ('Of these, of unknown people', '1'),
          ('Named, but not trained on', '2 images (val)'),
          ('Names not found', '1'),
          ('Forgotten earlier', '1 person, 4 images')])])
def test_the_request_in_numbers(request_of, said):
  assert first_page.asked({'request': request_of}) == said


def test_earlier_requests_are_named_as_their_owner_does():
  people = [{'person': str(k), 'id': f'R-{k // 2}'} for k in range(12)]
  said = first_page.asked({
      'request': {'earlier_images': 40, 'earlier_people': 12},
      'earlier': {'people': [*people, {'person': 'x', 'id': None}]}})
  assert said[-1] == ('Forgotten earlier', '12 people, 40 images '
                      '(R-0, R-1, R-2, R-3, R-4 and 1 more)')


def test_what_was_done_names_method_state_and_judges():
  result = {**fakes.result(), 'request': {'method': 'dlfd'}}
  made, judged = first_page.done(result)
  assert made == (
      'The unlearned model was made from the original on 2026-05-05 09:00 UTC '
      'in 6.4 s (method: dlfd). It is the state after step 45 (annex F: why).')
  assert judged == (
      'Judged at tier 0 on 2026-05-06 10:30 UTC, beside 3 retrained models; '
      'unseen people: 40 of the test set (320 images).')
  assert 'this audit made none' in first_page.done({**result, 'audit': {}})[0]


@pytest.mark.parametrize('changes, said', [
    ({}, 'Decide by the recommendation whether to use the unlearned model '
     '(weights cdcdcdcdcdcd).'),
    ({'verification': {'unchanged': True}},
     'Do not put the unlearned model into use (weights cdcdcdcdcdcd).'),
    ({}, 'Looked for within the data: exact copies (none found) and '
     'near-duplicates (1 pair found); decide on each that was found (annex A). '
     'Not looked for: mirrored ones and slightly cropped ones, which dlfd '
     'check looks for.'),
    ({'data': {}}, 'Copies within the data were not looked for.'),
    ({}, 'the original (runs/original, weights abababababab)'),
    ({'models': {'original': '../first'}},
     'the original (folder first), what it was made from, and the states'),
    ({'models': {'original': '../first', 'files': {'original': 'ef' * 32}}},
     'the original (folder first), the weights file that it was imported from '
     '(SHA-256 efefefefefef), and what that was made from, and the states'),
    ({}, 'Recall exports of the original'),
    ({'models': {'shadows': '../shadows', 'half_references': None}},
     'delete the shadow models (folder shadows): some of them learnt these'),
    ({'audit': {}}, 'whether to use the audited model')])
def test_what_is_still_to_do(changes, said):
  assert said in ' '.join(first_page.to_do({**fakes.result(), **changes}))


def test_where_no_copy_was_found_the_page_says_so():
  result = fakes.result()
  leakage = result['data']['leakage']
  leakage['near']['forget-retain'] = 0
  leakage |= dict.fromkeys(('mirrored', 'cropped'), {
      f'forget-{part}': 0 for part in ('retain', 'val', 'test')})
  assert ('Looked for within the data: exact copies (none found), '
          'near-duplicates (none found), mirrored ones (none found) and '
          'slightly cropped ones (none found).') in first_page.to_do(result)[1]
  assert 'candidates' in ' '.join(first_page.to_do(
      {**result, 'selection': {'auto': {'candidates': []}}}))


def test_copies_that_were_trained_on_come_first():
  result = fakes.result()
  result['data'] = {**result['data'], 'leakage': {
      'exact': {'forget-retain': 0}, 'mirrored': {'forget-retain': 1}}}
  first, *rest = first_page.to_do(result)
  assert first == (
      'The new model was trained on copies of these images, too (1 pair, annex '
      'A): unlearn again with them in the request, or record why they stay.')
  assert not any('trained on copies' in line for line in rest)
  result['data']['leakage']['mirrored'] = {'forget-retain': 0, 'forget-val': 2}
  assert 'trained on copies' not in ' '.join(first_page.to_do(result))
