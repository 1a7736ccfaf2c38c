"""Checks a deletion request before anything runs: see ``--help``."""

import sys

from dlfd_jax.cli import check

if __name__ == '__main__':
  sys.exit(check.main())
