r"""Memory and time of data as shards, by the number of images.

  python -m experiments.benchmarks.sharded_data \
      --folder=../runs/sharded_data --out=docs/results/sharded_data

For each number of --sizes it writes JPEG files of 64 px and a manifest, by
``experiments.benchmarks.many_images``, and runs commands on them, each in a
process of its own: `dlfd prepare`, one pass of training a network of one
convolution, one pass of unlearning by fine-tuning, an evaluation of it, and a
check of a request with the search for copies. Memory is the largest sum over
the command's processes of their resident memory, pages that they share counted
once; it is looked at ten times a second. Seconds of a core are those of all of
them.

Then it reads one epoch of the smallest set in shuffled batches, by decoding
processes and from memory. What is there already of a size is not made again. A
million images are `--sizes=1000000`; they take 12 GB of files and as much again
for the shards.
"""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from absl import flags

from dlfd_jax.cli import command, exit_codes
from dlfd_jax.data import batching, shards
from dlfd_jax.models import layers
from dlfd_jax.report import render
from dlfd_jax.utils import records, writes
from experiments.benchmarks import many_images
from experiments.publish import programs

SIZE = 64
BATCH = 256
ABOUT = {'prepare': 'prepare', 'train': 'train, one pass',
         'unlearn': 'unlearn, one pass', 'evaluate': 'evaluate',
         'check': 'check, with copies'}
_NETWORK = '--architecture=experiments.benchmarks.sharded_data:OneConvolution'
_EVERY_S = .1


class OneConvolution(nn.Module):
  """Sixteen features of one convolution, so that time is that of reading."""

  outputs: int
  blocks = (('conv',), ('head',))

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> layers.Outputs:
    x = nn.relu(nn.Conv(16, (8, 8), 8, name='conv')(images))
    return layers.Head('plain', self.outputs, name='head')(
        layers.pooled(x), train=train, keys=keys)


def resident(process: int) -> int:
  """Resident bytes of a process and all below it, shared pages once."""
  total = 0
  with contextlib.suppress(OSError):  # it may end meanwhile
    found = re.search(r'^Pss:\s+(\d+) kB', pathlib.Path(
        f'/proc/{process}/smaps_rollup').read_text('utf-8'), re.M)
    total += 1024 * int(found[1]) if found else 0
    for thread in pathlib.Path(f'/proc/{process}/task').iterdir():
      total += sum(resident(int(child)) for child in (
          thread / 'children').read_text('utf-8').split())
  return total


def measured(words: Sequence[str]) -> dict[str, float]:
  """Runs a command; its seconds, those of a core, and its largest memory."""
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  started, peak = time.perf_counter(), 0
  with tempfile.TemporaryFile('w+') as output:
    process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
    while process.poll() is None:
      peak = max(peak, resident(process.pid))
      time.sleep(_EVERY_S)
    output.seek(0)
    said = output.read()
  seconds = time.perf_counter() - started
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  # A model that lost accuracy is a model all the same here.
  if process.returncode not in exit_codes.DONE:
    raise ValueError(f'Expected {" ".join(words)} to end well, got '
                     f'{process.returncode}: {said[-500:]}')
  return {'seconds': seconds, 'peak_bytes': peak, 'core_s': (
      after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)}


def measure_size(folder: pathlib.Path, images: int,
                 workers: int) -> dict[str, dict[str, float]]:
  """The commands on so many images; those that ran before are not repeated."""
  place = folder / str(images)
  if not (place / 'files').exists():
    many_images.write(place / 'files', images, SIZE)
  dlfd = [sys.executable, '-m', 'dlfd_jax']
  forget = f'--forget_people={max(1, images // many_images.EACH // 100)}'
  data = [f'--data={place / "shards"}', f'--data_workers={workers}']
  once = ['--epochs=1', f'--batch_size={BATCH}']
  original = f'--original={place / "original"}'
  found: dict[str, dict[str, float]] = {}
  for name, words in {
      'prepare': [f'--data={place / "files" / many_images.MANIFEST}',
                  '--labels=label', f'--image_size={SIZE}',
                  f'--shards={max(4, images // 10_000)}',
                  f'--out={place / "shards"}'],
      'train': [*data, *once, _NETWORK, f'--workdir={place / "original"}'],
      'unlearn': [original, f'--data_workers={workers}', forget, *once,
                  '--method=finetune', f'--workdir={place / "unlearned"}'],
      'evaluate': [original, f'--data_workers={workers}',
                   f'--unlearned={place / "unlearned"}',
                   f'--workdir={place / "evaluation"}'],
      'check': [original, f'--data_workers={workers}', forget, '--repeats=0',
                f'--workdir={place / "check"}']}.items():
    kept = place / f'measured_{name}.json'
    if not kept.exists():
      writes.write_json(kept, measured([*dlfd, name, *words]))
    found[name] = records.read(kept)
  return found


def reading(folder: pathlib.Path, workers: Sequence[int]) -> dict[str, float]:
  """Images a second of one shuffled epoch, by processes and from memory.

  The first batch, for which processes start, is not counted.
  """
  stored = shards.load_shards(folder / 'shards' / shards.MANIFEST)
  stream = batching.Stream(np.arange(len(stored)), BATCH)

  def rate(feed: batching.Feed) -> float:
    batches = feed.batches(stream.batch, 0, stream.steps_per_epoch)
    next(batches)
    started = time.perf_counter()
    steps = sum(1 for _ in batches)
    return BATCH * steps / (time.perf_counter() - started)

  found = {}
  for count in workers:
    data = shards.load_shards(
        folder / 'shards' / shards.MANIFEST, workers=count, worth=1)
    found[str(count)] = rate(batching.Feed(data))
  found['memory'] = rate(batching.Feed(
      stored.take(np.arange(len(stored))), device_bytes=0))
  return found


def markdown(result: dict[str, Any]) -> str:
  """The page: memory, seconds a thousand images, and how both grow."""
  sizes = [one['images'] for one in result['sizes']]
  parts = ['# Data as shards', '']
  for title, key, scale, form in (
      ('Largest resident memory of all processes, MB', 'peak_bytes', 1e-6,
       '{:.0f}'),
      ('Seconds of a core', 'core_s', 1, '{:.1f}'),
      ('Seconds, beside whatever else the machine did', 'seconds', 1,
       '{:.1f}')):
    parts += [f'## {title}', '', *render.markdown_lines(
        ['command', *(f'{n:,} images' for n in sizes)], [
            [about, *(form.format(scale * one['commands'][name][key])
                      for one in result['sizes'])]
            for name, about in ABOUT.items()]), '']
  grows = []
  for small, large in itertools.pairwise(result['sizes']):
    more = large['images'] - small['images']
    grows.append([
        f'{small["images"]:,} to {large["images"]:,}', *(
            f'{1e3 * (large["commands"][name]["core_s"] - small["commands"][name]["core_s"]) / more:.2f}, '  # noqa: E501
            f'{(large["commands"][name]["peak_bytes"] - small["commands"][name]["peak_bytes"]) / more:.0f}'  # noqa: E501
            for name in ABOUT)])
  if grows:
    parts += ['## What a further image costs', '',
              'Milliseconds of a core, bytes. Time that grows linearly gives '
              'equal milliseconds in every row.', '',
              *render.markdown_lines(['images', *ABOUT.values()], grows), '']
  parts += [
      '## Reading alone', '',
      f'One shuffled epoch of {sizes[0]:,} images in batches of {BATCH}; 0 '
      'processes are threads of the one that trains.', '',
      *render.markdown_lines(['decoded by', 'images/s'], [
          ['memory, nothing to decode' if name == 'memory' else
           f'{name} processes', f'{value:,.0f}']
          for name, value in result['reading'].items()]), '',
      f'Images of {SIZE} px; shards hold PNG. Commands had '
      f'{result["workers"]} decoding process{"es" * (result["workers"] != 1)}. '
      f'The machine has {result["cores"]} cores. A million images are the same '
      'command with `--sizes=1000000`'
      + ('.' if max(sizes) >= 10**6 else ', which was not run.'), '',
      programs.made_by(result), '']
  return '\n'.join(parts)


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  folder = pathlib.Path(command.required(values, 'folder'))
  folder.mkdir(parents=True, exist_ok=True)
  workers = command.value(values, 'workers')
  sizes = sorted(int(word) for word in command.value(values, 'sizes'))
  return {
      'workers': workers, 'image_size': SIZE, 'batch_size': BATCH,
      'sizes': [{'images': n, 'commands': measure_size(folder, n, workers)}
                for n in sizes],
      'reading': reading(folder / str(sizes[0]), (0, 1, 2))}


COMMAND = programs.program(
    'benchmarks.sharded_data', __doc__, {
        'folder': (None, 'where files, shards and runs go'),
        'sizes': (['10000', '30000', '50000'], 'numbers of images'),
        'workers': (1, 'processes that decode, of every command', 0)},
    _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
