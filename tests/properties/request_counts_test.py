"""Every number of a request is one: check, unlearn, evaluate and the report.

Each is compared with a count made here from the rows of the drawn table.
"""

import collections
import dataclasses
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import (
  HealthCheck,
  Phase,
  assume,
  example,
  given,
  settings,
  strategies as st,
)

from dlfd_jax.cli import check, evaluate, exit_codes, report, train, unlearn
from dlfd_jax.utils import runs, text as text_lib
from tests.cli import runs_of

ROWS, SIZE = 24, 8
# Who is meant by each spelling; None = nobody is known.
WHO = {'Ann': 'Ann', 'ann': 'ann', '12': '12', '007': '007', '7': '7',
       'P-3': 'P-3', '\uff30-3': '\uff30-3', 'Ren\u00e9': 'Ren\u00e9',
       'Rene\u0301 ': 'Ren\u00e9', 'dev': 'dev', 'Val': 'Val', '#5': '#5',
       'train': 'train', '0': '0', 'none': None, 'NA': None, '-1': None,
       '': None}
TWINS = ({'Ann', 'ann'}, {'007', '7'}, {'P-3', '\uff30-3'})


@dataclasses.dataclass
class Table:
  """A table of images and a request on it."""

  names: list[str]
  parts: list[str]
  pictures: list[int]  # equal numbers are equal pixels
  kind: str
  entries: list[str]
  same: bool

  def write(self, folder):
    noise = np.random.default_rng(0).integers(
        0, 256, (ROWS, SIZE, SIZE, 3), np.uint8)
    np.savez(folder / 'faces.npz', images=noise[self.pictures],
             shade=np.arange(ROWS) % 2, identity=np.array(self.names),
             split=np.array(self.parts),
             sample_id=np.array([f'id{i}' for i in range(ROWS)]))
    flag = f'--forget_{self.kind}='
    if self.kind == 'classes':
      flag += 'shade 1'
    else:
      (folder / 'list.txt').write_text('\n'.join(self.entries), 'utf-8')
      flag += str(folder / 'list.txt')
    twins = '--same_person' if self.same else '--different_people'
    return [f'--data={folder / "faces.npz"}', '--labels=shade', flag,
            *([twins] if self.kind == 'identities' else [])]

  def count(self):
    """The numbers, row by row."""
    who = [WHO[name] for name in self.names]
    wanted = {WHO[entry] for entry in self.entries if entry in WHO}
    if self.same:
      wanted |= {one for twins in TWINS if wanted & twins for one in twins}
    named = [{'identities': who[i] in wanted,
              'sample_ids': f'id{i}' in self.entries,
              'classes': i % 2 and self.parts[i] == 'train'}[self.kind]
             for i in range(ROWS)]
    forget = [i for i in range(ROWS) if named[i] and self.parts[i] == 'train']
    rest = [i for i in range(ROWS) if not named[i]]
    retain = [i for i in rest if self.parts[i] == 'train']
    left_out = collections.Counter(
        self.parts[i] for i in range(ROWS) if named[i])
    copies = collections.Counter(
        self.parts[j] for i in forget for j in rest
        if self.pictures[i] == self.pictures[j])

    def people(rows):
      return len({who[i] for i in rows} - {None})

    return forget, retain, {
        'images': len(forget), 'people': people(forget),
        'images_of_nobody_known': sum(who[i] is None for i in forget),
        'retain_images': len(retain), 'retain_people': people(retain),
        'left_out': {'val': left_out['val'], 'test': left_out['test'],
                     'earlier': 0, 'elsewhere': 0},
        'earlier_images': 0, 'earlier_people': 0}, {
            'retain': copies['train'], 'val': copies['val'],
            'test': copies['test']}


@st.composite
def tables(draw):
  """A table of three to twelve names, some of them in two parts."""
  spelled = draw(st.lists(st.sampled_from(sorted(WHO)), min_size=4, max_size=9,
                          unique_by=lambda name: WHO[name] or name))
  names = [spelled[draw(st.integers(0, len(spelled) - 1))] if i >= len(spelled)
           else spelled[i] for i in range(ROWS - 4)] + ['v', 'v', 't', 't']
  home = {WHO[name]: draw(st.sampled_from(
      ['train', 'train', 'train', 'val', 'test'])) for name in spelled}
  parts = [home[WHO[name]] for name in names[:-4]] + [
      'val', 'val', 'test', 'test']
  kind = draw(st.sampled_from(['identities', 'sample_ids', 'classes']))
  if kind == 'identities':
    known = [name for name in spelled if WHO[name]] or ['v']
    entries = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3,
                            unique=True))
    if draw(st.booleans()):  # who is named may be in several parts
      parts = [draw(st.sampled_from(['train', 'val', 'test']))
               if name in entries else part
               for name, part in zip(names, parts)]
  else:
    entries = [f'id{i}' for i in draw(st.sets(
        st.integers(0, ROWS - 5), min_size=1, max_size=6))]
  pictures = list(range(ROWS))
  for i, j in draw(st.lists(st.tuples(*[st.integers(0, ROWS - 1)] * 2),
                            max_size=4)):
    pictures[i] = pictures[j]
  return Table(names, parts, pictures, kind, entries, draw(st.booleans()))


WHO |= {'v': 'v', 't': 't'}
ONE_IN_TWO_PARTS = Table(
    ['7'] * 8 + ['dev'] * 12 + ['v', 'v', 't', 't'],
    ['train'] * 4 + ['test'] * 4 + ['train'] * 12 + ['val'] * 2 + ['test'] * 2,
    list(range(ROWS)), 'identities', ['7'], False)


def _same(counts, expected):
  assert {name: counts[name] for name in expected} == expected


@pytest.fixture(scope='module')
def scratch(tmp_path_factory):
  return tmp_path_factory.mktemp('counts')


@pytest.fixture
def fresh(scratch):
  """A new folder for every example."""
  return lambda: scratch / f'{len(list(scratch.iterdir()))}'


@example(ONE_IN_TWO_PARTS)
@given(tables())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_a_check_counts_the_rows(fresh, capsys, table):
  folder = fresh()
  folder.mkdir()
  flags = table.write(folder)
  forget, retain, expected, copies = table.count()
  code = check.main([*flags, *runs_of.NETWORK, '--repeats=0',
                     f'--workdir={folder / "check"}'])
  said = capsys.readouterr()
  if not forget or not retain:
    assert code == 2 and said.err.startswith('error: Expected ')
    return
  assert code == 0, said.err
  result = runs.read_json(folder / 'check' / runs.RESULT)
  request = result['request']
  _same(request, expected)
  assert {part: request['copies_by_part'][part]['exact'] for part in copies
          } == copies
  assert request['copies']['exact'] == sum(copies.values())
  by_person = collections.Counter(
      unicodedata.normalize('NFC', WHO[table.names[i]] or 'unknown')
      for i in forget)
  assert sorted(request['images_by_person'].values()) == sorted(
      by_person.values())
  assert sorted(sum(request['samples_by_person'].values(), [])) == sorted(
      f'id{i}' for i in forget)
  page = (folder / 'check' / check.PAGE).read_text()
  for text in (said.out, page):
    assert re.findall(r'(\d+) images? of (\d+) (?:people|person) (?:is|are) '
                      'to be', text) == [(
                          str(len(forget)), str(expected['people']))]
    for part, count in expected['left_out'].items():
      assert re.findall(rf'(\d+) images? to be forgotten (?:is|are) in {part},',
                        text) == [str(count)] * bool(count)


@pytest.fixture(scope='module')
def model(scratch, shared_compilations):
  """A model without a run: the split is that of the data's own column."""
  folder = scratch / 'trained'
  folder.mkdir()
  table = Table([f'p{i}' for i in range(ROWS)], ['train'] * 16 + ['val'] * 4
                + ['test'] * 4, list(range(ROWS)), 'identities', ['p1'], False)
  assert train.main([*table.write(folder)[:2], *runs_of.NETWORK,
                     *runs_of.RECIPE, f'--workdir={folder / "run"}']) == 0
  return folder / 'run' / runs.CHECKPOINTS / 'model'


@pytest.mark.slow
@example(ONE_IN_TWO_PARTS)
@given(tables())
@settings(max_examples=6, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.generate])
@pytest.mark.long
def test_all_commands_count_alike(fresh, model, capsys, table):
  folder = fresh()
  folder.mkdir()
  flags = table.write(folder)
  forget, retain, expected, copies = table.count()
  code = unlearn.main([
      *flags, f'--original={model}', '--method=finetune', '--epochs=1',
      '--batch_size=16', f'--workdir={folder / "unlearned"}'])
  assume(code == 0)  # what is refused is refused to all, see above
  assert check.main([
      *flags, f'--original={model}', '--repeats=0',
      f'--workdir={folder / "check"}']) == 0
  assert evaluate.main([
      f'--original={model}', f'--unlearned={folder / "unlearned"}',
      '--bootstrap=20',
      f'--workdir={folder / "evaluation"}']) in exit_codes.DONE
  assert report.main([f'--evaluation={folder / "evaluation"}',
                      f'--workdir={folder / "report"}']) == 0
  counted = text_lib.counted(len(forget), 'image')
  assert f'{counted} by ' in capsys.readouterr().out
  found = [runs.read_json(folder / name / runs.RESULT)
           for name in ('check', 'unlearned', 'evaluation')]
  for result in found:
    _same(result['request'], expected)
  evaluation = found[-1]
  leakage = evaluation['data']['leakage']
  assert {part: leakage['exact'][f'forget-{part}'] for part in copies} == copies
  parts = evaluation['data']['splits']
  for part, name in (('forget', ''), ('retain', 'retain_')):
    assert parts[part] == {what: expected[name + what]
                           for what in ('images', 'people')}
  assert len(evaluation['request_images']) == len(forget)
  printed = dict(runs.read_json(
      (folder / 'report' / runs.REPORT).with_suffix('.json'))['request'])
  assert printed['Images to forget'] == str(len(forget))
  assert printed['People to forget'] == str(expected['people'])
  for part, count in expected['left_out'].items():
    assert printed[f'Named, but not trained on, {part}'] == str(count)
