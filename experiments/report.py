"""Writes the HTML report of an evaluation: see ``--help``."""

import sys

from dlfd_jax.cli import report

if __name__ == '__main__':
  sys.exit(report.main())
