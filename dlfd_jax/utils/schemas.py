"""What is stored: the fields of every JSON file that a command reads again.

Fields that only people read are not listed. Every field is optional that
earlier versions did not write, or that is null where a thing was not computed.
Settings (recipe, network, data) are the frozen dataclasses that they were made
from, see :mod:`~dlfd_jax.pipeline.run_configs`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

from msgspec import Meta

# As large as NumPy, JAX and all formats of numbers can take.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Amount = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Texts = list[str]
Hashes = dict[str, str]


class Ancestor(TypedDict, total=False):
  """A model before an unlearned one."""

  weights: Required[str]
  kind: str | None
  method: str | None


class Recipe(TypedDict):
  """What a model was trained as, its seed apart."""

  network: dict[str, Any]
  train: dict[str, Any]


class DataHashes(TypedDict, total=False):
  """Hashes of images, see ``pipeline.chain``."""

  images: Required[str]
  labels: Required[str]
  identities: Required[str]
  ids: Required[str]
  any_order: Required[str]


class Chain(DataHashes, total=False):
  """What a run belongs to."""

  parts: Required[Hashes]
  learned: Required[str]
  train: str
  ancestors: list[Ancestor]
  recipe: Recipe | None


class Verification(TypedDict):
  """What a result could not verify."""

  unverified: Texts
  allowed: Texts
  original: str | None
  unchanged: bool


class Import(TypedDict):
  """What is recorded of a model that was trained elsewhere."""

  weights: str
  chain: DataHashes
  allowed: NotRequired[Texts]
  file: NotRequired[str]


class Use(TypedDict, total=False):
  """How exported weights are used, in the metadata of safetensors."""

  mean: Annotated[list[float], Meta(min_length=3, max_length=3)]
  std: Annotated[list[float], Meta(min_length=3, max_length=3)]
  image_size: Annotated[list[Count], Meta(min_length=2, max_length=2)]
  network: dict[str, Any]


class TrainConfig(TypedDict, total=False):
  """``config.json`` of a training run."""

  kind: Required[Literal['train']]
  on: Literal['all', 'retain']
  data: Required[dict[str, Any] | None]
  fingerprint: str
  rows: str
  network: Required[dict[str, Any]]
  train: Required[dict[str, Any]]
  own_code: dict[str, str | None]
  chain: Chain


class UnlearnConfig(TypedDict, total=False):
  """``config.json`` of an unlearning run."""

  kind: Required[Literal['unlearn']]
  method: str
  original: str
  retrained: str
  original_path: Required[str | None]
  data: Required[dict[str, Any] | None]
  fingerprint: str
  rows: Hashes
  config: dict[str, Any]
  own_code: dict[str, str | None]
  seed: Count
  request_id: str
  chain: Chain


class EvaluationConfig(TypedDict, total=False):
  """``config.json`` of an evaluation."""

  kind: Required[Literal['evaluation']]
  models: Required[Hashes]
  fingerprint: Required[str]
  rows: Hashes
  config: Required[dict[str, Any]]
  search_s: Amount | None
  chain: Chain
  audit: bool


class CheckConfig(TypedDict, total=False):
  """``config.json`` of a check of data and request."""

  kind: Required[Literal['check']]


class ComparisonConfig(TypedDict, total=False):
  """``config.json`` of a comparison of evaluations."""

  kind: Required[Literal['comparison']]


class ReferencesConfig(TypedDict, total=False):
  """``config.json`` of reference models."""

  kind: Required[Literal['references']]
  design: Required[Literal['retrained', 'request', 'random', 'keep',
                           'half']]
  n: Count | None
  seed: Required[Count]
  original_path: str | None
  data: Required[dict[str, Any] | None]
  fingerprint: str
  rows: Hashes
  network: dict[str, Any]
  train: dict[str, Any]
  membership: str | None
  chain: Chain


class UnlearnedConfig(TypedDict, total=False):
  """``config.json`` of shadow models that unlearned."""

  kind: Required[Literal['unlearned shadows']]
  method: Required[str]
  config: Required[dict[str, Any]]
  references: Required[str]
  rows: Hashes
  chain: Chain


class Time(TypedDict, total=False):
  """Where the time of a run went, see ``loop.Clock``."""

  compile_s: dict[str, Amount]
  check_s: Amount
  choose_s: Amount
  trial_s: Amount
  work_s: Amount
  total_s: Amount
  images: Count
  step_flops: dict[str, Amount]
  start_s: Amount
  read_s: Amount
  compiling_s: Amount
  cpu_s: Amount
  compiled: Count
  from_cache: Count


class Search(TypedDict, total=False):
  """Where settings come from."""

  preset: str | None
  trials: Count | None
  search_s: Amount | None


class Run(TypedDict, total=False):
  """What the results of training and unlearning share."""

  command: str | None
  stop: Required[str]
  steps: Required[Count]
  notes: Texts
  data_notes: Texts
  device: str
  devices: Count
  compute_dtype: str | None
  seed: Count
  finished: str
  peak_bytes: Count
  device_peak_bytes: Count | None
  log_lines: Count
  time: Required[Time]
  weights: Hashes
  verification: Verification
  run: str
  sha256: str


class TrainResult(Run, total=False):
  """``result.json`` of a training run."""

  kind: Required[Literal['train']]
  accuracy_train: Share | None
  accuracy_val: Share | None


class TriedRate(TypedDict):
  """A learning rate that was tried, and what the model then lost."""

  factor: float
  learning_rate: float
  accuracies: dict[str, Share] | None
  excess: float | None
  kept: bool


class Trial(TypedDict):
  """How the learning rate of a run was chosen, see ``methods.trial``."""

  factor: float
  learning_rate: float
  kept: bool
  tried: list[TriedRate]
  original: dict[str, Share]
  images: dict[str, Count]
  steps: Count
  time_s: Amount
  compile_s: NotRequired[Amount]


class MethodFindings(TypedDict, total=False):
  """What a run learnt; methods add more."""

  forget_by: Literal['mia_auc', 'forgetting_score'] | None
  select_by: Literal['mia_auc', 'forgetting_score'] | None
  trial: Trial


class Attack(TypedDict):
  """What an attack on val sees of a model, see ``pipeline.acceptance``."""

  attack: str
  auc: Share
  null_95: Amount
  remembers: bool
  rejects: bool


class Loss(TypedDict):
  """Accuracy that a deletion cost, see ``metrics.usable``."""

  part: Literal['val', 'retain', 'test']
  original: Share
  unlearned: Share
  low: float
  high: float
  images: Count
  units: Count
  answer: Literal['kept', 'lost', 'cannot say']
  sentence: str


class Candidate(TypedDict, total=False):
  """A candidate of ``unlearn --method=auto``, see ``pipeline.auto``."""

  name: Required[str]
  title: Required[str]
  exact: Required[bool]
  outcome: Required[Literal[
      'taken', 'held back', 'refused', 'skipped', 'not needed']]
  because: Required[Texts]
  expected_s: Amount | None
  left_s: Amount | None
  took_s: Required[Amount]
  charged_s: Amount
  accuracies: Required[dict[str, Share]]
  losses: list[Loss]
  seen: Required[list[Attack]]
  p_as_original: Required[dict[str, Share]]


class Auto(TypedDict, total=False):
  """What came of all candidates."""

  sentence: Required[str]
  candidates: Required[list[Candidate]]
  original: Required[list[Attack]]
  accuracies: Required[dict[str, Share]]
  taken: Required[str | None]
  level_each: Share


class UnlearnResult(Run, total=False):
  """``result.json`` of an unlearning run."""

  kind: Required[Literal['unlearn']]
  method: str
  selected_step: Required[Count]
  reason: Required[str]
  accuracies: dict[str, dict[str, Share]]
  losses: list[Loss]
  do_not_use: Texts
  held_out: Texts
  no_model: str
  auto: Auto
  findings: Required[MethodFindings]
  check_share: Amount | None
  history: Required[list[dict[str, Any]]]
  forget_images: Count
  by_person: bool
  search: Search | None


class Cell(TypedDict, total=False):
  """A number with its interval, or the reason why there is none."""

  value: Required[float | None]
  low: float | None
  high: float | None
  reason: str | None


class Metric(TypedDict, total=False):
  """One metric of all models."""

  metric: Required[str]
  tier: Count | None
  direction: str | None
  original: Cell | float | None
  unlearned: Cell | float | None
  retrained: Cell | float | None
  null: Cell | float | None
  delta: Cell | float | None
  units: str | None
  n_units: Count | None
  unit: str | None
  verdict: str | None
  p_value: float | None
  margin: float | None
  power: float | None
  gate: str | None
  notes: Texts | None


class OwnMetric(TypedDict, total=False):
  """What is to be known of a metric of the user's own."""

  label: Required[str]
  short: str
  sha256: str | None


class Verdict(TypedDict, total=False):
  """An overall verdict and the votes of its metrics."""

  verdict: Required[str]
  because: Required[str]
  metrics: dict[str, str | None]
  rules: Count


class Part(TypedDict, total=False):
  """The size of a split."""

  images: Count | None
  people: Count | None


class Labels(TypedDict, total=False):
  """What the outputs of the models mean."""

  kind: str | None
  names: Texts | None


class Pair(TypedDict, total=False):
  """A forget image and its copy."""

  forget: Required[str]
  other: Required[str]
  part: Required[str]
  kind: Required[str]
  same_person: Required[bool | None]


class Leakage(TypedDict, total=False):
  """Copies between the splits."""

  rule: str
  exact: dict[str, Count] | None
  near: dict[str, Count] | None
  mirrored: dict[str, Count]
  cropped: dict[str, Count]
  decisions: Hashes | None
  forget_pairs: list[Pair] | None
  forget_pairs_total: Count


class Data(TypedDict, total=False):
  """The images of an evaluation."""

  name: str | None
  n: Count | None
  people: Count | None
  image_size: list[Count] | None
  task: Labels | None
  splits: dict[str, Part] | None
  by_person: bool | None
  leakage: Leakage | None
  sha256: str | None


class Models(TypedDict, total=False):
  """Where the models of an evaluation lie, and the hashes of their values."""

  original: str | None
  unlearned: str | None
  unlearned_run: str | None
  retrained: Texts | None
  shadows: str | None
  half_references: str | None
  sha256: Hashes | None
  files: Hashes


class Image(TypedDict):
  """An image to forget."""

  id: str
  sha256: str


class Done(TypedDict, total=False):
  """Commands and settings that made the models."""

  commands: dict[str, str | None]
  settings: dict[str, Any] | None


class Made(TypedDict, total=False):
  """When, how long and on what a model was made."""

  model: Required[str]
  work_s: Amount | None
  finished: str | None
  seed: Count | None
  steps: Count | None
  device: str | None
  devices: Count | None
  compute_dtype: str | None


class Efficiency(TypedDict, total=False):
  """Times and costs."""

  time_s: dict[str, Amount | None] | None
  compile_s: dict[str, Amount | None] | None
  evaluate_s: dict[str, Amount | None] | None
  select_s: Amount | None
  search_s: Amount | None
  speed_up: Cell | float | None
  speed_up_with_search: Cell | float | None
  check_share: Amount | None
  peak_bytes: Amount | None
  device_peak_bytes: Cell | None
  step_flops: dict[str, Amount] | None
  steps: Amount | None
  images_processed: Amount | None
  precision: str | None


class Selection(TypedDict, total=False):
  """Which state was returned, and why."""

  step: Count | None
  reason: str | None
  findings: MethodFindings | None
  search: Search | None
  checks: Count | None
  auto: Auto | None


class Person(TypedDict):
  """A retained person who lost accuracy."""

  person: str | int
  images: Count
  loss: float


class Ranked(TypedDict, total=False):
  """A person to forget, or an image of nobody known, among unseen ones."""

  person: Required[str | int]
  unit: Required[Literal['person', 'image']]
  images: Required[Count]
  compared: Required[Count | None]
  unseen: Required[Count | None]
  value: Required[float | None]
  p: Required[float | None]
  p_adjusted: Required[float | None]
  smallest_p: Required[float | None]
  low: Required[float | None]
  high: Required[float | None]
  told_apart: Required[bool | None]
  original_p: float | None
  place: float | None


NamesByNumber = dict[Annotated[str, Meta(pattern='^[0-9]{1,10}$')], str]


class People(TypedDict):
  """``people.json`` of an evaluation: names of people by number."""

  kind: Literal['people']
  salt: NotRequired[str]
  people: NamesByNumber


class Harm(TypedDict, total=False):
  """Who lost the most."""

  worst: list[Person] | None


class Audit(TypedDict, total=False):
  """What is known of a model that was audited."""

  kind: str | None
  forget_in_training: Count | None


class Asked(TypedDict, total=False):
  """The deletion request of an evaluation."""

  id: str | None
  received: str | None
  images: Count | None
  people: Count | None
  images_of_nobody_known: Count | None
  share_of_images: Share | None
  share_of_people: Share | None
  left_out: dict[str, Count] | None
  earlier_images: Count | None
  earlier_people: Count | None
  classes: Texts
  not_found: Texts
  method: str | None


class JudgedPerson(TypedDict, total=False):
  """What an evaluation found of a person, kept for later requests."""

  date: str | None
  told_apart: bool | None
  attack: Cell | None


class EarlierPerson(TypedDict, total=False):
  """A person of an earlier request; None = images of nobody known."""

  person: Required[str | None]
  request: Count | None
  id: str | None
  date: str | None
  images: Count | None
  there: Count | None
  judged: JudgedPerson | None


class Earlier(TypedDict, total=False):
  """The people of earlier requests."""

  people: list[EarlierPerson]


class Again(TypedDict, total=False):
  """The metrics without copies of forget images."""

  metrics: Required[list[Metric]]


class WorstExample(TypedDict):
  """An image of forget whose state shadow models tell well."""

  example: Count
  accuracy: float
  p: float
  adjusted_p: float
  shown: bool


class Shadows(TypedDict, total=False):
  """Shadow models behind the figures of tier 3."""

  models: Required[Count]
  worst: Required[list[WorstExample]]
  design: str
  method: str | None
  time: Time


class Evaluation(TypedDict, total=False):
  """``result.json`` of an evaluation."""

  kind: Required[Literal['evaluation']]
  schema: Required[Literal[1]]
  command: str | None
  config: dict[str, Any] | None
  versions: Hashes | None
  device: str | None
  finished: str | None
  data: Data | None
  metrics: list[Metric]
  own_metrics: dict[str, OwnMetric]
  notes: Texts | None
  not_computed: Texts | None
  verdicts: dict[str, Verdict] | None
  harm: Harm | None
  people: list[Ranked] | None
  shadows: Shadows | None
  models: Models | None
  request: Asked | None
  earlier: Earlier | None
  request_images: list[Image] | None
  done: Done | None
  runs: list[Made] | None
  efficiency: Efficiency | None
  selection: Selection | None
  without_duplicates: Again | None
  audit: Audit
  losses: list[Loss]
  do_not_use: Texts
  arrays: Hashes
  names: str | None
  verification: Verification
  run: str
  sha256: str


class ReferenceModel(TypedDict, total=False):
  """A finished reference model."""

  folder: Required[Annotated[str, Meta(pattern='^[0-9]{3,6}$')]]
  seed: Required[Count]
  images: Count | None
  stop: str
  accuracy_val: Share | None
  weights: Required[str]
  sha256: Required[str]


class References(TypedDict, total=False):
  """``result.json`` of reference models: the index of the finished ones."""

  kind: Required[Literal['references']]
  design: str
  command: str | None
  models: Required[list[ReferenceModel]]
  verification: Verification
  cost: dict[str, Any] | None
  time: Time
  run: str
  sha256: str


class UnlearnedShadow(TypedDict, total=False):
  """A shadow model that unlearned, and hashes of its margins by state."""

  folder: Required[Annotated[str, Meta(pattern='^[0-9]{3,6}$')]]
  stop: str | None
  original: Required[str]
  sha256: Required[str | None]
  margins: Required[Hashes]


class Unlearned(TypedDict, total=False):
  """``result.json`` of shadow models that unlearned: the finished ones."""

  kind: Required[Literal['unlearned shadows']]
  models: Required[list[UnlearnedShadow]]
  time: Time
  run: str
  sha256: str


class CheckResult(TypedDict, total=False):
  """``result.json`` of a check."""

  kind: Required[Literal['check']]
  verification: Verification


class ComparisonResult(TypedDict, total=False):
  """``result.json`` of a comparison."""

  kind: Required[Literal['comparison']]


class Event(TypedDict, total=False):
  """A line of ``metrics.jsonl``."""

  event: str
  step: Required[Count]
  next_phase: str | None
  forgetting_score: float | None
  mia_auc: float | None
  val_accuracy: float | None


class ModelCard(TypedDict, total=False):
  """``model.json`` beside the variables of a classifier."""

  schema: Required[Literal[1]]
  model: Required[dict[str, Any]]
  task: Required[dict[str, Any]]
  image_size: Required[Annotated[list[int], Meta(min_length=2, max_length=2)]]
  sha256: str | None
  imported: Import


class ShardsTask(TypedDict):
  """The task of prepared data."""

  kind: str
  names: Texts


class Shards(TypedDict):
  """Prepared data, see ``data.shards``."""

  kind: str
  version: Count
  images: Count
  image_size: Annotated[list[Count], Meta(min_length=2, max_length=2)]
  name: str
  task: ShardsTask
  notes: Texts
  rows: str
  fingerprint: str
  index: str
  files: dict[str, Count]


class Cleaned(TypedDict, total=False):
  """Which images a cleaned download leaves out."""

  dropped: Required[Texts]


class Tried(TypedDict, total=False):
  """What a search chose for a method."""

  values: Required[dict[str, Any]]
  trials: Count
  search_s: Amount


class Tuned(TypedDict, total=False):
  """``tuned/<preset>.json``."""

  kind: Required[Literal['tuned']]
  preset: str
  methods: Required[dict[str, Tried]]


class Signature(TypedDict):
  """``signature.json`` of a bundle; numbers in hexadecimal."""

  kind: Literal['signature']
  algorithm: Literal['Ed25519']
  public_key: str
  signature: str
  files: dict[str, Texts]


class BundleModel(TypedDict):
  """A model of a bundle: where it lay, and hashes of its values."""

  place: str | None
  weights: str
  tensors: str | None
  file: NotRequired[str | None]


class StillKnows(TypedDict):
  """A model or file that was trained on the people of a request."""

  what: str
  place: str | None
  weights: str | None


class Bundle(TypedDict):
  """``manifest.json`` of a bundle."""

  kind: Literal['bundle']
  schema: Literal[1]
  sha256: Hashes
  data: Hashes
  request: str
  models: dict[str, BundleModel]
  exports: list[Hashes]
  still_know: list[StillKnows]
  code: dict[str, str | None]
  previous: Hashes | None
  cannot_prove: Texts


CONFIGS: dict[str, Any] = {
    'train': TrainConfig, 'unlearn': UnlearnConfig,
    'evaluation': EvaluationConfig, 'check': CheckConfig,
    'comparison': ComparisonConfig, 'references': ReferencesConfig,
    'unlearned shadows': UnlearnedConfig}
RESULTS: dict[str, Any] = {
    'train': TrainResult, 'unlearn': UnlearnResult, 'evaluation': Evaluation,
    'check': CheckResult, 'comparison': ComparisonResult,
    'references': References, 'unlearned shadows': Unlearned}
