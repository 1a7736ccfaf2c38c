"""A command's surroundings: streams, locales, settings, folders.

Each row is a line of shell in an empty folder, its exit code, and what stderr
says; ``dlfd`` is the command line of this checkout.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from dlfd_jax.cli import process
from tests import grids

ROOT = pathlib.Path(__file__).parents[2]
NOTHING = '^$'
FULL = '^error: Expected to print to stdout, got: No space left on device'
WORKDIR = r'^error: Expected --workdir to be given\b.*\n$'
KNOWS = '^error: Expected a value that jax knows in the environment, got: .*\n$'
XLA = '^error: Expected XLA_FLAGS that XLA knows, got .*\n$'
DEVICES = '^error: Expected devices that jax can use here, got .*\n$'
PHOTOS = 'check --data=x.npz --labels=age --forget_people=1 --workdir=out'
CHEAP = [  # without jax
    ('dlfd --help | true; exit ${PIPESTATUS[0]}', 0, NOTHING),
    ('dlfd --help | head -1; exit ${PIPESTATUS[0]}', 0, NOTHING),
    ('dlfd --version >/dev/full', 2, FULL),
    ('dlfd --version 1</dev/null', 2, 'Bad file descriptor'),
    ('dlfd --version >&-', 0, NOTHING),
    ('dlfd --version <&- >&- 2>&-', 0, NOTHING),
    ('dlfd unlern 2>/dev/full', 2, NOTHING),
    ('dlfd unlern 2>&-', 2, NOTHING),
    ('dlfd --version >/dev/full 2>&1', 2, NOTHING),
    ('PYTHONIOENCODING=ascii dlfd Jürgen', 2, r'J\\xfcrgen'),
    ('PYTHONIOENCODING=latin-1 dlfd 東京', 2, r'\\u6771'),
    ('LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 dlfd Jürgen', 2, 'J.*rgen'),
    (r"dlfd $'\xff\xfe'", 2, r'\\udcff'),
    ('unset HOME; dlfd --version', 0, NOTHING),
    ('TZ=No/Where LANG=tr_TR.UTF-8 LANGUAGE=xx dlfd --version', 0, NOTHING),
    ("echo 'raise SystemExit(9)' | tee random.py json.py typing.py numpy.py "
     'difflib.py >logging.py; dlfd --version', 0, NOTHING),
    ("printf 'backend: \\xff' >matplotlibrc; dlfd --version", 0, NOTHING),
]
IMPORTING = [  # a second or more each
    ('dlfd check --help | true; exit ${PIPESTATUS[0]}', 0, NOTHING),
    ('dlfd check --help >/dev/full', 2, FULL),
    ('dlfd check --json 2>/dev/full | grep -q workdir', 0, NOTHING),
    ("echo 'raise SystemExit(9)' | tee random.py json.py typing.py numpy.py "
     'jax.py rich.py >logging.py; dlfd check', 2, WORKDIR),
    ('echo x=1 >random.py; PYTHONPATH=.:$PYTHONPATH dlfd check', 2,
     r'random.py for its own: rename it, or correct PYTHONPATH\.\n$'),
    ('JAX_ENABLE_X64=maybe dlfd check', 2, KNOWS),
    ('JAX_NUM_CPU_DEVICES=many dlfd check', 2, KNOWS),
    ('XLA_FLAGS=--no_such=1 dlfd check', 2, XLA),
    ('XLA_FLAGS=nonsense dlfd check', 2, XLA),
    ('XLA_FLAGS=--xla_force_host_platform_device_count=x dlfd check', 2, XLA),
    ('XLA_FLAGS=--xla_force_host_platform_device_count=2 dlfd check', 2,
     WORKDIR),
    ('JAX_PLATFORMS=nonsense dlfd demo', 2, DEVICES),
    ('JAX_PLATFORMS=cuda dlfd demo', 2, DEVICES),
    ('XLA_FLAGS=--xla_force_host_platform_device_count=0 dlfd demo', 2,
     DEVICES),
    ('dlfd demo --cpu_devices=1000000', 2, r'--cpu_devices to be .*1024'),
    ('ulimit -v 1000000; dlfd check', 2, 'of address space .*got 1.0 GB'),
    ('dlfd demo --devices=1000000', 2, 'Expected --devices of at most'),
    ('mkdir gone; cd gone; rmdir ../gone; dlfd demo', 2,
     'No such file|no longer there'),
    (f'touch file; XDG_CACHE_HOME=$PWD/file dlfd {PHOTOS}', 2,
     r'^note: compiled programs are not kept, as .*\nerror: .*x\.npz.*\n$'),
]


def _run(line, folder):
  dlfd = f'dlfd() {{ "{sys.executable}" -m dlfd_jax "$@"; }}\n'
  environment = {'PATH': os.environ['PATH'], 'HOME': str(folder),
                 'LC_ALL': 'C.UTF-8', 'JAX_PLATFORMS': 'cpu',
                 'PYTHONPATH': str(ROOT)}
  return subprocess.run(
      ['bash', '-c', dlfd + line], cwd=folder, capture_output=True, text=True,
      errors='replace', env=environment, check=False, timeout=100)


@pytest.mark.parametrize('line, code, said', [
    *CHEAP, *grids.some(IMPORTING, 8)])
def test_a_command_behaves(line, code, said, tmp_path):
  made = _run(line, tmp_path)
  assert made.returncode == code, made
  assert re.search(said, made.stderr), made
  assert 'Traceback' not in made.stderr
  assert not (tmp_path / 'out').exists()


def test_a_stream_that_fails_drops_and_remembers():
  with open('/dev/full', 'wb', buffering=0) as full:
    out = process._Output(full.fileno(), 'w', closefd=False)
    assert out.failed is None
    assert out.write(b'one') == 3 and out.failed.strerror
    assert out.write(b'two') == 3


def test_what_nobody_reads_yet_waits():
  read, write = os.pipe()
  os.set_blocking(write, False)
  text = bytes(1 << 18)  # more than a pipe holds
  with subprocess.Popen(
      ['wc', '-c'], stdin=read, stdout=subprocess.PIPE) as reader:
    os.close(read)
    with process._Output(write, 'w') as out:
      sent = 0
      while sent < len(text):
        sent += out.write(text[sent:])
    assert int(reader.communicate()[0]) == len(text)
