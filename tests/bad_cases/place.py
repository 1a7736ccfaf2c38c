"""The folder that mistakes are made in: data, runs and weights, all tiny.

Nothing is trained: the networks hold constants, the evaluation is the published
one of the demo. What commands read is written by the library's own functions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib

import jax
import numpy as np
from PIL import Image

from dlfd_jax import checkpoint, models, presets
from dlfd_jax.data import (
  prepare,
  requests,
  resolution,
  sources,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.models import torch_weights, weight_files
from dlfd_jax.pipeline import chain
from dlfd_jax.utils import runs

PEOPLE, EACH, SIZE = 12, 2, 16
SHOWN = pathlib.Path(__file__).parents[2] / 'docs' / 'results' / 'demo.json'
_PARTS = ('train',) * 8 + ('val',) * 2 + ('test',) * 2
NETWORK = presets.Network(width=2, stem='small', compute_dtype='float32')


def build(folder: pathlib.Path) -> pathlib.Path:
  """Fills a new folder with everything that commands can be given."""
  folder.mkdir(parents=True)
  images = np.random.default_rng(0).integers(
      0, 256, (PEOPLE * EACH, SIZE, SIZE, 3), np.uint8)
  _photos(folder / 'photos', images)
  _tree(folder / 'tree', images)
  person = np.repeat(np.arange(PEOPLE), EACH)
  np.savez(folder / 'faces.npz', images=images, identity=person,
           smile=np.arange(len(images)) % 2)
  np.savez(folder / 'other.npz', images=images[::-1], identity=person[::-1],
           smile=np.arange(len(images)) % 2,
           sample_id=np.array([f'other{i}' for i in range(len(images))]))
  (folder / 'people.txt').write_text('0\n1\n')
  prepare.prepare(sources.load(sources.DataOptions(
      source=str(folder / 'faces.npz'), labels=('smile',))),
      folder / 'shards', shards=2)
  _runs(folder)
  for source, options in (  # unspoiled, they can be read
      ('photos/faces.csv', {'labels': ('smile',)}),
      ('tree', {'root': str(folder / 'tree')})):
    sources.load(sources.DataOptions(
        source=source if 'root' in options else str(folder / source),
        image_size=SIZE, **options))
  return folder


def _photos(folder, images):
  folder.mkdir()
  lines = ['path,identity,smile,age,split']
  for i, image in enumerate(images):
    person = i // EACH
    Image.fromarray(image).save(folder / f'{i:02d}.png')
    lines.append(f'{i:02d}.png,person{person:02d},{i % 2},{20 + i},'
                 f'{_PARTS[person]}')
  (folder / 'faces.csv').write_text('\n'.join(lines) + '\n')


def _tree(folder, images):
  for i, image in enumerate(images[:8]):
    place = folder / 'ab'[i % 2]
    place.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(place / f'{i // 2}_{i}.png')


def _runs(folder):
  options = sources.DataOptions(
      source='faces.npz', labels=('smile',), image_size=SIZE)
  dataset = sources.load(dataclasses.replace(
      options, source=str(folder / 'faces.npz')))
  partition = splits_lib.draw_partition(dataset, seed=0)
  splits, _ = resolution.resolve_request(
      dataset, partition, requests.ForgetRequest(people=2))
  recipe = presets.PRESETS['demo'].train
  common = {'data': dataclasses.asdict(options),
            'fingerprint': dataset.fingerprint()}
  trained = {'kind': 'train', **common, 'network': NETWORK.identity(),
             'train': dataclasses.asdict(recipe)}
  config = models.ModelConfig(outputs=2, **dataclasses.asdict(NETWORK))
  like = jax.eval_shape(
      lambda key: models.init(models.build(config), key, dataset.image_size),
      jax.random.key(0))
  for level, (name, parts, saved, written) in enumerate((
      ('original', partition, ('model',), trained | {
          'on': 'all', 'rows': chain.rows_hash(dataset, partition.train)}),
      ('retrained', splits, ('model',), trained | {
          'on': 'retain', 'rows': chain.rows_hash(dataset, splits.retain)}),
      ('unlearned', splits, ('model', 'last'), {
          'kind': 'unlearn', 'method': 'dlfd', 'original_path': 'original',
          **common, 'seed': 0,
          'config': dataclasses.asdict(presets.PRESETS['demo'].methods['dlfd']),
          'rows': {part: chain.rows_hash(dataset, rows)
                   for part, rows in splits.parts.items()}}))):
    with contextlib.chdir(folder):
      run = runs.RunFolder(folder / name, written)
    split_files.save_splits(run.path / runs.SPLITS, dataset, parts)
    variables = jax.tree.map(
        lambda x: np.full(x.shape, .01 * (1 + level), x.dtype), like)  # noqa: B023
    for state in saved:
      checkpoint.save_model(run.checkpoints / state, variables, config,
                            dataset.task, dataset.image_size)
  weight_files.write(
      folder / 'weights.safetensors', torch_weights.to_state(variables, config))
  judged = {'kind': 'evaluation', **common, 'models': {}, 'config': {}}
  with contextlib.chdir(folder):
    evaluation = runs.RunFolder(folder / 'evaluation', judged)
  shown = runs.read_json(SHOWN)
  del shown['arrays']  # no images were judged here
  shown['models'] |= {  # it is shown as the evaluation of the run beside it
      'unlearned': '../unlearned', 'unlearned_run': chain.run_hash(
          runs.read_json(folder / 'unlearned' / runs.CONFIG))}
  runs.write_json(evaluation.path / runs.RESULT, chain.sealed(shown, judged))
