"""Makes a trained image classifier forget given people, and measures it.

>>> import dlfd_jax
>>> dlfd_jax.DLFDConfig(ot_weight=2.0).ot_weight
2.0
"""

import importlib

from dlfd_jax._version import __version__

TYPE_CHECKING = False  # but for type checkers; typing would be imported first
if TYPE_CHECKING:
  from dlfd_jax._api import *

__all__ = ['AugmentConfig', 'AutoResult', 'BadTeachingConfig', 'CFKConfig',
           'Candidate', 'Classifier', 'DLFDConfig', 'DLFDReleasedConfig',
           'DataOptions', 'Dataset', 'EUKConfig', 'EvaluationConfig',
           'EvaluationResult', 'FinetuneConfig', 'ForgetRequest', 'Interrupted',
           'ModelConfig', 'NegGradConfig', 'NegGradPlusConfig', 'Network',
           'OptimizerConfig', 'PRESETS', 'Partition', 'Problem',
           'ReferenceModels', 'RewindConfig', 'SavedModel', 'ScrubConfig',
           'ScrubRConfig', 'Splits', 'Task', 'Tier1Config', 'TrainConfig',
           'TrainResult', 'UnlearnResult', 'UnsirConfig', '__version__',
           'audit', 'auto', 'build_model', 'draw_partition', 'evaluate',
           'export_weights', 'import_weights', 'init_model', 'load_classifier',
           'load_data', 'load_evaluation', 'load_model', 'load_references',
           'load_splits', 'partition_from_column', 'plan_references',
           'resolve_request', 'save_splits', 'sign', 'synthetic_faces', 'train',
           'train_references', 'unlearn', 'verify']

if not TYPE_CHECKING:
  # jax and the rest take seconds: `dlfd --help` does without, and a command
  # can tell of what stops their import.
  def __getattr__(name):
    if name in __all__:
      return getattr(importlib.import_module('dlfd_jax._api'), name)
    if not name.startswith('_'):
      try:  # a module
        return importlib.import_module(f'dlfd_jax.{name}')
      except ModuleNotFoundError as error:
        if error.name != f'dlfd_jax.{name}':
          raise
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

  def __dir__():
    return [*globals(), *__all__]
