"""Files that somebody made to hang, crash, fill or deceive whoever reads them.

Tables of places and of what is put there: pipes, devices and links, tensors
without plain values, archives that claim what no machine holds, and names that
a terminal would obey.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import pickle
import shutil
import socket
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import safetensors.numpy

from tests.bad_cases import arrays, case, edits
from tests.bad_cases.case import Case

SPECIAL, NAMES = 'Pipes, devices and links', 'Names that command a terminal'
WEIGHTS, TENSORS = 'Weights from elsewhere', 'Tensors without plain values'
CHECKPOINTS, NPZ, MANIFESTS, IMAGES = (
    'Checkpoints', 'npz files', 'Manifests', 'Images')
_NETWORK = ('--image_size=16', '--width=2', '--stem=small', '--workdir=out')
_TRAIN = ' '.join(('train --labels=smile', *_NETWORK))
_IMPORT = ' '.join(('import_weights --data=faces.npz --labels=smile',
                    '--weights=weights.safetensors', *_NETWORK))
_UNLEARN = 'unlearn --original=original --forget_people=2 --workdir=out'
_EVALUATE = ('evaluate --original=original --unlearned=unlearned '
             '--retrained=retrained --workdir=out')
_OWN = '--model=tests.models.own_nets:Own'
_VARIABLES = 'original/checkpoints/model/variables'


def _gone(path: str) -> None:
  shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(
      path) else pathlib.Path(path).unlink(missing_ok=True)


def _socket(path: str) -> None:
  with socket.socket(socket.AF_UNIX) as one:
    one.bind(path)


_KINDS: dict[str, Callable[[str], Any]] = {
    'a pipe': os.mkfifo, 'a socket': _socket,
    'a device': lambda path: os.symlink('/dev/zero', path),
    'a folder': os.mkdir, 'a link to itself': lambda path: os.symlink(
        os.path.basename(path), path)}
# The file, what it is, and the command that reads it.
_PLACES = (
    ('faces.npz', 'the npz file', _TRAIN + ' --data=faces.npz'),
    ('photos/faces.csv', 'the manifest', _TRAIN + ' --data=photos/faces.csv'),
    ('photos/23.png', 'an image', _TRAIN + ' --data=photos/faces.csv'),
    ('weights.safetensors', 'the safetensors file', _IMPORT),
    ('weights.pth', 'the .pth file', _IMPORT + ' --weights=weights.pth'),
    ('weights.msgpack', 'the weights of an own network',
     f'{_IMPORT} {_OWN} --weights=weights.msgpack'),
    ('people.txt', 'the list of people',
     'unlearn --original=original --forget_identities=people.txt '
     '--workdir=out'),
    ('people.txt', 'the list of images',
     'unlearn --original=original --forget_sample_ids=people.txt '
     '--workdir=out'),
    ('retrained/splits.npz', 'the stored split',
     'unlearn --original=original --splits=retrained/splits.npz '
     '--workdir=out'),
    ('mine.py', 'the file of an own method',
     _UNLEARN + ' --method=mine.py:Mine'),
    ('mine.py', 'the file of an own network',
     _TRAIN + ' --data=faces.npz --architecture=mine.py:Mine'),
    ('original/config.json', "the original's config", _UNLEARN),
    ('original/checkpoints/model/model.json', 'the model card', _UNLEARN),
    ('unlearned/config.json', "the unlearned run's config", _EVALUATE),
    ('unlearned/splits.npz', "the unlearned run's split", _EVALUATE),
    ('evaluation/result.json', 'the result of an evaluation',
     'report --evaluation=evaluation --workdir=out'),
)


def _put(kind: str, path: str) -> edits.Edit:
  def edit():
    _gone(path)
    _KINDS[kind](path)
  return edit


def _special() -> list[Case]:
  return [case.of(SPECIAL, f'{what} is {kind}', line, (), _put(kind, path))
          for path, what, line in _PLACES for kind in _KINDS
          if (what, kind) != ('an image', 'a folder')
          and (what, kind) != ('an image', 'a pipe')]


def _within(kind: str) -> edits.Edit:
  return lambda: _KINDS[kind](f'{_VARIABLES}/more')


def _links() -> list[Case]:
  export = 'export_weights --model=original --weights=out.safetensors'
  own = f'{_IMPORT} {_OWN} --weights={_VARIABLES}'

  def out(target):
    return lambda: os.symlink(target, f'{_VARIABLES}/more')

  def largest():
    path = max((p for p in pathlib.Path(_VARIABLES).rglob('*') if p.is_file()),
               key=lambda p: p.stat().st_size)
    shutil.move(path, 'elsewhere')
    path.symlink_to(pathlib.Path('elsewhere').resolve())

  return [
      *(case.of(CHECKPOINTS, f'{name}: there is {kind} among its files', line,
                (), _within(kind))
        for name, line in (('a run', export), ('an own network', own))
        for kind in _KINDS if kind != 'a folder'),
      *(case.of(CHECKPOINTS, f'{name}: a link leads out to {what}', line, (),
                out(target))
        for name, line in (('a run', export), ('an own network', own))
        for what, target in (('a file', '/etc/hostname'), ('a folder', '/etc'),
                             ('the data', '../../../../photos'))),
      *(case.of(CHECKPOINTS, f'{name}: its arrays are a link to a file outside',
                line, (), largest)
        for name, line in (('a run', export), ('an own network', own))),
      case.of(CHECKPOINTS, 'an own network: the last step is an empty folder',
              f'{_IMPORT} {_OWN} --weights=steps', (),
              lambda: os.makedirs('steps/7')),
      case.of(CHECKPOINTS, 'an own network: the folder is empty',
              f'{_IMPORT} {_OWN} --weights=steps', (),
              lambda: os.mkdir('steps')),
      case.of(CHECKPOINTS, 'an own network: there are two trees',
              f'{_IMPORT} {_OWN} --weights=two', (),
              lambda: [shutil.copytree(_VARIABLES, f'two/{name}')
                       for name in 'ab']),
  ]


def _torch(mistake: str, content: Callable[[Any], Any],
           name: str = 'conv1.weight', **how: Any) -> Case:
  """A ``.pth`` file with one other tensor, or of what ``content`` makes."""
  def edit():
    import torch  # an extra
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # of PyTorch's kinds that are new or old
      made = content(torch)
      if isinstance(made, torch.Tensor):
        whole = safetensors.numpy.load_file('weights.safetensors')
        made = {key: torch.from_numpy(value)
                for key, value in whole.items()} | {name: made}
      torch.save(made, 'weights.pth', **how)
  return case.of(TENSORS, mistake, _IMPORT + ' --weights=weights.pth', (), edit)


class _Makes:
  """Pickles as the call of something harmless with a hostile argument."""

  def __init__(self, function: Callable[..., Any], *arguments: Any):
    self._call = function, arguments

  def __reduce__(self):
    return self._call


def rebuilt(size: tuple[int, ...], stride: tuple[int, ...], numel: int = 4,
            held: int = 16, how: int = zipfile.ZIP_STORED) -> edits.Edit:
  """A ``.pth`` file that says of 16 bytes what it likes."""
  def plain(value: Any) -> bytes:
    text = pickle.dumps(value, 2)[2:-1]
    return b''.join(text.split(b'q\x00'))

  def edit():
    import torch  # an extra
    base = io.BytesIO()
    torch.save({'conv1.weight': torch.zeros(4)}, base)
    program = (
        b'\x80\x02}X\x0c\x00\x00\x00conv1.weightctorch._utils\n'
        b'_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n'
        b'FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu'
        + plain(numel) + b'tQK\x00' + plain(size) + plain(stride)
        + b'\x89ccollections\nOrderedDict\n)RtRs.')
    with zipfile.ZipFile(base) as old, zipfile.ZipFile(
        'weights.pth', 'w', how) as new:
      for name in old.namelist():
        content = (program if name.endswith('data.pkl') else bytes(held)
                   if name.endswith('/data/0') else old.read(name))
        new.writestr(name, content)
  return edit


def _claims(mistake: str, *arguments: Any, **more: Any) -> Case:
  return case.of(TENSORS, mistake, _IMPORT + ' --weights=weights.pth', (),
                 rebuilt(*arguments, **more))


def _nested(depth: int) -> dict:
  return {'a': _nested(depth - 1)} if depth else {}


def _tensors() -> list[Case]:
  kinds = ('complex64', 'complex128', 'complex32', 'bool')
  return [
      *(_torch(f'numbers are {kind}', lambda torch, kind=kind: torch.zeros(
          2, 3, 3, 3, dtype=getattr(torch, kind))) for kind in kinds),
      *(_torch(f'numbers are {kind}', lambda torch, kind=kind: torch.zeros(
          2, 3, 3, 4, dtype=torch.uint8).view(getattr(torch, kind)))
        for kind in ('bits8', 'float4_e2m1fn_x2')),
      _torch('a complex tensor is noted as conjugate', lambda torch:
             torch.zeros(2, 3, 3, 3, dtype=torch.complex64).conj()),
      *(_torch(f'a tensor is sparse, {kind}', lambda torch, kind=kind: getattr(
          torch.eye(4), f'to_sparse_{kind}')(
              *((2, 2),) * kind.startswith('bs')))
        for kind in ('csr', 'csc', 'bsr', 'bsc')),
      *(_torch(f'a tensor is nested, {layout}', lambda torch, layout=layout:
               torch.nested.nested_tensor(
                   [torch.zeros(2), torch.zeros(3)],
                   layout=getattr(torch, layout)))
        for layout in ('strided', 'jagged')),
      *(_torch(f'a tensor is quantised, {kind}', lambda torch, kind=kind:
               torch.quantize_per_tensor(torch.zeros(2, 3, 3, 3), 1., 0,
                                         getattr(torch, kind)))
        for kind in ('qint8', 'quint8', 'qint32')),
      _torch('a tensor is quantised channel by channel', lambda torch:
             torch.quantize_per_channel(
                 torch.zeros(2, 3, 3, 3), torch.ones(2), torch.zeros(2), 0,
                 torch.qint8)),
      *(_torch(f'there is {name}, of a quantised network',
               lambda torch: torch.zeros(2, 3, 3, 3), name)
        for name in ('conv1.zero_point', 'fc.weight_scale', 'fc.weight.absmax',
                     'fc.weight.SCB', 'fc.weight.quant_map',
                     'fc.weight.quant_state.bitsandbytes__nf4')),
      *(_torch(f'numbers are {kind}', lambda torch, kind=kind: torch.zeros(
          2, 3, 3, 3, dtype=getattr(torch, kind)))
        for kind in ('int8', 'uint8')),
      _torch('a tensor has no axis', lambda torch: torch.tensor(1.)),
      _torch('a tensor has no number', lambda torch: torch.zeros(0)),
      _torch('a tensor has nine axes', lambda torch: torch.zeros((1,) * 9)),
      _torch('a meta tensor claims 10^18 numbers', lambda torch: torch.zeros(
          10**9, 10**9, device='meta')),
      _torch('a tensor repeats one number 3,000,000,000 times', lambda torch:
             torch.zeros(1).expand(3 * 10**9)),
      _torch('a tensor of half precision repeats one number 10^12 times',
             lambda torch: torch.zeros(1).half().expand(10**12)),
      _torch('a thousand tensors share what is 4 MB and claim 4 GB',
             lambda torch: dict.fromkeys(
                 (f't{i}' for i in range(1000)), torch.zeros(1).expand(10**6))),
      _torch('an older file is a whole module', lambda torch: torch.nn.Linear(
          2, 2), _use_new_zipfile_serialization=False),
      _torch('an older file holds complex numbers', lambda torch: torch.zeros(
          2, dtype=torch.complex64), _use_new_zipfile_serialization=False),
      _torch('a pickle asks for 10^16 bytes', lambda torch: {
          'conv1.weight': torch.zeros(2), 'more': _Makes(bytearray, 10**16)}),
      *(_torch(f'a pickle calls {name}', lambda torch, function=function: {
          'x': _Makes(function, 'touch here')})
        for name, function in (
            ('os.system', os.system), ('eval', eval), ('exec', exec),
            ('open', open), ('getattr', getattr), ('__import__', __import__))),
      _torch('dictionaries are nested 30 deep', lambda torch: {
          'model': _nested(30)}),
      _claims('a shape overflows', (2**62, 4), (0, 0)),
      _claims('a shape is below 0', (-1,), (1,)),
      _claims('a tensor reads beyond its storage', (5,), (1,)),
      _claims('a step of a tensor is below 0', (4,), (-1,)),
      _claims('a storage claims more bytes than its entry', (10**6,), (1,),
              10**6),
      _claims('a step of 0 makes 12 GB of one number', (3 * 10**9,), (0,)),
      _claims('100 kB of archive unpack to 100 MB', (4,), (1,), 4, 10**8,
              zipfile.ZIP_DEFLATED),
      _claims('an archive is compressed', (4,), (1,), 1000, 4000,
              zipfile.ZIP_LZMA),
  ]


def stored(header: Any, content: bytes = bytes(16),
           size: int | None = None) -> edits.Edit:
  """A safetensors file of any header, and the length that it states."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return edits.write('weights.safetensors', struct.pack(
      '<Q', len(text) if size is None else size) + text + content)


def _whole(value: Any) -> edits.Edit:
  """The network's weights with another first tensor."""
  def edit():
    state = safetensors.numpy.load_file('weights.safetensors')
    state['conv1.weight'] = np.asarray(value)
    safetensors.numpy.save_file(state, 'weights.safetensors')
  return edit


def _one(kind: str = 'F32', shape: Any = (4,), offsets: Any = (0, 16),
         name: str = 'conv1.weight') -> dict[str, Any]:
  return {name: {'dtype': kind, 'shape': shape, 'data_offsets': offsets}}


def _safetensors() -> list[Case]:
  rows: tuple[tuple[str, edits.Edit], ...] = (
      ('numbers are F4', stored(_one('F4', [32]))),
      *((f'numbers are {kind}', _whole(np.zeros((2, 3, 3, 3), kind)))
        for kind in ('complex64', 'bool', 'int8', 'uint8')),
      ('a tensor has no axis', _whole(np.float32(1))),
      ('a tensor has no number', _whole(np.zeros((0, 3, 3, 3), np.float32))),
      ('channels are the last axis', _whole(
          np.zeros((3, 3, 3, 2), np.float32))),
      ('numbers of half precision are NaN', _whole(
          np.full((2, 3, 3, 3), np.nan, np.float16))),
      *((f'numbers are {kind}, a kind that nobody knows', stored(_one(kind)))
        for kind in ('X', '', 'f32', 'OBJECT')),
      ('a shape overflows', stored(_one(shape=[2**62, 2**62]))),
      ('a shape is below 0', stored(_one(shape=[-4]))),
      ('a shape is a fraction', stored(_one(shape=[4.5]))),
      ('a shape is a text', stored(_one(shape='4'))),
      ('a tensor lies beyond the end', stored(_one(offsets=[16, 32]))),
      ('a tensor ends before it begins', stored(_one(offsets=[16, 0]))),
      ('two tensors share their bytes', stored(
          _one() | _one(name='b', offsets=[8, 24]))),
      ('a tensor leaves bytes unused', stored(_one(shape=[2], offsets=[0, 8]))),
      ('a tensor is of no numbers, 2^60 times', stored(
          _one(shape=[0, 2**60], offsets=[0, 0]), b'')),
      ('the header is a list', stored([])),
      ('the header is cut short', stored(b'{"a": {"dtype"')),
      ('the header is no UTF-8', stored(b'{"\xff": 1}')),
      ('the header is longer than the file', stored({}, b'', 99)),
      ('the header has no byte', stored(b'', b'')),
      ('the header states 2^64 - 1 bytes', stored({}, b'', 2**64 - 1)),
      ('the header is nested 100,000 deep', stored(b'[' * 100_000)),
      ('notes are no texts', stored({'__metadata__': {'a': 1}} | _one())),
      ('notes name classes that are numbers of nothing', stored(
          {'__metadata__': {'class_to_idx': '{"a": 5, "b": 1e400}'}} | _one())),
      ('there is no tensor', stored({}, b'')),
      ('a tensor is quantised', stored(_one(name='fc.weight_scale'))),
      ('a tensor has a name of 1,000,000 letters', stored(
          _one(name='a' * 10**6))),
      ('there are 20,000 tensors of other names', lambda: (
          safetensors.numpy.save_file({
              f'layer{i}.weight': np.zeros(1, np.float32)
              for i in range(20_000)}, 'weights.safetensors'))),
  )
  return [case.of(WEIGHTS, f'safetensors: {mistake}', _IMPORT, (), edit)
          for mistake, edit in rows]


def _msgpack() -> list[Case]:
  def array(shape, kind='float32', content=b'', code=1):
    return msgpack.packb({'params': msgpack.ExtType(code, msgpack.packb(
        (shape, kind, content)))})

  rows: tuple[tuple[str, bytes], ...] = (
      ('the file is empty', b''),
      ('the file is a number', msgpack.packb(3)),
      ('the file is a list', msgpack.packb([1, 2])),
      ('the file is cut short', msgpack.packb({'params': 'x' * 99})[:50]),
      ('the file goes on after its end', msgpack.packb({}) * 2),
      ('a map is no tree of parameters', msgpack.packb({'params': 1})),
      ('maps are nested 2,000 deep', b'\x81\xa1a' * 2000 + b'\xc0'),
      ('a list claims 2^32 values', b'\xdd\xff\xff\xff\xff'),
      ('a text claims 4 GB', b'\xdb\xff\xff\xff\xff'),
      ('an array claims 10^12 numbers', array([10**12])),
      ('an array has a shape below 0', array([-1], content=bytes(4))),
      ('an array is of objects', array([1], 'object', bytes(8))),
      ('an array is of a kind that nobody knows', array([1], 'float7')),
      ('a value is of an unknown extension', array([1], code=77)),
      ('an array is in pieces that are missing', msgpack.packb({'params': {
          '__msgpack_chunked_array__': True, 'shape': {'0': 4},
          'chunks': {}}})))
  return [case.of(WEIGHTS, f"flax's msgpack: {mistake}",
                  f'{_IMPORT} {_OWN} --weights=weights.msgpack', (),
                  edits.write('weights.msgpack', content))
          for mistake, content in rows]


def _npz() -> list[Case]:
  def entry(content: bytes, name: str = 'more.npy', **state: Any):
    def edit():
      with zipfile.ZipFile('faces.npz', 'a') as file:
        info = zipfile.ZipInfo(name)
        file.writestr(info, content)
        for key, value in state.items():
          setattr(info, key, value)
    return edit

  def claim(shape, kind='|u1', size=4):
    return entry(arrays.header(shape, kind) + bytes(size))

  rows: tuple[tuple[str, edits.Edit], ...] = (
      ('a shape is below 0', claim((-1,))),
      ('a shape is below 0 on two axes', claim((-2, -2))),
      ('a shape is beyond 64 bits', claim((2**63, 2**63))),
      ('an array has 70 axes', claim((1,) * 70, size=1)),
      ('an array of times is pickled', claim((1,), '|O', 8)),
      ('an entry has no header', entry(b'')),
      ('an entry has another magic word', entry(b'NUMPY' + bytes(99))),
      ('an entry is of a version that does not exist', entry(
          b'\x93NUMPY\x09\x00' + bytes(99))),
      ('a header is longer than its entry', entry(
          b'\x93NUMPY\x01\x00\xff\xff{}')),
      ('a header calls a function', entry(
          b'\x93NUMPY\x01\x00\x20\x00' + b"__import__('os').getcwd()".ljust(
              31) + b'\n')),
      ('a header is nested 9,000 deep', entry(
          b'\x93NUMPY\x01\x00' + struct.pack('<H', 9001) + b'(' * 9000
          + b'\n')),
      ('an entry leads out of the archive', entry(
          arrays.header((4,)) + bytes(4), '../../out.txt')),
      ('an entry is called by control characters', entry(
          b'', 'a\x1b]52;c;eA==\x07')),
      ('an entry has a name of 60,000 letters', entry(b'', 'a' * 60_000)),
      ('an entry is encrypted', entry(
          arrays.header((4,)) + bytes(4), flag_bits=1)),
      ('an entry is compressed in a way that nobody knows', entry(
          arrays.header((4,)) + bytes(4), compress_type=77)),
      ('the sum of an entry is wrong', entry(
          arrays.header((400,)) + bytes(400), CRC=1)),
  )
  return [case.of(NPZ, mistake, _TRAIN + ' --data=faces.npz', (), edit)
          for mistake, edit in rows]


def _pictures() -> list[Case]:
  jpeg = b'\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00'
  sof = b'\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x22\x00\x02\x11\x01\x03'
  gif = b'GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00'
  rows: tuple[tuple[str, bytes], ...] = (
      *((f'a PNG states {w} x {h} pixels', edits.png(w, h))
        for w, h in ((0, 4), (4, 0), (2**31 - 1, 1), (1, 2**31 - 1),
                     (2**31, 2**31), (100_000, 100_000))),
      *((f'a PNG has {depth} bits and colour type {colour}', edits.png(
          4, 4, depth, colour)) for depth, colour in ((3, 2), (8, 9), (16, 3))),
      ('a PNG has no pixel data', edits.png(4, 4)),
      ('a JPEG states 65,535 x 65,535 pixels', jpeg + sof),
      ('a JPEG ends after its header', jpeg),
      ('a GIF states 65,535 x 65,535 pixels', gif + b'\xff\xff\xff\xff\x00'),
      ('a TIFF names its first page beyond the end',
       b'II*\x00\xff\xff\xff\x7f' + bytes(20)),
      ('a TIFF names itself as the next page',
       b'II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00'),
      ('a BMP states -2^31 rows', b'BM' + struct.pack(
          '<IHHIIiiHHIIiiII', 54, 0, 0, 54, 40, 4, -2**31, 1, 24, 0, 0, 0, 0,
          0, 0)),
      ('a WebP is cut after its name', b'RIFF\xff\xff\xff\xffWEBPVP8 '),
      ('a PPM states 10^9 x 10^9 pixels', b'P6 1000000000 1000000000 255 '),
      ('an SVG has another ending', b'<svg xmlns="http://www.w3.org/2000/svg">'
       b'<image href="file:///etc/hostname"/></svg>'),
      ('an HTML page has another ending', b'<html><body>404</body></html>'),
      ('an image is 100 kB of zeros', bytes(100_000)))
  return [case.of(IMAGES, mistake, _TRAIN + ' --data=photos/faces.csv', (),
                  edits.write('photos/23.png', content))
          for mistake, content in rows]


ODD = {
    'colours and hides': '\x1b[8m', 'writes to the clipboard':
    '\x1b]52;c;eA==\x07', 'clears by C1': '\x9b2J', 'returns': 'a\rb',
    'turns the direction': '\u202egnp.exe', 'is a NUL': 'a\0b',
    'is 100,000 letters': 'y' * 100_000}


def _names() -> list[Case]:
  rows = []
  for what, odd in ODD.items():
    photos = _TRAIN + ' --data=photos/faces.csv'
    for where, line, old in (
        ('a column', photos + ' --labels=laugh', 'age,'),
        ('a person', photos, 'person11'), ('a label', photos, '1,43'),
        ('a part', photos, 'test')):
      if where == 'a person' and what in ('turns the direction', 'returns'):
        continue  # marks are part of names, and shown; line ends become blanks
      rows.append(case.of(
          NAMES, f'{where} {what}', line, (), edits.replace(
              'photos/faces.csv', old, f'"{odd}"' + ',' * old.endswith(',')
              + ',43' * old.endswith('43'))))
    rows += [
        case.of(NAMES, f'a tensor {what}', _IMPORT, (), stored(
            _one(name=odd))),
        case.of(NAMES, f'an array {what}', _TRAIN + ' --data=faces.npz '
                '--labels=laugh', (), lambda odd=odd: np.savez(
                    'faces.npz', **{odd.replace('\0', '\x1b')[:60_000]: [1]})),
        *(case.of(NAMES, f'{flag} {what}', line, (f'{flag}={odd}',))
          for flag, line in (
              ('--head_classes', _IMPORT), ('--state', _IMPORT),
              ('--data', _TRAIN), ('--method', _UNLEARN),
              ('--evaluation', 'report --workdir=out'),
              ('--class_names', photos), ('--original', _UNLEARN),
              ('--request_id',
               'report --workdir=out --evaluation=evaluation')))]
  return rows


CASES = [*_special(), *_links(), *_tensors(), *_safetensors(), *_msgpack(),
         *_npz(), *_pictures(), *_names()]
