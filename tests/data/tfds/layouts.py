"""Small downloads in the exact official layouts, drawn by the tests."""

import pathlib

import numpy as np
from PIL import Image

from dlfd_jax.data.tfds import celeb_a, mucac, mufac
from dlfd_jax.data.tfds.cifar import IMAGES

HEADER = 'family_id,person_id,age_class,image_path'


def draw(path: pathlib.Path, seed: int, size=(16, 16)) -> None:
  """Writes an image of coarse noise, so that no two are alike."""
  path.parent.mkdir(parents=True, exist_ok=True)
  coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
  Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST).save(
      path, quality=95)


def mufac_download(root: pathlib.Path) -> pathlib.Path:
  """Six, two and two images of two, one and one families."""
  folder = root / mufac.FOLDER
  seed = 0
  for part, names in {
      'train': ['F0001_AGE_D_18_c1.jpg', 'F0001_AGE_D_18_c2.jpg',
                'F0001_AGE_M_45_e1.jpg', 'F0002_AGE_GF_70_h1.jpg',
                'F0002_AGE_S2_5_a1.jpg', 'F0002_AGE_S2_8_b1.jpg'],
      'val': ['F0801_AGE_F_50_f1.jpg', 'F0801_AGE_S_21_d1.jpg'],
      'test': ['F0851_AGE_GM_66_g1.jpg', 'F0851_AGE_D_3_a1.jpg'],
  }.items():
    lines = [HEADER]
    for name in names:
      family, _, role, _, letter = name.split('_')
      lines.append(f'{family},{role},{letter[0]},{name}')
      draw(folder / f'{part}_images' / name, seed)
      seed += 1
    (folder / f'custom_{part}_dataset.csv').write_text('\n'.join(lines) + '\n')
  return folder


def attribute_lines(attributes) -> str:
  """An official attribute file; ``attributes``: (Male, Smiling, Young)."""
  lines = [str(len(attributes)), ' '.join(mucac.NAMES)]
  for file, given in attributes.items():
    known = dict(zip(('Male', 'Smiling', 'Young'), given))
    lines.append(' '.join([file, *(
        str(known.get(name, -1)) for name in mucac.NAMES)]))
  return '\n'.join(lines) + '\n'


MUCAC_PEOPLE = (189, 0, 190, 190, 1249, 1250, 1970, 4854, 4855, 6216)


def mucac_download(root: pathlib.Path, size=(16, 16)) -> pathlib.Path:
  """Ten images, listed out of order; their persons are ``MUCAC_PEOPLE``."""
  folder = root / mucac.FOLDER
  for k in range(10):
    draw(folder / mucac.IMAGES / f'{k}.jpg', k, size)
  order = sorted(range(10), key=str, reverse=True)
  (folder / mucac.PERSONS).write_text(''.join(
      f'{k}.jpg {MUCAC_PEOPLE[k]}\n' for k in order))
  (folder / mucac.ATTRIBUTES).write_text(attribute_lines({
      f'{k}.jpg': (1 if k % 2 else -1, 1 if k % 3 else -1, 1 if k < 5 else -1)
      for k in range(10)}))
  return folder


def rafdb_download(root: pathlib.Path) -> pathlib.Path:
  """Three training images and one test image of each class."""
  folder = root / 'DATASET'
  for label in range(1, 8):
    for k in range(3):
      draw(folder / f'train/{label}/train_{k:05d}_aligned.jpg', 10 * label + k)
    draw(folder / f'test/{label}/test_00000_aligned.jpg', 10 * label + 9)
  return folder


def celeb_a_download(root: pathlib.Path, people=20) -> None:
  """Two images of each person, numbered from 1, spread over the three parts."""
  files, lines = {}, {key: [] for key in celeb_a.FILES}
  for k in range(2 * people):
    file = f'{k + 1:06d}.jpg'
    draw(root / 'img_align_celeba' / file, k, (218, 178))
    files[file] = (1 if k % 4 < 2 else -1, 1 if k < 6 else -1,
                   1 if k // 2 % 5 else -1)
    lines['list_eval_partition'].append(f'{file} {min(k // 4 % 4, 2)}')
    lines['identity_celeba'].append(f'{file} {k // 2 + 1}')
    lines['landmarks_celeba'].append(' '.join([file, *['7'] * 10]))
  marks = ('lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y '
           'leftmouth_x leftmouth_y rightmouth_x rightmouth_y')
  lines['landmarks_celeba'][:0] = [str(2 * people), marks]
  (root / celeb_a.FILES['list_attr_celeba']).write_text(attribute_lines(files))
  for key in ('list_eval_partition', 'identity_celeba', 'landmarks_celeba'):
    (root / celeb_a.FILES[key]).write_text('\n'.join(lines[key]) + '\n')


CIFAR_CLASSES = {
    'cifar10': {'batches.meta.txt': 10},
    'cifar100': {'coarse_label_names.txt': 20, 'fine_label_names.txt': 100}}


def cifar_download(root: pathlib.Path, name: str,
                   each: int) -> dict[str, int]:
  """The binary version, with ``each`` images for 10,000 of the official ones.

  Returns:
    How many images each file holds.
  """
  folder = root / {'cifar10': 'cifar-10-batches-bin',
                   'cifar100': 'cifar-100-binary'}[name]
  folder.mkdir(parents=True)
  for file, count in CIFAR_CLASSES[name].items():
    # The official file of CIFAR-10 ends with an empty line.
    (folder / file).write_text(''.join(
        f'{file[0]} {k}\n' for k in range(count)) + '\n')
  counts = {file: count * each // 10_000 for file, count in IMAGES.items()
            if file.startswith(('data', 'test_')) == (name == 'cifar10')}
  generator = np.random.default_rng(0)
  for file, n in counts.items():
    fine = np.arange(n) % (10 if name == 'cifar10' else 100)
    labels = [fine] if name == 'cifar10' else [fine // 5, fine]
    pixels = generator.integers(0, 256, (n, 3072))
    pixels[:, :1024] = fine[:, None]  # red tells the class
    np.concatenate([np.stack(labels, 1), pixels], 1).astype(
        np.uint8).tofile(folder / file)
  return counts
