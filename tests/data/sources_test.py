"""One way to name a data set, whatever holds it."""

import subprocess
import sys

import numpy as np
import pytest

from dlfd_jax import presets
from dlfd_jax.data import sources
from dlfd_jax.pipeline import job, run_configs
from tests.data.tfds import layouts


def test_drawn_people_are_200_unless_said():
  few = sources.load(sources.DataOptions(people=3, image_size=16))
  assert len(np.unique(few.identity)) == 3
  assert sources.DataOptions().people is None


@pytest.mark.parametrize(('preset', 'draw', 'names'), [
    ('rafdb_emotion', layouts.rafdb_download, 7),
    ('mucac_gender', layouts.mucac_download, 2),
    ('mucac_attributes', layouts.mucac_download, 3)])
def test_presets_of_the_paper_read_the_download(tmp_path, preset, draw, names):
  draw(tmp_path)
  options = presets.PRESETS[preset].data
  with pytest.raises(ValueError, match='--root to name the folder that holds'):
    job.load_data(options)
  dataset = job.load_data(sources.dataclasses.replace(
      options, root=str(tmp_path), image_size=16))
  assert len(dataset.task.names) == names
  assert set(dataset.split) == {'retain', 'forget', 'val', 'test'}


def test_older_run_folders_are_read():
  fields = {**vars(sources.DataOptions(people=200)), 'labels': []}
  del fields['identity_pattern']
  fields['thresholds'] = []
  assert run_configs.data_in({'data': fields}, 'run') == sources.DataOptions(
      people=200)


@pytest.mark.slow
def test_tensorflow_datasets_is_imported_only_where_needed():
  code = ('import sys; from dlfd_jax.data import sources; '
          "sources.DataOptions(source='mucac', labels=('smile',), "
          'image_size=9); '
          "sys.exit('tensorflow_datasets' in sys.modules)")
  subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


@pytest.mark.parametrize(('fields', 'message'), [
    ({'source': 'rafdb/', 'labels': ('a',)}, "official after rafdb/, got ''"),
    ({'source': 'mucac', 'labels': ('a',)}, 'an image size for the images of'),
    ({'source': 'mufac', 'image_size': 8}, 'names of the label columns'),
    ({'source': 'tree'}, 'an image size for the images of tree'),
    ({'thresholds': (('age',),)}, 'pairs of a column and a value, got'),
    ({'labels': ('age', 'emotion')}, 'one task of the drawn faces, got'),
])
def test_options_that_do_not_fit_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    sources.DataOptions(**fields)


@pytest.mark.parametrize('source, unread', [
    ('synthetic', {'root', 'merge_from', 'thresholds', 'negative'}),
    ('a.npz', {'people', 'images_per_person', 'data_seed', 'root'}),
    ('a.csv', {'people', 'images_per_person', 'data_seed'}),
    ('tree', {'people', 'images_per_person', 'data_seed', 'negative'}),
    ('mucac/gli', {'images_per_person', 'data_seed', 'split_column'})])
def test_fields_that_nothing_reads_of_a_source(source, unread):
  labels = () if source in ('synthetic', 'tree') else ('y',)
  options = sources.DataOptions(source=source, labels=labels, image_size=16)
  assert set(sources.unread(options, unread)) == unread
  assert sources.unread(options, ['source', 'labels', 'image_size']) == []
