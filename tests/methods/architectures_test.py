"""Every method on every architecture: one step of each kind, all of it moves.

Networks of the least depth that has each kind of layer; ResNet18 has only one.
Tracing and compiling 15 programs of each takes nearly all of the time, so every
second pair of the two is left to the longest tests: for every change, a network
meets half of the methods and a method half of the networks.
"""

import functools
import itertools

import numpy as np
import pytest

from dlfd_jax import methods, models
from dlfd_jax.methods import (
  bad_teaching,
  cf_k,
  dlfd,
  dlfd_released,
  eu_k,
  finetune,
  monitor,
  neggrad,
  neggrad_plus,
  rewind,
  scrub,
  unsir,
)
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
SHARED = {'batch_size': 4, 'check_every': 1, 'live_limit': 12,
          'select_threshold': 0.5, 'optimizer': steps.PLAIN}
SCRUB = scrub.ScrubConfig(
    **SHARED, epochs=1, max_epochs=1, forget_batch_size=4)
NEGGRAD_PLUS = neggrad_plus.NegGradPlusConfig(**SHARED, epochs=1)
CONFIGS = {
    'dlfd': dlfd.DLFDConfig(
        **SHARED, perturb_steps=1, sinkhorn=problems.SMALL),
    'official_compat': dlfd_released.DLFDReleasedConfig(
        **SHARED, perturb_steps=1, ce_weight_start=0.5),
    'finetune': finetune.FinetuneConfig(**SHARED, epochs=1),
    'neggrad': neggrad.NegGradConfig(**SHARED, epochs=1),
    'cf_k': cf_k.CFKConfig(**SHARED, epochs=1, k=LAST),
    'eu_k': eu_k.EUKConfig(**SHARED, epochs=1, k=LAST),
    'unsir': unsir.UnsirConfig(
        **SHARED, repair_optimizer=steps.PLAIN, noise_images=2, noise_steps=1),
    'bad_teaching': bad_teaching.BadTeachingConfig(**SHARED),
    # They run SCRUB and NegGrad+, which therefore do not run alone as well.
    'scrub_r': rewind.ScrubRConfig(method=SCRUB),
    'rewind': rewind.RewindConfig(method=NEGGRAD_PLUS),
}
LIVE = ('official_compat', 'eu_k', 'scrub_r')  # statistics move
KINDS = {
    'dlfd': ('distance', 'finetune'),
    'official_compat': ('first', 'distance', 'finetune'),
    'finetune': ('finetune',), 'neggrad': ('ascent',), 'cf_k': ('finetune',),
    'eu_k': ('finetune',), 'unsir': ('noise', 'impair', 'repair'),
    'bad_teaching': ('teach',), 'scrub_r': ('max', 'min'), 'rewind': ('joint',),
}


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
        pytest.mark.long if (i + j) % 2 else pytest.mark.slow))
    for i, architecture in enumerate(NETWORKS)
    for j, method in enumerate(CONFIGS)]


def test_every_architecture_is_here():
  assert set(NETWORKS) == set(models.ARCHITECTURES)


@pytest.mark.parametrize('architecture, method', PAIRS)
def test_each_kind_of_step_moves_what_it_must_and_no_more(
    architecture, method, monkeypatch):
  problem, kinds = problem_of(architecture), KINDS[method]
  if method in ('dlfd', 'official_compat', 'neggrad'):  # whatever it measures
    turns = itertools.cycle(kinds)
    monkeypatch.setattr(
        monitor.Monitor, 'phase', lambda self, figures: next(turns))
  out = methods.unlearn(problem, CONFIGS[method], devices=problems.devices())
  assert out.stop == 'finished'
  assert set(out.clock.compile_s) == set(kinds)
  for variables in (out.last, out.selected):
    assert all(np.isfinite(leaf).all() for leaf in problems.leaves(variables))
  start, wanted = problem.original, set(problems.by_path(problem.original))
  if method in ('cf_k', 'eu_k'):
    names = models.last_blocks(problem.model, problem.original, LAST)
    wanted = {path for path in wanted if path[1] in names}
  if method == 'eu_k':
    start = CONFIGS[method].start(problems.setting(problem))
    redrawn = problems.moved(problem.original, start)
    assert {path[1] for path in redrawn} == set(names)
  if method not in LIVE:
    wanted = {path for path in wanted if path[0] != 'batch_stats'}
  changed = problems.moved(start, out.last)
  assert changed <= wanted
  still = wanted - changed
  assert not still or method in LIVE and all(map(is_cancelled, still))
