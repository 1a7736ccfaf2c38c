"""``prepare``: any data as shards, for what does not fit into memory."""

from __future__ import annotations

from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs, options
from dlfd_jax.data import prepare, shards, sources
from dlfd_jax.pipeline import job

_ABOUT = """
Writes data as shards: files of encoded images in random order of persons, and
one index of labels, persons, sample ids, hashes and places. Every command reads
the folder by --data, its images when they are needed instead of all at once,
and gives the results that the source gives.

  dlfd prepare --data=faces.csv --labels=age --image_size=64 \\
      --shards=32 --out=shards
  dlfd train --data=shards --workdir=runs/original

Labels, size and split are those that are named here. A command that was stopped
goes on where it was; one that would write other shards into the folder is
refused.
"""


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('out', None, 'folder of the shards, new or begun',
                      flag_values=values)
  flags.DEFINE_integer(
      'shards', None, 'number of files, at most one a person; some hundred MB '
      'each suit most disks', lower_bound=1,
      upper_bound=shards.MOST_SHARDS, flag_values=values)
  flags.DEFINE_integer('seed', 0, 'seed of the order of persons', lower_bound=0,
                       flag_values=values)
  options.define(options.DATA, values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  folder = command.required(values, 'out')
  count = command.required(values, 'shards')
  command.required(values, 'data')
  hooks = [command.Progress()]
  dataset = job.load_data(
      inputs.data_options(sources.DataOptions(), values), hooks,
      in_memory=False)
  with job.shown(hooks, 'write and read back', '') as tick:
    found = prepare.prepare(
        dataset, folder, shards=count, seed=command.value(values, 'seed'),
        progress=tick)
  for note in dataset.notes:
    print(note)
  size = sum(found['files'].values())
  print(f'{found["images"]} images in {count} shards, {size / 1e6:.1f} MB: '
        f'--data={folder}')
  return {'out': folder, 'images': found['images'], 'bytes': size,
          'fingerprint': found['fingerprint']}


COMMAND = command.Command('prepare', _ABOUT, _define, _execute, most=(
    'out', 'config', 'data', 'labels', 'image_size', 'root', 'class_names',
    'thresholds', 'identity_pattern', 'split_column', 'shards', 'seed', 'json'))
main = COMMAND.main
