"""``python -m dlfd_jax COMMAND``: see ``--help``."""

import sys

from dlfd_jax.cli import commands

if __name__ == '__main__':
  sys.exit(commands.main())
