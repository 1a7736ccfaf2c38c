"""Named settings: what to train, how, and how to unlearn it.

The paper's own tasks carry the hyper-parameters of the authors' notebooks with
the step size converted to pixel units; the others were tuned on val (see
docs/decisions.md). Where ``experiments.paper.sweep`` searched a task, its
values stand over these starts: it writes ``tuned/<preset>.json``, which holds
dotted field paths with values by method, and what the search cost. A preset is
a start: every field has a flag.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from dlfd_jax import (
  methods as methods_lib,
  models,
  tasks,
  training as train,
)
from dlfd_jax.data import (
  augment,
  dataset as dataset_lib,
  sources,
  splits as splits_lib,
)
from dlfd_jax.methods import (
  align,
  amun,
  bad_teaching,
  base,
  cf_k,
  dlfd,
  dlfd_released,
  eu_k,
  finetune,
  fisher,
  kgl_top1,
  l1_sparse,
  lotus,
  margin_matching,
  msg,
  neggrad,
  neggrad_plus,
  random_labels,
  regun,
  restore,
  rewind,
  rum,
  salun,
  scrub,
  sfr_on,
  ssd,
  transpose,
  unsir,
)
from dlfd_jax.training import TrainConfig
from dlfd_jax.utils import configs, records, schemas


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
  """The part of a ``ModelConfig`` that a preset fixes.

  Attributes:
    architecture: ``resnet18``, ``densenet121``, ``efficientnet_b0``, ``vit_s``,
      or a class of your own as ``file.py:Class`` or ``package.module:Class``.
    width: size of the network; 64 is the full one.
    stem: ``'imagenet'``, or ``'small'`` for 32 to 64 pixels a side.
    head: ``'plain'``, or ``'paper'``: pooled-256-128-classes.
    compute_dtype: ``'float32'``, ``'bfloat16'``, or ``'auto'``: bfloat16 on
      accelerators.
    remat: compute the values inside blocks again for the gradient: less memory,
      more time.

  Raises:
    ValueError: as ``ModelConfig``.
  """

  architecture: str = 'resnet18'
  width: int = 64
  stem: str = 'imagenet'
  head: str = 'plain'
  compute_dtype: str = 'auto'
  remat: bool = False

  def __post_init__(self):
    models.ModelConfig(outputs=1, **dataclasses.asdict(self))  # checks them

  def resolved(self) -> Network:
    """The same with the type of computation that 'auto' is here."""
    return dataclasses.replace(
        self, compute_dtype=models.resolve_dtype(self.compute_dtype))

  def config(self, task: tasks.Task) -> models.ModelConfig:
    """The classifier of a task, resolved."""
    return models.ModelConfig(outputs=task.num_outputs,
                              **dataclasses.asdict(self.resolved()))

  def identity(self) -> dict[str, Any]:
    """The fields that change what a run computes, resolved.

    ``remat`` changes only how: a run may be resumed with and without it.
    """
    fields = dataclasses.asdict(self.resolved())
    del fields['remat']
    return fields


DEFAULT_METHOD = 'dlfd_restore'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
  """One task from data to unlearning.

  Attributes:
    about: one line for ``--help``.
    data: the source; presets for files leave ``source`` to ``--data``.
    network: the classifier.
    train: recipe of the original and of the retrained model.
    methods: the config of each method by name; see :meth:`config_of`.
    default_method: what unlearns where no method is named.
  """

  about: str
  data: sources.DataOptions
  network: Network
  train: TrainConfig
  methods: dict[str, methods_lib.RunConfig]
  default_method: str = DEFAULT_METHOD

  def config_of(self, method: str) -> methods_lib.RunConfig:
    """The config of a registered method; its own defaults if none is set."""
    if method in self.methods:
      return self.methods[method]
    return methods_lib.resolve(method)()


def _sgd(rate, **fields):
  return train.OptimizerConfig(learning_rate=rate, **fields)


def _cosine(rate, **fields):
  return _sgd(rate, schedule='cosine', **fields)


def _recipe(epochs, rate=0.05, batch_size=64, **fields):
  return TrainConfig(
      epochs=epochs, batch_size=batch_size,
      optimizer=_cosine(rate, **fields))


def _adam(rate, **fields):
  return train.OptimizerConfig(
      kind='adam', learning_rate=rate, weight_decay=0.0, **fields)


# Flips, and moves of about half a pixel of 32.
_STEADY = augment.AugmentConfig(
    shift=0.02, scale=0.0, rotate=3.0, brightness=0.0, contrast=0.0,
    saturation=0.0)


def _methods(distance, recipe, others, released=None, teacher=None,
             joint=None):
  """All configs: DLFD's, what training fixes, and the ``others``.

  All have the batch of ``distance``, but for EU-k, which trains. ``teacher`` is
  the DLFD that is restored, ``distance`` itself if it is None; ``joint`` are
  fields of its joint steps.
  """
  batch_size = distance.batch_size
  # On the images as they are: augmented ones anchor less, see decisions.md.
  joint = restore.StageConfig(batch_size=recipe.batch_size, **(joint or {}))
  return {
      'dlfd': distance,
      # Its step saturates in 1 to 3 inner steps; 5 of them change nothing more.
      'official_compat': released or dlfd_released.DLFDReleasedConfig(
          batch_size=min(batch_size, 32), perturb_steps=5),
      'finetune': finetune.FinetuneConfig(batch_size=batch_size),
      # The budget and the recipe of the original.
      'eu_k': eu_k.EUKConfig(
          epochs=recipe.epochs, batch_size=recipe.batch_size,
          optimizer=recipe.optimizer, augment=recipe.augment),
      'margin_matching': margin_matching.MarginMatchingConfig(
          batch_size=recipe.batch_size),
      'regun': regun.ReGUnConfig(batch_size=batch_size),
      **others,
      'scrub_r': rewind.ScrubRConfig(method=others['scrub']),
      'rewind': rewind.RewindConfig(method=others['neggrad_plus']),
      'dlfd_restore': restore.DLFDRestoreConfig(
          method=teacher or distance, restore=joint),
      'restore': restore.RestoreConfig(
          method=others['neggrad_plus'], restore=joint),
      'rum': rum.RumConfig(
          medium=finetune.FinetuneConfig(batch_size=batch_size),
          high=others.get('salun') or salun.SalUnConfig(batch_size=batch_size)),
  }


def _paper_methods(batch_size):
  """The notebooks' and the benchmark's settings; the papers' where none is."""
  return {
      'neggrad': neggrad.NegGradConfig(batch_size=batch_size),
      'neggrad_plus': neggrad_plus.NegGradPlusConfig(
          epochs=2, batch_size=batch_size, beta=0.5,
          optimizer=_sgd(2e-3, momentum=0.0, clip_norm=1.0)),
      'cf_k': cf_k.CFKConfig(
          epochs=2, batch_size=batch_size, k=1, optimizer=_sgd(1e-3)),
      'unsir': unsir.UnsirConfig(),
      'bad_teaching': bad_teaching.BadTeachingConfig(),
      'scrub': scrub.ScrubConfig(),
  }


def _small_methods(ours, rate):
  """Starts for narrow networks: DLFD's passes, augmentation and BatchNorm.

  Forget batches are small there, so the max steps of SCRUB are too. ``rate`` is
  that of SGD.
  """
  alike = {'batch_norm': ours.batch_norm, 'augment': ours.augment,
           'batch_size': ours.batch_size}
  few = {**alike, 'epochs': ours.epochs}
  cosine = _cosine(rate, clip_norm=1.0)
  anew = {**few, 'batch_norm': 'batch', 'optimizer': cosine}  # of features
  return {
      'random_labels': random_labels.RandomLabelsConfig(
          **few, optimizer=_adam(1e-3)),
      'salun': salun.SalUnConfig(**few, optimizer=_sgd(rate / 2)),
      'l1_sparse': l1_sparse.L1SparseConfig(**few, optimizer=cosine),
      'ct': transpose.TransposeConfig(**anew),
      'msg': msg.MSGConfig(**anew),
      'regun': regun.ReGUnConfig(**{**few, 'augment': None}, optimizer=cosine),
      'amun': amun.AMUNConfig(**few, optimizer=_cosine(rate / 2)),
      'align': align.AlignConfig(**few, optimizer=cosine),
      'ssd': ssd.SSDConfig(batch_size=ours.batch_size),
      'lfssd': ssd.LFSSDConfig(batch_size=ours.batch_size),
      # At the published clip of 7 the ascent ruins so narrow a network.
      'sfr_on': sfr_on.SFROnConfig(
          **few, optimizer=_cosine(rate), ascent_clip=1.0),
      # Its rates are to each other about as published.
      'kgl_top1': kgl_top1.KGLTop1Config(
          **few, optimizer=_sgd(rate / 4 * 64 / ours.batch_size,
                                weight_decay=1e-2, clip_norm=1.0),
          uniform_optimizer=_sgd(rate / 4, weight_decay=0.0, clip_norm=1.0),
          forget_optimizer=_cosine(
              rate / 4 * .06, weight_decay=0.0, clip_norm=1.0)),
      'lotus': lotus.LotusConfig(**few, optimizer=dataclasses.replace(
          _adam(1e-3), kind='adamw')),
      'fisher': fisher.FisherConfig(
          batch_size=ours.batch_size, noise_scale=3e-3),
      'neggrad': neggrad.NegGradConfig(
          **few, optimizer=_sgd(rate / 5, clip_norm=1.0)),
      'neggrad_plus': neggrad_plus.NegGradPlusConfig(**few, optimizer=cosine),
      'cf_k': cf_k.CFKConfig(**few, optimizer=_cosine(rate)),
      'unsir': unsir.UnsirConfig(
          **alike, optimizer=_adam(1e-3), repair_optimizer=_adam(1e-3),
          noise_images=min(64, ours.batch_size)),
      'bad_teaching': bad_teaching.BadTeachingConfig(
          **few, optimizer=_adam(1e-3)),
      'scrub': scrub.ScrubConfig(
          **few, max_epochs=max(ours.epochs // 2, 1),
          forget_batch_size=min(32, ours.batch_size), temperature=2.0,
          optimizer=_sgd(rate, clip_norm=1.0)),
  }


def _narrow(about, data, width, recipe, distance, rate=None, **restored):
  """A preset for few small images and a narrow network.

  ``rate`` is where the other methods start, DLFD's own if it is None;
  ``restored`` are ``teacher`` and ``joint`` of :func:`_methods`.
  """
  rate = rate or distance.optimizer.learning_rate
  return Preset(
      about=about, data=data, network=Network(width=width, stem='small'),
      train=recipe,
      methods=_methods(
          distance, recipe, _small_methods(distance, rate), **restored))


def _as_trained(recipe, epochs):
  """Fields of joint steps at the rate of training.

  At two fifths of it utility is not back in as many steps, see decisions.md.
  """
  return {'epochs': epochs, 'weight': 1.0, 'optimizer': _cosine(
      recipe.optimizer.learning_rate, clip_norm=1.0)}


def _small(epochs, optimizer, alpha, **fields):
  """DLFD for narrow networks: few, small, augmented steps, batch statistics."""
  return dlfd.DLFDConfig(
      epochs=epochs, optimizer=optimizer, batch_norm='batch',
      augment=augment.AugmentConfig(), perturb_steps=3,
      perturb_step_size=alpha / 255, **fields)


OWN_DATA = 'fgnet_age'  # what methods start from: photographs, not drawings
_JOINT_EPOCHS, _SHOWN = 6, 20  # at most, see docs/decisions.md
_LEAST_TEACH, _LEAST_JOINT = 40, 80  # steps, likewise
_DEMO_EPOCHS = 15  # of training, where somebody waits for it

FILE = 'FILE.npz'  # --data names the real one
_PAPER_NET = Network(width=64, stem='imagenet', head='paper')
_PAPER_TRAIN = _recipe(100, rate=0.01, batch_size=64)


def _released(rate, batch, weight, start, steps, alpha, tau, tau_save, **norm):
  """The authors' notebook settings; thresholds are given on their scale."""
  return dlfd_released.DLFDReleasedConfig(
      optimizer=_sgd(rate), batch_size=batch, ot_weight=weight,
      ce_weight_start=start, perturb_steps=steps, perturb_step_size=alpha,
      forget_threshold=2 * tau, select_threshold=2 * tau_save, **norm)


_MUFAC_RELEASED = _released(.008, 32, 3.0, 0.0, 15, 0.4, 0.15, 0.09)
_HALF = dict(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
_RAF_RELEASED = _released(.006, 64, 7.0, 0.5, 20, 2.0, 0.23, 0.23, **_HALF)


def _paper(about, source, labels, batch, distance, released):
  # The paper's DLFD ends with its own phases: joint steps, which it does not
  # have, run where --method=dlfd_restore asks for them.
  recipe = dataclasses.replace(_PAPER_TRAIN, batch_size=batch)
  distance = dataclasses.replace(distance, batch_size=batch)
  return Preset(
      about=about,
      data=sources.DataOptions(source=source, labels=labels, image_size=128),
      network=_PAPER_NET,
      train=recipe,
      methods=_methods(distance, recipe, _paper_methods(batch), released),
      default_method='dlfd')


# Moves of up to 4 pixels, as crops of the image with a border of 4, and flips.
_CROPS = augment.AugmentConfig(
    shift=4 / 32, scale=0.0, rotate=0.0, brightness=0.0, contrast=0.0,
    saturation=0.0)


def _cifar(about, source):
  """The training of Fan et al. (2024), arXiv:2310.12508, in their code.

  Theirs divides the rate by ten after epochs 91 and 136; ours is a cosine. All
  methods start at the passes and, with SGD, the rate that their code gives to
  unlearning; none was searched.
  """
  recipe = TrainConfig(
      epochs=182, batch_size=256, optimizer=_cosine(0.1), augment=_CROPS)
  distance = dataclasses.replace(
      _small(10, _cosine(0.01), 0.25, ce_weight_start=1.0, batch_size=256),
      augment=_CROPS)
  return Preset(
      about=about, data=sources.DataOptions(
          source=source, labels=('label',), image_size=32),
      network=Network(stem='small'), train=recipe,
      methods=_methods(distance, recipe, _small_methods(distance, 0.01)))


_LFW_TRAIN = _recipe(10)
_LFW_DLFD = _small(4, _cosine(0.03), 0.25, ce_weight_start=1.0)
# Without a clip, some retrained models never fit their images.
_FGNET_TRAIN = _recipe(30, batch_size=32, clip_norm=1.0)
_FGNET_DLFD = _small(6, _cosine(0.03, clip_norm=3.0), 0.25, ce_weight_start=1.0,
                     batch_size=32)

STARTS: dict[str, Preset] = {
    'demo': _narrow(
        'drawn faces at 32 px, a narrow network; the embedded default',
        sources.DataOptions(image_size=32), 8,
        TrainConfig(
            epochs=25, batch_size=32, augment=_STEADY,
            optimizer=_adam(3e-3, schedule='cosine')),
        _small(5, _adam(4e-3, schedule='cosine'), 0.5), rate=0.04),
    'mufac_age': _paper(
        "the paper's age task, 8 classes, 128 px", 'mufac', ('age_class',), 32,
        dlfd.DLFDConfig(
            optimizer=_sgd(2e-3), ot_weight=3.0, ce_weight_start=0.0,
            perturb_steps=15, perturb_step_size=4 / 255,
            forget_threshold=0.30, select_threshold=0.18),
        _MUFAC_RELEASED),
    'rafdb_emotion': _paper(
        "the paper's emotion task, 7 classes, 128 px", 'rafdb', ('emotion',),
        64,
        dlfd.DLFDConfig(
            optimizer=_sgd(2e-3), ot_weight=7.0, perturb_steps=20,
            perturb_step_size=4 / 255, forget_threshold=0.20,
            select_threshold=0.12),
        _RAF_RELEASED),
    'mucac_gender': _paper(
        "the paper's gender task, 2 classes, 128 px", 'mucac', ('gender',), 64,
        dlfd.DLFDConfig(optimizer=_sgd(2e-3)), _MUFAC_RELEASED),
    'mucac_attributes': _paper(
        "the paper's gender, age and smile task, multilabel, 128 px",
        'mucac', ('gender', 'young', 'smile'), 64,
        dlfd.DLFDConfig(optimizer=_sgd(2e-3)), _MUFAC_RELEASED),
    'lfw_gender': _narrow(
        'Labeled Faces in the Wild, gender, 32 px',
        sources.DataOptions(
            source=FILE, labels=('gender',), image_size=32), 16, _LFW_TRAIN,
        _LFW_DLFD, joint=_as_trained(_LFW_TRAIN, 3)),
    'lfw_gender_smile': _narrow(
        'Labeled Faces in the Wild, gender and smile, 32 px, multilabel; '
        'methods searched at width 8',
        sources.DataOptions(
            source=FILE, labels=('gender', 'smile'), image_size=32), 16,
        _LFW_TRAIN, _LFW_DLFD, joint=_as_trained(_LFW_TRAIN, 3)),
    'fgnet_age': _narrow(
        'FG-NET, age, the three oldest bins merged to 6 classes, 48 px',
        sources.DataOptions(
            source=FILE, labels=('age_class',), merge_from=5, image_size=48),
        16, _FGNET_TRAIN, _FGNET_DLFD,
        # Utility comes back with the joint steps: half of the passes teach.
        teacher=dataclasses.replace(_FGNET_DLFD, epochs=3),
        joint=_as_trained(_FGNET_TRAIN, 4)),
    'cifar10': _cifar(
        'CIFAR-10 at 32 px, ResNet18 with the small stem; methods not tuned',
        'cifar10'),
    'cifar100': _cifar(
        'CIFAR-100 likewise; --labels=coarse_label for its 20 coarse classes',
        'cifar100'),
    'london': _narrow(
        'Face Research Lab London, gender, age of 30 or more and smile',
        sources.DataOptions(
            source=FILE, labels=('gender', 'age', 'smile'),
            thresholds=(('age', 30),), image_size=48), 16,
        _recipe(40, batch_size=16),
        _small(5, _cosine(0.02), 0.5, batch_size=16)),
}


def with_values(preset: Preset,
                values: Mapping[str, Mapping[str, Any]]) -> Preset:
  """``preset`` with the values that a search chose for some methods.

  Args:
    preset: where the search started.
    values: field paths with values by method, see :func:`tuned`.
  """
  searched = methods_alike(preset)
  return dataclasses.replace(preset, methods=preset.methods | {
      name: configs.replace(
          searched.get(name) or preset.config_of(name), changes)
      for name, changes in values.items()})


def methods_alike(preset: Preset) -> dict[str, methods_lib.RunConfig]:
  """Every method's start, fine-tuning with all that DLFD's update has.

  So their difference is DLFD, not the augmentation or the passes.
  """
  ours = preset.methods['dlfd']
  return preset.methods | {'finetune': configs.replace(
      preset.methods['finetune'], {name: getattr(ours, name) for name in (
          'epochs', 'batch_size', 'optimizer', 'batch_norm', 'augment')})}


def own_data(config: methods_lib.RunConfig) -> methods_lib.RunConfig:
  """A method's settings on data that no preset was made for.

  The learning rates are tried on them, see ``methods.trial``, but for that of
  the released code, which is a part of what it is. Those of joint steps, which
  train on, are never above the configured one. A teacher of DLFD and the joint
  steps are in proportion to the request, and a teacher is what its run ends
  with: where the attack cannot see the original, as in a request of one person,
  the best state on val would be one that has not forgotten.
  """
  changes: dict[str, Any] = {}
  restores = isinstance(config, restore.RestoreConfig)
  if restores:
    changes['method.selection'] = 'last'
  for name, stage in stages_in(config).items():
    if not isinstance(stage, dlfd_released.DLFDReleasedConfig):
      changes[f'{name}.trial'.lstrip('.')] = base.TrialConfig()
    if restores and isinstance(stage, base.ProportionateConfig):
      changes |= {f'{name}.shown': _SHOWN, f'{name}.least_steps': _LEAST_TEACH}
    if isinstance(stage, restore.StageConfig):
      changes |= {
          f'{name}.epochs': _JOINT_EPOCHS, f'{name}.least_steps': _LEAST_JOINT,
          f'{name}.trial': base.TrialConfig(factors=tuple(
              factor for factor in base.TrialConfig().factors if factor <= 1))}
  return configs.replace(config, changes)


def own_config(method: str = DEFAULT_METHOD) -> methods_lib.RunConfig:
  """A method, the default one or another, with its settings for any data."""
  return own_data(STARTS[OWN_DATA].config_of(method))


def stages_in(config: methods_lib.RunConfig) -> dict[str, base.MethodConfig]:
  """The methods in a config by their field; ``''`` is the config itself."""
  if isinstance(config, base.MethodConfig):
    return {'': config}
  return {field.name: getattr(config, field.name)
          for field in dataclasses.fields(config)
          if isinstance(getattr(config, field.name), base.MethodConfig)}


def tuned(preset: str) -> dict[str, Any]:
  """What the search over a preset found; ``{}`` if there was none."""
  file = pathlib.Path(__file__).with_name('tuned') / f'{preset}.json'
  return records.read(file, schemas.Tuned) if file.is_file() else {}


def search_of(preset: str, method: str) -> dict[str, Any]:
  """Where a method's settings come from: a preset, and the search behind it."""
  search = tuned(preset).get('methods', {}).get(method, {})
  return {'preset': preset, 'trials': search.get('trials'),
          'search_s': search.get('search_s')}


PRESETS: dict[str, Preset] = {
    name: with_values(preset, {
        method: search['values']
        for method, search in tuned(name).get('methods', {}).items()})
    for name, preset in STARTS.items()}


def demo_data(seed: int) -> sources.DataOptions:
  """The faces that ``dlfd demo`` draws."""
  return dataclasses.replace(
      PRESETS['demo'].data, data_seed=seed, people=280)


def demo_recipe(seed: int = 0) -> TrainConfig:
  """How ``dlfd demo`` trains its four models: in fewer passes."""
  return dataclasses.replace(
      PRESETS['demo'].train, epochs=_DEMO_EPOCHS, seed=seed)


def demo_partition(dataset: dataset_lib.Dataset,
                   seed: int) -> splits_lib.Partition:
  """Who of them is train, val and test.

  Many are tested on: 320 images would leave gaps of 3 points to chance.
  """
  return splits_lib.draw_partition(
      dataset, seed=seed, test_fraction=0.45, val_fraction=0.1)
