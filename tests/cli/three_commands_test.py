"""What holds for training, unlearning and evaluating alike."""

import json

import pytest

from dlfd_jax.cli import evaluate, exit_codes, train, unlearn
from dlfd_jax.data import batching
from dlfd_jax.pipeline import chain, forgotten
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')


def _commands(folder, *more):
  """Each with its flags, on the same runs in a folder."""
  data = runs_of.data_flags(folder / 'faces.npz')
  original, unlearned = folder / 'original', folder / 'unlearned'
  return (
      (train, [*data, *runs_of.NETWORK, *runs_of.RECIPE, '--on=all', *more,
               f'--workdir={original}']),
      (unlearn, [f'--original={original}', '--forget_people=3',
                 '--method=finetune', '--epochs=1', '--batch_size=16', *more,
                 f'--workdir={unlearned}']),
      (evaluate, [f'--original={original}', f'--unlearned={unlearned}',
                  '--bootstrap=20', *more,
                  f'--workdir={folder / "evaluation"}']))


@pytest.fixture(scope='module')
def made(tmp_path_factory, shared_compilations):
  """A folder in which all ran, and what each kept on the device."""
  folder = tmp_path_factory.mktemp('three')
  runs_of.write_data(folder)
  kept, init = [], batching.Feed.__init__

  def noted(self, *args, **options):
    init(self, *args, **options)
    kept[-1].append(self.on_device)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(batching.Feed, '__init__', noted)
    for command, flags in _commands(folder, '--device_bytes=0'):
      kept.append([])
      assert command.main(flags) in exit_codes.DONE
  return folder, kept


@pytest.mark.slow
def test_device_bytes_hold_to_the_last_measurement(made):
  _, kept = made
  assert all(kept) and not any(map(any, kept))


@pytest.mark.slow
def test_an_evaluation_that_told_nobody_tells_it_when_started_again(made):
  folder, _ = made
  judged = folder / 'unlearned' / forgotten.JUDGED
  before = judged.read_bytes()
  judged.unlink()  # as if it had been killed in between
  command, flags = _commands(folder, '--device_bytes=0')[-1]
  assert command.main(flags) in exit_codes.DONE
  assert judged.read_bytes() == before
  later = json.loads(before) | {'evaluation': 'another'}
  # By another evaluation since then: it stays.
  judged.write_text(json.dumps(chain.sealed(
      later, runs.read_config(folder / 'unlearned', 'unlearn'))))
  assert command.main(flags) in exit_codes.DONE
  assert json.loads(judged.read_text())['evaluation'] == 'another'
