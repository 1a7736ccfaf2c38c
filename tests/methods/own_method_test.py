"""A user's own class, named by its file or its module."""

import pytest

from dlfd_jax import methods
from dlfd_jax.methods import base, finetune

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
    ('shrink', "a method of .* or your own as .*, got 'shrink'"),
    ('no.py:Own', "a Python file with the method 'Own', got no file"),
    ('my_methods.py:Other', "a method 'Other' in 'my_methods.py', got none"),
    ('my_methods.py:VALUE', 'VALUE to be a MethodConfig, got a int'),
    ('my_methods.py:NoMethod', 'NoMethod to be a MethodConfig, got a type'),
    ('my_methods.py:Nameless', 'a `title` in the method'),
    ('my_methods.py:Undecorated', 'to be a dataclass: put @dataclasses'),
    ('my_methods.py:Needy', 'a default of the field more'),
])
def test_what_is_missing_is_named(folder, name, sentence):
  with pytest.raises(ValueError, match=sentence):
    methods.resolve(name)


@pytest.mark.parametrize('config', [base.MethodConfig(), 3])
def test_a_config_of_no_method_has_no_name(config):
  with pytest.raises(ValueError, match='Expected the config of a method'):
    methods.method_of(config)
  assert finetune.FinetuneConfig.title
