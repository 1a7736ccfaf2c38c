"""Commands and what makes the paper's tables and figures."""

import sys

from dlfd_jax.utils import stops

if sys.argv[0] == '-m':  # Python is about to run one of the modules
  stops.guard()
