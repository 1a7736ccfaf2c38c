"""``verify``: whether a signed bundle of a report is as it was signed."""

from __future__ import annotations

from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs, options
from dlfd_jax.pipeline import bundle

_ABOUT = """
Checks a bundle that `dlfd report --sign` wrote: signature, files, and that the
stored outputs give every figure of the report that they determine; names those
that they do not. With --model it tells whether a model or an exported file is
the one that was judged, with --data whether the images, labels and people are
those of the bundle; with both, whether the model gives the stored outputs.
Names what still knows the people, and what no bundle can prove.

  dlfd verify runs/eval/bundle --model=unlearned.pth
"""


def _define(values: flags.FlagValues) -> None:
  for name, about in (
      ('bundle', 'folder that report --sign wrote'),
      ('model', 'run, folder or exported weights to compare'),
      ('public_key', "of the signer, as verify prints it; default anybody's")):
    flags.DEFINE_string(name, None, about, flag_values=values)
  flags.DEFINE_integer(
      'devices', None, 'devices to use of every process; default all',
      lower_bound=1, flag_values=values)
  options.define(options.DATA, values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  found = bundle.read(command.required(values, 'bundle'),
                      command.value(values, 'public_key'))
  checked = bundle.check_figures(found)
  said = [f'{checked.values} numbers of the evaluation follow from the stored '
          'outputs, and the report says what it says, pictures aside.']
  if checked.left:
    said.append('Not computed again, as the outputs do not determine them: '
                f'{", ".join(checked.left)}.')
  model = command.value(values, 'model')
  if model is not None:
    said.append(bundle.check_model(found, model))
  if command.value(values, 'data') is not None:
    dataset = inputs.load_data(inputs.data_options(None, values))
    said += bundle.check_data(found, dataset, model, inputs.devices(values))
  else:
    inputs.refuse(values, [option.flag for option in options.DATA],
                  'without --data')
  lines = [*said, *found.statements()]
  for sentence in lines:
    print(sentence)
  return {'public_key': found.public_key, 'figures': checked.values,
          'not_computed': list(checked.left), 'said': lines}


COMMAND = command.Command(
    'verify', _ABOUT, _define, _execute, word='bundle')
main = COMMAND.main
