r"""A new user's two deletions, by the documented commands, defaults alone.

  python -m experiments.benchmarks.new_user \
      --data=../shared/data/fgnet_128.npz \
      --workdir=../runs/new_user --out=docs/results/new_user

A folder of FG-NET faces with a manifest, a ResNet18 that PyTorch trained on
them, a list of twelve names, and a list of one whose three images are all that
the data have of them. `dlfd import_weights`, `dlfd unlearn` and `dlfd evaluate`
run as processes of their own; each method is run with its defaults, the default
method first. What is finished is not computed again.
"""

from __future__ import annotations

import csv
import pathlib

import numpy as np
import torch
from PIL import Image

from dlfd_jax.utils import files
from experiments.benchmarks import torch_reference

MERGE_FROM = 5  # the oldest classes, of few images, are one
_MEAN, _STD = (.485, .456, .406), (.229, .224, .225)  # of import_weights
_PARTS = {'train': .65, 'val': .15, 'test': .2}  # of the people
REQUESTS = {'twelve people': 12, 'one person': 1}
_IMAGES_OF_ONE = 3
FIGURES = {'accuracy_retain': 'retain', 'accuracy_val': 'val',
           'accuracy_test': 'test', 'accuracy_forget': 'forget',
           'mia_auc_matched': 'AUC'}


def write_faces(source: pathlib.Path, folder: pathlib.Path) -> list[str]:
  """Images, `faces.csv` and the lists of names; the arguments that name them.

  The parts and the people to forget are drawn, the one of `one person` from
  those who stay after `twelve people`; of that one three images are kept.
  """
  arrays = files.read_arrays(source)
  generator = np.random.default_rng(0)
  people = generator.permutation(np.unique(arrays['identity']))
  ends = (len(people) * np.cumsum(list(_PARTS.values()))).round().astype(int)
  part_of = {person: part for part, some in zip(
      _PARTS, np.split(people, ends[:-1]), strict=True) for person in some}
  train = [person for person in people if part_of[person] == 'train']
  lists = {'twelve people': train[:12], 'one person': train[12:13]}
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
    (folder / _list(name)).write_text(
        ''.join(f'person {person}\n' for person in some), 'utf-8')
  return rows


def _list(request: str) -> str:
  return request.replace(' ', '_') + '.txt'


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
  model = torch_reference.ResNet18(
      int(y.max()) + 1, width, stem, _MEAN, _STD).to(
          memory_format=torch.channels_last).train()
  optimizer = torch.optim.SGD(
      model.parameters(), .05, momentum=.9, weight_decay=5e-4, nesterov=False)
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
