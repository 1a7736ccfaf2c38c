"""Candidates in turn: what passes, what cannot, and what is resumed."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest

import dlfd_jax
from dlfd_jax import checkpoint, presets
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.methods import base, margin_matching
from dlfd_jax.metrics import paired, usable
from dlfd_jax.pipeline import (
  acceptance,
  auto,
  candidates,
  expected_cost,
  job,
  unlearn,
)
from dlfd_jax.utils import runs
from tests import grids, tiny

pytestmark = pytest.mark.usefixtures('shared_compilations')
NETWORK = dlfd_jax.Network(architecture='tests.models.own_nets:Memory')
RATE = dlfd_jax.OptimizerConfig(learning_rate=.05)
RECIPE = dlfd_jax.TrainConfig(epochs=30, batch_size=16, optimizer=RATE)
# A rate that is 0 in float32.
NOTHING = dlfd_jax.Candidate('nothing', dlfd_jax.FinetuneConfig(
    batch_size=16, optimizer=dlfd_jax.OptimizerConfig(
        learning_rate=1e-46, weight_decay=0.0)))
HARDLY = dlfd_jax.Candidate('hardly', dlfd_jax.FinetuneConfig(
    batch_size=16, optimizer=dlfd_jax.OptimizerConfig(learning_rate=1e-6)))


def anew(name, blocks, epochs=10):
  return dlfd_jax.Candidate(name, dlfd_jax.EUKConfig(
      k=blocks, epochs=epochs, batch_size=16, optimizer=RATE))


HALF, ALL = anew('half', 1), anew('all', 2)
RETRAIN = dlfd_jax.Candidate('retrain', dataclasses.replace(RECIPE, seed=9))


@pytest.fixture(scope='module')
def work():
  """Noisy images that the original knows by heart."""
  rng = np.random.default_rng(1)
  n = 240
  shade = np.tile([0, 1], n // 2).astype(np.int32)
  images = rng.integers(0, 215, (n, 8, 8, 3)) + 20 * shade[:, None, None, None]
  data = dataset_lib.Dataset(
      images=images.astype(np.uint8), labels=shade,
      identity=np.repeat(np.arange(80), 3).astype(np.int32),
      sample_id=np.array([f'i{i:03}' for i in range(n)]),
      task=tiny.task(outputs=2))
  parts = dlfd_jax.draw_partition(
      data, seed=0, val_fraction=.3, test_fraction=.1)
  return data, parts, dlfd_jax.train(data, parts, RECIPE, NETWORK)


def request(work, **wanted):
  data, parts, _ = work
  return dlfd_jax.resolve_request(
      data, parts, dlfd_jax.ForgetRequest(**wanted))[0]


def outcomes(run):
  return {one['name']: one['outcome'] for one in run.candidates}


@pytest.mark.slow
def test_the_first_that_passes_is_taken_and_all_are_listed(work, tmp_path):
  said = []
  run = dlfd_jax.auto(
      work[2], request(work, people=14), budget=5, workdir=tmp_path / 'run',
      candidates=[NOTHING, HARDLY, HALF, ALL, RETRAIN], hooks=[
          lambda event: said.append(event.get('sentence', ''))])
  assert run.taken == 'all' and outcomes(run) == {
      'nothing': 'refused', 'hardly': 'refused', 'half': 'refused',
      'all': 'taken', 'retrain': 'not needed'}
  nothing, hardly, half, taken, _ = run.candidates
  assert nothing['because'] == ['It equals the original bit by bit.']
  assert set(nothing['p_as_original'].values()) == {1.0}
  assert 'remembers' in hardly['because'][0]
  found = run.record['auto']
  assert found['tried'] == 4 and found['level_each'] == .05 / 4
  assert all(p <= .05 / 4 for p in taken['p_as_original'].values())
  assert not any(one['rejects'] for one in taken['seen'])
  assert all(one['remembers'] for one in found['original'])
  one = unlearn.unlearn(work[2], ALL.config, request(work, people=14))
  assert checkpoint.fingerprint(run.variables) == checkpoint.fingerprint(
      one.variables)
  assert run.record['accuracies']['unlearned'] == taken['accuracies']
  expected = [text for text in said if text.startswith('Candidate ')]
  assert len(expected) == 4 and all('Expected: about' in t for t in expected)
  assert json.loads((tmp_path / 'run' / runs.RESULT).read_text())[
      'auto']['candidates'] == run.candidates
  assert run.record['time']['total_s'] >= sum(
      one['took_s'] for one in run.candidates)


def _answers(monkeypatch, **by_name):
  """What candidates lose on val, (low, loss, high) by their name."""
  tried = []
  one = auto._Candidates._try

  def noted(self, number, candidate, *more):
    tried.append(candidate.name)
    return one(self, number, candidate, *more)

  def losses(original, unlearned):
    low, lost, high = by_name[tried[-1]]
    return [usable.AccuracyDrop('val', .5, .5 - lost, low, high, 72, 24)]

  monkeypatch.setattr(auto._Candidates, '_try', noted)
  monkeypatch.setattr(usable, 'accuracy_drops', losses)


SHOWN, WITHIN, BEYOND, LOST = (
    (-.01, .0, .01), (-.04, .01, .06), (-.01, .03, .07), (.01, .03, .05))
OTHER = dataclasses.replace(ALL, name='other')


@pytest.mark.slow
@pytest.mark.parametrize('losses, names, outcome', [
    # What may have kept it waits for what has.
    ((WITHIN, SHOWN), 'all other', 'held back, taken'),
    *grids.some([
        # One that lost no more than it may stands before retraining.
        ((WITHIN, LOST), 'all retrain', 'taken, not needed'),
        ((BEYOND, LOST), 'all retrain', 'held back, taken'),
        ((SHOWN, LOST), 'all other', 'taken, not needed'),
        ((LOST, SHOWN), 'all other', 'refused, taken'),
        ((WITHIN, WITHIN), 'all other', 'taken, held back'),
        ((BEYOND, WITHIN), 'all other', 'held back, taken'),
        ((BEYOND, BEYOND), 'all other', 'taken, held back'),
        ((LOST, LOST), 'all other', 'refused, refused')], 8)])
def test_what_val_cannot_say_comes_after_what_it_can(
    work, monkeypatch, losses, names, outcome):
  names = names.split()
  _answers(monkeypatch, **dict(zip(names, losses, strict=True)))
  run = dlfd_jax.auto(
      work[2], request(work, people=14), budget=5,
      candidates=[{'all': ALL, 'other': OTHER, 'retrain': RETRAIN}[name]
                  for name in names])
  assert list(outcomes(run).values()) == outcome.split(', ')
  if run.taken is None:
    assert run.record['no_model']
    return
  found = dict(zip(names, losses, strict=True))[run.taken]
  assert bool(run.record['do_not_use']) == (found[1] > .02)
  taken = run.candidates[names.index(run.taken)]
  unsure = found in (WITHIN, BEYOND)
  assert ('cannot be said' in ' '.join(taken['because'])) == unsure
  assert ('cannot be said' in run.record['auto']['sentence']) == unsure
  assert taken['losses'][0]['answer'] == (
      'kept' if found == SHOWN else 'lost' if found == LOST else 'cannot say')


@pytest.mark.parametrize('candidate', [
    NOTHING, pytest.param(ALL, marks=pytest.mark.slow)])
def test_of_one_image_no_candidate_can_be_said_to_forget_it(work, candidate):
  splits = request(work, sample_ids=(
      str(work[0].sample_id[work[1].train[0]]),))
  run = dlfd_jax.auto(work[2], splits, budget=5, candidates=[candidate])
  assert run.taken is None and outcomes(run) == {candidate.name: 'skipped'}
  assert 'Cannot say' in run.record['no_model'] and not run.record['weights']
  with pytest.raises(ValueError, match='Expected a model that auto took'):
    run.variables  # noqa: B018


@pytest.mark.slow
def test_of_one_image_exact_retraining_is_taken_unseen(work):
  splits = request(work, sample_ids=(
      str(work[0].sample_id[work[1].train[0]]),))
  exact = dlfd_jax.auto(
      work[2], splits, budget=5, candidates=[NOTHING, RETRAIN])
  assert exact.taken == 'retrain'
  again = dlfd_jax.train(work[0], splits, RETRAIN.config, NETWORK, on='retain')
  assert checkpoint.fingerprint(exact.variables) == checkpoint.fingerprint(
      again.variables)


def test_an_original_that_nothing_rejects_allows_no_claim(work):
  data, parts, _ = work
  fresh = dlfd_jax.train(
      data, parts, dataclasses.replace(
          RECIPE, epochs=1, optimizer=HARDLY.config.optimizer), NETWORK)
  run = dlfd_jax.auto(
      fresh, request(work, people=14), budget=5, candidates=[NOTHING, ALL])
  assert run.taken is None and 'no attack sees' in run.record['auto']['blind']
  assert all('Nothing could tell' in one['because'][0]
             for one in run.candidates)


@pytest.mark.parametrize('budget', [
    None, '', 0, -1, 'soon', '0%', 'nan', 'inf'])
def test_without_a_budget_there_is_no_claim(work, budget):
  with pytest.raises(ValueError, match='Expected a budget'):
    dlfd_jax.auto(work[2], request(work, people=14), budget=budget)


@pytest.mark.parametrize('budget', [1e-6, '.001%'])
def test_what_does_not_fit_into_the_budget_is_not_begun(work, budget):
  run = dlfd_jax.auto(
      work[2], request(work, people=14), budget=budget,
      candidates=[ALL, RETRAIN])
  assert set(outcomes(run).values()) == {'skipped'} and run.taken is None
  assert 'within the budget' in run.record['no_model']
  assert any(words in run.candidates[0]['because'][0] for words in (
      'Nothing is left', 'It is expected to take'))


@pytest.mark.long
def test_what_is_expected_to_take_too_long_is_skipped(work, monkeypatch):
  monkeypatch.setattr(
      expected_cost, 'of_method', lambda problem, config, *more: 3600.0)
  run = dlfd_jax.auto(
      work[2], request(work, people=14), budget=5, candidates=[ALL, RETRAIN])
  assert outcomes(run) == {'all': 'skipped', 'retrain': 'taken'}
  skipped = run.candidates[0]
  assert skipped['expected_s'] == 3600 and skipped['left_s'] > 200
  assert 'expected to take about 60 min; about 5 min' in skipped['because'][0]


@pytest.mark.slow
def test_a_share_is_one_of_retraining(work):
  run = dlfd_jax.auto(work[2], request(work, people=14), budget='900%',
                      candidates=[RETRAIN])
  found = run.record['auto']
  assert found['budget_s'] == pytest.approx(9 * found['retrain_s'])
  assert found['budget'] == '900%'
  # Of work alone; timing, compiling and judging are no part of retraining.
  took, = run.candidates
  assert took['charged_s'] == found['charged_s'] < took['took_s']


@pytest.mark.long
def test_attributes_are_judged_as_classes_are():
  rng = np.random.default_rng(1)
  n = 240
  marks = rng.integers(0, 2, (n, 2)).astype(np.int32)
  images = rng.integers(0, 215, (n, 8, 8, 3)) + 20 * marks[:, :1, None, None]
  marks[::7, 1] = -1  # nobody knows
  data = dataset_lib.Dataset(
      images=images.astype(np.uint8), labels=marks,
      identity=np.repeat(np.arange(80), 3).astype(np.int32),
      sample_id=np.array([f'i{i:03}' for i in range(n)]),
      task=tiny.task('multilabel', 2))
  parts = dlfd_jax.draw_partition(
      data, seed=0, val_fraction=.3, test_fraction=.1)
  original = dlfd_jax.train(data, parts, RECIPE, NETWORK)
  run = dlfd_jax.auto(
      original, request((data, parts, None), people=14), budget=5,
      candidates=[NOTHING, HARDLY, ALL, RETRAIN])
  nothing, hardly, *_ = run.candidates
  assert nothing['outcome'] == hardly['outcome'] == 'refused'
  assert 'remembers' in hardly['because'][0] and run.taken in ('all', 'retrain')
  for one in run.candidates[:3]:
    lost, = (loss for loss in one['losses'] if loss['part'] == 'val')
    assert lost['low'] <= lost['original'] - lost['unlearned'] <= lost['high']
    assert lost['units'] == 24 and lost['images'] == 72


@pytest.mark.long
def test_it_judges_alike_on_many_devices(work):
  one, many = (dlfd_jax.auto(
      work[2], request(work, people=14), budget=5,
      candidates=[NOTHING, HARDLY, ALL, RETRAIN], devices=tiny.devices(count))
               for count in (1, 4))
  assert outcomes(one) == outcomes(many) and one.taken
  for a, b in zip(one.candidates, many.candidates, strict=True):
    assert [s['attack'] for s in a['seen']] == [s['attack'] for s in b['seen']]
    for side, other in zip(a['seen'], b['seen'], strict=True):
      assert side['auc'] == pytest.approx(other['auc'], abs=.02)
      assert side['null_95'] == pytest.approx(other['null_95'], abs=.02)


class Killed(Exception):
  pass


@pytest.mark.parametrize('after', [
    pytest.param(1, marks=pytest.mark.slow),
    pytest.param(2, marks=pytest.mark.long)])
def test_killed_between_candidates_nothing_is_done_again(
    work, tmp_path, monkeypatch, after):
  splits, folder = request(work, people=14), tmp_path / 'run'
  ran = []
  real = unlearn.unlearn

  def counted(original, config, *given, **more):
    ran.append(config.title + str(getattr(config, 'k', '')))
    return real(original, config, *given, **more)

  monkeypatch.setattr(unlearn, 'unlearn', counted)
  left = [after]

  def kill(event):
    if ': refused' in event.get('sentence', ''):
      left[0] -= 1
      if not left[0]:
        raise Killed

  def start(hooks=()):
    return dlfd_jax.auto(
        work[2], splits, budget=5, workdir=folder, hooks=hooks,
        candidates=[HARDLY, HALF, ALL])

  with pytest.raises(Killed):
    start([kill])
  assert len(ran) == after and not (folder / runs.RESULT).exists()
  run = start()
  assert ran == ['Fine-tuning', 'EU-k1', 'EU-k2'] and run.taken == 'all'
  whole = dlfd_jax.auto(work[2], splits, budget=5,
                        candidates=[HARDLY, HALF, ALL])
  assert checkpoint.fingerprint(run.variables) == checkpoint.fingerprint(
      whole.variables)
  assert outcomes(run) == outcomes(whole)
  ran.clear()
  again = start()
  assert not ran and again.record == run.record


@pytest.mark.long
def test_references_add_the_two_sided_attack(work):
  splits = request(work, people=14)
  others = [dlfd_jax.train(
      work[0], splits, dataclasses.replace(RECIPE, seed=seed), NETWORK,
      on='retain') for seed in (1, 2, 3)]
  run = dlfd_jax.auto(work[2], splits, budget=5, candidates=[HALF, RETRAIN],
                      references=others)
  seen = {one['attack']: one for one in run.record['auto']['original']}
  assert seen['references']['remembers']
  assert run.candidates[0]['outcome'] == 'refused'
  with pytest.raises(ValueError, match='at least 3 reference models, got 2'):
    dlfd_jax.auto(work[2], splits, budget=5, candidates=[HALF],
                  references=others[:2])
  with pytest.raises(ValueError, match='trained on the retain images'):
    dlfd_jax.auto(work[2], splits, budget=5, candidates=[HALF],
                  references=[*others[:2], work[2]])


def test_what_is_tried_by_default(work):
  _, _, original = work
  recipe, known = candidates.recipe_of(
      job.judged(original).config, presets.PRESETS['demo'], seed=3)
  assert known and dataclasses.replace(recipe, seed=0) == RECIPE
  assert recipe.seed not in range(1000)  # those of references
  found = candidates.default(presets.PRESETS['demo'], recipe, original.model)
  assert [one.name for one in found] == list(candidates.DEFAULT)
  assert [one.exact for one in found] == [False] * 4 + [True]
  short, deep = found[1].config, found[3].config
  assert (short.k, short.epochs, deep.k, deep.epochs) == (1, 10, 1, 15)
  without = candidates.default(presets.PRESETS['demo'], recipe, object())
  assert [one.name for one in without] == [
      'finetune', 'dlfd_restore', 'retrain']
  unknown, known = candidates.recipe_of({}, presets.PRESETS['demo'])
  assert not known and unknown.epochs == presets.PRESETS['demo'].train.epochs
  looks = sum(not one.exact for one in found)
  assert paired.fewest(.05 / looks) == 7  # people; as docs/choosing.md says


def test_nobody_is_judged_by_what_a_candidate_learnt_from(work):
  splits = request(work, people=14)
  problem = dlfd_jax.Problem(work[2].model, work[2].variables, work[0], splits)
  learns = margin_matching.MarginMatchingConfig()
  found = auto._unread(problem, [
      HALF, dlfd_jax.Candidate('learns', learns), RETRAIN])
  part = base.set_aside(learns, work[0], splits, 0)
  assert set(found.splits.val) == set(splits.val) - set(part.rows)
  assert len(found.splits.val) < len(splits.val)
  same = auto._unread(problem, [HALF, RETRAIN])
  assert list(same.splits.val) == list(splits.val)


@pytest.mark.long
def test_stopped_within_a_candidate_it_goes_on_there(work, tmp_path):
  splits, steps = request(work, people=14), []

  def stop(event):
    if event['event'] == 'tick':
      steps.append(event['step'])
      if len(steps) == 20:
        os.kill(os.getpid(), signal.SIGTERM)

  def start(*hooks, folder=tmp_path / 'run'):
    return dlfd_jax.auto(
        work[2], splits, budget=5, workdir=folder, hooks=hooks,
        candidates=[HALF, ALL])

  with pytest.raises(dlfd_jax.Interrupted, match='the same command goes on'):
    start(stop)
  begun = len(steps)
  run = start(lambda event: steps.append(event['step'])
              if event['event'] == 'tick' else None)
  whole = start(folder=tmp_path / 'whole')
  assert run.taken == whole.taken == 'all'
  assert checkpoint.fingerprint(run.variables) == checkpoint.fingerprint(
      whole.variables)
  assert len(steps) - begun < sum(one['steps'] for one in run.candidates)


@pytest.mark.parametrize('names, match', [
    (['magic'], 'Expected candidates of eu_k_short'),
    ([], 'at least one candidate'), ([ALL, ALL], 'each candidate once')])
def test_bad_lists_of_candidates(work, names, match):
  with pytest.raises(ValueError, match=match):
    dlfd_jax.auto(work[2], request(work, people=14), budget=5,
                  candidates=names)


def test_what_an_attack_says_against_exact_retraining_is_told():
  seen = acceptance.Seen('images', .9, .2, (.9,) * 8)
  found = auto._alarms({'images': seen})
  assert 'sees that it remembers' in found[0] and 'copies' in found[1]
  assert auto._alarms({'images': dataclasses.replace(seen, auc=.5)}) == []


@pytest.mark.parametrize('name', ['', 'a/b', '..', '-x'])
def test_bad_names_of_candidates(name):
  with pytest.raises(ValueError, match='Expected a name'):
    dlfd_jax.Candidate(name, RECIPE)
