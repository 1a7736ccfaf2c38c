"""Every method on every architecture: one step of each kind, all of it moves.

Networks of the least depth that has each kind of layer; ResNet18 has only one.
Tracing and compiling takes nearly all of the time, so nearly all pairs of the
two are left to the longest tests: for every change, a network meets one method.
"""

import functools
import itertools

import numpy as np
import pytest

from dlfd_jax import methods, models
from dlfd_jax.methods import monitor
from dlfd_jax.models import densenet, efficientnet
from tests.methods import problems, steps
from tests.models import nets

SIZE = 16
LAST = 2  # blocks that CF-k and EU-k train
NETWORKS = {
    **nets.TINY,
    'densenet121': densenet.DenseNet121(
        3, width=8, stem='small', block_config=(1, 1, 0, 0)),
    # One block without a shortcut and one with.
    'efficientnet_b0': efficientnet.EfficientNetB0(
        3, width=4, stem='small', depths=(0, 2, 0, 0, 0, 0, 0)),
    'vit_s': nets.TINY['vit_s'].clone(depth=1),
}
# Wrappers run SCRUB and NegGrad+, which therefore do not run alone as well.
CONFIGS = {
    name: problems.short(
        config(), batch_size=4, forget_batch_size=4, live_limit=12, k=LAST,
        select_threshold=0.5, alpha=0.01, optimizer=steps.PLAIN,
        repair_optimizer=steps.PLAIN, ce_weight_start=0.5)
    for name, config in methods.METHODS.items()
    if name not in ('scrub', 'neggrad_plus')}


@functools.cache
def problem_of(architecture):
  """Noise, and a network with any weights."""
  model = NETWORKS[architecture]
  rng = np.random.default_rng(0)
  data = problems.dataset(retain=12, forget=12, val=12, test=4)
  images = rng.integers(
      0, 256, (len(data.labels), SIZE, SIZE, 3)).astype(np.uint8)
  data = type(data)(**{**vars(data), 'images': images})
  return methods.Problem(
      model, nets.filled(nets.shapes(model, SIZE)), data,
      problems.splits(12, 12, 12, 4), 0)


def is_cancelled(path):
  """Whether the next live normalisation takes this shift out again."""
  return 'project_norm' in path and path[-1] == 'bias'


PAIRS = [
    pytest.param(architecture, method, marks=(
        pytest.mark.slow if not i + j else pytest.mark.long))
    for i, architecture in enumerate(NETWORKS)
    for j, method in enumerate(CONFIGS)]


def test_every_architecture_is_here():
  assert set(NETWORKS) == set(models.ARCHITECTURES)


@pytest.mark.parametrize('architecture, method', PAIRS)
def test_each_kind_of_step_moves_what_it_must_and_no_more(
    architecture, method, monkeypatch):
  problem, config = problem_of(architecture), CONFIGS[method]
  plans = problems.plans(problem, config)
  plan, kinds = plans[0], tuple(kind for p in plans for kind in p.steps)
  turns = itertools.cycle(kinds)  # whatever the live attack measures
  if len(plans) == 1:
    monkeypatch.setattr(
        monitor.Monitor, 'phase', lambda self, metrics: next(turns))
  out = methods.unlearn(problem, config, devices=problems.devices())
  assert out.stop == 'finished'
  assert set(out.clock.compile_s) == set(kinds) or (
      len(plans) > 1 and set(out.clock.compile_s) < set(kinds))
  for variables in (out.last, out.selected):
    assert all(np.isfinite(leaf).all() for leaf in problems.leaves(variables))
  start, wanted = plan.start.variables, set(problems.by_path(problem.original))
  names = out.findings.get('trained')
  if names is not None:
    wanted = {path for path in wanted if path[1] in names}
  if method == 'eu_k':
    redrawn = problems.moved(problem.original, start)
    assert {path[1] for path in redrawn} == set(names)
  trains = config.inner.train_mode or method == 'official_compat'
  if not trains:
    wanted = {path for path in wanted if path[0] != 'batch_stats'}
  changed = problems.moved(start, out.last)
  assert changed <= wanted
  still = wanted - changed
  if method in ('ssd', 'lfssd'):  # only what matters more to forget
    assert changed
  else:
    assert not still or trains and all(map(is_cancelled, still))
