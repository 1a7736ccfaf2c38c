"""What results say of images that a method learnt from, and who is judged."""

import numpy as np
import pytest

import dlfd_jax
from dlfd_jax import predict
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.methods import held_out, regun
from dlfd_jax.metrics import accuracy, usable
from dlfd_jax.pipeline import weakenings
from tests.cli import runs_of
from tests.methods import problems

pytestmark = pytest.mark.usefixtures('shared_compilations')


def val_accuracy(run, rows):
  return accuracy.accuracy(
      run.dataset.task, predict.Predictor(
          run.model, run.dataset, problems.devices())(
              run.variables, rows).logits, run.dataset.labels[rows]).value


def test_the_result_says_who_was_set_aside_and_judges_by_the_others():
  problem = problems.problem(seed=3)
  method = regun.ReGUnConfig(batch_size=8, epochs=1, held_out=.5)
  cut = held_out.set_aside(problem.dataset, problem.splits, .5, 3)
  run = dlfd_jax.unlearn(problem, method, devices=problems.devices())
  assert run.record['held_out'] == (
      problem.dataset.sample_id[cut.rows].tolist())
  assert run.findings['held_out'] == {
      'learnt_images': 12, 'learnt_people': 12,
      'judging_images': 12, 'judging_people': 12}
  assert run.record['notes'].count(cut.note) == 1
  assert cut.note in weakenings.weakenings(
      problem.dataset, problem.splits, method, seed=3)
  logits = problems.setting(problem).predictor(
      problem.original, cut.splits.val).logits
  assert run.record['accuracies']['original']['val'] == accuracy.accuracy(
      problem.task, logits, problem.dataset.labels[cut.splits.val]).value


def test_too_few_people_are_refused_before_anything_is_written(tmp_path):
  with pytest.raises(ValueError, match='Expected at least 3 people'):
    dlfd_jax.unlearn(problems.problem(), regun.ReGUnConfig(held_out=.01),
                     workdir=tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


@pytest.mark.slow
def test_an_evaluation_judges_harm_by_the_others_and_says_so(
    tmp_path, monkeypatch):
  path = runs_of.write_data(tmp_path)
  data = dlfd_jax.load_data(dlfd_jax.DataOptions(
      source=str(path), labels=('shade',)))
  parts = splits_lib.draw_partition(data, seed=0, val_fraction=.3)
  splits, _ = dlfd_jax.resolve_request(
      data, parts, dlfd_jax.ForgetRequest(people=3))
  original = dlfd_jax.train(
      data, parts, dlfd_jax.TrainConfig(epochs=2, batch_size=16),
      dlfd_jax.Network(architecture='tests.models.own_nets:Own'),
      devices=problems.devices())
  method = dlfd_jax.methods.margin_matching.MarginMatchingConfig(
      batch_size=16, epochs=1, held_out=.5)
  run = dlfd_jax.unlearn(
      original, method, splits, workdir=tmp_path / 'unlearned',
      devices=problems.devices())
  cut = held_out.set_aside(data, splits, .5, 0)
  wanted = [val_accuracy(one, cut.splits.val) for one in (original, run)]
  asked = []
  monkeypatch.setattr(usable, 'accuracy_drops', lambda *sides: asked.append(
      [side['val'].counts.value for side in sides]) or [])
  monkeypatch.setattr(usable, 'sentences', lambda found: ['Do not'])
  judged = dlfd_jax.evaluate(
      original, str(tmp_path / 'unlearned'), splits=splits, dataset=data,
      config=dlfd_jax.EvaluationConfig(bootstrap=20),
      devices=problems.devices())
  np.testing.assert_allclose(asked, [wanted], rtol=1e-6)
  assert judged.record['do_not_use'] == ['Do not']
  notes = set(judged.record['notes'])
  assert method.caution in notes and set(run.record['notes']) <= notes
  assert method.caution in judged.write_report(
      tmp_path / 'page.html').read_text()
