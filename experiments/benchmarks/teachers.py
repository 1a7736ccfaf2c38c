r"""What teaches restore best: DLFD beside other teachers at equal cost.

  python -m experiments.benchmarks.teachers --data_dir=../shared/data \
      --demos=../runs/demo_seeds --judged=../runs/judged \
      --workdir=../runs/teachers --out=docs/results/teachers

Restore takes its student from the original and its answers on forget from a
teacher. Here the student's steps are the same and the teacher differs: DLFD,
fine-tuning with DLFD's own optimiser, batches and augmentation, EU-k, CT, an
untrained network, the class means of unseen outputs, and nobody. Cost is equal:
a teacher gets as many passes as DLFD took on that seed, rounded up to whole
epochs; one that takes none leaves them to the student.

Drawn faces: five demos, each with data, original and three retrained models of
its own seed. FG-NET: one split, one original, eight references, five seeds of
unlearning. Seeds are paired: a difference is taken within a seed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import checkpoint, parallel, presets
from dlfd_jax.cli import command, demo, inputs
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, registry
from dlfd_jax.methods import base, dlfd, restore
from dlfd_jax.metrics import distances
from dlfd_jax.pipeline import (
  job,
  predictors as predictors_lib,
  train,
  unlearn,
)
from dlfd_jax.report import render
from dlfd_jax.utils import configs, runs
from experiments.benchmarks import judged, teacher_stages
from experiments.paper import study as study_lib, summary
from experiments.publish import demo_seeds, programs

SEEDS = 5
REFERENCES = 8  # of FG-NET
TEACHER_EPOCHS = 2  # of DLFD
STAGES = 5  # blocks of EU-k: two stages of the ResNet and the head
OURS, BESIDE, ALONE = 'dlfd', 'finetune', 'dlfd_alone'
LEFT_OUT = 'left_out'
# What a model is measured by: those of the gap, and the reference attacks.
GAP = ('accuracy_forget', 'accuracy_retain', 'accuracy_test', 'mia_auc_matched')
ATTACKS = {'reference_attack_two_sided': 'two-sided',
           'reference_attack_person': 'person'}
COLUMNS = {'passes': 'passes', 'gap': 'gap', 'accuracy_retain': 'retain',
           'accuracy_forget': 'forget', 'accuracy_test': 'test',
           'mia_auc_matched': 'AUC', **ATTACKS}
_CONFIG = inputs_lib.EvaluationConfig(bootstrap=20)
Logits = Mapping[str, np.ndarray]
Figures = dict[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """A data set at one seed.

  Attributes:
    seed: of the original and of unlearning.
    preset: settings of the methods.
    original: who forgets.
    splits: who is forgotten.
    references: retrained models; the last ones may be left out of the mean.
    folder: of the runs.
    devices: where to run.
  """

  seed: int
  preset: presets.Preset
  original: job.ModelRun
  splits: splits_lib.Splits
  references: Sequence[pathlib.Path]
  folder: pathlib.Path
  devices: parallel.Devices

  def epoch(self, config: base.MethodConfig) -> int:
    """Steps of one pass over retain."""
    return -(-len(self.splits.retain) // config.batch_size)

  @functools.cached_property
  def _predictors(self) -> predictors_lib.Predictors:
    return predictors_lib.Predictors(self.original.dataset, self.devices)

  @functools.cached_property
  def _retrained(self) -> list[Logits]:
    return [self._logits(job.judged(path).saved) for path in self.references]

  def _logits(self, saved: checkpoint.SavedModel) -> Logits:
    assert saved.config is not None
    return {split: out.logits for split, out in self._predictors.run(
        saved.config, saved.variables, self.splits.parts).items()}

  def figures(self, saved: checkpoint.SavedModel) -> Figures:
    """Of a model beside all references."""
    return self._beside(self._logits(saved), self._retrained)

  def left_out(self) -> list[Figures]:
    """Of each reference beside the other ones."""
    return [self._beside(logits, [
        other for j, other in enumerate(self._retrained) if j != i])
            for i, logits in enumerate(self._retrained)]

  def _beside(self, logits: Logits, references: Sequence[Logits]) -> Figures:
    given = inputs_lib.prepare(
        {'unlearned': logits, 'retrained': references}, self.original.dataset,
        self.splits, _CONFIG)

    def value(name, *models):
      metric = registry.find(name)
      assert metric is not None
      return metric.value(given, *models).value

    own = {name: value(name, given.unlearned) for name in GAP}
    gap = distances.average_gap(*(
        of - statistics.fmean(value(name, other) for other in given.retrained)
        for name, of in own.items()))
    return {'gap': gap, **own, **{
        name: value(name, given.unlearned, given.retrained)
        for name in ATTACKS}}


def drawn(values: flags.FlagValues, seed: int) -> Case:
  """A demo, which is run first where it is not there."""
  folder = pathlib.Path(command.required(values, 'demos')) / str(seed)
  demo_seeds.measure(seed, folder)
  dataset = job.load_data(presets.demo_data(seed))
  preset = presets.PRESETS['demo']
  splits = splits_lib.load_splits(
      folder / demo.RETRAINED[0] / runs.SPLITS, dataset)
  original = train.train(
      dataset, presets.demo_partition(dataset, seed),
      dataclasses.replace(preset.train, seed=seed), preset.network,
      workdir=folder / 'original')
  assert isinstance(splits, splits_lib.Splits)
  return Case(seed, preset, original, splits,
              [folder / name for name in demo.RETRAINED],
              study_lib.root_of(values) / 'drawn' / str(seed),
              inputs.devices(values))


def fgnet(values: flags.FlagValues, seed: int) -> Case:
  """The split, the original and the references of `judged`."""
  data = judged.DATA[0]
  task = data.task(pathlib.Path(command.required(values, 'data_dir')))
  common = {'devices': inputs.devices(values), **inputs.run_options(values)}
  study = study_lib.open_study(
      task, 0, pathlib.Path(command.required(values, 'judged')), data.forget,
      **common)
  folder = study_lib.root_of(values) / 'fgnet' / str(seed)
  return Case(seed, task.preset, study.trained['original'], study.splits,
              [pathlib.Path(path) for path in study.references(REFERENCES)],
              folder, inputs.devices(values))


CASES: dict[str, tuple[
    str, str, Callable[[flags.FlagValues, int], Case]]] = {
        'drawn': (
            'Drawn faces, the demo',
            'seeds, each with faces, split, original and three references of '
            'its own.', drawn),
        'fgnet': (
            'FG-NET, age in 6 classes, 32 px',
            'unlearning seeds on one split with one original and eight '
            'references: the intervals leave out what others would change.',
            fgnet)}


def passes(config: base.MethodConfig, phase: str) -> float:
  """Cost of one step in training steps on a batch, forward and backward.

  A forward pass is a third of one. An inner step of DLFD counts as a whole one,
  its forget batch as a third; a joint step reads two batches, and the teacher
  one of them.
  """
  if phase == dlfd.DISTANCE:
    return config.perturb_steps + 4 / 3  # type: ignore[attr-defined]
  return 7 / 3 if phase in (restore.JOINT, restore.RESTING) else 1.0


def spent(case: Case, config: base.Method, record: Mapping[str, Any]) -> float:
  """Passes over retain that a finished run took, its stages together."""
  clock, total = record['time'], 0.0
  for phase in clock['compile_s']:
    joint = phase in (restore.JOINT, restore.RESTING)
    stage = config.inner if joint else getattr(config, 'method', config)
    # The clock keeps the first step of each phase apart.
    steps = clock['phase_steps'].get(phase, 0) + 1
    total += steps * passes(stage, phase) / case.epoch(stage)
  return total


# Of DLFD's config and its passes to a config of the same cost.
Make = Callable[[Case, base.MethodConfig, float], base.Method]


def _restored(teacher: base.MethodConfig, case: Case) -> base.Method:
  return restore.RestoreConfig(method=teacher, restore=_joint(case))


def _joint(case: Case) -> restore.StageConfig:
  return case.preset.config_of('dlfd_restore').restore  # type: ignore


def _taught(name: str, **fields: Any) -> Make:
  def make(case, ours, cost):
    return _restored(configs.replace(
        presets.methods_alike(case.preset)[name],
        {'epochs': _whole(cost), **fields}), case)
  return make


def _alone(stage: type[restore.StageConfig]) -> Make:
  def make(case, ours, cost):
    joint = _joint(case)
    return stage(batch_size=joint.batch_size, epochs=joint.epochs + _whole(
        cost / passes(joint, restore.JOINT)))
  return make


def _whole(epochs: float) -> int:
  return max(1, math.ceil(round(epochs, 3)))


def _ours(**fields: Any) -> Make:
  return lambda case, ours, cost: _restored(
      configs.replace(ours, fields), case)


def _ours_alone(**fields: Any) -> Make:
  return lambda case, ours, cost: configs.replace(ours, fields)


TEACHERS: dict[str, tuple[str, Make]] = {
    'dlfd': ('DLFD', _ours()),
    'finetune': ('fine-tuning', _taught('finetune')),
    'eu_k': ('EU-k of two stages', _taught('eu_k', k=STAGES)),
    'ct': ('CT', _taught('ct')),
    'untrained': ('an untrained network', _alone(teacher_stages.Untrained)),
    'means': ('class means of unseen outputs',
              _alone(teacher_stages.ClassMeans)),
    'nobody': ('nobody', _alone(teacher_stages.Nobody)),
}
# Fields of DLFD that are changed, each alone and with restore.
FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    'every': ('every batch', {'dynamic_phases': False}),
    'k_1': ('K = 1', {'perturb_steps': 1}),
    'k_2': ('K = 2', {'perturb_steps': 2})}
VARIANTS: dict[str, tuple[str, Make]] = {
    ALONE: ('DLFD without restore', _ours_alone()),
    **{f'{name}_alone': (f'DLFD, {title}, without restore',
                         _ours_alone(**fields))
       for name, (title, fields) in FIELDS.items()},
    **{name: (f'DLFD, {title}', _ours(**fields))
       for name, (title, fields) in FIELDS.items()}}
ARMS = TEACHERS | VARIANTS


def our_config(case: Case) -> base.MethodConfig:
  """DLFD as the teacher: the preset's, with fewer passes."""
  return configs.replace(case.preset.config_of('dlfd'), {
      'epochs': TEACHER_EPOCHS})


def run_case(case: Case, names: Sequence[str],
             common: Mapping[str, Any]) -> list[dict[str, Any]]:
  """The cells of a case: a model each; what is there is not run again."""
  cells: dict[str, dict[str, Any]] = {}

  def cell(name, make):
    kept = case.folder / f'{name}.json'
    if not kept.is_file():
      runs.write_json(kept, {'model': name, 'seed': case.seed, **make()})
    cells[name] = runs.read_json(kept)
    return cells[name]

  def unlearned(name, config):
    run = unlearn.unlearn(
        case.original, config, case.splits, seed=case.seed,
        workdir=case.folder / name, **common)
    command.check_finite(run)
    return {'passes': spent(case, config, run.record),
            'epochs': config.epochs, 'figures': case.figures(run.state())}

  case.folder.mkdir(parents=True, exist_ok=True)
  cell('original', lambda: {
      'passes': 0.0, 'figures': case.figures(case.original.state())})
  cell(LEFT_OUT, lambda: {'each': case.left_out()})
  ours = our_config(case)
  cost = cell(ALONE, lambda: unlearned(ALONE, ours))['passes']
  for name in names:
    if name != ALONE:
      cell(name, lambda name=name: unlearned(
          name, ARMS[name][1](case, ours, cost)))
  return list(cells.values())


def values_of(cells: Sequence[Mapping[str, Any]], name: str,
              column: str) -> dict[int, float]:
  """A column of a model by seed."""
  return {cell['seed']: cell['passes'] if column == 'passes' else
          cell['figures'][column] for cell in cells if cell['model'] == name}


def far(column: str, value: float) -> float:
  """Small is good: a gap as it is, an attack by its distance to guessing."""
  return value if column == 'gap' else abs(value - .5)


def paired(cells: Sequence[Mapping[str, Any]], name: str, other: str,
           column: str) -> summary.Spread:
  """The first model's :func:`far` minus the second's, of each seed."""
  first, second = (values_of(cells, one, column) for one in (name, other))
  return summary.Spread(tuple(
      far(column, first[seed]) - far(column, second[seed])
      for seed in sorted(set(first) & set(second))))


def left_out(cells: Sequence[Mapping[str, Any]], column: str) -> np.ndarray:
  """A column of all left-out references."""
  return np.array([one[column] for cell in cells for one in cell.get('each', ())
                   ])


def verdict(difference: summary.Spread) -> str:
  """Whether the first model of a :func:`paired` difference is nearer."""
  low, high = difference.interval or (-math.inf, math.inf)
  return 'nearer' if high < 0 else 'farther' if low > 0 else 'no difference'


def sentence(worlds: Sequence[Mapping[str, Any]]) -> str:
  """Whether DLFD earns its place over fine-tuning."""
  said = {world['title']: verdict(paired(world['cells'], OURS, BESIDE, 'gap'))
          for world in worlds}
  if set(said.values()) == {'nearer'}:
    return ('DLFD earns its place: with it as teacher the student is nearer to '
            'retraining than with fine-tuning on every data set.')
  best = [title for title, of in said.items() if of == 'nearer']
  return (
      'DLFD does not earn its place over the fine-tuning teacher'
      + (f', except on {", ".join(best)}' if best else '') + ': '
      + '; '.join(f'{title}: {_WORDS[of]}' for title, of in said.items()) + '.')


_WORDS = {'nearer': 'its gap is smaller', 'farther': 'its gap is larger',
          'no difference': 'the gaps cannot be told apart'}


def _cells_of(cells, name, title):
  def text(column):
    if name == LEFT_OUT:
      return ('' if column == 'passes' else
              f'{left_out(cells, column).mean():.3f}')
    found = values_of(cells, name, column).values()
    return summary.Spread(tuple(found)).text(1 if column == 'passes' else 3)

  return [title, *map(text, COLUMNS)]


def markdown(result: Mapping[str, Any]) -> str:
  """A table and the paired differences of each data set."""
  lines = [
      '# Teachers of restore', '', sentence(result['worlds']), '',
      'Restore from the original with the same joint steps, taught by each '
      'model. Passes: over retain, forward and backward, of teacher and '
      'student together; every other teacher has as many as DLFD took. Gap: '
      'mean absolute difference to the mean of the references in test, retain '
      'and forget accuracy and class-matched attack AUC. Two-sided, person: '
      'AUC of the attack that reads margins beside the references, .5 is '
      'guessing. Mean ± standard deviation over seeds.']
  for world in result['worlds']:
    cells = world['cells']
    names = {cell['model'] for cell in cells}
    rows = {name: title for name, title in {
        'original': 'Original', LEFT_OUT: 'A reference, left out',
        ALONE: ARMS[ALONE][0], **{name: title for name, (title, _) in
                                  ARMS.items()}}.items() if name in names}
    gaps = left_out(cells, 'gap')
    lines += [
        '', f'## {world["title"]}', '', f'{world["seeds"]} '
        f'{world["about"]} A left-out reference has a gap of '
        f'{gaps.mean():.3f} on average, 90 % of them of at most '
        f'{np.quantile(gaps, .9):.3f}.', '',
        *render.markdown_lines(
            ['teacher', *COLUMNS.values()],
            [_cells_of(cells, name, title) for name, title in rows.items()],
            'l' + 'r' * len(COLUMNS)), '',
        'DLFD minus each other teacher within a seed, with 95 % t intervals; '
        'of attacks the distance to .5. Below 0: DLFD is better.', '',
        *render.markdown_lines(
            ['teacher', 'gap', *ATTACKS.values()],
            [[title, *(_difference(paired(cells, OURS, name, column))
                       for column in ('gap', *ATTACKS))]
             for name, title in rows.items()
             if name not in ('original', LEFT_OUT, OURS)], 'lrrr')]
  return '\n'.join([*lines, '', programs.made_by(dict(result)), ''])


def _difference(found: summary.Spread) -> str:
  low, high = found.interval or (math.nan, math.nan)
  text = f'{found.mean:+.3f} [{low:+.3f}, {high:+.3f}]'
  return text if verdict(found) == 'no difference' else f'**{text}**'


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  common = {'hooks': [command.Progress()], 'devices': inputs.devices(values),
            **inputs.run_options(values)}
  names = command.value(values, 'arms')
  unknown = sorted(set(names) - set(ARMS))
  if unknown:
    raise ValueError(f'Expected --arms of {sorted(ARMS)}, got {unknown}.')
  worlds = []
  for world in command.value(values, 'worlds'):
    title, about, make = CASES[world]
    cells: list[dict[str, Any]] = []
    made: dict[int, Case] = {}
    for name in names:  # one program serves all seeds of a model
      for seed in range(command.value(values, 'seeds')):
        if seed not in made:
          made[seed] = make(values, seed)
        run_case(made[seed], [name], common)
    for case in made.values():
      cells += run_case(case, names, common)
    worlds.append({'world': world, 'title': title, 'about': about,
                   'seeds': len(made), 'cells': cells})
  return {'worlds': worlds}


COMMAND = programs.program(
    'benchmarks.teachers', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'demos': (None, 'folder of `publish.demo_seeds`'),
        'judged': (None, 'folder of `benchmarks.judged`'),
        'worlds': (list(CASES), 'data sets'),
        'arms': (list(TEACHERS), 'teachers'),
        'seeds': (SEEDS, 'seeds from 0', 1)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
