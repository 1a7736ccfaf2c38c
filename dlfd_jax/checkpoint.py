"""Checkpoints of loops and of models: the only file that says orbax."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from dlfd_jax import models, parallel, tasks
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.utils import (
  files,
  hosts,
  records,
  runs,
  schemas,
  stops,
  storage,
  validate,
  writes,
)

_VARIABLES = 'variables'
_METADATA = '_METADATA'  # orbax's, in the folder of every tree
_SCHEMA = 1
_SUMS = 'sha256.json'


_PLAIN = re.compile(r'[\w./+=,@~ -]*', re.ASCII)
_OPEN_FOLDERS = pathlib.Path('/proc/self/fd')


@contextlib.contextmanager
def _plain(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """A path of plain characters that leads to a folder of any name.

  Orbax looks for its files by patterns in which ``[1]`` is a choice of
  characters, and TensorStore takes a backslash for a separator: it writes
  elsewhere, in silence. Linux names an open folder by its number, of which
  nothing is left when the process is killed; elsewhere a link leads to it.
  """
  with contextlib.ExitStack() as stack:
    if _PLAIN.fullmatch(str(folder)):
      place = folder
    elif _OPEN_FOLDERS.is_dir():
      number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
      stack.callback(os.close, number)
      place = _OPEN_FOLDERS / str(number)
    else:
      where = tempfile.gettempdir()
      place = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(
          prefix='dlfd_', dir=where if _PLAIN.fullmatch(where) else '/tmp')),
          'folder')
      place.symlink_to(folder, target_is_directory=True)
    yield place


def _alone() -> ocp.options.MultiprocessingOptions:
  """Orbax without its barriers: a process reads and writes for itself."""
  here = jax.process_index()
  return ocp.options.MultiprocessingOptions(
      primary_host=here, active_processes={here},
      barrier_sync_key_prefix=str(here))


def _checkpointer() -> ocp.StandardCheckpointer:
  return ocp.StandardCheckpointer(multiprocessing_options=_alone())


@contextlib.contextmanager
def _saving(folder: str | os.PathLike) -> Iterator[None]:
  """Failures of the disk as an OSError, without orbax's own long account."""
  level = logging.get_verbosity()
  logging.set_verbosity(logging.FATAL)
  try:
    yield
  except ValueError as error:  # tensorstore's
    code = re.search(r"os_error_code='(\d+)'", str(error))
    if code is None:
      raise
    raise OSError(int(code[1]), os.strerror(int(code[1])), str(folder)
                  ) from error
  finally:
    logging.set_verbosity(level)


def _sum_of_files(folder: pathlib.Path) -> str:
  """SHA-256 of the names and bytes of all files below a folder.

  Raises:
    ValueError: if there is something else than files and folders.
  """
  files.check_folder(folder)
  digest = hashlib.sha256()
  for path in sorted(p for p in folder.rglob('*') if p.is_file()):
    digest.update(path.relative_to(folder).as_posix().encode())
    files.add_content(digest, path)
  return digest.hexdigest()


def _describe(tree: Any) -> dict[str, str]:
  return {
      jax.tree_util.keystr(path): f'{leaf.dtype} {list(leaf.shape)}'
      if hasattr(leaf, 'dtype') else type(leaf).__name__
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _by_path(described: dict[str, str]) -> dict[str, str]:
  """The same by paths such as ``state/step``: nodes may be of any kind."""
  return {'/'.join(re.findall(r'\w+', path)): text
          for path, text in described.items()}


class LoopCheckpoints:
  """The last whole state of a running loop, in ``folder``.

  A state is an array tree and a JSON ``meta``; the label is the number of
  finished steps. Saving waits until the files are whole, because the arrays
  are donated to the next step. Of several processes, which hold the same state,
  the first one saves; all restore, from a disk that they share or from copies
  of one bucket, and any number of them can. The two last steps are there, and
  the SHA-256 of their files, so that a damaged one is noticed and the one
  before it is used. A step is read again before an older one is deleted.

  To an object store a step's files are sent, then the file of sums, which makes
  it count, then older steps go. A step that is in no sum was not sent whole.
  """

  def __init__(self, folder: str | os.PathLike):
    self._folder = storage.local(folder).absolute()
    self._folder.mkdir(parents=True, exist_ok=True)
    self._sums = self._folder / _SUMS
    if storage.url_of(self._folder) is not None:
      sent = self._read_sums()
      for left in (self._folder / 'loop').glob('*'):
        if left.name not in sent:
          shutil.rmtree(left, ignore_errors=True)
    opened = contextlib.ExitStack()
    place = opened.enter_context(_plain(self._folder))
    self._release = weakref.finalize(self, opened.close)
    (place / 'loop').mkdir(exist_ok=True)
    self._manager = ocp.CheckpointManager(
        place / 'loop', options=ocp.CheckpointManagerOptions(
            create=False, enable_async_checkpointing=False,
            multiprocessing_options=_alone()))

  def latest(self) -> int | None:
    """The newest whole step, or None; damaged ones are removed with a warning.

    Raises:
      ValueError: if all that there is was altered or is not whole.
    """
    return hosts.from_first(hosts.first(self._latest))

  def _latest(self) -> int | None:
    steps = sorted(self._manager.all_steps(), reverse=True)
    sums = self._read_sums()
    for step in steps:
      # None: saved by an earlier version
      if self._is_whole(step, sums.get(str(step))):
        return step
      if step != steps[-1]:
        warnings.warn(
            f'The checkpoint of step {step} in {self._folder} was '
            'altered or is not whole: going on from the one before.',
            stacklevel=2)
        self._manager.delete(step)
    if steps:
      raise ValueError(
          f'Expected a whole checkpoint in {self._folder}, got one '
          'that was altered or is not whole: start again in an empty folder.')
    return None

  def _is_whole(self, step: int, known: str | None) -> bool:
    """Whether a step has the sum; without one, whether there is something."""
    if known is not None:
      return known == self._sum(step)
    folder = self._folder / 'loop' / str(step)
    files.check_folder(folder)
    return any((folder / 'state').glob('*')) and any(
        (folder / 'meta').glob('*'))

  def _sum(self, step: int) -> str:
    return _sum_of_files(self._folder / 'loop' / str(step))

  def _read_sums(self) -> dict[str, str]:
    if not self._sums.exists():
      return {}
    return records.read(self._sums, dict[str, str])

  def _write_sum(self, step: int) -> None:
    there = {str(s) for s in self._manager.all_steps()}
    sums = self._read_sums()
    runs.write_json(self._sums, {
        **{s: known for s, known in sums.items() if s in there},
        str(step): self._sum(step)})

  def _publish(self, step: int) -> None:
    with stops.after_writing():
      storage.push(self._folder / 'loop' / str(step))
      self._write_sum(step)
      storage.push(self._folder / 'loop')

  def save(self, step: int, tree: Any, meta: dict[str, Any]) -> None:
    """Saves once per step; a step that is already saved stays as it is.

    Raises:
      ValueError: if a later step is there, or what was written cannot be read;
        then the steps before it stay.
    """
    hosts.first(lambda: self._save(step, tree, meta))
    stops.note_saved(self._folder.parent)

  def _save(self, step: int, tree: Any, meta: dict[str, Any]) -> None:
    if self._manager.latest_step() == step:
      return
    with _saving(self._folder):
      saved = self._manager.save(step, args=ocp.args.Composite(
          state=ocp.args.StandardSave(parallel.to_store(tree)),
          meta=ocp.args.JsonSave({'loop': meta, 'arrays': _describe(tree)})))
      self._manager.wait_until_finished()
    if not saved:
      raise ValueError(
          f'Expected to save step {step} after step '
          f'{self._manager.latest_step()}, but the checkpoint manager refused.')
    try:
      with files.reading(
          f'Expected to read the checkpoint of step {step} in {self._folder} '
          'again after it was saved: the one before it is kept'):
        self.restore(step, tree)
    except Exception:
      self._manager.delete(step)
      raise
    for old in sorted(self._manager.all_steps())[:-2]:
      self._manager.delete(old)
    self._publish(step)

  def meta(self, step: int) -> dict[str, Any]:
    """The JSON part alone: read first, it tells the tree's shape."""
    return self._json(step)['loop']

  def _json(self, step: int) -> dict[str, Any]:
    with files.reading(f'Expected a whole checkpoint of step {step} in '
                       f'{self._folder}, got one that cannot be read'):
      meta = self._manager.restore(
          step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))['meta']
    if not isinstance(meta, dict) or not {'loop', 'arrays'} <= set(meta):
      raise ValueError(
          'Expected a checkpoint of this version, got one of another in '
          f'{self._folder}: start again in an empty folder.')
    return meta

  def restore(self, step: int, like: Any) -> Any:
    """The tree of ``step``, placed like ``like``.

    Raises:
      ValueError: if an array of ``like`` has another shape or type.
    """
    _check_same(_by_path(self._json(step)['arrays']),
                _by_path(_describe(like)), f'the saved step {step}')
    with files.reading(f'Expected a whole checkpoint of step {step} in '
                       f'{self._folder}, got one that cannot be read'):
      found = self._manager.restore(step, args=ocp.args.Composite(
          state=ocp.args.StandardRestore(parallel.to_store(like))))['state']
    return parallel.from_store(found, like)

  def write_note(self, name: str, value: Any) -> None:
    """Keeps what was decided before the first step, as JSON."""
    hosts.first(lambda: runs.write_json(self._folder / f'{name}.json', value))

  def note(self, name: str, schema: Any) -> Any:
    """What :meth:`write_note` kept, None if nothing."""
    path = self._folder / f'{name}.json'
    return hosts.from_first(hosts.first(
        lambda: records.read(path, schema) if files.is_there(path) else None))

  def stage(self, name: str) -> LoopCheckpoints:
    """Those of a later stage of the same run, in a folder of their own."""
    return LoopCheckpoints(self._folder / name)

  def close(self) -> None:
    self._manager.close()
    self._release()


def check_empty(folder: str | os.PathLike) -> None:
  """Raises ValueError if a folder for a new model holds files, or is one.

  What :func:`save_model` left when it was killed is no such file: then its
  temporary folder, which goes last, is still there.
  """
  folder = storage.local(folder).absolute()
  if files.is_there(folder) and not folder.is_dir():
    raise ValueError(f'Expected a folder for a model, {folder} is a file.')
  there = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
  temporary = set(filter(writes.is_temporary, there))
  own = {_VARIABLES, runs.MODEL_CARD} if temporary else set()
  if storage.url_of(folder) and runs.MODEL_CARD not in there:
    own = {_VARIABLES}  # the card is sent last
  if there - temporary - own:
    raise ValueError(
        f'Expected an empty folder for a model, got {folder}' + (
            ', which holds a whole model.' if runs.MODEL_CARD in there
            else '.'))


@stops.after_writing()
def save_model(folder: str | os.PathLike, variables: models.Variables,
               config: models.ModelConfig, task: tasks.Task,
               image_size: tuple[int, int], *, replace: bool = False,
               imported: Mapping[str, Any] | None = None) -> None:
  """Saves a classifier with all that is needed to use it.

  Args:
    folder: is created; must be empty unless ``replace``.
    variables: ``{'params', 'batch_stats'}``.
    config: rebuilds the network.
    task: names its outputs.
    image_size: (height, width) that it was trained on, pixels.
    replace: an unfinished run may write its own model again.
    imported: what is recorded of a model from elsewhere.

  Raises:
    ValueError: if the folder holds files and may not be replaced.
  """
  hosts.first(lambda: _save_model(
      storage.local(folder).absolute(), replace,
      models.in_float32(parallel.fetch(dict(variables))), {
          'schema': _SCHEMA, 'model': dataclasses.asdict(config),
          'task': dataclasses.asdict(task), 'image_size': list(image_size),
          **({'imported': dict(imported)} if imported else {}),
          'versions': runs.versions()}))


def _save_model(folder: pathlib.Path, replace: bool,
                variables: models.Variables, card: dict[str, Any]) -> None:
  if not replace:
    check_empty(folder)
  folder.mkdir(parents=True, exist_ok=True)
  with writes.temporary_folder(folder) as place:
    fresh = place / _VARIABLES
    with _saving(folder), _plain(place) as plain, _checkpointer() as saver:
      saver.save(plain / _VARIABLES, variables)
    _read(fresh, variables, str(folder))
    runs.write_json(place / runs.MODEL_CARD,
                    {**card, 'sha256': _sum_of_files(fresh)})
    # From here on nothing needs room.
    if (folder / _VARIABLES).exists():
      shutil.rmtree(folder / _VARIABLES)
    fresh.rename(folder / _VARIABLES)
    (place / runs.MODEL_CARD).replace(folder / runs.MODEL_CARD)
    storage.push(folder / _VARIABLES)
    storage.push(folder / runs.MODEL_CARD)


@dataclasses.dataclass(frozen=True)
class SavedModel:
  """A classifier read from disk."""

  variables: models.Variables
  config: models.ModelConfig
  task: tasks.Task
  image_size: tuple[int, int]

  def check_fits(self, task: tasks.Task, image_size: tuple[int, int],
                 where: str) -> None:
    """Raises ValueError if it is not for data of such labels and size.

    Args:
      task: of the data.
      image_size: likewise.
      where: the model is.
    """
    if (self.task, self.image_size) != (task, image_size):
      raise ValueError(
          f'Expected data for {self.task.kind} {list(self.task.names)} at '
          f'{list(self.image_size)} px, as the model in {where} was trained '
          f'on, got {task.kind} {list(task.names)} at {list(image_size)} px.')


def find_model(folder: str | os.PathLike) -> pathlib.Path:
  """The folder of a saved model, or of the one inside a run's folder.

  Raises:
    FileNotFoundError: if there is none.
  """
  folder = storage.local(folder).absolute()
  for place in (folder, folder / runs.CHECKPOINTS / 'model'):
    if (place / runs.MODEL_CARD).is_file() and (place / _VARIABLES).is_dir():
      return place
  result = folder / runs.RESULT
  why = records.read(result, dict[str, Any]).get('no_model') if (
      files.is_file(result)) else None
  if why:
    raise FileNotFoundError(f'Expected a saved model in {folder}, but its run '
                            f'handed none back. {why}')
  raise FileNotFoundError(
      f'Expected a saved model in {folder}, found none (is the run finished?).')


def imported(folder: str | os.PathLike) -> Mapping[str, Any]:
  """What is recorded of a model from elsewhere; ``{}`` of any other."""
  card = records.read(find_model(folder) / runs.MODEL_CARD, schemas.ModelCard)
  return card.get('imported') or {}


def read_card(folder: str | os.PathLike) -> dict[str, Any]:
  """The card of a saved model, whose files are those that it was written for.

  Raises:
    FileNotFoundError: if the folder holds no model.
    ValueError: if the card does not fit, or the files were altered or are not
      whole.
  """
  folder = find_model(folder)
  card = records.read(folder / runs.MODEL_CARD, schemas.ModelCard)
  if card.get('sha256') not in (None, _sum_of_files(folder / _VARIABLES)):
    raise ValueError(
        f'Expected the files that the card of {folder} was written for, got '
        'others: the checkpoint was altered or is not whole.')
  return card


def task_of(folder: str | os.PathLike) -> tasks.Task:
  """The task of a saved model; raises as :func:`read_card`."""
  return records.fit(read_card(folder)['task'], tasks.Task,
                     f'task of {folder}')


def load_model(folder: str | os.PathLike) -> SavedModel:
  """Reads what :func:`save_model` wrote, or the model of a finished run.

  Raises:
    FileNotFoundError: if the folder holds no model.
    ValueError: if it does not fit the architecture that it names, was altered
      or is not whole.
  """
  folder = find_model(folder)
  card = read_card(folder)
  where = str(folder / runs.MODEL_CARD)
  config = records.fit(card['model'], models.ModelConfig, f'model of {where}',
                       later=('remat',))
  task = records.fit(card['task'], tasks.Task, f'task of {where}')
  image_size = images_lib.as_size(card['image_size'])
  model = models.build(config)
  with files.reading(  # what layers raise at sizes that they cannot have
      f'Expected a network for images of {list(image_size)} pixels in '
      f'{folder}, got {config.architecture}, which takes none of that size'):
    like = models.shapes(model, image_size)
  variables = _read(folder / _VARIABLES, like, str(folder))
  models.check_values(variables, str(folder))
  if config.outputs != task.num_outputs:
    raise ValueError(
        f'Expected as many outputs as names in the card of {folder}, got '
        f'{config.outputs} and {task.num_outputs}.')
  return SavedModel(variables, config, task, image_size)


def load_variables(path: str | os.PathLike, like: Any,
                   state: str | None = None
                   ) -> tuple[models.Variables, list[str]]:
  """Variables that somebody else saved with orbax or flax, as float32.

  Args:
    path: folder of an orbax checkpoint, or of a ``CheckpointManager``, whose
      latest step is read; or a file of ``flax.serialization.to_bytes``. What is
      in it: the variables, or a train state with ``params`` among others.
    like: the shapes that the network needs, by collection.
    state: read instead of ``params``, such as ``'ema_params'``.

  Returns:
    The variables, and sentences on what was chosen and left out.

  Raises:
    FileNotFoundError: if there is nothing.
    ValueError: if it is no such checkpoint, or a leaf has another shape or is
      not finite.
  """
  path = pathlib.Path(path).absolute()
  if not files.is_folder(path):
    files.check_file(path, 'an orbax checkpoint or a file of flax')
    content = path.read_bytes()
    with files.reading(
        'Expected the folder of an orbax checkpoint, or a file that '
        f'flax.serialization.to_bytes wrote, got {path}'):
      stored = flax.serialization.msgpack_restore(content)
    tree, said = _collections(stored, like, state, str(path))
  else:
    files.check_folder(path)
    folder, said = _find_tree(path)
    with _plain(folder) as place, ocp.PyTreeCheckpointer() as reader:
      stored = _tree_of(reader, place, folder)
      tree, more = _collections(stored, like, state, str(path))
      said += more
      kept = {id(leaf) for leaf in jax.tree.leaves(tree)}
      as_arrays = jax.tree.map(
          lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray), stored)
      wanted = jax.tree.map(
          lambda leaf: 0 if id(leaf) in kept else ocp.PLACEHOLDER, stored)
      with files.reading(f'Expected a whole checkpoint in {folder}, but its '
                         'arrays cannot be read'):
        read = reader.restore(place, args=ocp.args.PyTreeRestore(
            item=wanted, restore_args=as_arrays))
      tree, _ = _collections(read, like, state, str(path))
  variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), tree)
  models.check_values(variables, str(path))
  return variables, said


def _find_tree(folder: pathlib.Path) -> tuple[pathlib.Path, list[str]]:
  """The folder of one tree below a checkpoint's, and what was chosen."""
  said: list[str] = []
  top = folder
  while not (folder / _METADATA).is_file():
    below = [p for p in folder.iterdir() if p.is_dir()]
    steps = sorted((p for p in below if re.fullmatch(r'(.*_)?\d+', p.name)),
                   key=lambda p: int(p.name.rpartition('_')[2]))
    trees = [p for p in below if (p / _METADATA).is_file()]
    if steps:
      folder = steps[-1]
      said.append(f'read step {folder.name} of '
                  f'{validate.listed(p.name for p in steps)}')
    elif len(trees) == 1:
      folder = trees[0]
    elif trees:
      raise ValueError(
          f'Expected one tree in {top}, got '
          f'{validate.listed(sorted(p.name for p in trees))}: '
          'name one of these folders.')
    else:
      raise ValueError(
          f'Expected an orbax checkpoint of a tree in {top}, or the folder of '
          'a CheckpointManager.')
  return folder, said


def _collections(stored: Any, like: Mapping[str, Any], state: str | None,
                 where: str) -> tuple[dict[str, Any], list[str]]:
  """The collections of ``like`` from a tree that may hold more.

  Raises:
    ValueError: if they are not there once, or a leaf has another shape.
  """
  level, params = [stored], state or 'params'
  while level and not any(
      isinstance(node, Mapping) and params in node for node in level):
    level = [child for node in level if isinstance(node, Mapping)
             for child in node.values()]
  holders = [n for n in level if isinstance(n, Mapping) and params in n]
  if len(holders) > 1:
    raise ValueError(f'Expected one {params!r} in {where}, got '
                     f'{len(holders)}: save the variables of one model.')
  if holders:
    holder = dict(holders[0])
    holder['params'] = holder[params] if params == 'params' else (
        holder.pop(params))
  elif state is None and isinstance(stored, Mapping) and set(stored) & set(
      like['params']):
    holder = {'params': stored}
  else:
    raise ValueError(
        f'Expected the collections {", ".join(like)} in {where}, got '
        + (validate.listed(stored) if isinstance(stored, Mapping) else
           type(stored).__name__) + '.')
  left = [str(name) for name in holder if name not in like]
  said = [f'left out {validate.listed(left)}' + (
      '; --state=NAME reads another one as the parameters' if any(
          'params' in name for name in left) else '')] if left else []
  tree = {name: holder[name] for name in like if name in holder}
  as_read = {
      path: re.sub('^b?float[0-9]+(?= )', 'float32', text)  # which it becomes
      for path, text in _describe(tree).items()}
  _check_same(as_read, _describe(like), where)
  return tree, said


def _tree_of(reader: Any, place: pathlib.Path, folder: pathlib.Path) -> Any:
  """What is stored at ``place``, a path that leads to ``folder``."""
  with files.reading(f'Expected an orbax checkpoint of a tree in {folder}, but '
                     'its list of arrays cannot be read'):
    return reader.metadata(place).item_metadata.tree


def _read(folder: pathlib.Path, like: Any, name: str) -> models.Variables:
  """Variables with the shapes of ``like``; ``name`` stands in refusals."""
  with _plain(folder) as place, _checkpointer() as reader:
    check_same_shapes(_tree_of(reader, place, folder), like, name)
    with files.reading(f'Expected a whole checkpoint in {folder}, but its '
                       'arrays cannot be read'):
      return reader.restore(place, jax.tree.map(
          lambda x: np.zeros(x.shape, x.dtype), like))


def fingerprint(variables: models.Variables) -> str:
  """SHA-256 of all parameters and statistics, in the order of their names."""
  digest = hashlib.sha256()
  leaves = jax.tree_util.tree_leaves_with_path(
      models.in_float32(parallel.fetch(dict(variables))))  # as it is saved
  for path, leaf in sorted(leaves, key=lambda item: str(item[0])):
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()


def check_same_shapes(got: Any, expected: Any, name: str) -> None:
  """Raises ValueError naming the first leaf that differs in shape or type."""
  _check_same(_describe(got), _describe(expected), name)


def _check_same(got: dict[str, str], expected: dict[str, str],
                name: str) -> None:
  for path in sorted(set(got) | set(expected)):
    if got.get(path) != expected.get(path):
      raise ValueError(
          f'Expected {path} of {name} to be '
          f'{expected.get(path, "absent")}, got {got.get(path, "absent")}.')
