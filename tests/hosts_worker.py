"""What the tests of several processes run in each, and in one to compare.

``python -m tests.hosts_worker PROCESS ADDRESS FOLDER`` is one of two.
"""

import dataclasses
import json
import pathlib
import sys

import jax
import numpy as np

from dlfd_jax import (
  checkpoint,
  fit,
  methods,
  models,
  parallel,
  predict,
  training as train,
)
from dlfd_jax.data import batching
from dlfd_jax.methods import dlfd
from dlfd_jax.utils import hosts
from tests.methods import problems

BATCH = 8
PLAIN = train.OptimizerConfig(
    learning_rate=0.05, momentum=0.0, weight_decay=0.0)
STEP = dlfd.DLFDConfig(
    batch_size=BATCH, perturb_steps=2, sinkhorn=problems.SMALL,
    optimizer=PLAIN)
RUN = dlfd.DLFDConfig(
    epochs=2, batch_size=BATCH, perturb_steps=1,
    sinkhorn=dataclasses.replace(problems.SMALL, transport='sharded'),
    optimizer=PLAIN, check_every=2, selection='best', select_threshold=.1,
    dynamic_phases=False)
RECIPE = train.TrainConfig(epochs=2, batch_size=BATCH, optimizer=PLAIN, seed=3)


def problem():
  """Noise images and an untrained network: quick, and no sign is a tie."""
  data = problems.dataset()
  model = problems.TinyNet(3)
  variables = parallel.fetch(models.init(
      model, jax.random.key(1), data.image_size))
  return methods.Problem(model, variables, data, problems.splits(), 0)


def named(tree) -> dict[str, np.ndarray]:
  """Arrays by their place in a tree."""
  return {jax.tree_util.keystr(path): parallel.fetch(leaf)
          for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def loop_tree(state):
  """A tree such as a loop saves."""
  return {'state': state, 'kept0': state.variables}


def save(state, folder: pathlib.Path) -> None:
  """Saves a state as a loop does."""
  saver = checkpoint.LoopCheckpoints(folder / 'step')
  saver.save(1, loop_tree(state), {'kept': [{}], 'rows': BATCH})
  saver.close()


def start_state(given) -> train.TrainState:
  """Where both steps start."""
  return train.create_state(given.original, PLAIN, jax.random.key(5))


def compute(where: parallel.Devices, folder: pathlib.Path):
  """One training and one distance step, a short training, a short unlearning.

  The state after the training step is saved in ``folder``.

  Returns:
    Named arrays, and JSON facts.
  """
  given = problem()
  data, splits = given.dataset, given.splits
  feed = batching.Feed(data)
  constants = where.place(feed.constants)
  start = start_state(given)
  batch, = feed.batches(
      lambda step: problems.batch(splits, BATCH, 2), 0, 1)  # rows are padded
  facts = {'rows': len(batch.retain.position),
           'positions': batch.retain.position.tolist(),
           'padded': float(batch.retain.mask.sum())}
  found = {}
  steps = {
      'train': train.make_supervised_step(
          given.model, given.task, PLAIN, 10, train_mode=True),
      'distance': dlfd.make_distance_step(given.model, given.task, STEP, 10)}
  for name, step in steps.items():
    state, metrics = where.compile(step)(
        where.place(start), constants,
        batch.retain if name == 'train' else batch)
    metrics = parallel.fetch_scalars(metrics)
    facts[name] = {**metrics.rows, **metrics.step, 'count': metrics.count}
    found |= {f'{name}{key}': value
              for key, value in named(state.variables).items()}
    if name == 'train':
      save(state, folder)
  predictor = predict.Predictor(
      given.model, data, where, batch_size=12, feed=feed, constants=constants)
  found['logits'], found['features'] = predictor(
      given.original, np.arange(0, 60, 3))
  trained = fit.fit(
      given.model, data, splits.train, splits.val, RECIPE, devices=where)
  found |= {f'fit{key}': value
            for key, value in named(trained.variables).items()}
  facts['fit'] = trained.history
  out = methods.unlearn(
      methods.Problem(given.model, parallel.fetch(trained.variables), data,
                      splits, 0), RUN, devices=where)
  facts['unlearn'] = out.history
  facts['selected_step'] = out.selected_step
  found |= {f'selected{key}': value
            for key, value in named(out.selected).items()}
  checkpoint.save_model(
      folder / 'model', parallel.fetch(out.selected), models.ModelConfig(
          outputs=3), data.task, data.image_size)
  return found, facts


def refusals(where: parallel.Devices) -> dict:
  """What the processes tell each other, and what they refuse."""
  me = jax.process_index()

  def step(state, constants, batch, *, axis_name=None):
    del axis_name
    return state + 0 * constants['scale'], {'n': batch['x'].sum()}

  def fail():
    raise FileExistsError('Expected an empty folder, got a full one.')

  def words(call):
    try:
      call()
    except (ValueError, FileExistsError) as error:
      return f'{type(error).__name__}: {error}'
    return None

  rows = {'x': np.zeros(where.count // hosts.count(), np.float32)}
  run = where.compile(step)
  state = where.place(np.float32(1))
  return {
      'frozen': words(lambda: run(
          state, where.place({'scale': np.float32(me)}), rows)),
      'state': words(lambda: run(
          where.place(np.float32(me)), where.place({'scale': np.float32(1)}),
          rows)),
      'first': words(lambda: hosts.first(fail)),
      'only_first': hosts.first(lambda: me),
      'told': hosts.from_first({'who': me, 'text': 'ä' * 5000})['who'],
      'agreed': hosts.agreed(True, me == 1, False),
      'not_asked': hosts.agreed(False, True),
      'uneven': words(lambda: parallel.Devices(jax.devices()[:3]))}


def restored(where: parallel.Devices, folder: pathlib.Path):
  """What :func:`save` saved, read again: names to arrays."""
  given = problem()
  state = where.place(
      train.create_state(given.original, PLAIN, jax.random.key(0)))
  saver = checkpoint.LoopCheckpoints(folder / 'step')
  tree = saver.restore(saver.latest(), loop_tree(state))
  meta = saver.meta(saver.latest())
  saver.close()
  assert meta['rows'] == BATCH
  assert jax.tree.map(lambda x: x.sharding, tree) == jax.tree.map(
      lambda x: x.sharding, loop_tree(state))
  plain = {**tree, 'state': tree['state'].replace(
      key=jax.random.key_data(tree['state'].key))}
  return named(plain)


def main(process: str, address: str, folder: str) -> None:
  """One of two processes; the first writes what all have."""
  print(hosts.start(address, 2, int(process)), flush=True)
  where = parallel.Devices()
  own = pathlib.Path(folder)
  facts: dict = {'said': refusals(where)}
  again = restored(where, own / 'of_one')
  found, computed = compute(where, own)
  facts |= computed
  np.savez(own / f'arrays{process}.npz', **found)
  np.savez(own / f'restored{process}.npz', **again)
  (own / f'facts{process}.json').write_text(json.dumps(facts))
  hosts.from_first(None)


if __name__ == '__main__':
  main(*sys.argv[1:])
