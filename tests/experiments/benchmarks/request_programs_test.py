"""Small requests and requests in a row: sentences, tables and tiny studies."""

import dataclasses

import pytest

from dlfd_jax import presets
from dlfd_jax.data import sources
from experiments.benchmarks import (
  request_worlds as worlds,
  requests_in_a_row as row,
  small_requests as small,
)
from tests import tiny


def _cell(model, *member_like, size='image', **more):
  kept = {} if model not in worlds.METHODS else {
      'kept': {'val': -.01, 'test': .02, 'retain': 0.0}, 'cpu_s': 10.0,
      'do_not_use': False, 'taken': model}
  return {'size': size, 'model': model, 'runs': [
      {'people': [{'member_like': one, 'unseen': 39, 'p': 2 * (1 - one),
                   'smallest_p': .05}], **kept, **more}
      for one in member_like]}


def _task(*cells):
  return {'cells': list(cells), 'title': 'Faces', 'images': 900,
          'network': {'width': 8}, 'image_size': 32, 'train_epochs': 3,
          'references': 4, 'retraining_cpu_s': 40.0}


def test_a_summary_is_a_mean_over_requests_with_its_t_interval():
  found = small.summary(_cell('finetune', .4, .6, .8))
  assert found['member_like'] == pytest.approx(.6)
  assert found['half'] == pytest.approx(4.302653 * .2 / 3**.5)
  assert found['apart'] == 0 and found['ranked'] == 3
  assert found['val'] == {'mean': -.01, 'worst': -.01}
  assert small.summary(_cell('finetune', .99))['half'] is None
  assert small.summary(_cell('finetune', .99))['apart'] == 1


def test_sentences_accuse_beyond_the_interval_alone():
  seen = _cell('original', .97, .98, .99)
  said, = small.sentences(_task(
      seen, _cell('finetune', .9, .91, .92), _cell('eu_k_short', .4, .6, .5),
      _cell('default', .1, .12, .11)))
  assert said == ('One image: the original is seen; still more member-like '
                  'than chance: Fine-tuning; less than chance: Default (DLFD + '
                  'restore).')
  said, = small.sentences(_task(
      _cell('original', .3, .6, .9), _cell('finetune', .9, .91, .92)))
  assert 'not even the original is told apart' in said


def test_the_page_of_small_requests_says_cost_over_retraining():
  page = small.markdown({
      'requests': 3, 'tasks': [_task(_cell('eu_k_short', .4, .6, .5))],
      'command': 'a', 'device': 'cpu', 'versions': {'jax': '1'}})
  assert '10 (0.25)' in page and '-1.0 (-1.0)' in page
  assert 'allow is 0.050' in page


def test_who_hands_back_no_model_is_not_ranked():
  cell = _cell('auto', .4)
  cell['runs'].append(
      {'people': [], 'cpu_s': 30.0, 'taken': None, 'images': 1})
  found = small.summary(cell)
  assert found['ranked'] == 1 and found['do_not_use'] == 0
  assert found['cpu_s'] == 20 and found['taken'] == {'auto': 1, 'no model': 1}
  said = small.sentences(_task(_cell('original', .97, .98, .99), cell))
  assert said[-1] == 'Auto, one image: auto 1, no model 1.'


def test_a_row_that_ends_without_a_model_says_so():
  none = {'model': 'auto', 'done': 1, 'joined': False, 'cpu_s': 3.0,
          'do_not_use': False, 'taken': None}
  said = row.sentences({'rows': [_row('left out', 1, .01), none]})
  assert said[0] == ('**Auto, budget 150%** hands back no model at request 1.')
  page = row.markdown({
      'requests': 2, 'people': 1, 'command': 'x', 'device': 'cpu',
      'versions': {'jax': '1'},
      'tasks': [{**_task(), 'rows': [_row('left out', 1, .01), none]}]})
  assert '| Auto, budget 150% | 1 | - |' in page and '| none | no |' in page


def _row(model, done, gap, joined=False):
  return {'model': model, 'done': done, 'joined': joined, 'gap': gap,
          **dict.fromkeys(row._SHOWN, .5), 'cpu_s': 10.0, 'do_not_use': False,
          'taken': model}


@pytest.mark.parametrize('end, joined, nearer', [
    (.03, .05, 'the row of requests'), (.05, .03, 'the joined request'),
    (.04, .04, 'neither')])
def test_a_row_is_compared_with_all_requests_joined(end, joined, nearer):
  said = row.sentences({'rows': [
      _row('left out', 1, .01), _row('left out', 2, .02),
      _row('eu_k', 1, .02), _row('eu_k', 2, end), _row('eu_k', 2, joined, True)
  ]})
  assert f'{nearer} is nearer to retraining' in said[0]
  assert said[1].startswith('A retrained model that is no reference has a gap '
                            'of 0.010 to 0.020')


def test_the_gap_is_the_mean_of_absolute_differences():
  record = {'metrics': [
      {'metric': name, 'delta': {'value': value}, 'unlearned': {'value': 1}}
      for name, value in zip(worlds.GAP, (.1, -.1, .02, -.02))]}
  assert worlds.gap(record)['gap'] == pytest.approx(.06)
  assert worlds.value(record, worlds.GAP[0]) == 1
  assert worlds.value(record, 'other') is None


@pytest.fixture
def world_of(tmp_path, monkeypatch):
  """Opens the demo's world, of few small faces and a tiny network."""
  preset = presets.PRESETS['demo']
  monkeypatch.setitem(presets.PRESETS, 'demo', dataclasses.replace(
      preset,
      data=sources.DataOptions(image_size=16, people=40, images_per_person=2),
      network=presets.Network(architecture='tests.models.own_nets:Own'),
      train=dataclasses.replace(preset.train, epochs=1)))
  monkeypatch.setattr(worlds, 'REFERENCES', 2)
  common = {'devices': tiny.devices(), 'hooks': []}
  return common, lambda count: worlds.open_world(
      'demo', tmp_path, tmp_path, None, count, common)


@pytest.mark.long
def test_both_programs_from_training_to_the_page(world_of, monkeypatch):
  common, opened = world_of
  world = opened(5)
  assert world.retraining_cpu_s > 0
  origin = {'command': 'x', 'device': 'cpu', 'versions': {'jax': '1'}}
  found = small.measure(world, 5, ['finetune'], common)
  assert [len(cell['runs']) for cell in found['cells']] == [5] * 9
  of = {(cell['size'], cell['model']): cell['runs'] for cell in found['cells']}
  assert all(one['images'] == 1 for one in of['image', 'finetune'])
  assert all(one['images'] == 2 for one in of['person', 'finetune'])
  assert all(one['images'] == 10 for one in of['five', 'finetune'])
  assert '| five people | Fine-tuning |' in small.markdown(
      {'requests': 5, 'tasks': [found], **origin})

  chained = row.measure(world, 4, 1, ['finetune'], common)
  mine = [one for one in chained['rows'] if one['model'] == 'finetune']
  assert [(one['done'], one['joined']) for one in mine] == [
      (1, False), (2, False), (3, False), (4, False), (2, True), (4, True)]
  page = row.markdown(
      {'requests': 4, 'people': 1, 'tasks': [chained], **origin})
  assert '| Fine-tuning, joined | 4 |' in page

  def computed(*_, **__):
    raise AssertionError('computed again')

  monkeypatch.setattr(worlds.World, 'judge', computed)
  assert small.measure(opened(5), 5, ['finetune'], common) == found
  assert row.measure(opened(5), 4, 1, ['finetune'], common) == chained
