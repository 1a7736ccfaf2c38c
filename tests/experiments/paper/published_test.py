"""What the repository shows is what the committed results say."""

import json

import pytest

from experiments.publish import demo_table as publish_demo


def test_the_readme_shows_the_committed_demo():
  text = publish_demo.README.read_text('utf-8')
  result = json.loads(publish_demo.RESULT.read_text('utf-8'))
  assert publish_demo.with_table(text, result) == text


def test_a_readme_without_marks_is_refused():
  result = json.loads(publish_demo.RESULT.read_text('utf-8'))
  with pytest.raises(ValueError, match='Expected the marks'):
    publish_demo.with_table('nothing', result)
