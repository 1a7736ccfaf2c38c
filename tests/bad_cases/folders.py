"""Mistakes in a tree of folders, one a class, and in downloads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from tests.bad_cases import edits
from tests.bad_cases.case import Case

TREES, DOWNLOADS = 'Trees of folders', 'Downloads'


def _train(mistake: str, *flags: str, change: Callable | None = None,
           theme: str = TREES) -> Case:
  first = ('--data=tree', '--root=tree') if theme == TREES else ()
  given = {flag.split('=')[0] for flag in flags}
  kept = [flag for flag in (*first, '--image_size=16', '--width=2',
                            '--stem=small', '--split_by=image', '--workdir=out')
          if flag.split('=')[0] not in given]
  return Case(theme, mistake, ('train', *kept, *flags), change)


CASES = [
    _train('the folder is not there', '--root=nowhere'),
    _train('the folder is a file', '--root=people.txt'),
    _train('no folder is named', '--root=none'),
    _train('there is one class alone', change=lambda: shutil.rmtree('tree/b')),
    _train('images lie beside the classes, not in them', change=lambda: [
        shutil.move(f'tree/{name}/{file}', f'tree/{file}')
        for name in 'ab' for file in os.listdir(f'tree/{name}')]),
    _train('a class has no image', change=lambda: os.mkdir('tree/c')),
    _train('an image is cut short', change=edits.cut('tree/a/0_0.png')),
    _train('an image is a link out of the folder', change=edits.link(
        'tree/a/0_0.png', '../../photos/00.png')),
    _train('a class is a link out of the folder',
           change=lambda: os.symlink('../photos', 'tree/c')),
    _train('a file has a name with a line break', change=edits.rename(
        'tree/a/0_0.png', 'tree/a/0\n0.png')),
    _train('a file has a name that is no UTF-8', change=lambda: os.rename(
        b'tree/a/0_0.png', b'tree/a/0\xff0.png')),
    _train('the pattern of persons is no regular expression',
           '--identity_pattern=(*'),
    _train('the pattern of persons has no group', r'--identity_pattern=\d+'),
    _train('the pattern of persons has two groups',
           r'--identity_pattern=(\d)_(\d)'),
    _train('the pattern of persons fits no path', '--identity_pattern=(x+)_'),
    _train('a pattern of persons is given for a manifest',
           '--data=photos/faces.csv', '--labels=smile',
           r'--identity_pattern=(\d+)'),
    _train('labels are named, where folders are the labels', '--labels=smile'),
    _train('persons are unknown, and the split is to be by person',
           '--split_by=person'),
    _train('the split is to be by image, but persons are known',
           r'--identity_pattern=(\d)_'),
    _train('all first folders are parts, and one holds no class',
           change=lambda: (os.rename('tree/a', 'tree/train'),
                           os.rename('tree/b', 'tree/test'))),
    _train('the data set is misspelt', '--data=mufak', '--labels=age_class',
           theme=DOWNLOADS),
    _train('the variant does not exist', '--data=mucac/best', '--root=tree',
           '--labels=gender', theme=DOWNLOADS),
    _train('the folder of the download is not named', '--data=mufac',
           '--labels=age_class', theme=DOWNLOADS),
    *(_train(f'the download of {name} is not in the folder', f'--data={name}',
             f'--labels={label}', '--root=tree', theme=DOWNLOADS)
      for name, label in (('mufac', 'age_class'), ('mucac', 'gender'),
                          ('rafdb', 'emotion'))),
    _train('the folder of the download is a file', '--data=mufac',
           '--labels=age_class', '--root=people.txt', theme=DOWNLOADS),
]
