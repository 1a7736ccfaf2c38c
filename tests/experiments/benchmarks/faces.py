"""A tiny data set and task of the benchmarks on real faces."""

import dataclasses

import numpy as np

from dlfd_jax.data import sources
from experiments.benchmarks import judged


def data_and_task(folder, features=False):
  """40 people of two images at 8 px, written to ``folder``; one epoch."""
  faces = sources.load(sources.DataOptions(
      image_size=16, people=40, images_per_person=2))
  np.savez(folder / 'faces.npz', images=faces.images,
           identity=faces.identity, label=faces.labels)
  data = judged.Data('Faces', 'london', 'faces.npz',
                     {'image_size': 8, 'width': 8}, .4, features)
  task = data.task(folder)
  return data, dataclasses.replace(task, preset=dataclasses.replace(
      task.preset, data=dataclasses.replace(
          task.preset.data, labels=('label',), thresholds=()),
      train=dataclasses.replace(task.preset.train, epochs=1)))
