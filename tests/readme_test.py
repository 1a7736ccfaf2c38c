"""The README's Python runs as it stands there."""

import pathlib
import re

import numpy as np
import pytest

import dlfd_jax

_README = pathlib.Path(__file__).resolve().parent.parent / 'README.md'


@pytest.mark.slow
def test_the_snippets_run_one_after_the_other(tmp_path, monkeypatch, capsys):
  snippets = re.findall(
      r'```python\n(.*?)```', _README.read_text('utf-8'), re.S)
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(snippets[0], names)  # noqa: S102
  assert [path.name for path in sorted(tmp_path.iterdir())] == [
      'report.html', 'report.json', 'report_key.json']
  assert '| Attack AUC, class-matched |' in capsys.readouterr().out
  result, unlearned = names['result'], names['unlearned']
  assert result.value('accuracy_retain', 'original') > .9
  for model in ('original', 'unlearned', 'retrained', 'null'):
    assert 0 <= result.value('mia_auc_matched', model) <= 1
  exec(snippets[1], names)  # noqa: S102
  np.testing.assert_array_equal(names['probabilities'], unlearned.predict(
      names['data'].images[names['splits'].test]))
  for images in (np.zeros((1, 16, 16, 3), np.float32),
                 np.zeros((1, 8, 8, 3), np.uint8)):
    with pytest.raises(ValueError, match='Expected images uint8'):
      names['classifier'].predict(images)


def test_everything_that_is_exported_is_there_and_listed():
  assert all(hasattr(dlfd_jax, name) for name in dlfd_jax.__all__)
