"""Writes data as shards: see ``--help``."""

import sys

from dlfd_jax.cli import commands

if __name__ == '__main__':
  sys.exit(commands.run('prepare'))
