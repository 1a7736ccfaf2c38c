"""Predictions: one row per image, in order, whatever the batch and devices."""

import dataclasses

import jax
import numpy as np
import pytest

from dlfd_jax import predict
from dlfd_jax.data import batching
from tests import tiny

DATA = tiny.dataset(21)
MODEL = tiny.TinyNet()
ROWS = np.random.default_rng(0).permutation(21)[:17]


def _plain(variables, rows):
  """One direct application of the model."""
  images = DATA.images[rows].astype(np.float32) / 255
  return MODEL.apply(variables, images, train=False)


@pytest.mark.parametrize('devices, batch_size', [
    (1, 1), (1, 5), (1, 256), (2, 7), (4, 8), (8, 3)])
def test_predictions_do_not_depend_on_batch_size_or_devices(
    devices, batch_size):
  variables = tiny.variables()
  predictor = predict.Predictor(
      MODEL, DATA, tiny.devices(devices), batch_size=batch_size)
  assert predictor.batch_size % devices == 0
  out, wanted = predictor(variables, ROWS), _plain(variables, ROWS)
  assert out.logits.shape == (17, 3) and out.features.shape == (17, 6)
  np.testing.assert_allclose(out.logits, wanted.logits, atol=2e-6)
  np.testing.assert_allclose(out.features, wanted.features, atol=2e-6)
  assert isinstance(out.logits, np.ndarray)
  np.testing.assert_allclose(  # order, and one row alone
      predictor(variables, ROWS[3:4]).logits, wanted.logits[3:4], atol=2e-6)


def test_streamed_pixels_give_the_same_bits():
  variables = tiny.variables()
  resident, streamed = (
      predict.Predictor(
          MODEL, DATA, tiny.devices(2), batch_size=4, feed=batching.Feed(
              DATA, device_bytes))(variables, ROWS)
      for device_bytes in (2**20, 0))
  assert tiny.same(resident, streamed)


def test_one_compilation_serves_every_model_wherever_it_lies(
    count_compilations):
  where = tiny.devices(2)
  host = tiny.variables()
  placed = where.place(host)
  on_one = jax.device_put(host, jax.local_devices()[0])
  predictor = predict.Predictor(MODEL, DATA, where, batch_size=4)
  with count_compilations() as counts:
    outs = [predictor(v, ROWS) for v in (host, placed, on_one, host)]
    predictor(tiny.variables(seed=1), ROWS[:2])
  assert counts['_fun'] == 1
  assert all(tiny.same(outs[0], out) for out in outs[1:])


def test_the_variables_stay_usable():
  where = tiny.devices(2)
  placed = where.place(tiny.variables())
  predict.Predictor(MODEL, DATA, where)(placed, ROWS)
  assert tiny.same(placed, tiny.variables())


def test_labels_play_no_part():
  other = dataclasses.replace(DATA, labels=DATA.labels[::-1].copy())
  variables = tiny.variables()
  outs = [predict.Predictor(MODEL, data, tiny.devices())(variables, ROWS)
          for data in (DATA, other)]
  assert tiny.same(*outs)


def test_no_rows_are_refused():
  with pytest.raises(ValueError, match='at least one image, got 0'):
    predict.Predictor(MODEL, DATA, tiny.devices())(
        tiny.variables(), np.array([], int))


def test_several_parts_take_one_pass(monkeypatch):
  variables = tiny.variables()
  predictor = predict.Predictor(MODEL, DATA, tiny.devices(2), batch_size=6)
  parts = {'b': ROWS[:7], 'none': ROWS[:0], 'a': ROWS[5:]}
  calls = []
  run = predictor._run
  monkeypatch.setattr(
      predictor, '_run', lambda *read: calls.append(read) or run(*read))
  found = predictor.parts(variables, parts)
  assert list(found) == list(parts)
  assert len(calls) == 4  # 19 rows by 6
  assert found['none'].logits.shape == (0, 3)
  for name in ('a', 'b'):
    np.testing.assert_allclose(
        found[name].logits, _plain(variables, parts[name]).logits, atol=2e-6)
