"""What a data folder from elsewhere may hold, and what becomes of it."""

import os
import subprocess

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.loaders import folder, images
from dlfd_jax.utils import files
from tests import tiny
from tests.bad_cases import edits


@pytest.fixture
def photos(tmp_path):
  """Two images with a manifest, and one beside the folder."""
  root = tmp_path / 'photos'
  root.mkdir()
  for place in (root / '0.png', root / '1.png', tmp_path / 'secret.png'):
    Image.new('RGB', (4, 4), 'grey').save(place)
  (root / 'faces.csv').write_text(
      'path,identity,y\n0.png,0,0\n1.png,1,1\n')
  return root


def _load(root):
  return folder.load_folder(root / 'faces.csv', labels='y', image_size=4)


def _link(root, name, target):
  (root / name).unlink(missing_ok=True)
  os.symlink(target, root / name)


def test_links_inside_and_a_linked_folder_are_followed(photos, tmp_path):
  _link(photos, '1.png', '0.png')
  os.symlink('photos', tmp_path / 'again')
  assert len(_load(tmp_path / 'again')) == 2


def test_a_bomb_is_refused_before_a_pixel_is_decoded(photos, monkeypatch):
  def decoded(*_):
    raise AssertionError('decoded')

  monkeypatch.setattr(ImageFile.ImageFile, 'load', decoded)
  for side in (12_000, 60_000):
    (photos / '1.png').write_bytes(edits.png(side, side))
    with pytest.raises(ValueError, match='it has more than 89478485 pixels'):
      images.read_image(photos / '1.png', (4, 4))


def test_postscript_starts_no_program(photos, monkeypatch):
  started = []
  monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', started.append)
  monkeypatch.setattr(subprocess, 'check_call', started.append)
  (photos / '1.png').write_bytes(
      b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n')
  with Image.open(photos / '1.png') as image:  # Pillow itself would take it
    assert image.format == 'EPS'
  with pytest.raises(ValueError, match='it is no image'):
    images.read_image(photos / '1.png', (4, 4))
  assert not started


@pytest.mark.parametrize('name', ['a\nb', 'a\0b', 'a\x85b', 'a\u2028b',
                                  'a\udcffb', '\x1b[31m'])
def test_sample_ids_are_one_line_that_can_be_written(name):
  data = tiny.dataset()
  ids = np.array([name, *data.sample_id[1:]])
  with pytest.raises(ValueError, match='sample ids without line breaks'):
    dataset_lib.Dataset(
        images=data.images, labels=data.labels, identity=data.identity,
        sample_id=ids, task=data.task)


def test_names_that_no_file_can_have(tmp_path):
  os.symlink('me', tmp_path / 'me')
  for name in ('x' * 5000, 'a\0b', str(tmp_path / 'me')):
    assert not files.is_file(name) and not files.is_folder(name)
  assert not files.is_inside(tmp_path, 'a\0b')
  assert files.is_inside(tmp_path, tmp_path / 'x' / '..' / 'y')
  assert not files.is_inside(tmp_path, tmp_path / '..')
  assert not files.is_inside(tmp_path / 'a', tmp_path / 'ab')
