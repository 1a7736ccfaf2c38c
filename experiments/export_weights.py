"""Exports PyTorch weights: see ``--help``."""

import sys

from dlfd_jax.cli import weights

if __name__ == '__main__':
  sys.exit(weights.EXPORT.main())
