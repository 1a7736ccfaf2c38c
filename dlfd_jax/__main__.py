"""``python -m dlfd_jax COMMAND``: see ``--help``."""

import sys

if __name__ == '__main__':
  # Python looks into the working folder first, where a `random.py` beside the
  # data would be taken for its own. Last, it still holds a user's methods.
  if not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))
  from dlfd_jax.cli import commands

  sys.exit(commands.main())
