"""Makes a trained image classifier forget given people, with evidence.

>>> import dlfd_jax
>>> dlfd_jax.DLFDConfig(ot_weight=2.0).ot_weight
2.0
"""

from dlfd_jax._version import __version__
from dlfd_jax.methods import Problem, UnlearnResult, unlearn
from dlfd_jax.methods.dlfd import DLFDConfig
from dlfd_jax.methods.dlfd_released import DLFDReleasedConfig
from dlfd_jax.methods.finetune import FinetuneConfig
from dlfd_jax.pipeline.classifier import Classifier, load_classifier

__all__ = ['Classifier', 'DLFDConfig', 'DLFDReleasedConfig', 'FinetuneConfig',
           'Problem', 'UnlearnResult', '__version__', 'load_classifier',
           'unlearn']
