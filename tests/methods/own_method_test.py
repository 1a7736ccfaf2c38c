"""A user's own method: by its name, and those of docs/extending.md."""

import pathlib
import re

import jax
import numpy as np
import pytest

from dlfd_jax import methods, parallel
from dlfd_jax.methods import base, finetune
from tests.methods import problems, steps

ROOT = pathlib.Path(__file__).parents[2]

OWN = """
from __future__ import annotations
import dataclasses
from dlfd_jax.methods import finetune

VALUE = 3

@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(finetune.FinetuneConfig):
  title = 'My own'
  more: float = 0.5

class NoMethod:
  pass

class Nameless(finetune.FinetuneConfig):
  title = ''

class Undecorated(finetune.FinetuneConfig):
  title = 'No dataclass'
  more: float = 0.5

@dataclasses.dataclass(frozen=True, kw_only=True)
class Needy(finetune.FinetuneConfig):
  title = 'A field without a default'
  more: float
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
  (tmp_path / 'my_methods.py').write_text(OWN)
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  return tmp_path


@pytest.mark.parametrize('name', ['my_methods.py:Own', 'my_methods:Own'])
def test_a_method_is_found_again_by_the_name_of_its_config(
    folder, name, monkeypatch):
  own = methods.resolve(name)
  stored = methods.method_of(own(more=0.25))
  monkeypatch.chdir('/')
  assert methods.resolve(stored) is own
  assert methods.title_of(stored) == 'My own'


def test_registered_methods_keep_their_names():
  for name, config in methods.METHODS.items():
    assert methods.resolve(name) is config
    assert methods.method_of(config()) == name


def test_the_title_of_a_file_that_is_gone_is_the_name_of_its_class():
  assert methods.title_of('gone/my_methods.py:Own') == 'Own'


@pytest.mark.parametrize('name, sentence', [
    ('absent', "a method of .* or your own as .*, got 'absent'"),
    ('no.py:Own', "a Python file with the method 'Own', got no file"),
    ('my_methods.py:Other', "a method 'Other' in 'my_methods.py', got none"),
    ('my_methods.py:VALUE', 'VALUE to be a MethodConfig, got a int'),
    ('my_methods.py:NoMethod', 'NoMethod to be a MethodConfig, got a type'),
    ('my_methods.py:Nameless', 'a `title` in the method'),
    ('my_methods.py:Undecorated', 'to be a dataclass: put @dataclasses'),
    ('my_methods.py:Needy', 'a default of the field more'),
])
def test_what_is_missing_is_named(folder, name, sentence):
  with pytest.raises((ValueError, FileNotFoundError), match=sentence):
    methods.resolve(name)


@pytest.mark.parametrize('config', [base.MethodConfig(), 3])
def test_a_config_of_no_method_has_no_name(config):
  with pytest.raises(ValueError, match='Expected the config of a method'):
    methods.method_of(config)
  assert finetune.FinetuneConfig.title


def block(word):
  """The code of docs/extending.md that holds a word."""
  text = (ROOT / 'docs' / 'extending.md').read_text('utf-8')
  found, = (code for code in re.findall(r'```python\n(.*?)```', text, re.S)
            if word in code)
  return found


@pytest.fixture
def hinge(tmp_path):
  (tmp_path / 'hinge.py').write_text(block('class HingeConfig'))
  return methods.resolve(f'{tmp_path}/hinge.py:HingeConfig')


@pytest.mark.parametrize('count', [1, 2, 8])
def test_the_step_of_the_page_climbs_below_the_ceiling_alone(hinge, count):
  problem = problems.problem()
  config = hinge(batch_size=8, optimizer=steps.PLAIN)
  setting = problems.setting(problem, count, config)
  plan, _ = methods.prepare(setting, config)
  batch = plan.batch(0)
  images = problems.pixels(problem.dataset, batch.index)
  labels = problem.dataset.labels[batch.index]
  logits = steps.logits_of(problem, problem.original['params'], images)
  losses = -jax.nn.log_softmax(logits)[np.arange(8), labels]
  ceiling = np.float32(np.sort(losses)[3] + 1e-6)  # four lie above it
  state, metrics = setting.devices.compile(plan.steps['ascent'])(
      setting.devices.place(plan.start), {
          **plan.reads(setting.constants, setting.devices)['ascent'],
          'ceiling': setting.devices.share(ceiling)}, batch)
  below = np.float32(losses < ceiling)
  expected = steps.descended(lambda params: -0.5 * steps.mean_loss(
      problem, params, images, labels, below), problem.original['params'])
  assert below.sum() == 4
  assert problems.largest_difference(state.params, expected) < 1e-6
  metrics = parallel.fetch_scalars(metrics)
  np.testing.assert_allclose(metrics.rows['loss'], losses.sum(), rtol=1e-4)
