"""Classes named by file or module, and one sentence for each mistake."""

import dataclasses
import hashlib
import sys
import types

import pytest

from dlfd_jax.utils import plugins

METHOD = """
from __future__ import annotations
import dataclasses

@dataclasses.dataclass(frozen=True)
class Shrink:
  rate: float = 0.5
"""


def test_a_file_gives_the_same_class_each_time(tmp_path, monkeypatch):
  (tmp_path / 'mine.py').write_text(METHOD)
  found = plugins.load_object(f'{tmp_path}/mine.py:Shrink')
  assert dataclasses.asdict(found()) == {'rate': 0.5}
  monkeypatch.chdir(tmp_path)
  assert plugins.load_object('mine.py:Shrink', 'method') is found


@pytest.mark.parametrize('spec', ['{}/mine.py:Shrink', 'in_a_package:Shrink'])
def test_nothing_is_left_beside_the_file(spec, tmp_path, monkeypatch):
  monkeypatch.setattr(sys, 'dont_write_bytecode', False)
  monkeypatch.syspath_prepend(str(tmp_path))
  for name in ('mine', 'in_a_package'):
    (tmp_path / f'{name}.py').write_text(METHOD)
  plugins.load_object(spec.format(tmp_path))
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      'in_a_package.py', 'mine.py']
  assert not sys.dont_write_bytecode


def test_files_of_one_name_do_not_meet(tmp_path):
  for place in ('a', 'b'):
    (tmp_path / place).mkdir()
    (tmp_path / place / 'mine.py').write_text(f'class {place.upper()}: pass\n')
  assert plugins.load_object(f'{tmp_path}/a/mine.py:A').__name__ == 'A'
  with pytest.raises(ValueError, match="Expected a class 'A' in '.*b/mine.py'"):
    plugins.load_object(f'{tmp_path}/b/mine.py:A')


@pytest.mark.parametrize('spec, sentence', [
    ('pathlib', "a method as module:Class or file.py:Class, got 'pathlib'"),
    ('pathlib:', 'as module:Class or file.py:Class'),
    (':Path', 'as module:Class or file.py:Class'),
    ('pathlib:Missing', "Expected a method 'Missing' in 'pathlib', got none"),
    ('absent.py:X', "the method 'X', got no file at absent.py"),
    ('no_such_place:X', "the module 'no_such_place' on the Python path, got "
                        'ModuleNotFoundError'),
    ('.relative:X', "the module '.relative' .*, got TypeError"),
    ('broken.py:X', "the file 'broken.py' that can be run, got SyntaxError"),
    ('needy.py:X', "got ModuleNotFoundError: No module named 'no_such_place'"),
    ('dull.py:X', "the file 'dull.py' that can be run, got ValueError: no"),
])
def test_each_mistake_has_its_sentence(spec, sentence, tmp_path, monkeypatch):
  (tmp_path / 'broken.py').write_text('class X(:\n')
  (tmp_path / 'needy.py').write_text('import no_such_place\n')
  (tmp_path / 'dull.py').write_text('raise ValueError("no")\n')
  monkeypatch.chdir(tmp_path)
  with pytest.raises((ValueError, FileNotFoundError), match=sentence):
    plugins.load_object(spec, 'method')


def test_the_hash_of_a_class_is_that_of_the_file_as_it_was_imported(tmp_path):
  place = tmp_path / 'mine.py'
  place.write_text(METHOD)
  found = plugins.load_object(f'{place}:Shrink')
  before = hashlib.sha256(METHOD.encode()).hexdigest()
  assert plugins.file_hash(found) == before
  place.write_text(METHOD.replace('0.5', '0.6'))  # while a table runs
  assert plugins.load_object(f'{place}:Shrink') is found
  assert plugins.file_hash(found) == before


def test_a_class_of_no_file_has_no_hash():
  assert plugins.file_hash(int) is None


def test_a_class_of_an_interactive_session_has_no_hash(monkeypatch):
  monkeypatch.setitem(sys.modules, '__main__', types.ModuleType('__main__'))
  found = type('Mine', (), {'__module__': '__main__'})
  assert plugins.file_hash(found) is None
