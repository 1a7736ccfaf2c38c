"""``report --sign`` and ``verify``: what is altered is found."""

import dataclasses
import hashlib
import json
import shutil

import jax
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

import dlfd_jax
from dlfd_jax import checkpoint, models
from dlfd_jax.cli import (
  audit,
  evaluate,
  exit_codes,
  report,
  unlearn,
  verify,
  weights,
)
from dlfd_jax.data import sources
from dlfd_jax.pipeline import (
  bundle as bundle_lib,
  chain,
  job,
  weights as pipeline_weights,
)
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')


def _pem(folder, key=None):
  path = folder / 'key.pem'
  path.write_bytes((key or ed25519.Ed25519PrivateKey.generate()).private_bytes(
      serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption()))
  return path


@pytest.fixture(scope='module')
def made(tmp_path_factory, original):
  folder = tmp_path_factory.mktemp('bundles')
  assert unlearn.main([
      f'--original={original}', '--forget_people=6', '--method=finetune',
      '--epochs=1', '--batch_size=16', '--devices=1',
      f'--workdir={folder / "unlearned"}']) == 0
  assert evaluate.main([
      f'--original={original}', f'--unlearned={folder / "unlearned"}',
      '--bootstrap=20', '--devices=1', f'--workdir={folder / "eval"}']) == 0
  flags = [f'--evaluation={folder / "eval"}', f'--sign={_pem(folder)}',
           '--request_id=R-1']
  assert report.main(flags) == 0
  before = runs_of.tree(folder / 'eval' / 'bundle')
  assert report.main(flags) == 0  # of the same key: the same bundle
  assert runs_of.tree(folder / 'eval' / 'bundle') == before
  return folder


def _copy(made, tmp_path):
  return shutil.copytree(made / 'eval' / 'bundle', tmp_path / 'bundle')


def _refused(capsys, *flags):
  capsys.readouterr()
  assert verify.main([str(flag) for flag in flags]) == 2
  said = capsys.readouterr().err
  assert said.startswith('error: Expected ') and 'Traceback' not in said
  return said


@pytest.mark.slow
def test_a_bundle_is_verified_with_model_and_data(
    made, original, faces, capsys):
  data = [flag for flag in runs_of.data_flags(faces) if 'preset' not in flag]
  capsys.readouterr()
  assert verify.main([str(made / 'eval' / 'bundle'), *data, '--devices=1',
                      f'--model={made / "unlearned"}']) == 0
  said = capsys.readouterr().out
  assert 'numbers of the evaluation follow from the stored outputs' in said
  assert ('Not computed again, as the outputs do not determine them: '
          'Duplicates exact, ') in said
  assert 'So are the counts of copies' in said
  assert 'is the one that was judged' in said
  assert 'So are the pixels of all images' in said
  assert 'The model gives the stored outputs of every image' in said
  assert 'Still knows these people: the original' in said
  assert 'Still knows these people: states of the original run' in said
  assert 'Cannot be proved: ' in said
  said = _refused(capsys, made / 'eval' / 'bundle', f'--model={original}')
  assert 'the original, which still knows these people' in said


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'manifest.json', 'signature.json', 'report.html', 'report.json',
    'result.json', 'config.json', 'per_example.npz'])
def test_every_file_that_is_altered_removed_or_exchanged_is_found(
    name, made, tmp_path, capsys):
  for at in (0, .5, 1):
    folder = _copy(made, tmp_path / str(at))
    path = folder / name
    content = bytearray(path.read_bytes())
    content[min(int(at * len(content)), len(content) - 1)] ^= 1
    path.write_bytes(content)
    _refused(capsys, folder)
  path.write_bytes((made / 'eval' / 'bundle' / name).read_bytes() + b'\n')
  _refused(capsys, folder)
  path.unlink()
  _refused(capsys, folder)
  path.symlink_to(made / 'eval')
  _refused(capsys, folder)


@pytest.mark.slow
def test_every_digit_and_letter_of_the_signature_counts(
    made, tmp_path, capsys):
  folder = _copy(made, tmp_path)
  path = folder / 'signature.json'
  text = path.read_text()
  known = runs.read_json(path)
  for key in ('public_key', 'signature'):
    other = known[key][:-1] + ('0' if known[key][-1] != '0' else '1')
    path.write_text(text.replace(known[key], other))
    assert 'altered' in _refused(capsys, folder)
  for line in text.splitlines():
    path.write_text(text.replace(f'{line}\n', '', 1))
    _refused(capsys, folder)
  path.write_text(text)
  (folder / 'more.txt').write_text('')
  assert 'no files' in _refused(capsys, folder)


def test_a_figure_that_was_altered_is_not_signed(made, tmp_path, capsys):
  shutil.copytree(made / 'unlearned', tmp_path / 'unlearned')
  shutil.copytree(made / 'eval', tmp_path / 'eval',
                  ignore=shutil.ignore_patterns('bundle', 'report*'))
  path = tmp_path / 'eval' / runs.RESULT
  result = json.loads(path.read_text())
  record = next(r for r in result['metrics'] if r['metric'] == 'mia_auc')
  record['unlearned']['value'] -= .05
  config = runs.read_json(tmp_path / 'eval' / runs.CONFIG)
  path.write_text(json.dumps({
      **result, 'sha256': chain.sealed(result, config)['sha256']}))
  flags = [f'--evaluation={tmp_path / "eval"}', f'--sign={_pem(tmp_path)}']
  assert report.main(flags) == 2
  said = capsys.readouterr().err
  assert 'Expected mia_auc, unlearned, value as' in said
  assert 'Another version' not in said
  result['versions']['dlfd_jax_source'] = 'of an earlier version'
  path.write_text(json.dumps({
      **result, 'sha256': chain.sealed(result, config)['sha256']}))
  assert report.main(flags) == 2
  said = capsys.readouterr().err
  assert 'Expected mia_auc, unlearned, value as' in said
  assert 'evaluate again with this version' in said
  assert not list((tmp_path / 'eval').glob('report*'))


@pytest.mark.slow
def test_python_signs_what_the_command_signs(made, tmp_path):
  found = dlfd_jax.load_evaluation(made / 'eval')
  folder = dlfd_jax.sign(found, made / 'key.pem', tmp_path,
                         request={'id': 'R-1', 'received': None})
  assert runs_of.tree(folder) == runs_of.tree(made / 'eval' / 'bundle')
  checked = dlfd_jax.verify(folder, model=str(made / 'unlearned'))
  assert checked.figures > 0
  assert any('the one that was judged' in text for text in checked.said)
  with pytest.raises(ValueError, match='signed by'):
    dlfd_jax.verify(folder, public_key='0' * 64)
  with pytest.raises(ValueError, match='in a folder, got one in memory'):
    dlfd_jax.sign(dataclasses.replace(found, folder=None), made / 'key.pem')
  with pytest.raises(FileNotFoundError):
    dlfd_jax.sign(found, tmp_path / 'nowhere.pem', tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


def _signed_again(folder, change=lambda arrays: None, alter=lambda result: None,
                  **texts):
  """The bundle as somebody with a key of their own may write it."""
  key = ed25519.Ed25519PrivateKey.generate()
  with np.load(folder / 'per_example.npz') as file:
    arrays = dict(file)
  change(arrays)
  np.savez(folder / 'per_example.npz', **arrays)
  result = runs.read_json(folder / runs.RESULT)
  result['arrays']['per_example.npz'] = chain.hash_of_arrays(arrays)
  alter(result)
  config = runs.read_json(folder / runs.CONFIG)
  (folder / runs.RESULT).write_text(json.dumps({
      **result, 'sha256': chain.sealed(result, config)['sha256']}))
  for name, exchange in texts.items():
    path = folder / f'report.{name}'
    path.write_text(path.read_text().replace(*exchange))
  manifest = runs.read_json(folder / 'manifest.json')
  manifest['sha256'] = {name: hashlib.sha256(
      (folder / name).read_bytes()).hexdigest() for name in manifest['sha256']}
  text = (json.dumps(manifest, indent=2) + '\n').encode()
  (folder / 'manifest.json').write_bytes(text)
  (folder / 'signature.json').write_text(json.dumps({
      'kind': 'signature', 'algorithm': 'Ed25519',
      'public_key': key.public_key().public_bytes_raw().hex(),
      'signature': key.sign(text).hex(),
      'files': {name: [known] for name, known in {
          **manifest['sha256'], 'manifest.json': hashlib.sha256(
              text).hexdigest()}.items()}}, indent=2) + '\n')


@pytest.mark.slow
@pytest.mark.parametrize('change, said', [
    (lambda arrays: arrays.pop('forget/labels'), 'of every model on forget'),
    (lambda arrays: arrays.update({'test/labels': np.zeros((3, 2), np.int32)}),
     'of every model on test'),
    (lambda arrays: [arrays.pop(name) for name in list(arrays)
                     if name.startswith('unlearned')], 'of every model'),
    (lambda arrays: arrays.pop('original/val/logits'), 'of every model on val'),
    (lambda arrays: arrays.update({
        'unlearned/forget/loss': 0 * arrays['unlearned/forget/loss']}),
     'Expected unlearned/forget/loss as the stored outputs')])
def test_a_bundle_whose_signer_altered_the_losses_is_refused(
    change, said, made, tmp_path, capsys):
  folder = _copy(made, tmp_path)
  _signed_again(folder)
  assert verify.main([str(folder)]) == 0
  _signed_again(folder, change)
  assert said in _refused(capsys, folder)


def _first(result):
  return result['metrics'][0]['unlearned']


@pytest.mark.slow
@pytest.mark.parametrize('said, changes', [
    ('accuracy_retain, unlearned, low as', {
        'alter': lambda result: _first(result).update(
            low=_first(result)['low'] - 1e-4)}),
    ('Expected title of', {'json': ('"title": "', '"title": "the ')}),
    ('Expected the text of', {'html': ('not a proof', 'a proof')})])
def test_a_digit_or_word_that_a_signer_altered_is_found(
    said, changes, made, tmp_path, capsys):
  folder = _copy(made, tmp_path)
  _signed_again(folder, **changes)
  assert said in _refused(capsys, folder)
  known = runs.read_json(made / 'eval/bundle/signature.json')['public_key']
  assert 'signed by' in _refused(capsys, folder, f'--public_key={known}')


@pytest.mark.long
def test_the_signer_and_the_data_may_be_named(
    made, faces, tmp_path, capsys):
  folder = made / 'eval' / 'bundle'
  known = runs.read_json(folder / 'signature.json')['public_key']
  assert verify.main([str(folder), f'--public_key={known}']) == 0
  assert 'signed by' in _refused(capsys, folder, f'--public_key={"0" * 64}')
  arrays = dict(np.load(faces))
  for name, change in (('images', lambda a: a ^ 1), ('shade', lambda a: 1 - a),
                       ('identity', lambda a: a + 1)):
    path = tmp_path / name / 'faces.npz'
    path.parent.mkdir()
    np.savez(path, **{**arrays, name: change(arrays[name])})
    data = [flag for flag in runs_of.data_flags(path) if 'preset' not in flag]
    assert 'got ' in _refused(capsys, folder, *data)


@pytest.mark.long
def test_a_request_names_the_one_before_it(made, tmp_path, capsys):
  assert unlearn.main([
      f'--original={made / "unlearned"}', '--forget_people=2',
      '--forget_seed=3', '--method=finetune', '--epochs=1', '--batch_size=16',
      '--devices=1', f'--workdir={tmp_path / "second"}']) == 0
  assert evaluate.main([
      f'--original={made / "unlearned"}', f'--unlearned={tmp_path / "second"}',
      '--bootstrap=20', '--devices=1', f'--workdir={tmp_path / "eval"}']) == 0
  first = made / 'eval' / 'bundle'
  sign = [f'--evaluation={tmp_path / "eval"}', f'--sign={_pem(tmp_path)}']
  (tmp_path / 'second' / runs.CANDIDATES).mkdir()  # as --method=auto leaves
  bundle = tmp_path / 'eval' / 'bundle'
  assert report.main(sign) == 0
  assert ('Previous request: none is named, although people were forgotten '
          'before') in ' '.join(bundle_lib.read(bundle).statements())
  assert report.main([*sign, f'--previous={first}']) == 0
  found = bundle_lib.read(bundle).manifest
  assert found['previous']['unlearned'] == found['models']['original'][
      'weights']
  # The original of both requests is named, too: it knows all of them.
  whats = [one['what'] for one in found['still_know']]
  assert 'a model that the unlearned one was made from' in whats
  assert 'candidates of the unlearned run' in whats
  assert report.main([f'--evaluation={made / "eval"}', sign[1],
                      f'--previous={bundle}',
                      f'--workdir={tmp_path / "out"}']) == 2
  assert not (tmp_path / 'out').exists()
  assert 'to be the original of this evaluation' in capsys.readouterr().err


def _made(tmp_path, *names):
  """Flags of data with three parts; networks that nobody trained, by name."""
  path = runs_of.write_data(tmp_path)
  np.savez(path, **np.load(path),
           split=np.repeat(['train', 'val', 'test'], [64, 16, 16]))
  config = models.ModelConfig(outputs=2, width=2, stem='small')
  dataset = job.load_data(sources.DataOptions(
      source=str(path), labels=('shade',), image_size=runs_of.SIZE))
  flags = [flag for flag in runs_of.data_flags(path) if 'preset' not in flag]
  return flags, {name: checkpoint.SavedModel(
      models.init(models.build(config), jax.random.key(seed),
                  dataset.image_size), config, dataset.task,
      dataset.image_size) for seed, name in enumerate(names)}


def _exported(tmp_path, *names):
  """The same, the networks as weights files."""
  flags, made = _made(tmp_path, *names)
  there = {name: tmp_path / f'{name}.safetensors' for name in names}
  for name, saved in made.items():
    pipeline_weights.export_weights(saved, there[name])
  return flags, there


@pytest.mark.slow
def test_the_files_that_models_were_imported_from_are_recognised(
    tmp_path, capsys):
  """Their outputs are put into another order, so no tensor tells them."""
  data, there = _exported(tmp_path, 'original', 'model', 'other')

  def read(name):
    return weights.IMPORT.main([
        f'--weights={there[name]}', *data, '--head_classes=1,0',
        '--allow_unverified', f'--workdir={tmp_path / name}'])

  assert read('original') == read('model') == 0, capsys.readouterr().err
  assert audit.main([
      f'--model={tmp_path / "model"}', f'--original={tmp_path / "original"}',
      *data, '--forget_people=6', '--bootstrap=20', '--devices=1',
      f'--workdir={tmp_path / "eval"}']) in exit_codes.DONE
  assert report.main([f'--evaluation={tmp_path / "eval"}',
                      f'--sign={_pem(tmp_path)}']) == 0
  folder = tmp_path / 'eval' / 'bundle'
  assert verify.main([str(folder), f'--model={there["model"]}']) == 0
  assert 'is the one that was judged' in capsys.readouterr().out
  said = _refused(capsys, folder, f'--model={there["original"]}')
  assert 'got the original, which still knows these people' in said
  said = _refused(capsys, folder, f'--model={there["other"]}')
  assert 'weights that are in no line of this bundle' in said
  card = tmp_path / 'model' / 'model.json'  # as by an earlier version
  content = json.loads(card.read_text())
  del content['imported']['file']
  card.write_text(json.dumps(content))
  assert read('model') == 0  # it is the same, and stays as it is
  assert json.loads(card.read_text()) == content


@pytest.mark.slow
def test_a_file_that_is_no_longer_the_audited_one_is_not_signed(
    tmp_path, capsys):
  data, there = _exported(tmp_path, 'judged', 'other')
  judged, other = there.values()
  assert audit.main([
      f'--model={judged}', '--forget_people=6', '--bootstrap=20', *data,
      '--allow_unverified', '--devices=1', f'--workdir={tmp_path / "eval"}'
  ]) in exit_codes.DONE, capsys.readouterr().err
  content = judged.read_bytes()
  judged.write_bytes(other.read_bytes())
  sign = [f'--evaluation={tmp_path / "eval"}', f'--sign={_pem(tmp_path)}']
  assert report.main(sign) == 2
  assert ('Expected the weights file that the audit read in'
          in capsys.readouterr().err)
  bundle = tmp_path / 'eval' / 'bundle'
  assert not bundle.exists()
  moved = tmp_path / 'moved.safetensors'
  judged.unlink()
  moved.write_bytes(content)
  assert report.main(sign) == 0, capsys.readouterr().err
  assert verify.main([str(bundle), f'--model={moved}']) == 0
  assert 'is the one that was judged' in capsys.readouterr().out
  assert 'in no line of this bundle' in _refused(
      capsys, bundle, f'--model={other}')


@pytest.mark.long
def test_exports_are_recognised_in_every_format(tmp_path, capsys):
  """An audit of a network that PyTorch knows, exported and verified."""
  data, made = _made(tmp_path, 'original', 'model')
  for name, saved in made.items():
    checkpoint.save_model(tmp_path / name, saved.variables, saved.config,
                          saved.task, saved.image_size)
  assert audit.main([
      f'--model={tmp_path / "model"}', f'--original={tmp_path / "original"}',
      *data, '--forget_people=6', '--bootstrap=20', '--devices=1',
      f'--workdir={tmp_path / "eval"}']) == 0, capsys.readouterr().err
  files = {}
  for name, ending in (('model', 'safetensors'), ('original', 'safetensors'),
                       ('model', 'pth')):
    files[name, ending] = tmp_path / f'{name}.{ending}'
    assert weights.EXPORT.main([
        f'--model={tmp_path / name}',
        f'--weights={files[name, ending]}']) == 0
  first, second, third = files.values()
  assert report.main([
      f'--evaluation={tmp_path / "eval"}', f'--sign={_pem(tmp_path)}',
      f'--exports={first},{second}']) == 0, capsys.readouterr().err
  folder = tmp_path / 'eval' / 'bundle'
  for one in (first, third, tmp_path / 'model'):
    assert verify.main([str(folder), f'--model={one}']) == 0
  assert 'an export of the original' in capsys.readouterr().out
  assert 'still knows' in _refused(capsys, folder, f'--model={second}')
