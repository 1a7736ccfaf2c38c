"""Settings that a search chose, one JSON file per preset, written by it.

``experiments.paper.sweep`` writes the files; ``presets`` lays their values
over its own starts. A file holds, per method, dotted field paths with values,
and what the search cost.
"""

from __future__ import annotations

import importlib.resources
import json
from typing import Any


def load(preset: str) -> dict[str, Any]:
  """What the search over a preset found; ``{}`` if there was none."""
  file = importlib.resources.files(__name__) / f'{preset}.json'
  return json.loads(file.read_text('utf-8')) if file.is_file() else {}


def values(preset: str) -> dict[str, dict[str, Any]]:
  """The chosen values of each searched method."""
  return {name: found['values']
          for name, found in load(preset).get('methods', {}).items()}


def search_of(preset: str, method: str) -> dict[str, Any]:
  """Where a method's settings come from: a preset, and the search behind it."""
  found = load(preset).get('methods', {}).get(method, {})
  return {'preset': preset, 'trials': found.get('trials'),
          'search_s': found.get('search_s')}
