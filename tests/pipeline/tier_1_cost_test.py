"""What an evaluation is expected to take: counts times what was timed."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import checkpoint, models
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  references as references_lib,
  run as run_lib,
)
from dlfd_jax.pipeline import (
  expected_cost,
  finished_runs,
  predictors as predictors_lib,
  tier_1_cost,
)
from tests import tiny

DATA = tiny.dataset(40)
SPLITS = splits_lib.Splits(*np.split(np.arange(40), [16, 24, 32]))
STEP_S = {'8': 3.0, '32': 10.0}
IMAGE_S = .5


def _saved():
  return checkpoint.SavedModel({}, models.ModelConfig(
      architecture='tests.tiny:TinyNet', outputs=3), DATA.task,
                               DATA.image_size)


class _Tuners:

  def of(self, config):
    del config
    return self

  def call(self, variables, rows, batch_size, steps):
    del variables, rows, steps
    return batch_size


def test_steps_by_their_size_and_images(monkeypatch):
  monkeypatch.setattr(expected_cost, 'step_seconds', lambda calls, devices: {
      size: STEP_S[size] for size in calls})
  monkeypatch.setattr(expected_cost, 'image_seconds', lambda *more: IMAGE_S)
  run = finished_runs.Run
  rows = np.arange(9)
  left = [run(name='outputs/original', images=100),
          run(name='half/0', images=10),
          run(name='relearn/unlearned/0', images=4, steps=5, batch_size=8,
              rows=rows, stage='learning'),
          run(name='recovery/original/retain', images=2, steps=7,
              batch_size=32, rows=rows, stage='bringing back'),
          run(name='recovery/original/part_5', images=2, steps=7, batch_size=8,
              rows=rows, stage='bringing back')]
  predictors = predictors_lib.Predictors(DATA, tiny.devices())
  assert tier_1_cost.of_runs(left, _saved(), _Tuners(), predictors, rows) == {
      'answers': 110 * IMAGE_S, 'learning': 4 * IMAGE_S + 5 * 3,
      'bringing back': 4 * IMAGE_S + 7 * 10 + 7 * 3}
  assert tier_1_cost.of_runs([], _saved(), None, predictors, rows) == {}


def test_probes_and_alignment_of_every_model_and_pair(monkeypatch):
  monkeypatch.setattr(tier_1_cost, '_seconds', lambda call: 1.0)
  config = inputs_lib.ReferenceConfig(
      probe_permutations=20, jackknife_groups=6)

  def seconds(*kept):
    return tier_1_cost.of_features(DATA, SPLITS, _saved(), 4, config, kept)

  # Four models and a random network: membership, label, two of people; people
  # swapped; six pairs and each model with itself on two splits, in two forms
  # and of one block.
  whole = 5 * 4 + 20 + (6 + 4) * 2 * 3
  assert seconds() == whole
  assert seconds('figures/permuted/unlearned') == whole - 20
  assert seconds('figures/probe_label/original', 'outputs/original',
                 'figures/cka/test/a/b/cka_unbiased/') == pytest.approx(
                     whole - 1 - 10 / 6)


def test_the_figures_of_an_evaluation_are_those_that_are_expected(monkeypatch):
  """Whatever is renamed there would be expected though it is kept."""
  identity = np.concatenate([np.arange(32), np.repeat(np.arange(32, 36), 2)])
  identity[SPLITS.forget] = np.repeat(identity[SPLITS.forget][::2], 2)
  data = dataclasses.replace(DATA, identity=identity.astype(np.int32))
  rng, kept = np.random.default_rng(0), {}

  def some(split, width):
    return rng.normal(size=(len(SPLITS.parts[split]), width))

  def keep(name, make):
    kept[name] = make()
    return kept[name]

  names = ('original', 'unlearned', 'retrained_0', 'retrained_1')
  logits = {name: {split: some(split, 3) for split in SPLITS.parts}
            for name in names}
  run_lib.evaluate(
      {**{name: logits[name] for name in names[:2]},
       'retrained': [logits[name] for name in names[2:]]}, data, SPLITS,
      inputs_lib.EvaluationConfig(bootstrap=20, permutations=20, draws=1),
      tier=1, references=references_lib.References(
          features={name: {split: some(split, 6)
                           for split in inputs_lib.FEATURED}
                    for name in (*names, inputs_lib.RANDOM)},
          blocks={name: {split: {'bn': some(split, 6)}
                         for split in inputs_lib.FEATURED} for name in names}),
      keep=keep)
  monkeypatch.setattr(tier_1_cost, '_seconds', lambda call: 1.0)

  def seconds(known):
    return tier_1_cost.of_features(
        data, SPLITS, _saved(), 4, inputs_lib.ReferenceConfig(), known)

  assert seconds(kept) == 0 < seconds(())
  kinds = {name.split('/')[1] for name in kept} - {'silhouette'}  # takes none
  assert len(kinds) == 6
  for kind in kinds:
    assert seconds({name for name in kept
                    if name.split('/')[1] != kind}) > 0, kind


def test_the_images_of_one_person_are_told_apart_one_by_one(monkeypatch):
  tried = []
  monkeypatch.setattr(tier_1_cost, '_seconds', lambda call: (
      tried.append(call), 0.0)[1])
  one = dataclasses.replace(DATA, identity=np.where(
      np.isin(np.arange(40), SPLITS.forget), 0, DATA.identity + 1).astype(
          np.int32))
  config = inputs_lib.ReferenceConfig()
  tier_1_cost.of_features(one, SPLITS, _saved(), 4, config, ())
  assert len(tried) == 6  # the membership probe once for both of its kinds
  forget, unseen = tried[0]()
  assert [len(forget), len(unseen)] == [8, 8]


def test_a_probe_on_noise_takes_its_time_and_too_few_people_none():
  config = inputs_lib.ReferenceConfig()
  assert 0 < tier_1_cost.of_features(
      DATA, SPLITS, _saved(), 2, config, ()) < 60
  few = splits_lib.Splits(*np.split(np.arange(40), [16, 17, 39]))
  assert tier_1_cost.of_features(DATA, few, _saved(), 2, config, ()) >= 0


def test_a_batch_is_timed_once_it_is_compiled(monkeypatch):
  clock = iter([0.0, 100.0, 200.0, 201.0])
  monkeypatch.setattr(expected_cost.time, 'perf_counter', lambda: next(clock))

  def predictor(variables, rows):
    assert variables == 'variables' and len(rows) == 4

  predictor.batch_size = 4
  assert expected_cost.image_seconds(
      predictor, 'variables', np.arange(9)) == pytest.approx(.25)
