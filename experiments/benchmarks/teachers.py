r"""What teaches restore best: DLFD beside other teachers at equal cost.

  python -m experiments.benchmarks.teachers --data_dir=../shared/data \
      --demos=../runs/demo_seeds --judged=../runs/judged \
      --workdir=../runs/teachers --out=docs/results/teachers

Restore takes its student from the original and its answers on forget from a
teacher. Here the student's steps are the same and the teacher differs: DLFD,
fine-tuning with DLFD's own optimiser, batches and augmentation, EU-k, CT, an
untrained network, the class means of unseen outputs, and nobody. Cost is equal:
a teacher gets as many passes as DLFD took on that seed, rounded up to whole
epochs; one that takes none leaves them to the student. Fine-tuning stands there
with DLFD's epochs, too, which are fewer passes.

Small: drawn faces at 16 px and a network of four convolutions, minutes in all:
one split, four references, five seeds of original and unlearning. Drawn faces:
five demos, each with data, original and three retrained models of its own seed.
FG-NET: one split, one original, eight references, five seeds of unlearning.
Seeds are paired: a difference is taken within a seed. Restored DLFD runs once
more at other seeds of unlearning: how far it lies from itself.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import parallel, presets
from dlfd_jax.cli import command, demo, inputs
from dlfd_jax.data import (
  requests,
  resolution,
  sources,
  split_files,
  splits as splits_lib,
)
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
from dlfd_jax.utils import configs, runs, text
from experiments.benchmarks import judged, small_network, teacher_stages
from experiments.paper import study as study_lib, summary
from experiments.publish import demo_seeds, programs

SEEDS = 5
REFERENCES, SMALL_REFERENCES = 8, 4  # of FG-NET; of the small network
SMALL = sources.DataOptions(image_size=16, people=360)
TEACHER_EPOCHS = 2  # of DLFD
OURS, AGAIN, ALONE = 'dlfd', 'dlfd_again', 'dlfd_alone'
BESIDE = ('finetune', 'finetune_short')
LEFT_OUT, ORIGINAL = 'left_out', 'original'
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
class World:
  """A data set, who of it is forgotten, and retrained models.

  Attributes:
    preset: settings of the methods.
    original: who forgets.
    splits: who is forgotten.
    references: folders of retrained models.
    devices: where to run.
  """

  preset: presets.Preset
  original: job.ModelRun
  splits: splits_lib.Splits
  references: Sequence[job.Folder]
  devices: parallel.Devices

  def epoch(self, config: base.MethodConfig) -> int:
    """Steps of one pass over retain."""
    return -(-len(self.splits.retain) // config.batch_size)

  @functools.cached_property
  def _predictors(self) -> predictors_lib.Predictors:
    return predictors_lib.Predictors(self.original.dataset, self.devices)

  @functools.cached_property
  def _retrained(self) -> list[Logits]:
    return [self._logits(path) for path in self.references]

  def _logits(self, run: job.ModelRun | job.Folder) -> Logits:
    return self._predictors.logits(
        job.judged(run).saved, self.splits.parts)

  def figures(self, run: job.ModelRun) -> Figures:
    """Of a model beside all references."""
    return self._beside(self._logits(run), self._retrained)

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


def _with_k(preset: presets.Preset, k: int) -> presets.Preset:
  return dataclasses.replace(preset, methods=preset.methods | {
      'eu_k': configs.replace(preset.config_of('eu_k'), {'k': k})})


def small(values: flags.FlagValues, seeds: Sequence[int]) -> Iterator[World]:
  """Drawn faces for a network of four convolutions, one split of them."""
  preset = _with_k(dataclasses.replace(
      presets.PRESETS['demo'], network=presets.Network(
          architecture=f'{small_network.__name__}:SmallNet')), 3)
  common = inputs.run_options(values)
  root = study_lib.root_of(values) / 'small'
  dataset = job.load_data(SMALL)
  partition = splits_lib.draw_partition(
      dataset, seed=0, test_fraction=.4, val_fraction=.2)
  splits, _ = resolution.resolve_request(
      dataset, partition, requests.ForgetRequest(fraction=.2, seed=0))

  def trained(folder, seed, parts, on):
    return train.train(
        dataset, parts, dataclasses.replace(preset.train, seed=seed),
        preset.network, on=on, workdir=folder, **common)

  references = [root / '0' / f'retrained_{i}' for i in range(SMALL_REFERENCES)]
  for i, folder in enumerate(references):
    trained(folder, 1000 + i, splits, 'retain')
  for seed in seeds:
    yield World(
        preset, trained(root / str(seed) / 'original', seed, partition, 'all'),
        splits, references, common['devices'])


def drawn(values: flags.FlagValues, seeds: Sequence[int]) -> Iterator[World]:
  """Demos, each of which is run first where it is not there."""
  preset = _with_k(presets.PRESETS['demo'], 5)  # two stages and the head
  for seed in seeds:
    folder = pathlib.Path(command.required(values, 'demos')) / str(seed)
    demo_seeds.measure(seed, folder)
    dataset = job.load_data(presets.demo_data(seed))
    splits = split_files.load_splits(
        folder / demo.RETRAINED[0] / runs.SPLITS, dataset)
    assert isinstance(splits, splits_lib.Splits)
    yield World(
        preset, train.train(
            dataset, presets.demo_partition(dataset, seed),
            presets.demo_recipe(seed), preset.network,
            workdir=folder / 'original'),
        splits, [folder / name for name in demo.RETRAINED],
        inputs.devices(values))


def fgnet(values: flags.FlagValues, seeds: Sequence[int]) -> Iterator[World]:
  """The split, the original and the references of `judged`, at every seed."""
  data = judged.SMALL
  task = data.task(pathlib.Path(command.required(values, 'data_dir')))
  study = study_lib.open_study(
      task, 0, pathlib.Path(command.required(values, 'judged')), data.forget,
      **inputs.run_options(values))
  world = World(task.preset, study.trained['original'], study.splits,
                study.references(REFERENCES), study.devices)
  yield from (world for _ in seeds)


WORLDS: dict[str, tuple[str, str, Callable[
    [flags.FlagValues, Sequence[int]], Iterator[World]]]] = {
        'small': (
            'Drawn faces at 16 px, a network of four convolutions',
            'originals and unlearning seeds on one split with four '
            'references: the intervals leave out what others would change.',
            small),
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
  one of them; one that rests without weight reads retain alone.
  """
  if phase == dlfd.DISTANCE:
    sides = 1 + getattr(config, 'relative', False)  # forget, and unseen images
    return config.perturb_steps + 1 + sides / 3  # type: ignore[attr-defined]
  anchored = phase == restore.JOINT or (
      phase == restore.RESTING and config.resting_weight)  # type: ignore
  return 7 / 3 if anchored else 1.0


def spent(world: World, config: base.Method,
          record: Mapping[str, Any]) -> float:
  """Passes over retain that a finished run took, its stages together."""
  clock, total = record['time'], 0.0
  for phase in clock['compile_s']:
    joint = phase in (restore.JOINT, restore.RESTING)
    stage = config.inner if joint else getattr(config, 'method', config)
    # The clock keeps the first step of each phase apart.
    steps = clock['phase_steps'].get(phase, 0) + 1
    total += steps * passes(stage, phase) / world.epoch(stage)
  return total


# Of the preset, DLFD's config and its passes to a config of the same cost.
Make = Callable[[presets.Preset, base.MethodConfig, float], base.Method]


def _joint(preset: presets.Preset) -> restore.StageConfig:
  return preset.config_of('dlfd_restore').restore  # type: ignore


def _taught(name: str, **fields: Any) -> Make:
  def make(preset, ours, cost):
    del ours
    return restore.RestoreConfig(
        method=configs.replace(presets.methods_alike(preset)[name],
                               {'epochs': _whole(cost), **fields}),
        restore=_joint(preset))
  return make


def _alone(stage: type[restore.StageConfig]) -> Make:
  def make(preset, ours, cost):
    del ours
    joint = _joint(preset)
    return stage(batch_size=joint.batch_size, epochs=joint.epochs + _whole(
        cost / passes(joint, restore.JOINT)))
  return make


def _whole(epochs: float) -> int:
  return max(1, math.ceil(round(epochs, 3)))


Change = Callable[[base.MethodConfig], base.MethodConfig]


def ours_with(change: Change = lambda ours: ours) -> Make:
  """DLFD as the teacher, with another config if need be."""
  def make(preset, ours, cost):
    del cost
    return restore.RestoreConfig(
        method=change(ours), restore=_joint(preset))
  return make


def bare(change: Change = lambda ours: ours) -> Make:
  """The same without restore."""
  return lambda preset, ours, cost: change(ours)


def _short(preset, ours, cost):
  """Fewer passes than DLFD: what differs is the perturbation alone."""
  return _taught('finetune')(preset, ours, ours.epochs)


TEACHERS: dict[str, tuple[str, Make]] = {
    OURS: ('DLFD', ours_with()),
    AGAIN: ('DLFD, another unlearning seed', ours_with()),
    'finetune': ('fine-tuning', _taught('finetune')),
    'finetune_short': ("fine-tuning of DLFD's epochs", _short),
    'eu_k': ('EU-k', _taught('eu_k')),
    'ct': ('CT', _taught('ct')),
    'untrained': ('an untrained network', _alone(teacher_stages.Untrained)),
    'means': ('class means of unseen outputs',
              _alone(teacher_stages.ClassMeans)),
    'nobody': ('nobody', _alone(teacher_stages.Nobody)),
}
Arms = Mapping[str, tuple[str, Make]]
ARMS: Arms = {**TEACHERS, ALONE: ('DLFD without restore', bare())}


def our_config(preset: presets.Preset) -> base.MethodConfig:
  """DLFD as the teacher: the preset's, with fewer passes."""
  return configs.replace(
      preset.config_of('dlfd'), {'epochs': TEACHER_EPOCHS})


def cell(world: World, seed: int, name: str, folder: pathlib.Path,
         common: Mapping[str, Any], arms: Arms = ARMS) -> dict[str, Any]:
  """A model at a seed, by name; what is there is read, not run again."""
  kept = folder / f'{name}.json'
  if kept.is_file():
    return runs.read_json(kept)
  folder.mkdir(parents=True, exist_ok=True)
  found: dict[str, Any]
  if name == LEFT_OUT:
    found = {'each': world.left_out()}
  elif name == ORIGINAL:
    found = {'passes': 0.0, 'figures': world.figures(world.original)}
  else:
    ours, cost = our_config(world.preset), 0.0
    if name != ALONE:
      cost = cell(world, seed, ALONE, folder, common)['passes']
    config = arms[name][1](world.preset, ours, cost)
    run = unlearn.unlearn(
        world.original, config, world.splits,
        seed=seed + SEEDS if name == AGAIN else seed,
        workdir=folder / name, **common)
    command.check_finite(run)
    found = {'passes': spent(world, config, run.record),
             'figures': world.figures(run)}
  runs.write_json(kept, {'model': name, 'seed': seed, **found})
  return cell(world, seed, name, folder, common)


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
  """A column of all left-out references; those that seeds share count once."""
  each: list[Any] = []
  for cell in cells:
    if cell['model'] == LEFT_OUT and cell['each'] not in each:
      each.append(cell['each'])
  return np.array([one[column] for of in each for one in of])


def verdict(difference: summary.Spread) -> str:
  """Whether the first model of a :func:`paired` difference is nearer."""
  low, high = difference.interval or (-math.inf, math.inf)
  return 'nearer' if high < 0 else 'farther' if low > 0 else 'no difference'


def sentence(worlds: Sequence[Mapping[str, Any]]) -> str:
  """Whether DLFD earns its place over fine-tuning of as many passes, and fewer.

  It does on a data set where the student's gap is smaller than with either, and
  so it is with another unlearning seed. Then what its gap is beside that of
  each teacher.
  """
  earns, said = [], []
  for world in worlds:
    found = {ours: _verdicts(world['cells'], ours) for ours in (OURS, AGAIN)}
    if not found[OURS]:
      continue
    words = [_said(of) for of in found.values() if of]
    said.append(f'{world["title"]}: its gap {words[0]}'
                + ''.join(f' With another unlearning seed it {again}'
                          for again in words[1:]))
    if all(set(BESIDE) <= {*of.get('nearer', ())} for of in found.values()):
      earns.append(world['title'])
  if not said:
    return 'Too few seeds were run to tell what DLFD contributes.'
  where = ('on every data set' if len(earns) == len(said) else
           f'on {", ".join(earns)} alone')
  return ' '.join([
      'As a teacher DLFD ' + (
          f'earns its place over fine-tuning {where}.' if earns else
          'does not earn its place over fine-tuning.'), *said])


def _verdicts(cells: Sequence[Mapping[str, Any]],
              ours: str) -> dict[str, list[str]]:
  """Teachers by the verdict on our gap beside theirs."""
  found: dict[str, list[str]] = {}
  for name in TEACHERS:
    one = paired(cells, ours, name, 'gap')
    if name not in (OURS, AGAIN) and one.interval:
      found.setdefault(verdict(one), []).append(name)
  return found


def _said(found: Mapping[str, Sequence[str]]) -> str:
  return '; '.join(
      f'{word} that of ' + ', '.join(ARMS[name][0] for name in found[of])
      for of, word in _WORDS.items() if of in found) + '.'


_WORDS = {'nearer': 'is smaller than', 'farther': 'is larger than',
          'no difference': 'ties with'}


def row_of(cells: Sequence[Mapping[str, Any]], name: str,
           title: str) -> list[str]:
  """A model's row under :data:`COLUMNS`."""
  def shown(column):
    if name == LEFT_OUT:
      return ('' if column == 'passes' else
              f'{left_out(cells, column).mean():.3f}')
    found = values_of(cells, name, column).values()
    return summary.Spread(tuple(found)).text(1 if column == 'passes' else 3)

  return [title, *map(shown, COLUMNS)]


def markdown(result: Mapping[str, Any]) -> str:
  """A table and the paired differences of each data set."""
  lines = [
      '# Teachers of restore', '', sentence(result['worlds']), '',
      'Restore from the original with the same joint steps, taught by each '
      'model. Passes: over retain, forward and backward, of teacher and '
      'student together. Gap: '
      'mean absolute difference to the mean of the references in test, retain '
      'and forget accuracy and class-matched attack AUC. Two-sided, person: '
      'AUC of the attack that reads margins beside the references, .5 is '
      'guessing. Mean ± standard deviation over seeds. A tie: the 95 % '
      'interval of the difference within seeds holds 0, which leaves room for '
      'differences as large as the interval. No interval is corrected for how '
      'many there are: of twenty without any difference one leaves 0 out.']
  for world in result['worlds']:
    cells = world['cells']
    names = {cell['model'] for cell in cells}
    titles = {ORIGINAL: 'Original', LEFT_OUT: 'A reference, left out',
              **{name: title for name, (title, _) in ARMS.items()}}
    rows = {name: title for name, title in titles.items() if name in names}
    gaps = left_out(cells, 'gap')
    missing = collections.Counter(name for name, _ in world['missing'])
    lines += [
        '', f'## {world["title"]}', '', f'{world["seeds"]} '
        f'{world["about"]} A left-out reference, one of {len(gaps)}, has a gap '
        f'of {gaps.mean():.3f} on average, 90 % of them of at most '
        f'{np.quantile(gaps, .9):.3f}.', '',
        *render.markdown_lines(
            ['teacher', *COLUMNS.values()],
            [row_of(cells, name, title) for name, title in rows.items()],
            'l' + 'r' * len(COLUMNS)), '',
        *(['Partial: not run yet are ' + ', '.join(
            f'{titles[name]} on {text.counted(n, "seed")}'
            for name, n in missing.items()) + '.', ''] if missing else ()),
        'DLFD minus each other teacher within a seed, with 95 % t intervals; '
        'of attacks the distance to .5. Below 0: DLFD is better.', '',
        *render.markdown_lines(
            ['teacher', 'seeds', 'gap', *ATTACKS.values()],
            [[title, str(len(values_of(cells, name, 'gap'))), *(
                difference(paired(cells, OURS, name, column))
                for column in ('gap', *ATTACKS))]
             for name, title in rows.items()
             if name not in (ORIGINAL, LEFT_OUT, OURS)], 'lrrrr')]
  return '\n'.join([*lines, '', programs.made_by(dict(result)), ''])


def difference(found: summary.Spread) -> str:
  if found.interval is None:
    return f'{found.mean:+.3f}' if found.values else '-'
  low, high = found.interval
  shown = f'{found.mean:+.3f} [{low:+.3f}, {high:+.3f}]'
  return shown if verdict(found) == 'no difference' else f'**{shown}**'


def measure(values: flags.FlagValues, names: Sequence[str],
            arms: Arms) -> dict[str, Any]:
  """The cells of these models in every world that was asked for.

  Args:
    values: of :data:`FLAGS`.
    names: of ``arms``.
    arms: models by name.
  """
  common = inputs.run_options(values)
  unknown = sorted(set(names) - set(arms))
  if unknown:
    raise ValueError(f'Expected models of {sorted(arms)}, got {unknown}.')
  names = [ORIGINAL, LEFT_OUT, ALONE, *(
      name for name in names if name != ALONE)]
  seeds = range(command.value(values, 'seeds'))
  found = []
  for place in command.value(values, 'worlds'):
    if place not in WORLDS:
      raise ValueError(f'Expected --worlds of {sorted(WORLDS)}, got {place}.')
    title, about, make = WORLDS[place]
    run = command.value(values, 'run')
    worlds = list(make(values, seeds)) if run else []
    # Model by model, as one compiled program serves all seeds.
    cells, missing = [], []
    for name in names:
      for seed in seeds:
        folder = study_lib.root_of(values) / place / str(seed)
        kept = folder / f'{name}.json'
        if kept.is_file():
          cells.append(runs.read_json(kept))
        elif run:
          cells.append(cell(
              worlds[seed], seed, name, folder, common, arms))
        else:
          missing.append([name, seed])
    if any(one['model'] == LEFT_OUT for one in cells):
      found.append({
          'world': place, 'title': title, 'about': about, 'seeds': len(seeds),
          'cells': cells, 'missing': missing})
  return {'worlds': found}


FLAGS: dict[str, tuple[Any, ...]] = {
    'data_dir': (None, 'folder of the npz files'),
    'demos': (None, 'folder of `publish.demo_seeds`'),
    'judged': (None, 'folder of `benchmarks.judged`'),
    'worlds': (list(WORLDS), 'data sets'),
    'seeds': (SEEDS, 'seeds from 0', 1),
    'run': (True, 'also run what is not there; else read what is')}
COMMAND = programs.program(
    'benchmarks.teachers', __doc__,
    {**FLAGS, 'teachers': (list(TEACHERS), 'who teaches, by name')},
    lambda values: measure(values, command.value(values, 'teachers'), ARMS),
    markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
