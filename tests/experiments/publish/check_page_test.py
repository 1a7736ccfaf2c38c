"""Published checks hold counts and costs, nobody's images or ids."""

import json
import pathlib

import numpy as np
from PIL import Image

from dlfd_jax.cli import check
from dlfd_jax.utils import runs
from experiments.benchmarks import many_images
from experiments.publish import check_page as publish_check


def test_from_many_images_to_a_table_without_their_names(tmp_path, capsys):
  folder = tmp_path / 'many'
  flags = [f'--folder={folder}', '--images=201', '--image_size=24']
  assert many_images.main(flags) == 0
  assert many_images.main(flags) == 2  # nothing is overwritten
  assert len(list(folder.glob('*.jpg'))) == 201
  assert np.asarray(Image.open(folder / '000003.jpg')).shape == (24, 24, 3)
  same = [(folder / f'{i:06d}.jpg').read_bytes() for i in (198, 199)]
  assert same[0] == same[1]
  (tmp_path / 'delete.txt').write_text('23\n')  # 98 and 198
  assert check.main([
      f'--data={folder / many_images.MANIFEST}', '--labels=label',
      '--image_size=24', '--repeats=0', f'--workdir={tmp_path / "check_many"}',
      f'--forget_identities={tmp_path / "delete.txt"}']) == 0
  out = tmp_path / 'table'
  assert publish_check.main([
      f'--checks={tmp_path / "check_many"}', f'--out={out}']) == 0
  text = pathlib.Path(f'{out}.md').read_text()
  for row in ('| images | 201 |', '| people to forget | 1 |',
              '| exact copies elsewhere | 2 |', '| people in two parts | 0 |',
              '| copies under another person | 2 |',
              '| retraining here | not measured |'):
    assert row in text
  kept = pathlib.Path(f'{out}.json').read_text()
  assert '.jpg' not in kept + text
  assert set(json.loads(kept)['checks']) == {'check_many'}
  capsys.readouterr()


def test_other_results_are_refused(tmp_path, capsys):
  runs.write_json(tmp_path / runs.RESULT, {'kind': 'train'})
  assert publish_check.main([
      f'--checks={tmp_path}', f'--out={tmp_path / "table"}']) == 2
  assert "a check that measured its time, got 'train'" in (
      capsys.readouterr().err)
  assert [path.name for path in tmp_path.iterdir()] == [runs.RESULT]
