"""Requests as text files."""

import pytest

from dlfd_jax.data import request_files


def test_identity_files_are_read_in_order_and_once(tmp_path):
  path = tmp_path / 'people.txt'
  path.write_bytes('\ufeff# ticket 12\n7\n\n 3  # left in May\n7\r\n'.encode())
  assert request_files.read_identity_file(path) == (7, 3)


def test_identity_files_may_hold_names(tmp_path):
  path = tmp_path / 'people.txt'
  path.write_text('Zoë Ω\nAnn\n', encoding='utf-8')
  names = {'Ann': 0, 'Zoë Ω': 1}
  assert request_files.read_identity_file(path, names) == (1, 0)
  with pytest.raises(ValueError, match="in line 1 of .*txt, got 'Zoë Ω'"):
    request_files.read_identity_file(path, {'Ann': 0})


def test_sample_id_files_keep_names_with_spaces(tmp_path):
  path = tmp_path / 'images.txt'
  path.write_text('a b.png\n#c.png\nd#1.png\na b.png\n')
  assert request_files.read_sample_id_file(path) == ('a b.png', 'd#1.png')


def test_wrong_request_files_are_refused(tmp_path):
  path = tmp_path / 'people.txt'
  with pytest.raises(FileNotFoundError, match='text file, got no file at'):
    request_files.read_identity_file(path)
  for content in ('-1', '1.5', 'Ann'):
    path.write_text(f'4\n{content}\n')
    with pytest.raises(ValueError, match=f"in line 2 of .*, got '{content}'"):
      request_files.read_identity_file(path)
  path.write_text('# nobody\n\n')
  with pytest.raises(ValueError, match='at least one entry in .*people.txt'):
    request_files.read_sample_id_file(path)
  path.write_bytes(b'\xff\xfe\x00')
  with pytest.raises(ValueError, match='UTF-8 text, got other bytes'):
    request_files.read_sample_id_file(path)


def test_families_are_read_as_persons_are(tmp_path):
  path = tmp_path / 'families.txt'
  path.write_text('12\n3\n')
  assert request_files.read_identity_file(path, {}, 'family') == (12, 3)
  with pytest.raises(ValueError, match='known family in line 1'):
    request_files.read_identity_file(path, {'Lee': 0}, 'family')
