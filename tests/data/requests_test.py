"""Requests as they are asked: what is refused, and how lists are read."""

import pytest

from dlfd_jax.data import requests


@pytest.mark.parametrize('wish, message', [
    ({}, 'exactly one of identities, .* got none'),
    ({'people': 1, 'fraction': 0.5}, 'got people and fraction'),
    ({'identities': []}, 'at least one entry in identities'),
    ({'sample_ids': []}, 'at least one entry in sample_ids'),
    ({'sample_ids': 'image_0'}, "sequence of sample ids, got 'image_"),
    ({'classes': 'man'}, "sequence of classes, got 'man'"),
    ({'families': [-3]}, 'families to be names or integers >= 0, got -3'),
    ({'families': []}, 'at least one entry in families'),
    ({'identities': [-1]}, 'integers >= 0, got -1'),
    ({'identities': [1.0]}, 'names or integers >= 0, got 1.0'),
    ({'people': 0}, 'people of at least 1, got 0'),
    ({'people': 1.5}, 'people to be an integer, got 1.5'),
    ({'fraction': 1.0}, r'fraction in \(0, 1\), got 1.0'),
    ({'images': 0}, 'images of at least 1, got 0'),
    ({'image_fraction': 1}, r'image_fraction in \(0, 1\), got 1'),
    ({'images': 3, 'people': 1}, 'got people and images'),
    ({'people': 1, 'seed': -2}, 'seed >= 0, got -2'),
    ({'identities': ['a'], 'same_person': 'yes'}, 'same_person to be True or'),
    ({'identities': ['a'], 'missing': 'skip'}, "missing in .*, got 'skip'"),
])
def test_wrong_requests_are_refused(wish, message):
  with pytest.raises(ValueError, match=message):
    requests.ForgetRequest(**wish)


def test_lists_are_read_in_order_and_once(tmp_path):
  path = tmp_path / 'people.txt'
  path.write_bytes(
      '\ufeff# ticket 12\n7\n\n\u200b\n 3  # May\n7\r\na b#.png\n'.encode())
  assert requests.read_entries(path) == {
      '# ticket 12': f'line 1 of {path}', '7': f'line 2 of {path}',
      ' 3  # May': f'line 5 of {path}', 'a b#.png': f'line 7 of {path}'}
