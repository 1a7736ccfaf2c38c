"""Who is meant: names in many spellings, from a file to a resolved request."""

import csv
import dataclasses
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from dlfd_jax.data import labels, people, request_names, requests, spelling
from dlfd_jax.data.loaders import folder, npz, tree
from tests.data import examples

NAMES = st.one_of(
    st.text(st.characters(exclude_categories=['Cc', 'Cs']), max_size=8),
    st.from_regex(r'\A[0-9]{1,4}( [0-9]{1,3})?\Z'),
    st.from_regex(r'\A(Person|Zoë|İpek|Straße|Łukasz) ?#?[0-9]{0,3}\Z'),
    st.sampled_from(['José', 'Nguyễn Văn A', '李雷', '김철수', 'محمد', 'हिन्दी',
                     'Ελένη', 'Анна', 'ﬁona', "O'Neil", 'Ann-Marie',
                     'Ann_Lee', '1_11', '"Ann" 7', '&amp;é', 'RenÃ©', '1.234',
                     'マリー・ニ', 'علي', 'Ðorđe']))
INVISIBLE = st.sampled_from([
    '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u00ad', '\u200e',
    '\u202a', '\ufe0f', '\u034f', '\U000e0061'])
SPACES = st.sampled_from([' ', '  ', '\u00a0', '\u2009', '\u3000', '\t'])
SIZE = 4


def _wide(text):
  return ''.join(chr(ord(c) + 0xfee0) if '!' <= c <= '~' else c for c in text)


def _zeros(text):
  """A leading zero in front of the first number, if there is one."""
  at = next((i for i, c in enumerate(text) if c.isdecimal()), None)
  if not unicodedata.is_normalized('NFKC', text):
    return text  # a fraction or a superscript may be the number's beginning
  return text if at is None else f'{text[:at]}0{text[at:]}'


@given(NAMES, st.data())
def test_one_spelling_is_left_of_every_way_to_type_a_name(name, data):
  found = spelling.clean(name)
  typed = unicodedata.normalize(
      data.draw(st.sampled_from(['NFC', 'NFD'])), found)
  at = data.draw(st.integers(0, len(typed)))
  typed = typed[:at] + data.draw(INVISIBLE) + typed[at:]
  typed = typed.replace(' ', data.draw(SPACES))
  assert spelling.clean(f'{data.draw(SPACES)}{typed} ') == found
  assert spelling.clean(found) == found
  assert found == found.strip() and unicodedata.is_normalized('NFC', found)


@given(NAMES, st.data())
def test_other_case_spacing_width_and_zeros_are_alike(name, data):
  name = spelling.clean(name)
  at = data.draw(st.integers(0, len(name)))
  for other in (name.upper(), name.lower(), name.title(), _wide(name),
                f'{name[:at]} {name[at:]}', _zeros(name),
                f'{name}.0' if name.isdecimal() else name,
                unicodedata.normalize('NFKC', name)):
    other = spelling.clean(other)
    assert spelling.Lookalikes([name, other]).groups() == (
        [sorted({name, other})] if name != other else [])


@given(st.lists(st.one_of(NAMES, st.integers(-1, 20).map(str)), max_size=8))
def test_names_in_one_spelling_are_numbered_as_any_column(texts):
  texts = [text for text in map(spelling.clean, texts)
           if text in ('', '-1') or not (
               text.startswith('-') or spelling.is_missing(text))]
  codes, names = labels.read_column(
      ['' if text == '-1' else text for text in texts])
  found, persons, _ = people.read_identities(texts, 'row {}'.format)
  np.testing.assert_array_equal(found, codes)
  assert persons == dict(enumerate(names))


@pytest.mark.parametrize('one, other', [
    ('Ann', 'Anne'), ('7', '70'), ('7', '77'), ('Person 1', 'Person 11'),
    ('René', 'Rene'), ('Ann', 'Ann #2'), ('A-1', 'A 1'), ('7.0', '70'),
    ('7.5', '7'), ('Person 10', 'Person 1'), ('1_11', '11_1'), ('7,5', '75'),
    ('1.23', '123'), ('AT&T', 'ATT'), ('100%', '100'), ('São', 'Sao'),
    ('Đorđe', 'Dorde'), ('Ren%E9', 'Ren%E8'), ('a.b', 'ab')])
def test_others_are_not_alike(one, other):
  assert spelling.Lookalikes([one, other]).groups() == []


def test_those_who_are_alike_are_one_group():
  names = ['1 00', '100', 'Ann', 'ann', 'A nn', 'Bob', '7', '07', '7.0', '1 0']
  assert spelling.Lookalikes(names).groups() == [
      ['07', '7', '7.0'], ['1 0', '1 00', '100'], ['A nn', 'Ann', 'ann']]


def _manifest(root, names, header='identity', paths=None):
  """A manifest of one image for each name, beside the images."""
  paths = paths or [f'{i}.png' for i in range(len(names))]
  for path in paths:
    Image.fromarray(np.full((SIZE, SIZE, 3), 99, np.uint8)).save(root / path)
  columns = ['path', *dict.fromkeys(['identity', header]), 'y']
  with open(root / 'm.csv', 'w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(columns)
    for i, (path, name) in enumerate(zip(paths, names)):
      row = {'path': path, 'identity': i, 'y': i % 2, header: name}
      writer.writerow([row[column] for column in columns])
  return folder.load_folder(root / 'm.csv', labels='y', image_size=SIZE)


def _npz(root, names):
  n = len(names)
  np.savez(root / 'm.npz', images=np.full((n, SIZE, SIZE, 3), 99, np.uint8),
           y=np.arange(n) % 2, identity=np.array(names))
  return npz.load_npz(root / 'm.npz', labels='y')


def _tree(root, names):
  for i, name in enumerate(names):
    for part in 'ab':  # of each class one; only those of class a are asked for
      path = root / 'tree' / part / f'{name}_{i}.png'
      path.parent.mkdir(parents=True, exist_ok=True)
      Image.fromarray(np.full((SIZE, SIZE, 3), 99, np.uint8)).save(path)
  return tree.load_tree(root / 'tree', image_size=SIZE,
                        identity_pattern=r'^(.*)_\d+\.png$')


def _asked(root, data, text, kind='identities', **options):
  """Images that the lines of a file ask for, and the notes."""
  (root / 'list.txt').write_bytes(text.encode())
  places = requests.read_entries(root / 'list.txt')
  look = request_names.Lookup(requests.ForgetRequest(
      **{kind: tuple(places)}, places=places, **options))
  rows = request_names.images_of(data, np.arange(len(data)), look)
  return [int(data.sample_id[i].split('_')[-1].split('.')[0])
          if data.name in ('tree', 'm') and kind == 'identities' else int(i)
          for i in rows], look.notes


@pytest.mark.parametrize('load', [_manifest, _npz, _tree])
@pytest.mark.parametrize('names, line', [
    (['Rene\u0301', 'René', 'Bob'], 'René'),
    (['Rene\u0301', 'René', 'Bob'], 'Rene\u0301'),
    (['Bo\u200bb', 'Bob', 'Ann'], 'Bob\ufeff'),
    (['Person\u00a0A', 'Person  A', 'Person B'], ' Person A\u00a0'),
    (['\u00adZoë', 'Zoë ', 'Bob'], 'Zoë'),
    (['한', '\u1112\u1161\u11ab', '김'], '한'),
    (['\u212bke', 'Åke', 'Bob'], 'A\u030ake'),
    (['می\u200cخواهم', 'میخواهم', 'Bob'], 'میخواهم')])
def test_one_person_in_two_spellings_is_forgotten_whole(
    tmp_path, load, names, line):
  data = load(tmp_path, names)
  rows, notes = _asked(tmp_path, data, f'{line}\n')
  assert set(rows) == {0, 1} and notes == [], data.people
  assert len(data.people) == 2


@pytest.mark.parametrize('names, twins', [
    (['Ann', 'ann', 'Bob'], "'Ann' and 'ann'"), (['7', '07', 'x'], '7'),
    (['7', '7.0', '8'], "'7' and '7.0'"), (['7', '７', '8'], '７'),
    (['Ann Lee', 'AnnLee', 'Bob'], "'Ann Lee' and 'AnnLee'"),
    (['Person 7', 'Person 007', 'Bob'], "'Person 007' and 'Person 7'"),
    (['٧', '7', 'Bob'], "'7' and '٧'"), (['Işık', 'IŞIK', 'Bob'], 'Işık'),
    (['Strasse', 'Straße', 'Bob'], 'Straße'), (['+7', '7', '8'], "'+7'"),
    (["O'Neil", 'O\u2019Neil', 'Bob'], 'O\u2019Neil'),
    (['O\u00b4Neil', "O'Neil", 'Bob'], 'O\u00b4Neil'),
    (['Ann-Marie', 'Ann\u2011Marie', 'Bob'], 'Ann\u2011Marie'),
    (['A\u2212', 'A-', 'A+'], "'A-' and 'A\u2212'"),
    (['\u041012', 'A12', 'B12'], "'A12' and '\u041012'"),
    (['\u0397\u03917', 'HA7', 'HB7'], "'HA7' and '\u0397\u03917'"),
    (['7,0', '7', '8'], "'7' and '7,0'"), (['1.234', '1234', '8'], '1.234'),
    (["'007", '="007"', '700'], '="007"'), (['"Ann"', 'Ann', 'A'], '"Ann"'),
    (['«Ann»', 'Ann', 'A'], '«Ann»'), (['Ann_Lee', 'Ann Lee', 'A'], 'Ann_Lee'),
    (['Ann%20Lee', 'Ann Lee', 'A'], 'Ann%20Lee'),
    (['O&#39;Neil', "O'Neil", 'Neil'], 'O&#39;Neil'),
    (['Tom &amp; Al', 'Tom & Al', 'Tom'], 'Tom &amp; Al'),
    (['René', 'René'.encode().decode('cp1252'), 'Rene'], 'RenÃ©'),
    (['García', 'GarcÃ\xada', 'Garcia'], 'García'),
    (['Voilà', 'VoilÃ\xa0', 'Voila'], 'Voilà'),
    (['Oâ€™Neil', "O'Neil", 'Neil'], 'Oâ€™Neil'),
    (['\u0218tefan', '\u015etefan', 'Stefan'], '\u0218tefan'),
    (['\u0110or\u0111e', '\u00d0or\u0111e', 'Dorde'], '\u0110or\u0111e'),
    (['Фёдор', 'Федор', 'Фидор'], 'Фёдор'),
    (['علي', 'علی', 'علا'], 'علی'), (['أحمد', 'احمد', 'حمد'], 'أحمد'),
    (['マリー', 'マリ\uff0d', 'マリ'], 'マリー'),
    (['マリー', 'マリ\u2015', 'マリ'], 'マリー'),
    (['玛丽·居里', '玛丽\u2022居里', '玛丽'], '玛丽·居里'),
    (['玛丽·居里', '玛丽\u30fb居里', '玛丽'], '玛丽·居里')])
@pytest.mark.parametrize('kind', ['identities', 'families'])
def test_a_name_with_a_twin_is_asked_about(tmp_path, kind, names, twins):
  data = _manifest(
      tmp_path, names, 'identity' if kind == 'identities' else 'family')
  note, = data.notes
  assert 'differ only by case' in note and twins in note
  line = f'{names[0]}\n'
  with pytest.raises(ValueError, match='Expected --same_person or --differen'
                     '.* in line 1 of .*list.txt names'):
    _asked(tmp_path, data, line, kind)
  for same, expected in ((True, [0, 1]), (False, [0])):
    rows, notes = _asked(tmp_path, data, line, kind, same_person=same)
    assert rows == expected
    assert len(notes) == 1 and repr(spelling.clean(names[1])) in notes[0]
  rows, notes = _asked(tmp_path, data, f'{names[0]}\n{names[1]}\n', kind)
  assert rows == [0, 1] and not notes
  assert _asked(tmp_path, data, names[2], kind) == ([2], [])


WORDS = ['NA', 'N/A', 'n/a', 'nan', 'NaN', 'None', 'NULL', 'null', '?', '??',
         'unknown', 'Unknown', '-', '--', '—', '-1', '-1.0', '-01', '<NA>',
         '#N/A', '#REF!', '#NAME?', 'undefined', 'missing', '\\N', '(null)',
         '[NULL]', '(blank)', '.', ' NA ', 'Ｎ/Ａ', 'un\u200bknown', '\u00a0',
         '\u200b', '−1', '#NV', '#WERT!', '#¡VALOR!', '#¿NOMBRE?', '#Н/Д',
         '#SPILL!', '#HIÁNYZIK', '########', 'Err:502', 'k. A.', 'k.A.',
         'Unbekannt', 'nicht bekannt', 'inconnu', 'DESCONOCIDA', '不明', '未知',
         'НЕИЗВЕСТНО', 'άγνωστος', '[Unbekannt]', 'TBD', 'n/k']


@pytest.mark.parametrize('word', WORDS)
def test_a_word_for_a_missing_value_is_no_person(tmp_path, word):
  data = _manifest(tmp_path, ['Ann', word, 'Bob', word])
  assert data.identity.tolist() == [0, -1, 1, -1]
  assert data.people == {0: 'Ann', 1: 'Bob'}
  assert data.notes[0].startswith('identity: unknown in 2 of 4 images (')
  numbers = _manifest(tmp_path, ['7', word, '12', word])
  assert numbers.identity.tolist() == [7, -1, 12, -1] and not numbers.people
  if spelling.clean(word) and not word.startswith('#'):
    for given in (data, numbers):
      with pytest.raises(ValueError, match='line 1 of .* got .*unknown person'):
        _asked(tmp_path, given, word)
  if spelling.clean(word) in ('', '-1'):  # how a manifest says: nobody is known
    assert _manifest(tmp_path, [word] * 3).identity.tolist() == [-1] * 3
  else:
    with pytest.raises(ValueError, match=r'values alone \(.* in 3\)'):
      _manifest(tmp_path, [word] * 3)
  strangers = _manifest(tmp_path, ['Smith', word, word], 'family')
  assert strangers.columns['family'].tolist() == [0, -1, -1]


@pytest.mark.parametrize('names', [
    ['Nan Goldin', 'Naomi', 'Nina'], ['Nona', 'Nullah', '-12'],
    ['N', 'A', '?a'], ['unknown soldier', '1', '0'],
    ['K. A.', 'Ka', 'Leer'], ['#', '#5', '#anon17'], ['Brak', 'N.C.', '無名'],
    ['Nat', 'Nil', 'Blank', '(na'], ['\\Na', 'N.N.', '..', '[unknown]a']])
def test_names_that_look_like_such_words_stay_persons(tmp_path, names):
  data = _npz(tmp_path, names)
  assert sorted(data.people.values()) == sorted(names) and not data.notes


@pytest.mark.parametrize('number', [
    '2.01701E+16', '1E+05', '2,01701e+16', '2.0170109150557335e+16',
    '2.0170109150557336E16', '1.0E7'])
@pytest.mark.parametrize('load', [_manifest, _npz])
def test_a_rounded_number_is_nobody(tmp_path, load, number):
  with pytest.raises(ValueError, match='Expected identity as it was given, got '
                     rf"'{re.escape(number)}' in .* [12] of m.*, a rounded"):
    load(tmp_path, ['Ann', number, number] if load is _npz else [number, '7'])
  codes = ['1e5', '3E12', 'E+5', '2.1E3']
  assert load(tmp_path, codes).people


@pytest.mark.parametrize('load', [_manifest, _npz])
def test_names_that_have_lost_their_end_or_a_letter_are_refused(
    tmp_path, load):
  ids = ['20170109150557300', '20170109150557400', '20170109150600000']
  with pytest.raises(ValueError, match="as it was given, got '2017.*7300' in .*"
                     ' beyond digit 15 in all numbers, as Excel'):
    load(tmp_path, ['Ann', *ids])
  for whole in ([*ids, '20170109150557336'], [f'p{number}' for number in ids],
                ['1483952757000000', '1483952758000000', '1483952759000000'],
                ['123456789012345', '123456789012340'], ids[:1] + ['7']):
    assert len(load(tmp_path, whole).people) == len(whole)
  with pytest.raises(ValueError, match="as it was given, got 'M\ufffdller' in "
                     '.*, which has lost a letter, by which several'):
    load(tmp_path, ['Ann', 'M\ufffdller'])


MERGED = [f'N{k}' if j == 0 else '' for k in range(5) for j in range(3)]


@pytest.mark.parametrize('kind', ['identity', 'family'])
@pytest.mark.parametrize('names, said', [
    (MERGED, '5 names in 5 rows and 10 blank ones between them, as of merged'),
    ([name.strip('N') for name in MERGED], '5 names in 5 rows and 10 blank'),
    ([*MERGED, 'N5', 'N6', '\u00a0', 'N2', ''], '7 names in 8 rows and 12 bl'),
    (['Ann', '"', 'Bob'], '\'"\' in line 3 .*, which stands for the row above'),
    (['Ann', '〃', '〃'], "'〃' in line 3 of m.csv, which stands for the row"),
    (['Ann', '\u201d', 'Bob'], "'\u201d' in line 3 of m.csv, which stands for"),
    (['Ann', '- " -', 'Bob'], '\'- " -\' in line 3 of m.csv, which stands for'),
    (['Ann', 'dito', 'dito', 'Bob', 'dito'], "'dito' in line 6 of .*, which"),
    (['Ann', 'Idem', 'Bob', 'Idem'], "'Idem' in line 5 of m.csv, which stand"),
    (['李', '同上'], "'同上' in line 3 of m.csv, which stands for the row")])
def test_rows_that_leave_the_name_to_the_one_above_are_refused(
    tmp_path, kind, names, said):
  with pytest.raises(ValueError, match=f'Expected {kind} in every row, got.*'
                     f'{said}'):
    _manifest(tmp_path, names, kind)


@pytest.mark.parametrize('names', [
    [name or 'unknown' for name in MERGED], [name or '-1' for name in MERGED],
    ['', *MERGED], [*'abcde', *[''] * 9], [*[''] * 9, *'abcde'],
    ['a', '', 'b', 'c', '', 'd', 'e', 'f', ''], ['a', '', 'b', '', 'b', 'a'],
    ['a', '', '', 'b', ''], ['a', 'a', '', 'b', '', 'b', 'c', '', 'c'],
    ['Ann', 'Dito', '', 'Dito', 'Eva'], ['B. Ditto', 'Ann', 'B. Ditto', 'Bob'],
    ["''Ann''", 'Bob', "O''Neil"], [''] * 5])
def test_blanks_that_are_no_merged_cells_are_unknown_people(tmp_path, names):
  data = _npz(tmp_path, names)
  assert [code >= 0 for code in data.identity] == [
      name not in ('', '-1', 'unknown') for name in names]


@pytest.mark.parametrize('names, number, called', [
    (['7.0', '3.0', '5.0'], 3, "'3.0' .* number 3 is nobody"),
    (['2.0', '1.0', '0.0', '10.0'], 2, "'2.0' .* number 2 is '10.0'"),
    (['007', '7', '1'], 7, "'007' and '7' .* number 7 is nobody"),
    (['Ann', 'Bob', '02', 'C'], 2, "'02' .* number 2 is 'Bob'")])
def test_a_number_is_no_name_that_another_person_has(
    tmp_path, names, number, called):
  data = _manifest(tmp_path, names)
  look = request_names.Lookup(requests.ForgetRequest(identities=[number]))
  with pytest.raises(ValueError, match=f'got the number {number}: {called}'):
    request_names.images_of(data, np.arange(len(data)), look)


def test_a_number_that_is_like_no_name_is_that_of_the_data(tmp_path):
  data = _manifest(tmp_path, ['Bob', 'Ann', '2.0'])
  for person in np.unique(data.identity):
    look = request_names.Lookup(requests.ForgetRequest(identities=[person]))
    if person != 2:
      assert data.identity[request_names.images_of(
          data, np.arange(3), look)].tolist() == [person]


SIGNS = ['Person A', 'Person A #2', '#anon17', '# 5', 'a#b', '#', 'Person B']


@pytest.mark.parametrize('text, expected', [
    ('Person A\n', [0]), ('Person A #2\n', [1]),
    ('#anon17\nPerson B\n', [2, 6]), ('# 5\n', [3]),
    ('a#b', [4]), ('#\n', [5]), ('#  anon\nPerson B\n', [6]),
    ('# ticket 12\r\n\r\n Person A #2 \r\n', [1]), ('#\ufeffanon17', [2]),
    ('\ufeff#anon17\n', [2]), ('## end\nPerson A\n#2\n', [0]),
    ('Person A # May\n', "line 1 of .* got 'Person A # May'; a comment is"),
    ('Person B\n #17\n', "line 2 of .* got ' #17'; a comment is"),
    ('#Anon17\n', "line 1 of .* got '#Anon17'; the data have '#anon17'"),
    ('# anon17\n', "got '# anon17'; the data have '#anon17'"),
    ('person a\n', "got 'person a'; the data have 'Person A'"),
    ('Person C\nNobody\n', r"line 1 of .* got 'Person C' \(the nearest name is "
     r"'Person [AB]'\); also unknown: 'Nobody' in line 2\.$"),
    ('Nobody\nperson a\n', r"got 'Nobody'; also unknown: 'person a' in line 2"
     r"; the data have 'Person A'\.$"),
    ('\n'.join(f'Nobody {n}' for n in range(25)),
     r"'Nobody 0'; also unknown: 'Nobody 1' .*'Nobody 19' in line 20; "
     r'and 5 more\.$'),
    ('# nobody\n', 'at least one identity in the request, got comments alone'),
    ('Person\tA\n', r"line 1 of .* got 'Person\\tA'; a line holds one name"),
    ('Person A\fPerson B', 'a line holds one name, and no further columns'),
    ('Person B\n#anon17\t2020-01-02\n', 'line 2 of .* a line holds one name'),
    ('# ticket\t12\nPerson B\t\n', [6]), ('\ufeff\ufeff# a\nPerson B', [6]),
    ('#N/A\nPerson B\n', "line 1 of .*got '#N/A', which stands for an unknown"),
    ('Person B\n#NV\n', "line 2 of .* got '#NV', which stands for an unknown"),
    ('########\n## May ##\nPerson B\n', [6]),
])
def test_a_line_is_a_name_a_comment_or_refused(tmp_path, text, expected):
  data = _manifest(tmp_path, SIGNS)
  if isinstance(expected, str):
    with pytest.raises(ValueError, match=expected):
      _asked(tmp_path, data, text)
  else:
    assert _asked(tmp_path, data, text) == (expected, [])


@pytest.mark.parametrize('names', [['5', '12', '7'], ['5', 'Ann', 'Bob']])
def test_a_comment_that_names_somebody_is_said(tmp_path, names):
  data = _manifest(tmp_path, names)
  rows, notes = _asked(
      tmp_path, data, f'# 5\n# 2026\n{names[2]}\n# May\n## {names[1]}\n')
  assert rows == [2] and notes == [
      '2 comments of the list would be names without the #: nobody is '
      f"forgotten by that. Names: '# 5', '## {names[1]}'."]
  with pytest.raises(ValueError, match=(
      "meant in line 1 of .*, got '#5' where there is the identity 5: wri")):
    _asked(tmp_path, data, f'#5\n{names[2]}\n')
  assert _asked(tmp_path, data, f'# 2026\n{names[2]}\n') == ([2], [])


PATHS = ['shot.png', 'shot #1.png', '#2.png', 'e\u0301.png', 'é.png', ' x.png',
         'U\u0308.png']


@pytest.mark.parametrize('text, expected', [
    ('shot.png', [0]), ('shot #1.png\n#2.png\n', [1, 2]), ('é.png', [4]),
    ('e\u0301.png', [3]), ('Ü.png', [6]), ('# x\nshot.png', [0]),
    (' x.png', [5]), ('\u200bé.png', 'got .*; the data have'),
    ('Shot.png', "a known sample id in line 1 .* 'Shot.png'; the data have")])
def test_a_picture_is_named_exactly(tmp_path, text, expected):
  names = np.array(PATHS)
  n = len(PATHS)
  np.savez(tmp_path / 'm.npz', images=np.full((n, SIZE, SIZE, 3), 99, np.uint8),
           y=np.arange(n) % 2, identity=np.arange(n), sample_id=names)
  data = npz.load_npz(tmp_path / 'm.npz', labels='y')
  if isinstance(expected, str):
    with pytest.raises(ValueError, match=expected):
      _asked(tmp_path, data, text, 'sample_ids')
  else:
    assert _asked(tmp_path, data, text, 'sample_ids') == (expected, [])


@pytest.mark.parametrize('numbered', [False, True])
@pytest.mark.parametrize('kind', ['identities', 'sample_ids', 'families'])
def test_a_list_that_grows_names_whom_earlier_requests_forgot(kind, numbered):
  data = examples.random_dataset()
  family = np.arange(len(data), dtype=np.int32) // 4
  codes = {'identities': data.identity, 'families': family}
  if kind == 'sample_ids':
    first, gone = str(data.sample_id[0]), 'gone.png'
  elif numbered:
    first, gone = str(codes[kind][0]), '9999'
  else:
    first, gone = 'Kim', 'Lee'
  names = {} if numbered else {int(codes.get(kind, family)[0]): 'Kim'}
  data = dataclasses.replace(
      data, columns={**data.columns, 'family': family},
      people=names if kind == 'identities' else {},
      column_names={'family': names} if kind == 'families' else {})
  for missing in ('refuse', 'record'):
    look = request_names.Lookup(
        requests.ForgetRequest(**{kind: (first, gone)}, missing=missing),
        gone_ids=frozenset(['gone.png']), gone_people=frozenset([gone]))
    if kind == 'families' and missing == 'refuse':  # as the page says
      with pytest.raises(ValueError, match=gone):
        request_names.images_of(data, np.arange(len(data)), look)
    else:
      assert len(request_names.images_of(data, np.arange(len(data)), look))
      assert (look.not_found if kind == 'families' else look.before) == [gone]


@given(st.lists(NAMES, min_size=1, max_size=6), st.data())
def test_a_request_forgets_exactly_whom_it_names_or_stops(names, data):
  identity, found, _ = people.read_identities(
      [*names, 'Somebody'], 'row {}'.format)
  world = _World(identity, found)
  asked = data.draw(st.sampled_from(names))
  request = requests.ForgetRequest(identities=[asked], same_person=False)
  try:
    codes = request_names.images_of(
        world, np.arange(len(identity)), request_names.Lookup(request))
  except ValueError:
    assert spelling.is_missing(spelling.clean(asked))
  else:
    assert codes.tolist() == [
        i for i, name in enumerate(names)
        if spelling.clean(name) == spelling.clean(asked)]


class _World:
  """As much of a data set as a request by person reads."""

  name, columns, column_names = 'data', {}, {}

  def __init__(self, identity, names):
    self.identity, self.people = identity, names
    self.sample_id = np.array([str(i) for i in range(len(identity))])

  def called(self, person):
    return self.people[person]


def test_control_characters_in_a_name_are_refused(tmp_path):
  with pytest.raises(ValueError, match='identity in line 3 of m.csv without'):
    _manifest(tmp_path, ['Ann', 'B\x07b'])
