"""Names and numbers as reports write them."""

import pytest

from dlfd_jax.evaluation import estimate, registry


@pytest.mark.parametrize(('value', 'units', 'text'), [
    (.05, 's', '0.05 s'), (5.26, 's', '5.3 s'), (160.4, 's', '160 s'),
    (3725, 's', '3,725 s'), (.0831, 'nats', '0.083 nats'),
    (.5, 'bits', '0.500 bits'), (1e6, 'count', '1,000,000'),
    (1.5e9, 'bytes', '1.50 GB'), (.5, 'ratio', '0.50×'),
    (.5, 'anything', '0.500')])
def test_units_decide_how_a_number_is_written(value, units, text):
  assert estimate.format_number(value, units) == text


def test_a_signed_number_shows_its_plus():
  assert estimate.format_number(.01, signed=True) == '+0.010'
  assert estimate.format_number(2, 's', signed=True) == '+2.0 s'
  assert estimate.format_number(-1e-17) == '0.000'


@pytest.mark.parametrize(('name', 'label'), [
    ('accuracy_test', 'Accuracy, test'),
    ('mia_tpr_at_fpr_0.001', 'Attack TPR at a pooled 0.1 % FPR'),
    ('balanced_accuracy_test/smile', 'Balanced accuracy, test: smile'),
    ('normalised_js_retain', 'JS distance, normalised, retain'),
    ('silhouette_test/smile', 'Silhouette by class, test: smile'),
    ('accuracy_test/gender 0', 'Accuracy, test: gender 0'),
    ('duplicates_forget_test', 'Duplicates forget test')])
def test_a_metric_has_a_readable_label(name, label):
  assert registry.label(name) == label
