"""The README's Python runs as it stands there."""

import pathlib
import re

import jax
import numpy as np
import pytest

import dlfd_jax
from dlfd_jax import checkpoint, models
from dlfd_jax.data import requests, splits as splits_lib
from dlfd_jax.data.faces import synthetic

_README = pathlib.Path(__file__).resolve().parent.parent / 'README.md'


def _snippets():
  return re.findall(r'```python\n(.*?)```', _README.read_text('utf-8'), re.S)


@pytest.fixture(scope='module')
def problem():
  data = synthetic.synthetic_faces(people=20, images_per_person=4, size=16)
  partition = splits_lib.draw_partition(data, seed=0)
  splits, _ = requests.resolve_request(
      data, partition, requests.ForgetRequest(people=3))
  config = models.ModelConfig(
      outputs=data.task.num_outputs, width=4, stem='small')
  model = models.build(config)
  variables = models.init(model, jax.random.key(0), data.image_size)
  return config, dlfd_jax.Problem(model, variables, data, splits)


def test_unlearn_returns_new_variables(problem):
  names = {'problem': problem[1]}
  exec(_snippets()[0], names)  # noqa: S102
  result = names['result']
  assert result.stop == 'finished'
  before = checkpoint.fingerprint(problem[1].original)
  assert checkpoint.fingerprint(jax.device_get(result.last)) != before


def test_the_new_checkpoint_is_used_in_three_lines(
    problem, tmp_path, monkeypatch):
  config, task = problem
  monkeypatch.chdir(tmp_path)
  checkpoint.save_model('runs/unlearned', task.original, config,
                        task.dataset.task, task.dataset.image_size)
  snippet = _snippets()[1]
  names = {'images': task.dataset.images[:5]}
  exec(snippet, names)  # noqa: S102
  assert names['probabilities'].shape == (5, task.task.num_outputs)
  np.testing.assert_allclose(names['probabilities'].sum(-1), 1, atol=1e-5)


def test_images_of_another_type_or_size_are_refused(problem, tmp_path):
  config, task = problem
  checkpoint.save_model(tmp_path / 'm', task.original, config,
                        task.dataset.task, task.dataset.image_size)
  classifier = dlfd_jax.load_classifier(tmp_path / 'm')
  for images in (np.zeros((1, 16, 16, 3), np.float32),
                 np.zeros((1, 8, 8, 3), np.uint8)):
    with pytest.raises(ValueError, match='Expected images uint8'):
      classifier.predict(images)
