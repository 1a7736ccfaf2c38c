"""Unlearning for image classifiers: forget people, keep the skill."""

from dlfd_jax._version import __version__ as __version__
