"""What ``dlfd_jax`` offers, imported when one of these is first used."""

from dlfd_jax.checkpoint import SavedModel, load_model
from dlfd_jax.data.augment import AugmentConfig
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.data.faces.synthetic import synthetic_faces
from dlfd_jax.data.requests import ForgetRequest
from dlfd_jax.data.resolution import resolve_request
from dlfd_jax.data.sources import DataOptions
from dlfd_jax.data.split_columns import partition_from_column
from dlfd_jax.data.split_files import load_splits, save_splits
from dlfd_jax.data.splits import Partition, Splits, draw_partition
from dlfd_jax.evaluation.inputs import EvaluationConfig
from dlfd_jax.methods import Problem
from dlfd_jax.methods.bad_teaching import BadTeachingConfig
from dlfd_jax.methods.cf_k import CFKConfig
from dlfd_jax.methods.dlfd import DLFDConfig
from dlfd_jax.methods.dlfd_released import DLFDReleasedConfig
from dlfd_jax.methods.eu_k import EUKConfig
from dlfd_jax.methods.finetune import FinetuneConfig
from dlfd_jax.methods.neggrad import NegGradConfig
from dlfd_jax.methods.neggrad_plus import NegGradPlusConfig
from dlfd_jax.methods.rewind import RewindConfig, ScrubRConfig
from dlfd_jax.methods.scrub import ScrubConfig
from dlfd_jax.methods.unsir import UnsirConfig
from dlfd_jax.models import (
  ModelConfig,
  build as build_model,
  init as init_model,
)
from dlfd_jax.pipeline.audit import audit
from dlfd_jax.pipeline.auto import AutoResult, auto
from dlfd_jax.pipeline.candidates import Candidate
from dlfd_jax.pipeline.classifier import Classifier, load_classifier
from dlfd_jax.pipeline.evaluate import evaluate
from dlfd_jax.pipeline.evaluation_result import (
  EvaluationResult,
  load_evaluation,
)
from dlfd_jax.pipeline.job import Interrupted, load_data
from dlfd_jax.pipeline.reference_models import (
  ReferenceModels,
  load_references,
  plan as plan_references,
  train_references,
)
from dlfd_jax.pipeline.signing import sign, verify
from dlfd_jax.pipeline.tier_1_runs import Tier1Config
from dlfd_jax.pipeline.train import TrainResult, train
from dlfd_jax.pipeline.unlearn import UnlearnResult, unlearn
from dlfd_jax.pipeline.weights import export_weights, import_weights
from dlfd_jax.presets import PRESETS, Network
from dlfd_jax.tasks import Task
from dlfd_jax.training import OptimizerConfig, TrainConfig
