"""What the repository shows is what the committed results say."""

import json
import pathlib

import pytest

from experiments.paper import faces_table
from experiments.publish import demo_table as publish_demo

_FACES = pathlib.Path(publish_demo.ROOT) / 'docs' / 'results' / 'faces.json'


def test_the_readme_shows_the_committed_demo():
  text = publish_demo.README.read_text('utf-8')
  result = json.loads(publish_demo.RESULT.read_text('utf-8'))
  assert publish_demo.with_table(text, result) == text


def test_a_readme_without_marks_is_refused():
  result = json.loads(publish_demo.RESULT.read_text('utf-8'))
  with pytest.raises(ValueError, match='Expected the marks'):
    publish_demo.with_table('nothing', result)


def test_the_table_of_faces_is_that_of_its_json():
  result = json.loads(_FACES.read_text('utf-8'))
  table = _FACES.with_suffix('.md').read_text('utf-8')
  assert faces_table.markdown(result) == table
