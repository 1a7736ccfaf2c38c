"""A method is one file, as long as CONTRIBUTING.md says."""

import pathlib
import re

from dlfd_jax import methods

_ROOT = pathlib.Path(methods.__file__).parents[2]


def test_every_methods_file_has_the_stated_length():
  stated = dict(re.findall(
      r'^\| `(\w+\.py)` \| [^|]+ \| (\d+) \|$',
      (_ROOT / 'CONTRIBUTING.md').read_text('utf-8'), re.MULTILINE))
  folder = pathlib.Path(methods.__file__).parent
  files = {method.config.__module__.rsplit('.', 1)[-1] + '.py'
           for method in methods.METHODS.values()}
  assert files <= set(stated)
  assert stated == {name: str(len((folder / name).read_text(
      'utf-8').splitlines())) for name in stated}
