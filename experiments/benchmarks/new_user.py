r"""A new user's two deletions, by the documented commands with their defaults.

  python -m experiments.benchmarks.new_user \
      --data=../shared/data/fgnet_128.npz --workdir=../runs/new_user \
      --out=docs/results/new_user

A folder of FG-NET faces with a manifest, a ResNet18 that PyTorch trained on
them, a list of twelve names, and a list of one of whom the data have three
images alone. `dlfd import_weights`, `dlfd unlearn` and `dlfd evaluate` run as
processes of their own: with no method named, and with those of ``--methods``;
``auto`` has the ``--budget``, and where it hands no model back there is nothing
to evaluate.
What is finished is not computed again; seconds are those of the processor,
compiling included.
"""

from __future__ import annotations

import csv
import pathlib
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from absl import flags
from PIL import Image

from dlfd_jax.cli import command, exit_codes
from dlfd_jax.pipeline import auto
from dlfd_jax.report import render, tables
from dlfd_jax.utils import files, runs
from experiments.benchmarks import torch_reference
from experiments.publish import programs

MERGE_FROM = 5  # the oldest classes, of few images, are one
_MEAN, _STD = (.485, .456, .406), (.229, .224, .225)  # of import_weights
_PARTS = {'train': .65, 'val': .15, 'test': .2}  # of the people
REQUESTS = {'twelve people': 'twelve.txt', 'one person': 'one.txt'}
_TWELVE, _IMAGES_OF_ONE = 12, 3
FIGURES = {'accuracy_retain': 'retain', 'accuracy_val': 'val',
           'accuracy_test': 'test', 'accuracy_forget': 'forget',
           'mia_auc_matched': 'AUC'}
DEFAULT = 'default'
_TIMES = 'cpu_s.json'


def write_faces(source: pathlib.Path, folder: pathlib.Path) -> None:
  """Images, `faces.csv` and the lists of names.

  Parts and people are drawn; of the one person the first three images are
  written.
  """
  arrays = files.read_arrays(source)
  generator = np.random.default_rng(0)
  people = generator.permutation(np.unique(arrays['identity']))
  ends = (len(people) * np.cumsum(list(_PARTS.values()))).round().astype(int)
  part_of = {person: part for part, some in zip(
      _PARTS, np.split(people, ends[:-1]), strict=True) for person in some}
  train = [person for person in people if part_of[person] == 'train']
  lists = {'twelve people': train[:_TWELVE],
           'one person': train[_TWELVE:_TWELVE + 1]}
  folder.mkdir(parents=True, exist_ok=True)
  rows, seen = [], dict.fromkeys(people, 0)
  for i, person in enumerate(arrays['identity']):
    seen[person] += 1
    if person in lists['one person'] and seen[person] > _IMAGES_OF_ONE:
      continue
    name = f'{i:04d}.png'
    Image.fromarray(arrays['images'][i]).save(folder / name)
    rows.append({'path': name, 'identity': f'person {person}',
                 'age': int(min(arrays['age_class'][i], MERGE_FROM)),
                 'split': part_of[person]})
  with open(folder / 'faces.csv', 'w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, rows[0])
    writer.writeheader()
    writer.writerows(rows)
  for name, some in lists.items():
    (folder / REQUESTS[name]).write_text(
        ''.join(f'person {person}\n' for person in some), 'utf-8')


def train_in_torch(folder: pathlib.Path, path: pathlib.Path, *, size: int,
                   width: int, stem: str, epochs: int) -> None:
  """A state dict of a ResNet18 that learnt the training faces as they are."""
  with open(folder / 'faces.csv', newline='', encoding='utf-8') as file:
    rows = [row for row in csv.DictReader(file) if row['split'] == 'train']
  images = np.stack([np.asarray(Image.open(folder / row['path']).resize(
      (size, size), Image.Resampling.BOX)) for row in rows])
  x = torch_reference.images_of(images).float().div(255)
  y = torch.tensor([int(row['age']) for row in rows])
  torch.manual_seed(0)
  torch.set_num_threads(1)
  model = torch_reference.ResNet18(
      int(y.max()) + 1, width, stem, _MEAN, _STD).to(
          memory_format=torch.channels_last).train()
  optimizer = torch.optim.SGD(
      model.parameters(), .05, momentum=.9, weight_decay=5e-4)
  batch = 32
  schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
      optimizer, epochs * -(-len(x) // batch))
  for epoch in range(epochs):
    total = 0.
    for some in torch.randperm(len(x)).split(batch):
      optimizer.zero_grad()
      logits, _ = model(x[some])
      loss = torch.nn.functional.cross_entropy(logits, y[some])
      loss.backward()
      torch.nn.utils.clip_grad_norm_(model.parameters(), 3.)
      optimizer.step()
      schedule.step()
      total += float(loss) * len(some)
    print(f'epoch {epoch + 1}: loss {total / len(x):.3f}', flush=True)
  torch.save(model.state_dict(), path)


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = pathlib.Path(command.required(values, 'workdir'))
  faces, weights = root / 'faces', root / 'model.pth'
  size, width = (command.value(values, name) for name in (
      'image_size', 'width'))
  settings = {'image_size': size, 'width': width, 'stem': 'imagenet',
              'epochs': command.value(values, 'epochs')}
  runs.RunFolder(root, {'kind': 'new_user', **settings,
                        'data': files.sha256(command.required(values, 'data'))})
  if not (faces / 'faces.csv').is_file():
    write_faces(pathlib.Path(values['data'].value), faces)
  spent = _Spent(root / _TIMES)
  if not weights.is_file():
    train_in_torch(faces, weights, size=size, width=width,
                   stem=settings['stem'], epochs=settings['epochs'])
  data = [f'--data={faces / "faces.csv"}', f'--root={faces}', '--labels=age',
          f'--image_size={size}']
  original = root / 'original'
  spent.run('import', [
      'import_weights', f'--weights={weights}', *data, f'--width={width}',
      f'--workdir={original}'])
  rows = []
  for request, names in REQUESTS.items():
    for method in [DEFAULT, *command.value(values, 'methods')]:
      place = root / names.partition('.')[0] / method
      named = [] if method == DEFAULT else [f'--method={method}']
      if method == auto.METHOD:
        named.append(f'--budget={command.value(values, "budget")}')
      code = spent.run(f'{request}, {method}', [
          'unlearn', f'--original={original}', *data, *named,
          f'--forget_identities={faces / names}',
          f'--workdir={place / "unlearned"}'])
      if code != exit_codes.NO_MODEL:
        spent.run(f'{request}, {method}, evaluated', [
            'evaluate', f'--original={original}',
            f'--unlearned={place / "unlearned"}',
            f'--workdir={place / "evaluation"}'])
      rows.append(row_of(
          request, method, runs.read_result(place / 'unlearned'),
          {} if code == exit_codes.NO_MODEL else
          runs.read_result(place / 'evaluation'))
          | {'exit_code': code, 'cpu_s': spent.seconds[f'{request}, {method}']})
  return {**settings, 'budget': command.value(values, 'budget'),
          'import_s': spent.seconds['import'], 'rows': rows}


class _Spent:
  """Runs commands, and keeps their exit codes and seconds in a file."""

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._known = runs.read_json(path) if path.is_file() else {}

  @property
  def seconds(self) -> dict[str, float]:
    return {name: one['cpu_s'] for name, one in self._known.items()}

  def run(self, name: str, arguments: Sequence[str]) -> int:
    """The exit code of a command, which has to end well."""
    if name not in self._known:
      before = resource.getrusage(resource.RUSAGE_CHILDREN)
      code = subprocess.run([sys.executable, '-m', 'dlfd_jax', *arguments],
                            check=False).returncode
      if code not in exit_codes.DONE:
        raise command.Stop(code, f'The command {arguments[0]} of {name} ended '
                           f'with exit code {code}.')
      after = resource.getrusage(resource.RUSAGE_CHILDREN)
      self._known[name] = {'exit_code': code, 'cpu_s': (
          after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)}
      runs.write_json(self._path, self._known)
    return self._known[name]['exit_code']


def row_of(request: str, method: str, unlearned: Mapping[str, Any],
           evaluation: Mapping[str, Any]) -> dict[str, Any]:
  """What the page says of one deletion."""
  findings = unlearned['findings']
  stages = [*findings.get('stages', ()), findings]
  return {
      'request': request, 'name': method, 'method': unlearned['method'],
      'images': unlearned['forget_images'], 'steps': unlearned['steps'],
      'figures': {metric: {
          column: tables.find_cell(dict(evaluation), metric, column).value
          for column in ('original', 'unlearned')} for metric in FIGURES
          if evaluation},
      'rates': [stage['trial']['learning_rate'] for stage in stages
                if 'trial' in stage],
      'trial_s': unlearned['time'].get('trial_s'),
      'work_s': unlearned['time']['work_s'],
      'do_not_use': list(unlearned.get('do_not_use', ())),
      'auto': unlearned.get('auto')}


def markdown(result: Mapping[str, Any]) -> str:
  """A row for each deletion, the original's above those of a request."""
  lines = []
  for request in REQUESTS:
    rows = [row for row in result['rows'] if row['request'] == request]
    first = rows[0]['figures']
    lines.append([f'{request}, {rows[0]["images"]} images: original', *(
        _number(first[metric]['original']) for metric in FIGURES), '', '', ''])
    for row in rows:
      lines.append([
          f'`{row["method"]}`' + (
              ', nothing named' if row['name'] == DEFAULT else ''),
          *(_number(row['figures'].get(metric, {}).get('unlearned'))
            for metric in FIGURES),
          ', '.join(f'{rate:.3g}' for rate in row['rates']) or '-',
          f'{row["cpu_s"]:.0f}', str(row['exit_code'])])
  return '\n'.join([
      '# A new user', '',
      f'FG-NET ages at {result["image_size"]} px, a ResNet18 of width '
      f'{result["width"]} that PyTorch trained for {result["epochs"]} epochs, '
      'imported. Each row is `dlfd unlearn` with its defaults, then `dlfd '
      'evaluate`; AUC is that of the class-matched attack. Rates are those '
      'that the trial chose, seconds those of the processor, compiling '
      'included. Exit code 4: no state met the threshold of the live attack. '
      '5: the command says first that the model is not to be used.' + (
          ' 6: no candidate of `auto` could be shown to have forgotten.' if any(
              row['exit_code'] == exit_codes.NO_MODEL
              for row in result['rows']) else ''), '',
      *render.markdown_lines(
          ['deletion', *FIGURES.values(), 'rates', 'seconds', 'exit code'],
          lines), *_chosen(result), '', programs.made_by(dict(result)), ''])


def _chosen(result: Mapping[str, Any]) -> list[str]:
  """What became of each candidate of auto."""
  rows = [row for row in result['rows'] if row.get('auto')]
  return rows and [
      '', f'What `auto` did, with a budget of {result["budget"]} of retraining '
      '(seconds of the clock, without compiling and judging):', '',
      *render.markdown_lines(['deletion', 'candidate', 'seconds', 'outcome'], [
          [row['request'], one['title'], _number(one.get('charged_s'), 1),
           f'{one["outcome"]}: {" ".join(one["because"])}']
          for row in rows for one in row['auto']['candidates']])]


def _number(value: float | None, digits: int = 3) -> str:
  return '-' if value is None else f'{value:.{digits}f}'


COMMAND = programs.program(
    'benchmarks.new_user', __doc__, {
        'data': (None, 'the npz file'),
        'workdir': (None, 'folder of images, models and runs'),
        'methods': (['eu_k', 'dlfd', 'auto'], 'methods beside the default'),
        'budget': ('300%', 'of auto'),
        'image_size': (48, 'pixels a side', 32),
        'width': (32, 'of the network', 1),
        'epochs': (30, 'of its training', 1)}, _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
