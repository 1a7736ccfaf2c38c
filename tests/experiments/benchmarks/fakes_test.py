"""Fakes of models that agree on how hard an image is."""

import collections
import dataclasses

import numpy as np
import pytest

from dlfd_jax.evaluation import inputs as inputs_lib
from experiments.benchmarks import fakes
from tests.evaluation import fakes as data_lib

_QUICK = inputs_lib.EvaluationConfig(bootstrap=100, permutations=20, draws=1)


def _world():
  data = data_lib.dataset(people=120, images=3)
  parts = data_lib.splits(data)
  hard = np.random.default_rng(99).normal(0, 1.5, len(data))

  def model(seed, memory=0.0):
    rng = np.random.default_rng(seed)
    found = {}
    for split, rows in parts.parts.items():
      z = rng.normal(0, .3, (len(rows), 4))
      z[np.arange(len(rows)), data.labels[rows]] += (
          1 + hard[rows] + memory * (split == 'forget')
          + 2 * (split == 'retain') + rng.normal(0, .5, len(rows)))
      found[split] = z.astype(np.float32)
    return found

  world = fakes.World(data, parts, model(0, memory=3.0),
                      [model(100 + i) for i in range(4)], model(1000))
  return world, model(7)


@pytest.fixture(scope='module')
def judged():
  world, honest = _world()
  return {row['name']: row for row in fakes.judge_all(
      world, honest, honest, _QUICK)}


@pytest.mark.long
@pytest.mark.parametrize('name, alone, beside', [
    ('original', True, True), ('shuffled_margins', False, True),
    ('other_images', False, True), ('mean_of_references', False, True),
    ('private_model', False, False), ('retrained', False, False)])
def test_who_is_seen_alone_and_beside_retrained_models(
    judged, name, alone, beside):
  row = judged[name]
  z = row['metrics']['reference_attack_two_sided']['z']
  assert (abs(z) > 3) == beside
  main = row['metrics']['gap_mia_auc_matched']
  assert (main['verdict'] == 'distinguishable') == alone
  if beside:
    assert fakes.seen_by(row, 1) and row['forgetting'] == 'distinguishable'


@pytest.mark.long
def test_a_mean_of_references_is_too_near_to_them(judged):
  found = judged['mean_of_references']['metrics']['reference_attack_two_sided']
  assert found['value'] < .4 and found['z'] < -3


def test_fakes_are_what_they_say():
  world, _ = _world()
  labels, val = world.labels('forget'), world.labels('val')
  np.testing.assert_array_equal(labels, val[world.of_val()])
  for fake, expected in (
      (fakes.shuffled_margins,
       world.margins(world.original, 'val')[world.of_val()]),):
    margins = world.margins({'forget': fake(world)}, 'forget')
    np.testing.assert_allclose(margins, expected, atol=1e-4)
  lowered = world.margins({'forget': fakes.lowered(world)}, 'forget')
  for label in np.unique(labels):
    assert lowered[labels == label].mean() == pytest.approx(
        world.margins(world.original, 'val')[val == label].mean(), abs=1e-4)


def test_a_class_that_val_has_not_gets_any_image_of_val():
  world, _ = _world()
  labels = world.dataset.labels.copy()
  labels[world.splits.val] %= 3  # class 3 is not there
  world = dataclasses.replace(
      world, dataset=dataclasses.replace(world.dataset, labels=labels))
  assert (world.labels('forget') == 3).any()
  for fake in fakes.FAKES:
    assert np.isfinite(fake(world)).all()


def test_references_agree_as_far_as_their_margins_correlate():
  world, _ = _world()
  # Of the variance 1.5^2 is shared, .5^2 and about .3^2 are each model's own.
  assert .8 < fakes.agreement(world) < .95


@pytest.mark.long
def test_the_page_has_a_row_a_model(judged):
  page = fakes.markdown({'worlds': [{
      'title': 'Faces', 'agreement': .7, 'references': 4,
      'forget': {'images': 1, 'people': 1}, 'test': {'images': 1, 'people': 1},
      'models': list(judged.values())}],
      'command': 'x', 'device': 'cpu', 'versions': {'jax': '1'}})
  for fake in fakes.FAKES:
    assert f'| {fakes.about(fake)} |' in page
  counts = collections.Counter(
      judged[fake.__name__]['forgetting'] for fake in fakes.FAKES)
  assert ('Faces (agreement 0.70): of 5 fakes '
          f'{counts["distinguishable"]} distinguishable') in page
  told = fakes.sentences({'models': [judged['shuffled_margins']]})[0]
  assert told.startswith(
      'Margins of val images of the same class, shuffled: distinguishable. '
      'Told apart at tier 0: ')
  assert 'reference AUC, two-sided' in told.partition('tier 1: ')[2]
