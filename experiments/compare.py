"""Compares evaluations of one request: see ``--help``."""

import sys

from dlfd_jax.cli import compare

if __name__ == '__main__':
  sys.exit(compare.main())
