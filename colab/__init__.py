"""Notebooks, and what their first cell calls."""
