"""Reference models: retrainings of one recipe that many evaluations share.

``reference_designs`` says who is in which of them.

A folder of references holds ``config.json``, an ordinary training run per model
in ``000``, ``001`` ..., and ``result.json``, the index of those that are
finished, in the order of their seeds: ``models``, each with its ``folder``,
``seed``, ``images`` and the hashes ``weights`` (of its parameters) and
``sha256`` (of its result). Where who is in which model was drawn, there is
``membership.npz`` besides. Shadow models that an evaluation unlearned lie below
``unlearned``, see ``shadow_models``.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dlfd_jax import (
  loop,
  models as models_lib,
  parallel,
  presets,
  training,
)
from dlfd_jax.data import (
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.evaluation import references as references_lib
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  expected_cost,
  job,
  reference_designs as designs,
  run_configs,
  train,
)
from dlfd_jax.utils import (
  files,
  hosts,
  records,
  runs,
  schemas,
  storage,
  text,
  validate,
  writes,
)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
  """What is to be trained, all of it checked.

  Attributes:
    dataset: the images.
    splits: of the request.
    design: one of ``reference_designs.DESIGNS``.
    network: of the original.
    recipe: of the original.
    seeds: of the models.
    original: of the models' folder; None = it is not saved.
    verification: of the original's run, for the records.
    membership: of the designs ``random``, ``keep`` and ``half``.
  """

  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  design: str
  network: presets.Network
  recipe: training.TrainConfig
  seeds: tuple[int, ...]
  original: str | None
  verification: Mapping[str, Any]
  membership: designs.Membership | None = None

  @property
  def counted(self) -> str:
    """How many of what: ``3 retrained models``."""
    if self.design == designs.KEPT:
      return (f'{text.counted(len(self.seeds) // 2, "shadow model")} and the '
              'same without whom they forget')
    return text.counted(
        len(self.seeds), designs.TITLES[self.design].removesuffix('s'))

  @property
  def on(self) -> str:
    """What ``train`` trains each on."""
    return 'retain' if self.design == designs.RETRAINED else 'all'

  def parts(self, k: int) -> job.Parts:
    """The split of model ``k``."""
    if self.membership is None:
      return self.splits
    states = self.membership.of_images()[k]
    if self.design == designs.HALF:
      return splits_lib.Partition(
          self.splits.retain[states == references_lib.KEEP], self.splits.val,
          self.splits.test)
    return designs.parts_of(self.splits, states)

  def config_of(self, k: int) -> training.TrainConfig:
    """The recipe of model ``k``: the original's with a seed of its own."""
    return dataclasses.replace(self.recipe, seed=self.seeds[k])

  def rows(self, k: int) -> np.ndarray:
    """What model ``k`` is trained on."""
    return self.parts(k).parts['retain'] if self.on == 'retain' else (
        self.parts(k).train)

  def unfinished(self, folder: job.Folder) -> list[int]:
    """Models that have no result in a folder of references."""
    return [k for k in range(len(self.seeds)) if not files.is_file(
        folder_of(folder, k) / runs.RESULT)]

  def model_config(self) -> models_lib.ModelConfig:
    """The network that is trained."""
    return self.network.config(self.dataset.task)

  def cost(self, folder: job.Folder, devices: parallel.Devices,
           repeats: int = 2) -> dict[str, Any]:
    """What training those without a result is expected to cost.

    Args:
      folder: of the references.
      devices: to time steps on.
      repeats: timed steps; 0 measures nothing.

    Returns:
      ``models`` to train, their ``steps`` in all, and where they were measured
      ``step_s``, ``compile_s`` and ``expected_s``, seconds of training one
      after the other.
    """
    left = self.unfinished(folder)
    steps = sum(self.recipe.epochs * -(-len(self.rows(k))
                                       // self.recipe.batch_size) for k in left)
    found: dict[str, Any] = {'models': len(left), 'steps': steps}
    if not left or not repeats:
      return found
    timed = expected_cost.train_step(
        self.recipe, self.model_config(), self.dataset, self.rows(left[0]),
        devices, repeats)
    return {**found, **timed,
            'expected_s': timed['compile_s'] + steps * timed['step_s']}


def plan(original: job.ModelRun | job.Folder, splits: splits_lib.Splits,
         dataset: dataset_lib.Dataset | None = None, *, n: int,
         design: str = designs.RETRAINED, seed: int | None = None,
         allow_unverified: bool = False) -> Plan:
  """What :func:`train_references` would train.

  Args:
    original: the trained model, a result of ``train`` or a run folder.
    splits: who is forgotten, with retain, forget, val and test.
    dataset: the images; default those of a result of ``train``.
    n: models in all; even with the designs ``random`` and ``half``, a multiple
      of 6 with ``keep``.
    design: one of ``reference_designs.DESIGNS``, see there.
    seed: of the first model, the others follow, and of who is in which model;
      default the original's and 1.
    allow_unverified: where original, data and split do not belong together go
      on and record it.

  Raises:
    FileNotFoundError: if the original's recipe is not known: it was imported.
    ValueError: if something is out of range, or original, data and split do not
      belong together.
  """
  validate.one_of('design', design, designs.DESIGNS)
  validate.integer('n', n)
  if isinstance(original, job.ModelRun):
    dataset = original.dataset if dataset is None else dataset
    place = None if original.folder is None else str(original.folder)
  else:
    place = str(original)
  if dataset is None or not isinstance(splits, splits_lib.Splits):
    raise ValueError(
        'Expected the data and the splits of a request, with retain and '
        f'forget, got no {"data" if dataset is None else "such splits"}.')
  splits_lib.check_splits(dataset, splits)
  one = job.judged(original)
  if place is None:  # what it was made from is in its config alone
    known = run_configs.recorded(one.config)
    if known is None:
      raise FileNotFoundError(
          'Expected an original that was trained here, whose recipe is known.')
    network, recipe = known
  else:
    _, network, recipe = run_configs.recipe_of(place)
  first = recipe.seed + 1 if seed is None else seed
  validate.integer('seed', first, 0)
  found = (chain_checks.check_run(one, 'original', dataset)
           + chain_checks.check_start(one, dataset, splits)
           + chain_checks.inherited([one]))
  seeds = tuple(range(first, first + n))
  membership = designs.draw(design, dataset, splits, seeds)
  return Plan(
      dataset=dataset, splits=splits, design=design, network=network,
      recipe=recipe, seeds=seeds, original=place,
      verification=found.settled(allow_unverified), membership=membership)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ReferenceModels:
  """Finished reference models in their folder.

  Attributes:
    folder: of all.
    config: everything that decides them, as in ``config.json``.
    record: the index, as in ``result.json``.
    membership: who is in which model; None where all are alike.
  """

  folder: pathlib.Path
  config: dict[str, Any]
  record: dict[str, Any]
  membership: designs.Membership | None = None

  @property
  def design(self) -> str:
    return self.config['design']

  @property
  def folders(self) -> list[str]:
    """The run folder of each model, as ``evaluate`` takes them."""
    return [str(self.folder / one['folder']) for one in self.record['models']]

  def retrained(self) -> list[str]:
    """The run folders of retrained models.

    Raises:
      ValueError: if they are of another design.
    """
    if self.design != designs.RETRAINED:
      raise ValueError(
          f'Expected retrained models in {self.folder}, got the design '
          f'{self.design!r}, whose models have seen people to be forgotten: '
          f'make references with --design={designs.RETRAINED}.')
    return self.folders


def folder_of(folder: job.Folder, k: int) -> pathlib.Path:
  """The run folder of model ``k``."""
  return storage.local(folder) / f'{k:03d}'


def train_references(
    plan: Plan, workdir: job.Folder, *,
    devices: parallel.Devices | None = None, hooks: Sequence[loop.Hook] = (),
    checkpoint_seconds: float = 60.0, command: str | None = None,
    used: Mapping[str, Any] | None = None,
    cost: Mapping[str, Any] | None = None,
    allow_unverified: bool = False,
    each: Callable[[train.TrainResult], None] | None = None
) -> ReferenceModels:
  """Trains what is missing of some reference models.

  On a CPU one after the other; on an accelerator as many at once as its memory
  allows, in one program.

  Args:
    plan: see :func:`plan`.
    workdir: folder of them. More models of the designs ``retrained`` and
      ``request`` may be asked of it later.
    devices: where to run; all local devices by default.
    hooks: called with every event.
    checkpoint_seconds: least time between two checkpoints.
    command: how a user started this, for the records.
    used: what it printed of what it uses, likewise.
    cost: what was expected, likewise.
    allow_unverified: a finished model whose files do not belong together is
      kept all the same.
    each: called with every model that is finished.

  Raises:
    ValueError: if the folder holds something else.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  devices = devices or parallel.Devices()
  opened = _open(plan, workdir)
  started = time.perf_counter() - (  # of all sessions
      ((opened.result or {}).get('time') or {}).get('total_s', 0.0))
  shared: dict[str, Any] = {
      'devices': devices, 'checkpoint_seconds': checkpoint_seconds,
      'command': command, 'used': used, 'verification': plan.verification,
      'allow_unverified': allow_unverified, 'hooks': hooks}
  made: dict[int, train.TrainResult] = {}

  def add(k: int, run: train.TrainResult) -> None:
    made[k] = run
    known = {one['folder']: one['sha256']
             for one in (opened.result or {}).get('models', ())}
    if known.get(folder_of('', k).name) != run.record['sha256']:
      index = _index(plan, opened, made, command, cost,
                     time.perf_counter() - started)
      hosts.first(lambda: opened.write_result(index))
    if each is not None:
      each(run)

  left = plan.unfinished(opened.path)
  if not _at_once(devices):
    left = []
  size = len(left)
  while size > 1 and len(left) > 1:
    group = left[:size]
    found = _train_together(plan, opened.path, group, shared)
    if found is None:
      size = -(-size // 2)
      continue
    for k, run in zip(group, found, strict=True):
      add(k, run)
    left = left[size:]
  count = len(plan.seeds)
  kind = ('reference' if plan.design in (designs.RETRAINED, designs.HALF) else
          'shadow')
  for k in range(count):
    if k not in made:
      add(k, train.train(
          plan.dataset, plan.parts(k), plan.config_of(k), plan.network,
          on=plan.on, workdir=folder_of(opened.path, k),
          title=f'train {kind} {k + 1} of {count}', **shared))
  return load_references(opened.path, allow_unverified=allow_unverified)


def _at_once(devices: parallel.Devices) -> bool:
  """Whether several models are trained in one program.

  On a CPU a convolution with kernels of its own for every model is slower than
  the models one after the other (4 of width 32 at 48 px: 3.7 times).
  """
  return devices.platform != 'cpu' and hosts.count() == 1


def _train_together(plan: Plan, folder: pathlib.Path, group: Sequence[int],
                    shared: Mapping[str, Any]
                    ) -> list[train.TrainResult] | None:
  """Some models in one program; None if the memory does not hold so many."""
  try:
    return train.train_together(
        plan.dataset, [train.Member(plan.parts(k), plan.seeds[k],
                                    folder_of(folder, k)) for k in group],
        plan.recipe, plan.network, on=plan.on, **shared)
  except jax.errors.JaxRuntimeError as error:
    if 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    return None


def _open(plan: Plan, workdir: job.Folder) -> runs.RunFolder:
  """The folder of references, with what is known before any is trained."""
  dataset, splits = plan.dataset, plan.splits
  recipe = dataclasses.asdict(plan.recipe)
  del recipe['seed']
  config = {
      'kind': 'references', 'design': plan.design,
      # More retrained models may be asked for; who is in which is one draw.
      'n': None if plan.membership is None else len(plan.seeds),
      'seed': plan.seeds[0], 'original_path': plan.original,
      **job.data_config(dataset),
      'rows': {name: chain.rows_hash(dataset, rows)
               for name, rows in splits.parts.items()},
      'network': plan.network.identity(), 'train': recipe,
      'membership': None if plan.membership is None else chain.hash_of_arrays(
          plan.membership.arrays()),
      chain.KEY: chain.entry(
          dataset, splits, splits.retain,
          train=chain.ids_hash(dataset.sample_id[splits.train]))}
  opened = job.open_folder(workdir, config)
  if opened.result is not None:  # it may grow
    hosts.first(opened.lock)

  elif plan.membership is not None:
    arrays = plan.membership.arrays()
    hosts.first(lambda: writes.write_arrays(
        opened.path / designs.MEMBERSHIP, arrays, compressed=True))
  return opened


def _index(plan: Plan, opened: runs.RunFolder,
           made: Mapping[int, train.TrainResult], command: str | None,
           cost: Mapping[str, Any] | None, total_s: float) -> dict[str, Any]:
  """The index of finished models; those that are not asked for now stay."""
  found = {one['folder']: one
           for one in (opened.result or {}).get('models', ())}
  for k, run in made.items():
    found[folder_of('', k).name] = {
        'folder': folder_of('', k).name, 'seed': plan.seeds[k],
        'images': run.record.get('images'), 'stop': run.stop,
        'accuracy_val': run.record.get('accuracy_val'),
        'weights': run.record['weights']['model'],
        'sha256': run.record['sha256']}
  return chain.sealed({
      'kind': 'references', 'design': plan.design, 'command': command,
      'models': [found[name] for name in sorted(found)],
      'verification': dict(plan.verification), 'cost': cost and dict(cost),
      'device': job.device_name(), 'versions': runs.versions(),
      'finished': runs.now(),
      'time': {'total_s': total_s}}, _config(opened.path))


def _config(folder: job.Folder) -> dict[str, Any]:
  """The config of a folder of references, with paths for this process."""
  return runs.read_config(folder, 'references')


def is_index(folder: job.Folder) -> bool:
  """Whether a folder is one of references, finished or not."""
  try:
    _config(folder)
  except (ValueError, OSError):
    return False
  return True


def load_references(folder: job.Folder, *,
                    allow_unverified: bool = False) -> ReferenceModels:
  """The finished models of a folder of references.

  Args:
    folder: of them.
    allow_unverified: files that do not belong together stop nothing.

  Raises:
    FileNotFoundError: if no model is finished, or one of them is gone.
    ValueError: if the folder holds something else, or the files in it are
      altered or exchanged.
  """
  folder = storage.local(folder)
  config = _config(folder)
  if not files.is_file(folder / runs.RESULT):
    raise FileNotFoundError(
        f'Expected finished models in {folder}, found none: the same '
        'references command goes on.')
  record = records.read(folder / runs.RESULT, schemas.RESULTS['references'])
  saved: Any = None
  found = chain_checks.check_index(
      chain.Judged(saved, str(folder), config, record))
  membership = None
  if config['design'] in designs.DRAWN:
    membership = designs.read(folder)
    if config.get('membership') != chain.hash_of_arrays(membership.arrays()):
      found += chain_checks.Findings((
          f'Expected the {designs.MEMBERSHIP} of {folder} as it was drawn, got '
          'one that is altered.',))
  found.settled(allow_unverified)
  return ReferenceModels(
      folder=folder, config=config, record=record, membership=membership)


def finished(models: job.Folder | ReferenceModels, least: Mapping[str, int],
             tier: str, *,
             allow_unverified: bool = False) -> ReferenceModels:
  """All models of a folder of some designs, checked.

  Args:
    models: the folder, or what :func:`train_references` returned.
    least: fewest models of each design that will do, the one to begin with
      first.
    tier: what they are for, in words.
    allow_unverified: see :func:`load_references`.

  Raises:
    FileNotFoundError: if no model is finished, or one of them is gone.
    ValueError: if they are of another design, not all there, or too few.
  """
  if not isinstance(models, ReferenceModels):
    models = load_references(models, allow_unverified=allow_unverified)
  design, where, made = models.design, models.folder, len(models.folders)
  if design not in least:
    first = next(iter(least))
    raise ValueError(
        f'Expected {designs.TITLES[first]} in {where}, got '
        f'{designs.TITLES[design]}: references --design={first} makes them.')
  members = models.membership
  if members is not None and made < len(members.states):
    raise ValueError(
        f'Expected all {len(members.states)} models of {where}, got {made}: '
        'the same references command goes on.')
  if made < least[design]:
    raise ValueError(
        f'Expected at least {least[design]} models of the design {design} at '
        f'{tier}, got {made} in {where}: references --design={design} '
        f'--n={least[design]} would do.')
  return models
