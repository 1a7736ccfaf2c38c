"""``verify``: whether a signed bundle of a report is as it was signed."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs, options
from dlfd_jax.pipeline import signing

_ABOUT = """
Checks a bundle that `dlfd report --sign` wrote: signature, files, and that the
stored outputs give every figure of the report that they determine; names those
that they do not. With --model it tells whether a model, an exported file or the
file that it was imported from is the one that was judged, with --data whether
the images, labels and people are those of the bundle; with both, whether the
model gives the stored outputs. Names what still knows the people, and what no
bundle can prove.

  dlfd verify runs/eval/bundle --model=unlearned.pth
"""


def _define(values: flags.FlagValues) -> None:
  for name, about in (
      ('bundle', 'folder that report --sign wrote'),
      ('model', 'run, folder or weights file to compare'),
      ('public_key', "of the signer, as verify prints it; default anybody's")):
    flags.DEFINE_string(name, None, about, flag_values=values)
  flags.DEFINE_integer(
      'devices', None, 'devices to use of every process; default all',
      lower_bound=1, flag_values=values)
  options.define(options.DATA, values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  dataset = None
  if command.value(values, 'data') is not None:
    dataset = inputs.load_data(inputs.data_options(None, values))
  else:
    inputs.refuse(values, [option.flag for option in options.DATA],
                  'without --data')
  found = signing.verify(
      command.required(values, 'bundle'), model=command.value(values, 'model'),
      dataset=dataset, public_key=command.value(values, 'public_key'),
      devices=inputs.devices(values))
  for sentence in found.said:
    print(sentence)
  return dataclasses.asdict(found)


COMMAND = command.Command(
    'verify', _ABOUT, _define, _execute, word='bundle', most=(
        'bundle', 'model', 'config', 'data', 'labels', 'image_size', 'root',
        'class_names', 'thresholds', 'public_key', 'devices', 'json'))
main = COMMAND.main
