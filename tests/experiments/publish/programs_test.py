"""Where results go is checked before hours of work."""


import pytest
from absl import flags

from experiments.publish import programs


def _values(out):
  values = flags.FlagValues()
  flags.DEFINE_string('out', None, 'where', flag_values=values)
  values(['program'] + ([] if out is None else [f'--out={out}']))
  return values


@pytest.mark.parametrize('ask', [programs.out_of, programs.out_if_given])
def test_the_folder_must_be_there(ask, tmp_path):
  assert ask(_values(tmp_path / 'table')) == tmp_path / 'table'
  with pytest.raises(
      FileNotFoundError,
      match='Expected the folder .*absent of --out, found none: create it'):
    ask(_values(tmp_path / 'absent' / 'table'))


def test_the_flag_may_be_left_out_where_it_may():
  assert programs.out_if_given(_values(None)) is None
  with pytest.raises(ValueError, match='--out'):
    programs.out_of(_values(None))


def test_a_page_that_somebody_edited_is_refused_before_the_work(tmp_path):
  out = tmp_path / 'table'
  programs.write(out, {'kind': 'any'}, 'a page')
  assert programs.out_of(_values(out)) == out
  (tmp_path / 'table.md').write_text('mine')
  with pytest.raises(FileExistsError, match='nobody changed, got another'):
    programs.out_of(_values(out))
