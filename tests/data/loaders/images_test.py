"""Reading and resizing images."""


import numpy as np
import pytest
from PIL import Image

from dlfd_jax.data.loaders import images as images_lib
from tests.bad_cases import edits


def _colours(height=8, width=8, seed=0):
  return np.random.default_rng(seed).integers(
      0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('size, expected', [
    (5, (5, 5)), ((4, 6), (4, 6)), (np.int64(3), (3, 3))])
def test_a_size_is_one_side_or_both(size, expected):
  assert images_lib.as_size(size) == expected


def test_shrinking_averages_over_areas():
  images = np.stack([_colours(12, 8, seed) for seed in range(2)])
  expected = images.reshape(2, 4, 3, 4, 2, 3).mean((2, 4))
  small = images_lib.resize_array(images, (4, 4))
  assert small.dtype == np.uint8
  # Pillow rounds twice, once per axis.
  np.testing.assert_allclose(small, expected, atol=1.01)
  grey = images_lib.resize_array(images[..., 0], (4, 4))
  np.testing.assert_allclose(grey, expected[..., 0], atol=1.01)


def test_growing_interpolates_linearly():
  line = np.repeat(np.array([[0, 100]], np.uint8), 2, 0)
  grown = images_lib.resize_array(line[None], (2, 4))
  np.testing.assert_array_equal(grown[0, 0], [0, 25, 75, 100])


def test_the_right_size_is_left_alone():
  images = _colours()[None]
  assert images_lib.resize_array(images, (8, 8)) is images


@pytest.mark.parametrize('mode', ['RGB', 'L', 'RGBA', 'P', '1', 'CMYK', 'LA'])
def test_every_mode_of_8_bits_becomes_rgb(tmp_path, mode):
  image = Image.fromarray(_colours() // 64 * 64).convert(mode)
  path = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
  image.save(path)
  read = images_lib.read_image(path, (8, 8))
  assert read.dtype == np.uint8
  np.testing.assert_array_equal(read, np.asarray(image.convert('RGB')))


def test_a_transparent_palette_is_read_without_warning(tmp_path):
  image = Image.fromarray(_colours()).convert('P')
  image.save(tmp_path / 'a.png', transparency=bytes(range(256)))
  read = images_lib.read_image(tmp_path / 'a.png', (8, 8))
  np.testing.assert_array_equal(read, np.asarray(image.convert('RGB')))


def test_the_camera_orientation_is_applied(tmp_path):
  image = Image.fromarray(_colours(4, 8))
  exif = image.getexif()
  exif[0x0112] = 6  # turn by 90 degrees clockwise
  image.save(tmp_path / 'a.png', exif=exif)
  np.testing.assert_array_equal(
      images_lib.read_image(tmp_path / 'a.png', (8, 4)),
      np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize('kind, start', [
    ('HEIC', b'\0\0\0\x24ftypheic\0\0\0\0mif1heic'),
    ('HEIC', b'\0\0\0\x18ftypmif1\0\0\0\0mif1heic'),
    ('AVIF', b'\0\0\0\x20ftypavif\0\0\0\0avifmif1'),
    ('AVIF', b'\0\0\0\x20ftypmif1\0\0\0\0mif1avif'),
    ('JPEG XL', b'\0\0\0\x0cJXL \r\n\x87\n'), ('PDF', b'%PDF-1.7\n')])
def test_another_format_is_named_whatever_its_name(tmp_path, kind, start):
  (tmp_path / 'a.png').write_bytes(start + bytes(99))
  with pytest.raises(ValueError, match=f'a file of {kind}: save it as JPEG or'):
    images_lib.read_image(tmp_path / 'a.png', (4, 4))
  (tmp_path / 'a.png').write_bytes(b'\0\0\0\x20ftypmp42' + bytes(99))
  with pytest.raises(ValueError, match='it is no image, or is damaged'):
    images_lib.read_image(tmp_path / 'a.png', (4, 4))


@pytest.mark.parametrize('colour, channels', [(2, 3), (6, 4)])
def test_colours_of_16_bits_are_refused(tmp_path, colour, channels):
  rows = 4 * bytes(1 + 2 * channels * 4)
  (tmp_path / 'a.png').write_bytes(edits.png(4, 4, 16, colour, rows))
  with pytest.raises(ValueError, match='8 bits per value are expected, not 16'):
    images_lib.read_image(tmp_path / 'a.png', (4, 4))


def test_a_large_jpeg_is_reduced_but_alike(tmp_path):
  smooth = np.asarray(Image.fromarray(_colours()).resize((512, 512)))
  Image.fromarray(smooth).save(tmp_path / 'a.jpg', quality=95)
  read = images_lib.read_image(tmp_path / 'a.jpg', (32, 32))
  expected = smooth.reshape(32, 16, 32, 16, 3).mean((1, 3))
  assert np.abs(read - expected).mean() < 2
