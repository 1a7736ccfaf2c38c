"""No progress bars in these tests."""

import pytest
import tensorflow_datasets as tfds


@pytest.fixture(autouse=True, scope='session')
def no_progress_bar():
  tfds.disable_progress_bar()
