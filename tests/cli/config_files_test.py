"""``--config``: flags in a file; what a run wrote can be given back."""

import os
import pathlib
import re

import numpy as np
import pytest

from dlfd_jax import checkpoint, presets
from dlfd_jax.cli import commands, config_files, preset_files
from dlfd_jax.utils import runs
from tests import tiny
from tests.cli import runs_of

FORGET = ['--forget_people=3', '--method=finetune', '--epochs=1',
          '--batch_size=16', '--trial=none']


def refused(capsys, *argv):
  assert commands.main(argv) == 2
  error = capsys.readouterr().err.strip()
  assert error.startswith('error: Expected') and '\n' not in error
  return error


def same_models(*folders):
  """Whether the runs have the same config, log and model."""
  configs = [runs.read_config(folder, 'train', 'unlearn')
             for folder in folders]
  assert not runs.differences(*configs)
  logs = [[{name: value for name, value in event.items()
            if not name.endswith('_s')} for event in runs.read_log(folder)]
          for folder in folders]
  assert logs[0] == logs[1]
  return tiny.same(*(checkpoint.load_model(folder).variables
                     for folder in folders))


@pytest.mark.slow
def test_the_file_of_a_run_makes_the_same_run(
    original, faces, tmp_path, monkeypatch):
  monkeypatch.chdir(faces.parent)
  elsewhere = tmp_path / 'elsewhere'
  elsewhere.mkdir()
  first, second = tmp_path / 'first', tmp_path / 'second'
  assert commands.main(
      ['unlearn', f'--original={original}', f'--data={faces.name}', *FORGET,
       '--seed=5', f'--workdir={first}']) == 0
  monkeypatch.chdir(elsewhere)  # paths in the file lead from everywhere
  file = first / 'unlearn.yaml'
  assert commands.main(
      ['unlearn', f'--config={file}', f'--workdir={second}']) == 0
  assert same_models(first, second)
  assert file.read_bytes() == (second / 'unlearn.yaml').read_bytes()
  assert '# learning_rate: ' in file.read_text('utf-8')
  before = runs_of.tree(first)
  assert commands.main(
      ['unlearn', f'--config={file}', f'--workdir={first}']) == 0
  assert runs_of.tree(first) == before
  third = tmp_path / 'third'  # flags win
  assert commands.main(['unlearn', f'--config={file}', '--seed=6',
                        f'--workdir={third}']) == 0
  assert runs.read_config(third, 'unlearn')['seed'] == 6
  line = runs.read_result(third, 'unlearn')['command']
  assert '--seed=6' in line and '--seed=5' not in line
  assert '--method=finetune' in line and '--config' not in line


def test_a_training_run_from_a_file(faces, tmp_path, capsys):
  (tmp_path / 'mine.yaml').write_text(
      'start: demo\n'
      f'data:\n  data: {faces}\n  labels: [shade]\n'
      f'  image_size: {runs_of.SIZE}\n'
      'network: {architecture: "tests.models.own_nets:Own"}\n'
      'train:\n  epochs: 1\n  batch-size: 16\n  learning_rate: 1e-2\n')
  (tmp_path / 'run.yaml').write_text(
      'command: train\non: all\n'
      f'preset: {tmp_path}/mine.yaml\nseed: 3\njson: false\n')
  runs_made = [tmp_path / 'a', tmp_path / 'b']
  assert commands.main(['train', f'--config={tmp_path}/run.yaml',
                        f'--workdir={runs_made[0]}']) == 0
  assert commands.main(['train', '--config', f'{runs_made[0]}/train.yaml',
                        f'--workdir={runs_made[1]}']) == 0
  assert same_models(*runs_made)
  config = runs.read_config(runs_made[0], 'train')
  assert config['train']['optimizer']['learning_rate'] == .01
  assert (config['train']['epochs'], config['train']['seed']) == (1, 3)
  assert config['network']['width'] == presets.PRESETS['demo'].network.width
  assert 'run.yaml' not in capsys.readouterr().err


BAD = [
    ('epoch: 3', r"'epoch' (the nearest is epochs)"),
    ('epoch: 3\nlerning-rate: 2', "'epoch' (the nearest is epochs); "
     "'lerning_rate' (the nearest is learning_rate)"),
    ('epochs: many', "--epochs (in bad.yaml) to be an integer, got 'many'"),
    ('epochs: [1, [2]]', 'one value of epochs in bad.yaml'),
    ('epochs: {a: {b: 1}}', 'one value of epochs in bad.yaml'),
    ('command: unlearn\nmethod: scrub', 'train in bad.yaml, got those of unl'),
    ('epochs: null', 'leave the line out'),
    ('config: other.yaml', 'config, which belongs on the command line'),
    ('help: true', 'help, which belongs on the command line'),
    ('a: b: c', 'YAML in line 1 of bad.yaml: mapping values'),
    ('epochs: 3\nepochs: 4', "line 2 of bad.yaml: 'epochs' is there twice"),
    ('- epochs', 'name: value in every line'), ('', 'name: value in every'),
    ('[a]: b', 'YAML in'), ('a: &x [*x]', 'YAML in line 1 of bad.yaml'),
    ('a: !!python/object:os.system b', "got 'a'"),
    ('labels: ["a,b", [c]]', 'one value of labels'),
    ('labels: ["a,b", c]', 'no comma within a value of labels'),
    ('json: yes', '--json (in bad.yaml) to be true or false'),
    ('forget_people: 2\nforget_images: 3',
     'got --forget_people (in bad.yaml), --forget_images (in bad.yaml)'),
]


@pytest.mark.parametrize('text, said', BAD, ids=[text for text, _ in BAD])
def test_a_bad_file_is_one_sentence(text, said, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  pathlib.Path('bad.yaml').write_text(text)
  assert said in refused(
      capsys, 'train', '--config=bad.yaml', '--workdir=out', '--people=4',
      '--images_per_person=2', '--on=retain')
  assert [path.name for path in tmp_path.iterdir()] == ['bad.yaml']


def test_a_list_of_flags_may_hold_commas(tmp_path, capsys):
  file = tmp_path / r'odd\1.yaml'
  file.write_text('retrained: ["bins=[1,2]", b]\nbootstrap: 3\n')
  given = config_files.given('evaluate', [f'--config={file}'])
  assert given.words == ('--retrained="bins=[1,2]",b', '--bootstrap=3')
  assert rf'--bootstrap (in {file})' in refused(
      capsys, 'evaluate', f'--config={file}')


def test_methods_of_a_wrapper_keep_their_files():
  here = os.getcwd()
  assert config_files._kept('rum_of', 'nothing,my.py:Cls,salun') == (
      f'nothing,{here}/my.py:Cls,salun')
  assert config_files._kept('rewind_of', 'my.py:Cls') == f'{here}/my.py:Cls'


def test_a_file_that_is_none(original, tmp_path, capsys):
  assert 'got no file' in refused(capsys, 'train', f'--config={tmp_path}/no')
  assert 'to name a file' in refused(capsys, 'train', '--config')
  assert 'to name a file' in refused(capsys, 'train', '--config=')
  assert 'the record of a run' in refused(
      capsys, 'train', f'--config={original}/config.json')
  (tmp_path / 'image.yaml').write_bytes(np.arange(256, dtype=np.uint8))
  assert 'YAML in' in refused(
      capsys, 'train', f'--config={tmp_path}/image.yaml')


PRESETS = [
    ('strat: demo', "got 'strat' (the nearest is start)"),
    ('start: demoo', "got 'demoo' (the nearest is demo)"),
    ('about: x', 'data or start in mine.yaml, got neither'),
    ('start: demo\nnetwork: {widht: 2}', "in network in mine.yaml, got 'widht'"
     ' (the nearest is width)'),
    ('start: demo\nnetwork: 3', 'network in mine.yaml to hold settings by'),
    ('start: demo\nmethods: 3', 'methods in mine.yaml to hold methods by'),
    ('start: demo\nmethods: {srub: {}}', "'srub' (the nearest is scrub)"),
    ('start: demo\nmethods: {scrub: {epochs: x}}',
     "epochs of scrub in mine.yaml to be an integer, got 'x'"),
    ('start: demo\ntrain: {epochs: 0}', 'epochs of at least 1, got 0'),
    ('data: {data: x.npz}', 'the label columns of x.npz'),
    ('data: {root: x}', 'label columns'),
    ('start: demo\ndefault_method: dlfdd', "'dlfdd' (the nearest is dlfd)"),
]


@pytest.mark.parametrize('text, said', PRESETS, ids=[t for t, _ in PRESETS])
def test_a_bad_preset_is_one_sentence(text, said, tmp_path, monkeypatch,
                                      capsys):
  monkeypatch.chdir(tmp_path)
  pathlib.Path('mine.yaml').write_text(text)
  assert said in refused(
      capsys, 'train', '--preset=mine.yaml', '--workdir=out')


def test_the_files_of_the_page_are_read(tmp_path, monkeypatch):
  page = pathlib.Path(__file__).parents[2] / 'docs' / 'command-line.md'
  blocks = re.findall(r'```yaml\n# (\S+)\n(.*?)```', page.read_text('utf-8'),
                      re.DOTALL)
  monkeypatch.chdir(tmp_path)
  for name, text in blocks:
    pathlib.Path(name).write_text(text, 'utf-8')
  found = preset_files.find('badges.yaml')
  assert found.data.labels == ('role',) and found.train.epochs == 40
  assert found.config_of('dlfd_restore').restore.epochs == 4
  words = config_files.given('train', ['--config=run.yaml', '--epochs=3']).words
  assert words[:2] == ('--data=faces.csv', '--labels=gender')
  assert words[-2:] == ('--learning_rate=1e-2', '--epochs=3')


@pytest.mark.parametrize('more, method', [
    ('', 'dlfd'), ('default_method: scrub\n', 'scrub')])
def test_a_preset_of_ones_own_has_the_default_of_its_start(
    more, method, tmp_path, capsys):
  file = tmp_path / 'mine.yaml'
  file.write_text(f'start: mufac_age\n{more}')
  assert preset_files.find(str(file)).default_method == method
  assert commands.main(['unlearn', f'--preset={file}', '--help-all']) == 0
  said = capsys.readouterr().out
  assert ('--alpha' in said) == (method == 'scrub')


def test_a_preset_of_ones_own_changes_what_it_names(tmp_path):
  file = tmp_path / 'mine.yaml'
  file.write_text('start: london\nnetwork: {width: 4}\n'
                  'methods:\n  scrub: {alpha: 0.5}\n  dlfd_restore: {}\n')
  found, start = preset_files.find(str(file)), presets.PRESETS['london']
  assert found.network.width == 4 and found.train == start.train
  assert found.default_method == 'dlfd_restore'
  assert found.data == start.data
  assert found.config_of('scrub').alpha == .5
  assert found.config_of('dlfd_restore') == start.config_of('dlfd_restore')
  assert preset_files.find('demo') is presets.PRESETS['demo']
