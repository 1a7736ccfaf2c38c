"""A realistic evaluation, made from seeded numbers: nothing was trained."""

import numpy as np
from scipy import stats

MODELS = ('original', 'unlearned', 'retrained_0', 'retrained_1', 'retrained_2')
# Texts of the data that must never become markup.
NAMES = ('<script>alert(1)</script>', '"><img src=x onerror=alert(1)>',
         "' onmouseover='alert(1)", '{{ 7 * 7 }}', r'$\frac{$', 'a|b',
         '[/red]', ':smile:', '&lt;b&gt;', '</table>', '%s', 'Zoë 雪')
SIZES = {'retain': 900, 'forget': 160, 'val': 200, 'test': 320}
# Mean of log loss by (seen before, not seen).
_SHIFT = {'original': (-3.4, -1.6), 'unlearned': (-1.8, -1.7),
          'retrained': (-1.8, -1.8)}


def per_example(seed=0):
  """Arrays as ``per_example.npz`` holds them."""
  rng = np.random.default_rng(seed)
  arrays = {}
  for split, n in SIZES.items():
    first = 100 * list(SIZES).index(split)
    people = first + np.sort(rng.integers(0, max(n // 8, 2), n))
    arrays[f'{split}/sample_id'] = np.array(
        [f'p{p:04d}_{i:05d}' for i, p in enumerate(people)])
    arrays[f'{split}/identity'] = people.astype(np.int32)
    arrays[f'{split}/labels'] = rng.integers(0, 8, n).astype(np.int32)
    hardness = rng.normal(0, .8, n)
    for model in MODELS:
      kind = model.partition('_')[0]
      seen = split == 'retain' or (split == 'forget' and kind != 'retrained')
      low, high = _SHIFT[kind]
      mean = low if seen else high
      loss = np.exp(mean + hardness + rng.normal(0, 1.1, n))
      arrays[f'{model}/{split}/loss'] = loss.astype(np.float32)
      arrays[f'{model}/{split}/margin'] = (
          -np.log(np.expm1(loss))).astype(np.float32)
  return arrays


def history():
  """Events as ``metrics.jsonl`` holds them."""
  rng = np.random.default_rng(1)
  events = []
  for step in range(0, 61, 5):
    auc = .50 + .22 * np.exp(-step / 14) + rng.normal(0, .006)
    score = abs(2 * (.5 + .8 * (auc - .5)) - 1)
    events.append({
        'event': 'check', 'step': step,
        'val_accuracy': .80 - .10 * np.exp(-((step - 15) / 9)**2),
        'mia_accuracy': .5 + score / 2, 'forgetting_score': score,
        'mia_auc': auc, 'forget_loss': .2, 'val_loss': .5,
        'next_phase': 'distance' if step < 35 or step == 45 else 'finetune',
        'check_s': .08})
    events.append({'event': 'steps', 'step': step + 5, 'phase': 'distance',
                   'loss': .3, 'skipped': 0})
  return events


def cell(value, half=None, reason=None, least=0.0):
  if value is None:
    return {'value': None, 'low': None, 'high': None, 'reason': reason}
  low, high = (None, None) if half is None else (
      max(value - half, least), min(value + half, 1.0))
  return {'value': value, 'low': low, 'high': high, 'reason': None}


def record(metric, direction, values, half=None, units='fraction', **more):
  """One record; ``values`` for original, unlearned, retrained and null."""
  cells = [cell(v, half, 'tier 0 has no null for it') for v in values]
  original, unlearned, retrained, null = cells
  difference = None if None in values[1:3] else values[1] - values[2]
  return {
      'metric': metric, 'split': metric.rpartition('_')[2], 'tier': 0,
      'direction': direction, 'original': original, 'unlearned': unlearned,
      'retrained': retrained, 'null': null,
      'delta': cell(difference, half, 'no retrained model', -1.0),
      'units': units, 'n_units': 40, 'unit': 'person',
      'seeds': {'evaluation': 0}, 'verdict': None, 'notes': [], **more}


def leakage():
  """What ``data.leakage`` reports of splits with one near pair."""
  exact = {f'{a}-{b}': 0 for i, a in enumerate(SIZES)
           for b in list(SIZES)[i:]}
  exact['forget-retain'] = exact.pop('retain-forget')
  return {
      'rule': 'exact: equal pixels; near: close perceptual hashes',
      'exact': exact, 'near': exact | {'forget-retain': 1, 'test-test': 3},
      'decisions': {'retain': '0 exact and 1 near pairs: final numbers are to '
                              'be given with and without them.',
                    **dict.fromkeys(('val', 'test'), 'No exact or near copy '
                                    'found: nothing to decide.')},
      'forget_pairs': [{'kind': 'near', 'forget': 'p0103_00017',
                        'other': 'p0009_00033', 'part': 'retain',
                        'same_person': False}],
      'forget_pairs_total': 1}


def run(model, seed, precision, seconds):
  """When and on what a model was made."""
  return {'model': model, 'work_s': seconds, 'seed': seed, 'steps': 60,
          'finished': '2026-05-05T09:00:00Z', 'device': 'tpu', 'devices': 8,
          'compute_dtype': precision}


def auc(arrays, model):
  forget = arrays[f'{model}/forget/loss']
  test = arrays[f'{model}/test/loss']
  u = stats.mannwhitneyu(-forget, -test).statistic
  return float(u / (forget.size * test.size))


def result(retrained=True):
  """A complete result; without a retrained model if so asked."""
  arrays = per_example()
  def third(value):
    return value if retrained else None

  aucs = [auc(arrays, 'original'), auc(arrays, 'unlearned'),
          third(auc(arrays, 'retrained_0')), .5]
  scores = [abs(2 * a - 1) * .8 for a in aucs if a is not None]
  if not retrained:
    scores.insert(2, None)
  right = 'higher means more correct'
  leak = ('higher means more leakage: above retrained is under-forgotten, '
          'below it over-forgotten')
  near = 'lower means an attack nearer chance, in either direction'
  metrics = [
      record('accuracy_retain', right, [.998, .976, third(.997), None], .004),
      record('accuracy_forget', right, [.997, .842, third(.818), None], .021),
      record('accuracy_val', right, [.812, .806, third(.809), .211], .030),
      record('accuracy_test', right, [.808, .801, third(.804), .208], .024),
      record('mia_auc_matched', leak, aucs, .027),
      record('mia_auc', leak, aucs, .026),
      record('mia_auc_person', leak, [.91, .58, third(.56), .5], .08),
      record('mia_accuracy', leak, [.74, .545, third(.531), .5], .025),
      record('mia_tpr_at_fpr_0.01', leak, [.062, .018, third(.014), .01], .012),
      record('forgetting_score', near, scores, .05),
      record('nomus', 'higher means better by the rule of the papers, not '
             'nearer to retraining', [.66, .86, third(.87), None], .03),
      record('ks_loss', 'higher means more different, blind to direction',
             [.41, .11, third(.09), .084]),
      record('rf_jsd', 'higher means forget predictions look less like unseen '
             'data', [.083, .012, third(.010), None], units='nats'),
  ]
  metrics.append(
      record('over_forgetting', 'raised where the main attack AUC and its '
             'interval are below one half', aucs, .027, verdict='none'))
  return {
      'kind': 'evaluation', 'schema': 1,
      'command': 'python -m experiments.evaluate --original=runs/original '
                 '--unlearned=runs/unlearned --workdir=runs/evaluation',
      'config': {'bootstrap': 2000, 'attack': {'draws': 20, 'folds': 10}},
      'versions': {'python': '3.11.7', 'jax': '0.10.2', 'dlfd_jax': '0.1.0'},
      'device': 'cpu (1 device)', 'finished': '2026-05-06T10:30:00Z',
      'request': {'images': 160, 'people': 20, 'subject_codes': '3, 5'},
      'runs': [
          run('original', 0, 'float32', 61.4), run('unlearned', 4, None, 6.42),
          *([run('retrained_0', 1, 'bfloat16', 54.8)] if retrained else [])],
      'data': {
          'name': 'drawn faces', 'n': sum(SIZES.values()), 'people': 198,
          'image_size': [32, 32],
          'task': {'kind': 'multiclass',
                   'names': [f'age {i}' for i in range(8)]},
          'splits': {name: {'images': n, 'people': n // 8}
                     for name, n in SIZES.items()},
          'by_person': True,
          'leakage': leakage()},
      'models': {
          'original': 'runs/original', 'unlearned': 'runs/unlearned',
          'retrained': ['runs/retrained_0', 'runs/retrained_1',
                        'runs/retrained_2'] if retrained else [],
          'sha256': {'original': 'ab' * 32, 'unlearned': 'cd' * 32}},
      'metrics': metrics,
      'efficiency': {
          'time_s': {'original': 61.4, 'unlearned': 6.42,
                     'retrained': third(54.8)},
          'speed_up': cell(third(8.5), reason='no retrained model was timed'),
          'steps': 60, 'images_processed': 11520, 'peak_bytes': 1.31e9,
          'check_share': .083, 'compile_s': {'distance': 8.1, 'finetune': 4.0},
          'precision': 'float32'},
      'notes': ['Two images of a listed person were in val: left out.'],
      'not_computed': ['attacks with reference models (tier 2)',
                       'relearn time (tier 1)'],
      'selection': {
          'step': 45, 'checks': 13,
          'search': {'preset': 'mufac', 'trials': 8, 'search_s': 634.5},
          'reason': 'the most accurate state on val with a forgetting score of '
                    'at most 0.104',
          'findings': {'forget_threshold': .044, 'select_threshold': .104,
                       'attack_blind_to_original': False,
                       'select_threshold_met': True}},
  }


def tier_1():
  """A result with deciding metrics, a group and a person who was harmed."""
  made = result()
  for name in ('zrf', 'accuracy_test/gender 1', 'gap_accuracy_test'):
    made['metrics'].append({
        'metric': name, 'tier': 1, 'units': 'fraction', 'notes': [],
        'direction': 'higher means more', 'verdict': None, 'margin': .02,
        'power': .875, 'p_value': .0123, 'n_units': 40, 'unit': 'person',
        **{model: cell(.25, .05) for model in (
            'original', 'unlearned', 'retrained', 'null', 'delta')}})
  made['verdicts'] = {'utility': {
      'verdict': 'distinguishable',
      'because': 'told apart by gap_accuracy_test, <b>',
      'metrics': {'gap_accuracy_test': 'distinguishable', 'log2_ain': None}}}
  made['harm'] = {'limit': .05, 'worst': [
      {'person': 4711, 'images': 3, 'loss': .5}]}
  return made
