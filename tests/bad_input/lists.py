"""Lists that are bad."""

from .files import LISTED, Case, line, listed, put, rewritten, write_json

LISTS: dict[str, Case] = {
    'unknown class': Case(
        'scenes',
        listed('sea/0.png'),
        r"list\.txt:7: unknown class: 'sea/0.png' names no class",
        options=LISTED,
    ),
    'class in other case': Case(
        'scenes', listed('Road/0.png'), 'with a class such as road', options=LISTED
    ),
    'escaping line': Case(
        'scenes', listed('../../etc/passwd'), 'list.txt:7: unknown class', options=LISTED
    ),
    'folder above': Case('scenes', listed('road/..'), 'list.txt:7: missing', options=LISTED),
    'image not there': Case(
        'scenes', listed('road/9.png'), 'is listed but there is no such image', options=LISTED
    ),
    'a label in the line': Case(
        'scenes', listed('road/0.png 2'), r'a label in its line\? Remove 2', options=LISTED
    ),
    'a label after a tab': Case(
        'scenes', listed('road/0.png\t2'), r'a label in its line\? Remove 2', options=LISTED
    ),
    'name for two images': Case(
        'scenes',
        lambda f: (put(f / 'road/0.jpg'), listed('road/0')(f)),
        r"ambiguous: 'road/0' may be 0.jpg or 0.png",
        options=LISTED,
    ),
    'Latin-1': Case(
        'scenes',
        listed('road/é.png'.encode('latin-1')),
        r'list\.txt:7: encoding: it is not in UTF-8',
        options=LISTED,
    ),
    'UTF-16': Case(
        'scenes', rewritten('road/0.png'.encode('utf-16')), 'it is UTF-16, or no text', options=LISTED
    ),
    'NUL': Case('scenes', listed('road/0.png\0'), 'it is UTF-16, or no text', options=LISTED),
    'listed twice': Case('scenes', listed('road/0.png'), 'twice: it is the same file as', options=LISTED),
    'empty list': Case('scenes', rewritten('\n\n'), 'no samples: ThreeScenes finds none', options=LISTED),
    'no list': Case('scenes', lambda f: None, 'annotation file not found: .*make it', options=LISTED),
    'many lines at once': Case(
        'scenes',
        listed(''.join(f'road/{i}.png\n' for i in range(100, 130))),
        r'30 faults in the list.* and 10 more',
        options=LISTED,
        faults=21,
    ),
    'mmpretrain: byte order mark': Case(
        'list',
        lambda f: rewritten('\ufeff' + (f / 'list.txt').read_text())(f),
        r'list\.txt:1: byte order mark',
    ),
    'mmpretrain: blank line': Case('list', line(''), r'list\.txt:7: blank line'),
    'mmpretrain: tab': Case(
        'list', line('road/0.png\t2'), r'no label: .*\(a tab stands in its place\): write'
    ),
    'mmpretrain: no label': Case(
        'list', line('road/0.png'), "no label: 'road/0.png' has no space and number"
    ),
    'mmpretrain: name as a label': Case(
        'list', line('road/0.png road'), "no label: 'road' in .* is no integer"
    ),
    'mmpretrain: half a label': Case('list', line('road/0.png 1.5'), "'1.5' in .* is no integer"),
    'mmpretrain: label out of range': Case(
        'list',
        lambda f: (put(f / 'road/2.png'), line('road/2.png 3')(f)),
        'its label is 3, but there are 3 classes',
    ),
    'mmpretrain: negative label': Case(
        'list', lambda f: (put(f / 'road/2.png'), line('road/2.png -1')(f)), 'its label is -1, but'
    ),
    'mmpretrain: absolute path': Case(
        'list', line('/etc/passwd 1'), "outside: '/etc/passwd' leaves the folder"
    ),
    'mmpretrain: escaping path': Case('list', line('road/../../x.png 1'), 'outside: .*list names in it'),
    'mmpretrain: listed twice': Case('list', line('road/0.png 2'), 'twice: it is the same file as'),
    'mmpretrain: two labels': Case('list', line('road/0.png 1'), 'two labels: .* whose label is 2, not 1'),
    'mmpretrain: image not there': Case('list', line('road/9.png 1'), r'road/9\.png: missing'),
    'mmpretrain: name with NUL': Case('list', line(b'road/\0.png 1'), 'it is UTF-16, or no text'),
    'mmpretrain: long name': Case('list', line(f'{"x" * 300}.png 1'), 'the name is too long for a file'),
    'mmpretrain: no list': Case(
        'list', lambda f: (f / 'list.txt').unlink(), r'list\.txt: list: the list is not there'
    ),
    'mmpretrain: list is a folder': Case(
        'list', lambda f: ((f / 'list.txt').unlink(), (f / 'list.txt').mkdir()), 'is a folder, not a file'
    ),
    'mmpretrain: empty list': Case('list', rewritten(''), 'no samples: the list is empty'),
    'mmpretrain: no sample of a class': Case(
        'list',
        rewritten('forest/0.png 0\nroad/0.png 2\n'),
        "empty class: no sample is of the class 'river'",
    ),
    'mmseg: byte order mark': Case(
        'names', rewritten('\ufeff0\n1\n'), 'list.txt:1: byte order mark: it would'
    ),
    'mmseg: blank line': Case('names', line(' '), r'list\.txt:3: blank line'),
    'mmseg: suffix': Case('names', line('2.png'), "'2.png' ends in .png, which is added to it"),
    'mmseg: two columns': Case('names', line('2\t2'), 'two columns: .*write one name in a line'),
    'mmseg: escaping path': Case('names', line('../ann/0'), "outside: '../ann/0' leaves the folder"),
    'mmseg: listed twice': Case('names', line('0'), 'twice: it is the same file as'),
    'mmseg: Latin-1': Case('names', line('é'.encode('latin-1')), 'list.txt:3: encoding'),
    'mmseg: empty list': Case('names', rewritten(''), 'no samples: the list is empty'),
    'JSON: broken': Case('json', rewritten('{"metainfo":', 'list.json'), 'list: it is no JSON'),
    'JSON: a list': Case('json', rewritten('[]', 'list.json'), 'it lacks metainfo and data_list'),
    'JSON: other keys': Case('json', rewritten('{"images": []}', 'list.json'), 'it lacks metainfo'),
    'JSON: no samples': Case('json', lambda f: write_json(f, []), 'its data_list has no samples'),
    'JSON: no name': Case('json', lambda f: write_json(f, ['forest/0.png', None]), 'sample 2: no name'),
    'JSON: escaping path': Case('json', lambda f: write_json(f, ['../x.png']), 'sample 1: outside'),
}
