"""Features in two dimensions, and the picture of collapse."""

import functools

import numpy as np
import pytest

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import figure_features as lib
from tests.report import pictures

GROUPS = np.resize([0, 1, 2], 30)


def _features():
  return np.random.default_rng(0).normal(size=(30, 5)) * [5, 3, .1, .1, .1]


def _panels():
  cells = {'probe_label_test': Estimate(.5, .4, .6),
           'probe_people_test': Estimate.missing('not measured')}
  return [lib.Panel(name, name, *lib.project(_features(), 'pca'), cells)
          for name in ('original', 'dlfd', 'retrained')]


def test_pca_keeps_the_distances_of_features_in_a_plane():
  flat = _features() * [1, 1, 0, 0, 0]
  points = lib.project(flat, 'pca')[0]
  gaps = lambda x: np.linalg.norm(x[:, None] - x, axis=-1)
  np.testing.assert_allclose(gaps(points), gaps(flat), atol=1e-9)


@pytest.mark.parametrize('method', lib.PROJECTIONS)
def test_a_projection_is_finite_and_repeatable(method):
  one, two = (lib.project(_features(), method, seed=3)[0] for _ in 'ab')
  assert one.shape == (30, 2)
  assert np.isfinite(one).all()
  np.testing.assert_array_equal(one, two)


def test_collapsed_features_are_one_point():
  assert not lib.project(np.ones((9, 4)), 'tsne')[0].any()


def test_groups_name_classes_and_vectors_of_attributes():
  place, names = lib.groups_of(np.array([1, 0, -1]), ['a', 'b'], False)
  assert [names[i] for i in place] == ['b', 'a', 'unknown']
  place, names = lib.groups_of(
      np.array([[1, 1], [0, 1], [-1, 0]]), ['male', 'young'], True)
  assert [names[i] for i in place] == ['male, young', 'young', 'male?']


def test_rare_groups_become_one():
  labels = np.concatenate([np.repeat(np.arange(7), 3), np.arange(7, 20)])
  place, names = lib.groups_of(labels, [str(i) for i in range(20)], False)
  assert names == [*'0123456', 'other']
  assert (place == 7).sum() == 13


def test_a_sample_is_sorted_fixed_and_no_larger_than_asked():
  rows = lib.sample(100, 10, 0)
  np.testing.assert_array_equal(rows, lib.sample(100, 10, 0))
  assert len(set(rows.tolist())) == 10 and (np.diff(rows) > 0).all()
  np.testing.assert_array_equal(lib.sample(5, 10, 0), np.arange(5))


def test_each_model_has_its_panel_with_its_numbers():
  draw = functools.partial(
      lib.draw, _panels(), GROUPS, ['a', 'b', 'c'], title='t')
  pictures.check(draw)
  axes = pictures.axes_of(draw)
  assert len(axes) == 3
  assert 'label probe 0.50 [0.40, 0.60]' in axes[0].get_xlabel()
  assert 'person probe not computed' in axes[0].get_xlabel()


@pytest.mark.parametrize('call, sentence', [
    (lambda: lib.project(_features(), 'umap'), 'Expected projection in'),
    (lambda: lib.project(np.ones((3, 5)), 'pca'), 'at least 4 images'),
    (lambda: lib.project(np.full((9, 5), np.nan), 'pca'), 'finite features'),
    (lambda: lib.draw(_panels(), np.zeros(4, int), ['a'], title='t'),
     'Expected 4 points'),
    (lambda: lib.draw_collapse(_points()[2:], (.5, .1)),
     'label probe and a person probe')])
def test_wrong_features_are_refused(call, sentence):
  with pytest.raises(ValueError, match=sentence):
    call()


def _points():
  return [lib.Probes(name, name, Estimate.missing('too few people')
                     if label is None else Estimate(label), person)
          for name, label, person in (
              ('original', .8, Estimate(.5, .4, .6)),
              ('dlfd', .7, Estimate(.2)), ('neggrad', None, Estimate(1)))]


def test_an_arrow_leads_from_original_to_each_model_with_numbers():
  draw = functools.partial(lib.draw_collapse, _points(), (.5, .1))
  pictures.check(draw)
  [axis] = pictures.axes_of(draw)
  arrows = [text for text in axis.texts if not text.get_text()]
  assert [arrow.xy for arrow in arrows] == [(.7, .2)]
