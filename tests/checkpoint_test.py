"""Saving and loading of loops and models; what does not fit is named."""

import contextlib
import errno
import json

import jax
import numpy as np
import pytest

from dlfd_jax import checkpoint, models, parallel
from dlfd_jax.utils import runs
from tests import tiny

CONFIG = models.ModelConfig(
    outputs=3, width=2, stem='small', mean=(0.1, 0.2, 0.3))
SIZE = (8, 8)


@pytest.fixture(scope='module')
def variables():
  """Values of any size in the shapes of the network, variances above 0."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(
      lambda key: models.init(models.build(CONFIG), key, SIZE),
      jax.random.key(0))
  return jax.tree.map(
      lambda x: abs(rng.normal(size=x.shape)).astype(x.dtype), shapes)


@pytest.fixture(scope='module')
def saved(variables, tmp_path_factory):
  folder = tmp_path_factory.mktemp('runs') / 'model'
  checkpoint.save_model(folder, variables, CONFIG, tiny.task(), SIZE)
  return folder


def _copy(saved, folder, change=None):
  """A copy of a saved model with another card."""
  target = folder / 'model'
  target.mkdir()
  (target / 'variables').symlink_to(saved / 'variables')
  card = json.loads((saved / 'model.json').read_text())
  if change is not None:
    change(card)
  (target / 'model.json').write_text(json.dumps(card))
  return target


@pytest.mark.parametrize('value, words', [
    (np.nan, 'finite numbers in .*, got 1 of'),
    (np.inf, 'finite numbers in .*, got 1 of'),
    (-1., 'variances of at least 0 in .*, got -1.0')])
def test_a_model_that_cannot_answer_is_refused(
    variables, tmp_path, value, words):
  spoilt = jax.tree.map(np.array, variables)
  spoilt['batch_stats']['bn1']['var'][0] = value
  checkpoint.save_model(tmp_path / 'm', spoilt, CONFIG, tiny.task(), SIZE)
  with pytest.raises(ValueError, match=words):
    checkpoint.load_model(tmp_path / 'm')


def _loop(folder):
  return contextlib.closing(checkpoint.LoopCheckpoints(folder))


def _tree(value=1.0, n=3):
  return {'state': {'w': np.full(n, value, np.float32), 'step': np.int32(4),
                    'key': jax.random.key(7)}}


def test_a_model_comes_back_bit_for_bit_with_its_card(saved, variables):
  model = checkpoint.load_model(saved)
  assert tiny.same(model.variables, variables)
  assert model.config == CONFIG
  assert model.task == tiny.task() and model.image_size == SIZE
  assert checkpoint.fingerprint(model.variables) == checkpoint.fingerprint(
      variables)


def test_a_loaded_model_rebuilds_its_network(saved, variables):
  model = checkpoint.load_model(saved)
  images = np.random.default_rng(1).uniform(size=(2, 8, 8, 3))
  apply = lambda config, v: models.build(config).apply(
      v, images.astype(np.float32), train=False).logits
  np.testing.assert_array_equal(
      apply(model.config, model.variables), apply(CONFIG, variables))


def test_a_model_is_found_in_its_runs_folder(saved, tmp_path):
  (tmp_path / 'checkpoints').mkdir()
  place = _copy(saved, tmp_path / 'checkpoints')
  assert checkpoint.find_model(tmp_path) == place
  assert checkpoint.find_model(place) == place


def test_a_folder_with_files_is_never_overwritten(saved, variables, tmp_path):
  for folder in (saved, tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match='Expected an empty folder .*, got '):
      checkpoint.save_model(folder, variables, CONFIG, tiny.task(), SIZE)
  assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']
  assert tiny.same(checkpoint.load_model(saved).variables, variables)


def _save(folder, variables):
  checkpoint.save_model(folder, variables, CONFIG, tiny.task(), SIZE)


@pytest.mark.parametrize('there, whole', [
    (('.dlfd_jax-0123456789abcdef.tmp',), True),
    (('.dlfd_jax-0123456789abcdef.tmp', 'variables'), True),
    (('.dlfd_jax-0123456789abcdef.tmp', 'variables', 'model.json'), True),
    (('.dlfd_jax-0123456789abcdef.tmp', 'variables', 'mine'), False),
    (('variables',), False), (('.tmp',), False)])
def test_a_model_that_was_cut_short_is_written_again(
    there, whole, variables, tmp_path):
  for name in there:
    (tmp_path / name).mkdir()
  if 'model.json' in there:
    (tmp_path / 'model.json').rmdir()
    (tmp_path / 'model.json').write_text('{}')
  if not whole:
    with pytest.raises(ValueError, match='Expected an empty folder'):
      _save(tmp_path, variables)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(there)
    return
  _save(tmp_path, variables)
  assert checkpoint.load_model(tmp_path)
  assert {p.name for p in tmp_path.iterdir()} == {'variables', 'model.json'}


def test_a_disk_that_fills_up_leaves_no_part_of_a_model(
    variables, tmp_path, monkeypatch):
  def full(path, value):
    raise OSError(errno.ENOSPC, 'full', str(path))
  with monkeypatch.context() as patch:
    patch.setattr(runs, 'write_json', full)
    with pytest.raises(OSError) as raised:
      _save(tmp_path, variables)
  assert raised.value.filename == str(tmp_path)
  assert list(tmp_path.iterdir()) == []
  _save(tmp_path, variables)


def test_an_unfinished_run_may_write_its_own_model_again(variables, tmp_path):
  checkpoint.save_model(
      tmp_path / 'model', variables, CONFIG, tiny.task(), SIZE)
  other = jax.tree.map(lambda x: x + 1, variables)
  checkpoint.save_model(
      tmp_path / 'model', other, CONFIG, tiny.task(), SIZE, replace=True)
  assert tiny.same(checkpoint.load_model(tmp_path / 'model').variables, other)


def test_placed_variables_are_saved_like_those_on_the_host(
    variables, tmp_path):
  checkpoint.save_model(
      tmp_path / 'model', tiny.devices(4).place(variables), CONFIG,
      tiny.task(), SIZE)
  assert tiny.same(
      checkpoint.load_model(tmp_path / 'model').variables, variables)


@pytest.mark.parametrize('field, value, words', [
    ('outputs', 4, r"\['classifier'\]\['bias'\] of .* to be float32 \[4\], "
     r'got float32 \[3\]'),
    ('width', 4, r'to be float32 \[4\], got float32 \[2\]'),
    ('head', 'paper', r"\['classifier'\]\['kernel'\] of .* to be float32 "
     r'\[128, 3\], got float32 \[16, 3\]'),
    ('architecture', 'vgg', "Expected architecture in .*, got 'vgg'"),
])
def test_a_card_of_another_architecture_is_refused(
    field, value, words, saved, tmp_path):
  folder = _copy(saved, tmp_path, lambda card: card['model'].update(
      {field: value}))
  with pytest.raises(ValueError, match=words):
    checkpoint.load_model(folder)


def test_another_type_is_refused(saved, variables, tmp_path):
  half = jax.tree.map(lambda x: x.astype(np.float16), variables)
  checkpoint.save_model(tmp_path / 'half', half, CONFIG, tiny.task(), SIZE)
  with pytest.raises(ValueError, match='to be float32 .*, got float16'):
    checkpoint.load_model(tmp_path / 'half')


@pytest.mark.parametrize('change, words', [
    (lambda card: card.update(schema=2),
     r'Expected .*model\.json to be of schema 1, got 2'),
    (lambda card: card.pop('task'),
     r'Expected task in .*model\.json, got none'),
    (lambda card: card['model'].update(depth=50),
     r'Expected model of .*model\.json without fields .*, got depth'),
])
def test_a_card_that_is_not_ours_is_refused(change, words, saved, tmp_path):
  with pytest.raises(ValueError, match=words):
    checkpoint.load_model(_copy(saved, tmp_path, change))


def test_a_missing_model_is_one_sentence(saved, tmp_path):
  with pytest.raises(
      FileNotFoundError, match='Expected a saved model in .*, found none'):
    checkpoint.load_model(tmp_path / 'nowhere')
  folder = _copy(saved, tmp_path)
  (folder / 'variables').unlink()
  with pytest.raises(
      FileNotFoundError, match='Expected a saved model in .*, found none'):
    checkpoint.load_model(folder)


def test_fingerprints_tell_models_apart(variables):
  first = checkpoint.fingerprint(variables)
  assert first == checkpoint.fingerprint(tiny.devices(2).place(variables))
  other = jax.tree.map(np.copy, variables)
  other['params']['conv1']['kernel'][0, 0, 0, 0] += 1e-3
  assert checkpoint.fingerprint(other) != first


@pytest.mark.parametrize('saved_on, loaded_on', [(1, 1), (2, 1), (1, 4)])
def test_a_loop_comes_back_on_any_devices(saved_on, loaded_on, tmp_path):
  meta = {'step': 4, 'loss': 0.1 + 0.2, 'empty': None, 'history': [{'a': 1}]}
  with _loop(tmp_path) as saver:
    assert saver.latest() is None
    saver.save(4, tiny.devices(saved_on).place(_tree()), meta)
    assert saver.latest() == 4
  with _loop(tmp_path) as saver:
    assert saver.latest() == 4 and saver.meta(4) == meta
    tree = saver.restore(4, tiny.devices(loaded_on).place(_tree(0.0)))
  state = tree['state']
  assert len(state['w'].sharding.device_set) == loaded_on
  np.testing.assert_array_equal(parallel.fetch(state['w']), np.ones(3))
  np.testing.assert_array_equal(
      jax.random.bits(state['key'], (4,)),
      jax.random.bits(jax.random.key(7), (4,)))


def test_a_loop_keeps_its_two_newest_steps_and_saves_a_step_once(tmp_path):
  with _loop(tmp_path) as saver:
    for step in (1, 2, 3, 3):
      saver.save(step, _tree(float(step)), {'step': step})
    saver.save(3, _tree(9.0), {'step': 9})
    assert saver.latest() == 3 and saver.meta(3) == {'step': 3}
    assert (saver.restore(3, _tree())['state']['w'] == 3).all()
    assert saver.meta(2) == {'step': 2}
    with pytest.raises(ValueError, match='step 1 after step 3'):
      saver.save(1, _tree(), {})


def test_a_loop_of_another_version_is_one_sentence(tmp_path):
  saver = checkpoint.LoopCheckpoints(tmp_path)
  saver.save(1, {'a': np.zeros(2)}, {'step': 1})
  [meta] = tmp_path.glob('loop/1/meta/metadata')
  meta.write_text('{"step": 1}')
  with pytest.raises(ValueError, match='checkpoint of this version'):
    saver.meta(1)


def test_a_save_that_was_cut_off_does_no_harm(tmp_path):
  with _loop(tmp_path) as saver:
    saver.save(1, _tree(), {'step': 1})
  torn = tmp_path / 'loop' / '2.orbax-checkpoint-tmp-0' / 'state'
  torn.mkdir(parents=True)
  (torn / 'data').write_bytes(b'half')
  with _loop(tmp_path) as saver:
    assert saver.latest() == 1
    saver.save(2, _tree(2.0), {'step': 2})
    assert saver.latest() == 2


@pytest.mark.parametrize('like, words', [
    (_tree(n=5), r'state/w of the saved step 4 to be float32 \[5\], '
     r'got float32 \[3\]'),
    ({'state': {**_tree()['state'], 'w': np.ones(3, np.float16)}},
     r'to be float16 \[3\], got float32 \[3\]'),
    ({'state': {**_tree()['state'], 'v': np.ones(3)}},
     r'v .* to be float64 \[3\], got absent'),
])
def test_a_loop_of_other_arrays_is_refused(like, words, tmp_path):
  with _loop(tmp_path) as saver:
    saver.save(4, _tree(), {})
    with pytest.raises(ValueError, match=words):
      saver.restore(4, like)


def _damage(folder, step):
  files = (p for p in (folder / 'loop' / str(step)).rglob('*') if p.is_file())
  file = max(files, key=lambda p: p.stat().st_size)
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 255
  file.write_bytes(data)


def test_a_damaged_step_gives_way_to_the_one_before(tmp_path):
  with _loop(tmp_path) as saver:
    for step in (5, 10):
      saver.save(step, _tree(step), {'at': step})
  _damage(tmp_path, 10)
  with _loop(tmp_path) as saver:
    with pytest.warns(UserWarning, match='step 10 .* was altered or is not'):
      assert saver.latest() == 5
    assert saver.meta(5) == {'at': 5}
    saver.save(10, _tree(11), {'at': 10})  # the run comes there again
    assert saver.latest() == 10
    assert saver.restore(10, _tree())['state']['w'][0] == 11
    _damage(tmp_path, 5)
    _damage(tmp_path, 10)
    with (pytest.warns(UserWarning, match='step 10'),
          pytest.raises(ValueError, match='start again in an empty folder')):
      saver.latest()


def test_an_empty_step_folder_gives_way_to_the_one_before(tmp_path):
  with _loop(tmp_path) as saver:
    saver.save(5, _tree(), {'at': 5})
  (tmp_path / 'loop' / '7').mkdir()
  with _loop(tmp_path) as saver:
    with pytest.warns(UserWarning, match='step 7 .* is not whole'):
      assert saver.latest() == 5
    assert saver.meta(5) == {'at': 5}


def test_steps_of_a_version_without_checksums_load(tmp_path):
  with _loop(tmp_path) as saver:
    saver.save(5, _tree(), {'at': 5})
  (tmp_path / 'sha256.json').unlink()
  with _loop(tmp_path) as saver:
    assert saver.latest() == 5


def test_a_card_without_a_checksum_loads(saved, tmp_path, variables):
  old = _copy(saved, tmp_path, lambda card: card.pop('sha256'))
  loaded = checkpoint.load_model(old).variables
  assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(variables)
