"""CF-k: what moves, and what stays bit by bit."""

import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import cf_k
from tests.methods import problems


def config(**fields):
  return cf_k.CFKConfig(**{
      'batch_size': 8, 'epochs': 1, 'select_threshold': 0.5, 'k': 1, **fields})


def run(problem, **fields):
  return methods.unlearn(
      problem, config(**fields), devices=problems.devices())


@pytest.mark.parametrize('batch_norm', ['frozen', 'batch'])
def test_below_the_cut_nothing_moves_and_above_all_does(batch_norm):
  # Decay and momentum on, as in training.
  optimizer = train.OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
  problem = problems.problem()
  out = run(problem, epochs=2, batch_norm=batch_norm, optimizer=optimizer)
  before, after = problem.original, out.last
  for name in ('Conv_0', 'bn'):
    assert problems.same(after['params'][name], before['params'][name])
  assert problems.same(after['batch_stats'], before['batch_stats'])
  for old, new in zip(problems.leaves(before['params']['head']),
                      problems.leaves(after['params']['head']), strict=True):
    assert (old != new).all()  # the classifier is of the last k
  assert out.findings['trained'] == ['head']


def test_statistics_of_trained_layers_move_if_live():
  problem = problems.problem()
  for batch_norm, moves in (('frozen', False), ('batch', True)):
    out = run(problem, k=2, batch_norm=batch_norm)
    assert problems.same(
        out.last['batch_stats'], problem.original['batch_stats']) is not moves
    assert sorted(out.findings['trained']) == ['Conv_0', 'bn', 'head']


def test_all_blocks_are_fine_tuning():
  problem = problems.problem()
  plain = methods.METHODS['finetune'](
      batch_size=8, epochs=1, select_threshold=0.5,
      optimizer=config().optimizer)
  out = methods.unlearn(problem, plain, devices=problems.devices())
  assert problems.largest_difference(run(problem, k=2).last, out.last) < 1e-6


def test_a_wrong_k_is_refused():
  with pytest.raises(ValueError, match='k of at least 1, got 0'):
    config(k=0)
  with pytest.raises(ValueError, match='k from 1 to 2.*TinyNet, got 3'):
    run(problems.problem(), k=3)
