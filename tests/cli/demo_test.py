"""The demo's own goal and its data's, on five seeds of everything it draws."""

import json
import os
import re
import statistics
import subprocess
import sys
from concurrent import futures

import numpy as np
import pytest
from sklearn import linear_model
from sklearn import preprocessing

from dlfd_jax import runs
from dlfd_jax.cli import demo
from dlfd_jax.data import sources

SEEDS = range(5)


def _value(result, metric, column):
  record = next(r for r in result['metrics'] if r['metric'] == metric)
  return record[column]['value']


def _linear_accuracy(seed):
  """Test accuracy of logistic regression on pixels, its penalty chosen on val.

  The pixels are rotated onto the span of the training images, which changes
  neither the model nor its penalty and makes it quick.
  """
  data = sources.load(demo.people_of(seed))
  parts = demo.parts_of(data, seed)
  pixels = data.images.reshape(len(data), -1) / 255.0
  scaler = preprocessing.StandardScaler().fit(pixels[parts.train])
  pixels = scaler.transform(pixels)
  _, _, axes = np.linalg.svd(pixels[parts.train], full_matrices=False)
  pixels = pixels @ axes.T
  models = [linear_model.LogisticRegression(C=c, max_iter=300).fit(
      pixels[parts.train], data.labels[parts.train])
            for c in (1e-4, 1e-3, 1e-2)]
  best = max(models, key=lambda m: m.score(
      pixels[parts.val], data.labels[parts.val]))
  return best.score(pixels[parts.test], data.labels[parts.test])


@pytest.mark.slow
def test_the_demo_reaches_its_goal_over_five_seeds(tmp_path):
  plain = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}
  plain['JAX_COMPILATION_CACHE_DIR'] = str(tmp_path / 'compiled')

  def demo_of(seed):
    return subprocess.run(
        [sys.executable, '-m', 'experiments.demo', f'--seed={seed}',
         f'--workdir={tmp_path / str(seed)}'],
        env=plain, capture_output=True, text=True, check=False)

  with futures.ThreadPoolExecutor(2) as pool:
    finished = list(pool.map(demo_of, SEEDS))
  gaps, leads = [], []
  for seed, ran in zip(SEEDS, finished, strict=True):
    workdir = tmp_path / str(seed)
    assert ran.returncode == 0, ran.stderr
    peak = re.search(r'peak memory ([0-9.]+) GB', ran.stdout)
    assert peak and float(peak[1]) < 3
    assert (workdir / runs.REPORT).is_file()
    result = json.loads(
        (workdir / 'evaluation' / runs.RESULT).read_text('utf-8'))
    original, unlearned, retrained = (
        _value(result, 'mia_auc_matched', name)
        for name in ('original', 'unlearned', 'retrained'))
    assert original >= 0.65  # there is something to forget
    assert abs(unlearned - retrained) < abs(unlearned - original)
    gaps.append(_value(result, 'accuracy_test', 'unlearned')
                - _value(result, 'accuracy_test', 'retrained'))
    leads.append(_value(result, 'accuracy_test', 'original')
                 - _linear_accuracy(seed))
  assert statistics.median(map(abs, gaps)) <= 0.03, gaps
  assert statistics.fmean(gaps) >= -0.03, gaps
  assert statistics.fmean(leads) >= 0.1, leads  # what only a network can see


def test_the_goal_is_said_in_one_line():
  def result(auc, accuracy):
    return {'kind': 'evaluation', 'schema': 1, 'metrics': [
        {'metric': metric, 'units': 'fraction', **{
            name: {'value': value} for name, value in zip(
                ('original', 'unlearned', 'retrained'), values, strict=True)}}
        for metric, values in (('mia_auc_matched', auc),
                               ('accuracy_test', accuracy))]}

  met = demo.goal_sentence(result((0.9, 0.55, 0.5), (0.6, 0.58, 0.6)))
  assert met.startswith('Goal met') and '-2.0' in met
  missed = demo.goal_sentence(result((0.9, 0.8, 0.5), (0.6, 0.5, 0.6)))
  assert missed.startswith('Goal not met here')
  assert 'nearer to the original' in missed and '10.0 points below' in missed
  above = demo.goal_sentence(result((0.9, 0.5, 0.5), (0.6, 0.7, 0.6)))
  assert above.startswith('Goal not met') and '10.0 points above' in above
