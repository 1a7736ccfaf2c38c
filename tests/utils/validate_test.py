"""What messages show of long values."""

from dlfd_jax.utils import validate


def test_a_long_text_keeps_its_start_and_a_long_path_its_end():
  assert validate.shorten('a' * 80) == 'a' * 80
  assert validate.shorten('b' + 'a' * 80) == 'b' + 'a' * 76 + '...'
  path = '/' + 'folder/' * 20 + 'gone.png'
  cut = validate.shorten_path(path)
  assert len(cut) == 80 and cut.startswith('...') and cut.endswith('/gone.png')
  assert validate.shorten_path('short.png') == 'short.png'
