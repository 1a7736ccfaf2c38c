"""The jobs from Python: in memory, in a folder, and read by the commands."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import dlfd_jax
from dlfd_jax import checkpoint, loop, models, presets
from dlfd_jax.cli import evaluate as command, report
from dlfd_jax.evaluation import again as again_lib
from dlfd_jax.pipeline import chain, chain_checks, evaluation_result, job
from dlfd_jax.report import tables
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')
NETWORK = dlfd_jax.Network(architecture='tests.models.own_nets:Own')
RECIPE = dlfd_jax.TrainConfig(epochs=2, batch_size=16)
METHOD = dlfd_jax.FinetuneConfig(batch_size=16)


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  """Data, splits and the three models, in memory alone."""
  path = runs_of.write_data(tmp_path_factory.mktemp('data'))
  data = dlfd_jax.load_data(dlfd_jax.DataOptions(
      source=str(path), labels=('shade',)))
  parts = dlfd_jax.draw_partition(data, seed=0)
  splits, _ = dlfd_jax.resolve_request(
      data, parts, dlfd_jax.ForgetRequest(people=3))
  original = dlfd_jax.train(data, parts, RECIPE, NETWORK)
  unlearned = dlfd_jax.unlearn(original, METHOD, splits)
  retrained = dlfd_jax.train(data, splits, RECIPE, NETWORK, on='retain')
  return data, parts, splits, original, unlearned, retrained


def same(one, other):
  return checkpoint.fingerprint(one) == checkpoint.fingerprint(other)


@pytest.mark.slow
def test_a_folder_changes_nothing_and_is_read_when_it_is_finished(
    work, tmp_path):
  data, parts, splits, original, unlearned, _ = work
  assert original.folder is None and unlearned.stop == loop.FINISHED
  assert len(original.log.events) > 2
  first = dlfd_jax.train(
      data, parts, RECIPE, NETWORK, workdir=tmp_path / 'original')
  assert same(first.variables, original.variables)
  before = runs_of.tree(tmp_path)
  again = dlfd_jax.train(
      data, parts, RECIPE, NETWORK, workdir=tmp_path / 'original')
  assert again.record == first.record and runs_of.tree(tmp_path) == before
  made = [dlfd_jax.unlearn(start, METHOD, splits) for start in (
      again, dlfd_jax.Problem(again.model, again.variables, data, splits))]
  made.append(dlfd_jax.unlearn(
      dlfd_jax.load_model(tmp_path / 'original'), METHOD, splits, data))
  for one in made:
    assert same(one.selected, unlearned.selected)
    assert same(one.last, unlearned.last)


@pytest.mark.slow
def test_what_python_saved_the_commands_read(work, tmp_path, capsys):
  _, _, _, original, unlearned, retrained = work
  for name, run in (('original', original), ('unlearned', unlearned),
                    ('retrained', retrained)):
    assert run.save(tmp_path / name) == tmp_path / name
    assert dlfd_jax.load_classifier(tmp_path / name).task == run.dataset.task
  config = dlfd_jax.EvaluationConfig(bootstrap=20)
  ours = dlfd_jax.evaluate(original, unlearned, [retrained], config)
  assert command.main([
      *(f'--{name}={tmp_path / name}' for name in (
          'original', 'unlearned', 'retrained')),
      '--bootstrap=20', f'--workdir={tmp_path / "theirs"}']) == 0
  theirs = dlfd_jax.load_evaluation(tmp_path / 'theirs')
  for key in ('metrics', 'notes', 'data', 'request', 'runs', 'selection'):
    assert json.loads(json.dumps(ours.record[key])) == theirs.record[key], key
  assert ours.table() == theirs.table()
  folder = ours.save(tmp_path / 'ours')
  assert runs.read_json(folder / runs.CONFIG) == runs.read_json(
      tmp_path / 'theirs' / runs.CONFIG)
  assert report.main([f'--evaluation={folder}']) == 0
  page = ours.write_report(tmp_path / 'new' / 'page.html')
  assert page.read_text() == (folder / runs.REPORT).read_text()
  capsys.readouterr()


def test_arrays_in_memory_need_the_flag_that_names_the_data(
    work, tmp_path, capsys):
  data, _, splits, original, *_ = work
  bare = dataclasses.replace(data, options=None)
  run = dlfd_jax.unlearn(original.state(), METHOD, splits, bare)
  run.save(tmp_path / 'unlearned')
  original.save(tmp_path / 'original')
  flags = [f'--original={tmp_path / "original"}', '--bootstrap=20',
           f'--unlearned={tmp_path / "unlearned"}']
  assert command.main([*flags, f'--workdir={tmp_path / "no"}']) == 2
  assert 'Expected --data to be given' in capsys.readouterr().err
  assert command.main([
      *flags, f'--workdir={tmp_path / "yes"}', '--labels=shade',
      f'--data={data.options.source}', f'--image_size={runs_of.SIZE}']) == 0


def test_two_trainings_from_one_seed_are_no_two_references(work):
  # As of two machines: other weights, by rounding alone at first.
  *_, original, unlearned, retrained = work
  known = job.judged(retrained)
  other = dataclasses.replace(known, saved=dataclasses.replace(
      known.saved, variables=jax.tree.map(
          lambda x: x * np.float32(1 + 1e-6), known.saved.variables)))

  def differences(one):
    return chain_checks.check_all({
        'original': job.judged(original), 'unlearned': job.judged(unlearned),
        'retrained_0': known, 'retrained_1': one},
        unlearned.dataset, unlearned.splits).differences

  def refused(one):
    return any(
        said.startswith('Expected retrained models of different seeds, got ')
        and said.endswith(', both trained from seed 0.')
        for said in differences(one))

  assert refused(other)
  assert not refused(dataclasses.replace(other, config={
      **other.config, 'train': {**other.config['train'], 'seed': 1}}))


def test_every_kind_of_copy_is_looked_for_and_page_1_says_so(work, tmp_path):
  data, _, splits, original, unlearned, _ = work
  images = np.array(data.images)
  images[splits.val[0]] = images[splits.forget[0]][:, ::-1]
  found = dlfd_jax.evaluate(
      original.state(), unlearned.state(), splits=splits,
      config=dlfd_jax.EvaluationConfig(bootstrap=20),
      dataset=dataclasses.replace(data, images=images))
  page = found.write_report(tmp_path / 'page.html').read_text()
  assert ('exact copies (none found), near-duplicates (none found), mirrored '
          'ones (1 pair found) and slightly cropped ones (none found); decide '
          'on each that was found (annex A).') in page
  assert 'The table without these copies' in page
  again = found.record['without_duplicates']
  assert again['data']['splits']['val']['images'] == len(splits.val) - 1
  counted = found.record['data']['leakage']
  again_lib.check_copies(found.record, counted)
  with pytest.raises(ValueError, match='Expected mirrored copies of'):
    again_lib.check_copies(found.record, {**counted, 'mirrored': {}})


@pytest.mark.slow
def test_tier_1_runs_in_memory(work):
  data, _, splits, original, unlearned, retrained = work
  other = dlfd_jax.train(data, splits, dataclasses.replace(RECIPE, seed=1),
                         NETWORK, on='retain')
  found = dlfd_jax.evaluate(
      original, unlearned, [retrained, other],
      dlfd_jax.EvaluationConfig(bootstrap=20), keep_features=True,
      tier_1=dlfd_jax.Tier1Config(
          relearn_steps=2, relearn_seeds=1, recovery_steps=2))
  assert found.record['verdicts']
  assert len(found.tables()) == 2 and found.headline()
  assert evaluation_result.FEATURES in found.arrays
  optimizer = found.record['config']['relearn']['optimizer']
  assert optimizer['learning_rate'] == pytest.approx(
      .1 * RECIPE.optimizer.learning_rate)


@pytest.mark.parametrize('call, words', [
    (lambda data, parts, *_: dlfd_jax.train(data, parts, on='retain'),
     "Expected splits with retain and forget for on='retain'"),
    (lambda data, parts, *_: dlfd_jax.train(data, parts, on='forget'),
     'Expected on'),
    (lambda data, parts, splits, original, *_: dlfd_jax.unlearn(
        original, METHOD), 'got no splits'),
    (lambda data, parts, splits, original, *_: dlfd_jax.evaluate(
        original, original.state()), 'Expected the data and the splits'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(original, unlearned, [original]),
     'to be trained on the retain images'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(original, unlearned, dataset=dataclasses.replace(
         data, labels=1 - data.labels)), 'got data with other labels'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(original, unlearned, dataset=dataclasses.replace(
         data.take(np.arange(len(data))[::-1]), sample_id=data.sample_id)),
     'in another order'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.unlearn(original, METHOD, splits, dataclasses.replace(
         data, images=255 - data.images)),
     r'got data with other pixels\. --allow'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(retrained, unlearned), 'does not descend from'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(original, unlearned, [unlearned]),
     'got the unlearned model itself'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(original, unlearned, splits=dlfd_jax.resolve_request(
         data, parts, dlfd_jax.ForgetRequest(people=3, seed=1))[0]),
     'another split or request: retain, forget differ'),
    (lambda data, parts, splits, original, unlearned, retrained:
     dlfd_jax.evaluate(original, unlearned, [retrained, retrained]),
     'Expected retrained models of different seeds'),
    (lambda data, parts, splits, original, *_: dlfd_jax.unlearn(
        original, METHOD, splits, dlfd_jax.synthetic_faces(people=3)),
     'Expected data for multiclass')])
def test_a_call_that_cannot_be_is_one_sentence(work, call, words):
  with pytest.raises(ValueError, match=words):
    call(*work)


def test_the_order_of_the_data_is_nothing_where_ids_go_with_the_images(work):
  data, _, splits, original, *_ = work
  other = data.take(np.random.default_rng(0).permutation(len(data)))
  found = chain_checks.check_run(job.judged(original), 'original', other)
  assert found == chain_checks.Findings()
  assert original.config[chain.KEY]['parts'] == {
      name: chain.ids_hash(ids) for name, ids in chain.ids_of(
          data, original.splits).items()}


def test_what_is_allowed_or_unknown_is_recorded_and_said(work):
  data, _, splits, original, unlearned, _ = work
  flipped = dataclasses.replace(data, labels=1 - data.labels)
  made = dlfd_jax.unlearn(
      original, METHOD, splits, flipped, allow_unverified=True)
  allowed = made.record['verification']['allowed']
  assert len(allowed) == 1 and 'other labels' in allowed[0]
  assert tables.provenance(made.record)[0].startswith(
      'Not verified, allowed by --allow_unverified: Expected')
  assert tables.provenance(unlearned.record) == []
  bare = dlfd_jax.unlearn(original.state(), METHOD, splits, data)
  assert 'is no run of this program' in tables.provenance(bare.record)[0]


def test_a_module_that_nobody_else_can_build_unlearns_but_is_not_saved(
    work, tmp_path):
  data, _, splits, *_ = work

  class Mine(models.custom.nn.Module):

    @models.custom.nn.compact
    def __call__(self, images, *, train, **options):
      features = images.mean((1, 2))
      return models.Outputs(models.custom.nn.Dense(2)(features), features)

  model = Mine()
  problem = dlfd_jax.Problem(model, models.init(
      model, jax.random.key(0), data.image_size), data, splits)
  run = dlfd_jax.unlearn(problem, METHOD)
  assert not same(run.last, problem.original)
  with pytest.raises(ValueError, match='name its class as the architecture'):
    run.save(tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', models.ARCHITECTURES)
def test_the_config_of_a_built_network_is_found_again(name):
  config = models.ModelConfig(
      architecture=name, outputs=3, width=4, stem='small', mean=(0., 0., 0.),
      compute_dtype='bfloat16')
  assert models.config_of(models.build(config)) == config


def test_a_signal_without_a_folder_says_that_nothing_is_kept():
  with pytest.raises(dlfd_jax.Interrupted, match='nothing is kept'):
    job.check_interrupted(loop.INTERRUPTED, None)


def test_presets_name_their_file_by_a_flag():
  options = dlfd_jax.DataOptions(source=presets.FILE, labels=('a',))
  with pytest.raises(ValueError, match='Expected --data to name the file'):
    dlfd_jax.load_data(options)


def test_images_are_told_to_the_hooks_as_they_are_read(tmp_path):
  from tests.cli import inputs_test
  events = []
  job.load_data(inputs_test.manifest(tmp_path), [events.append])
  assert [event['event'] for event in events] == [
      'begin', *['tick'] * (len(events) - 2), 'end']
  assert events[-2]['step'] == events[-2]['num_steps'] == 3
