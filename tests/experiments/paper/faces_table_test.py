"""The table of faces on made-up cells."""

from experiments.paper import faces_table


def _cell(model, auc, accuracy, nomus, *, seed=0, low=0.45, high=0.55,
          **fields):
  metrics = {
      name: {'value': value, 'low': None, 'high': None} for name, value in (
          ('accuracy_test', accuracy), ('accuracy_forget', 0.5),
          ('forgetting_score', 0.1), ('nomus', nomus),
          ('nomus_unbalanced', nomus))}
  metrics['mia_auc_matched'] = {'value': auc, 'low': low, 'high': high}
  return {
      'task': 'fgnet_age', 'seed': seed, 'model': model, 'metrics': metrics,
      'time_share': 1.0, 'images': 100, 'image_size': 32, 'train_epochs': 20,
      'splits': {'retain': 50, 'forget': 10, 'val': 20, 'test': 20},
      'network': {'architecture': 'resnet18', 'width': 16},
      'original_train_accuracy': 1.0, **fields}


def _cells(dlfd_auc=0.5, original_auc=0.9):
  run = dict(state='model', title='x', epochs=5, perturb_steps=3)
  return [
      _cell('original', original_auc, 0.60, 0.6),
      _cell('retrained', 0.5, 0.58, 0.7),
      _cell('finetune', 0.8, 0.60, 0.65, **run),
      _cell('dlfd', dlfd_auc, 0.595, 0.75, **run),
      _cell('official_compat', 0.6, 0.4, 0.6, **run)]


def test_all_aims_are_met_when_they_are():
  assert all(faces_table.goals(_cells(), 0).values())


def test_an_auc_outside_the_retrained_interval_misses_one_aim():
  met = faces_table.goals(_cells(dlfd_auc=0.6), 0)
  assert [name for name, ok in met.items() if not ok] == [
      'AUC in the retrained interval']


def test_a_sample_that_cannot_tell_says_so():
  cells = _cells(original_auc=0.54)
  assert not faces_table.can_tell(cells, 0)
  text = faces_table.markdown({
      'command': 'c', 'device': 'cpu', 'devices': 1,
      'versions': {'jax': '0'}, 'cells': cells})
  assert 'this sample cannot tell' in text


def test_times_are_shares_of_retraining_and_of_a_long_one():
  cells = _cells()
  cells[3]['time_share'] = 0.5
  text = faces_table.markdown({
      'command': 'c', 'device': 'cpu', 'devices': 1,
      'versions': {'jax': '0'}, 'cells': cells})
  row = next(line for line in text.splitlines() if '| 5, 3 |' in line
             and '| 0.50 |' in line)
  assert '| 0.100 |' in row  # 0.5 of 20 epochs, of 100
