"""Trains the original or the retrained model: see ``--help``."""

import sys

from dlfd_jax.cli import train

if __name__ == '__main__':
  sys.exit(train.main())
