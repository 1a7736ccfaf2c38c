"""The whole job on drawn faces, in minutes: see ``--help``."""

import sys

from dlfd_jax.cli import demo

if __name__ == '__main__':
  sys.exit(demo.main())
