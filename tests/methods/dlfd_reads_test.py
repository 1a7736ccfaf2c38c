"""What DLFD reads, and that its monitor only watches."""

import numpy as np

from dlfd_jax import methods
from tests.methods import dlfd_test, problems, steps


def test_it_reads_both_sets_but_labels_of_retain_alone():
  problem = problems.problem()
  options = dlfd_test.config(sinkhorn=problems.SMALL, dynamic_phases=False)
  run = lambda p, options=options: methods.unlearn(
      p, options, devices=problems.devices()).last
  plain, splits = run(problem), problem.splits
  for change, rows in ((steps.with_images, splits.retain),
                       (steps.with_images, splits.forget),
                       (steps.with_labels, splits.retain)):
    assert not problems.same(plain, run(change(problem, rows)))
  other = steps.with_labels(problem, splits.forget)  # they are the monitor's
  other = steps.with_images(other, np.concatenate([splits.val, splits.test]))
  assert problems.same(plain, run(other))


def test_measuring_changes_nothing_of_what_is_measured():
  # The release's monitor leaves the model in evaluation mode.
  problem = problems.problem()
  often, rarely = (methods.unlearn(
      problem, dlfd_test.config(
          sinkhorn=problems.SMALL, dynamic_phases=False, batch_norm='batch',
          check_every=every),
      devices=problems.devices()) for every in (1, 3))
  assert len(often.history) > len(rarely.history)
  assert problems.same(often.last, rarely.last)
