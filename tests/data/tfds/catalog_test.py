"""Names of data sets and variants."""

import pytest

from dlfd_jax.data.tfds import catalog


def test_the_first_variant_is_the_default():
  assert catalog.parse('mufac') == ('mufac', 'official')
  assert catalog.parse('celeb_a/gli_clean') == ('celeb_a', 'gli_clean')
  assert catalog.is_name('rafdb') and not catalog.is_name('faces.npz')


@pytest.mark.parametrize(('source', 'message'), [
    ('lfw', "one of mufac, mucac, rafdb, celeb_a, got 'lfw'"),
    ('mufac/gli', "one of official, clean after mufac/, got 'gli'"),
    ('rafdb/', "one of official after rafdb/, got ''"),
])
def test_unknown_names_are_refused(source, message):
  with pytest.raises(ValueError, match=message):
    catalog.parse(source)
