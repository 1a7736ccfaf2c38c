"""Shadow models in words."""

from dlfd_jax.report import shadows


def _result(after=.7, shown=(), design='random', metric='u_lira_auc'):
  def cell(value):
    return {'value': value, 'low': .45, 'high': .55} if value else {
        'value': None, 'reason': 'none'}

  worst = [{'example': i, 'accuracy': .9, 'p': .01, 'adjusted_p': .02,
            'shown': i in shown} for i in range(3)]
  return {'metrics': [{'metric': metric, 'units': 'fraction', 'notes': [],
                       'original': cell(.9), 'unlearned': cell(after),
                       'null': cell(.5)}],
          'shadows': {'models': 32, 'design': design, 'worst': worst},
          'request_images': [{'id': name, 'sha256': ''} for name in 'ab']}


def test_what_was_told_before_and_after():
  said, = shadows.sentences(_result())
  assert said == (
      'Of 32 shadow models those that learned an image are told from models '
      'that never saw it by U-LiRA with an AUC of 0.900, and after they '
      'unlearned it with 0.700 (0.450 to 0.550 by luck). No single image is '
      'told beyond luck.')
  assert 'from retrained models' in shadows.sentences(_result(
      design='request', metric='u_lira_retrained_auc'))[0]


def test_images_are_named():
  said, = shadows.sentences(_result(shown=(1, 2)))
  assert said.endswith('Told beyond luck: b, image 2 of forget.')


def test_nothing_was_unlearned_or_there_are_none():
  said, = shadows.sentences(_result(after=None))
  assert said.endswith('none has unlearned it, as the method is not known.')
  assert shadows.sentences({'metrics': []}) == []
  assert shadows.sentences({**_result(), 'metrics': []}) == []
