"""tools/download_dataset.py, against a server on this machine that misbehaves in all the known ways."""

import hashlib
import io
import shutil
import tarfile
import threading
import time
import zipfile
from collections import namedtuple
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsmamba_mm.datasets import AID, UCMerced
from rsmamba_mm.datasets.downloads import SOURCES, Archive, prepare_dataset, unpack
from rsmamba_mm.datasets.downloads.fetch import fetch
from rsmamba_mm.errors import DownloadError, MissingDataError, OptionError

fetch = partial(fetch, pause=0.0, timeout=0.5)


class Handler(BaseHTTPRequestHandler):
    """``/HOW/NAME``: serve a file, and how."""

    def do_GET(self) -> None:
        how, _, name = self.path.lstrip('/').partition('/')
        begin = int((self.headers.get('Range') or 'bytes=0-')[6:].rstrip('-'))
        seen = [how for how, _ in self.server.requests].count(how)
        self.server.requests.append((how, begin))
        content = self.server.files.get(name)
        if how == 'gone' or content is None:
            return self.send_error(404)
        if how == 'moved':
            self.send_response(302)
            self.send_header('Location', f'/plain/{name}')
            return self.end_headers()
        if how == 'busy' and not seen:
            return self.send_error(503)
        if how == 'page':
            content = b'<html>Please log in</html>'
        if how == 'wrong':
            content = content[::-1]
        if begin >= len(content):
            return self.send_error(416)
        ranges = how != 'no_range' and begin
        self.send_response(206 if ranges else 200)
        rest = content[begin:] if ranges else content
        self.send_header('Content-Length', str(len(rest)))
        self.end_headers()
        if how == 'stuck':
            return None
        if how == 'broken' or (how == 'stall' and not seen):
            self.wfile.write(rest[: len(rest) // 2 + 1])
            self.wfile.flush()
            if how == 'stall':
                time.sleep(1.0)
            return None
        for piece in range(0, len(rest), 1 + len(rest) // 8):
            self.wfile.write(rest[piece : piece + 1 + len(rest) // 8])
            if how == 'slow':
                self.wfile.flush()
                time.sleep(0.05)
        return None

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(scope='module')
def server():
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.files, server.requests = {}, []
        server.handle_error = lambda *_: None  # a client that hangs up
        server.url = f'http://127.0.0.1:{server.server_port}'
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def published(server, content: bytes, how: str = 'plain', name: str = 'data.zip') -> Archive:
    server.files[name] = content
    server.requests.clear()
    checksum = f'sha256:{hashlib.sha256(content).hexdigest()}'
    return Archive(name, f'{server.url}/{how}/{name}', checksum, len(content))


def zipped(names, content=b'x') -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as file:
        for name in names:
            file.writestr(name, content)
    return buffer.getvalue()


CONTENT = np.random.default_rng(0).bytes(200_000)
UCM = zipped(
    f'UCMerced_LandUse/Images/{label}/{label}{i:02d}.tif'
    for label in UCMerced.METAINFO['classes']
    for i in range(10)
)


@pytest.mark.parametrize('how', ['plain', 'slow', 'moved', 'broken', 'stall', 'busy', 'no_range'])
def test_fetched(server, tmp_path, how):
    archive = published(server, CONTENT, how)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ['data.zip']
    count = len(server.requests)
    fetch(archive, tmp_path)  # there already
    assert len(server.requests) == count
    begins = [begin for _, begin in server.requests]
    if how == 'broken':  # goes on where it was, each time
        assert count > 3 and begins == sorted(begins) and begins[1] >= len(CONTENT) // 2
    if how == 'stall':
        assert begins == [0, len(CONTENT) // 2 + 1]


@pytest.mark.parametrize('how', ['plain', 'no_range'])
@pytest.mark.parametrize('size', [True, False])
def test_resumed_by_the_next_call(server, tmp_path, how, size):
    archive = published(server, CONTENT, how)
    if not size:
        archive = replace(archive, size=None)
    (tmp_path / 'data.zip.part').write_bytes(CONTENT[:150_000])
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert server.requests == [(how, 150_000)]
    # all of it received, but not yet checked
    (tmp_path / 'data.zip').rename(tmp_path / 'data.zip.part')
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == (1 if size else 2)


def test_a_foreign_part_is_not_trusted(server, tmp_path):
    archive = published(server, CONTENT)
    (tmp_path / 'data.zip.part').write_bytes(b'y' * 1000)
    with pytest.raises(
        DownloadError, match=r'data\.zip as published: its sha256 is .* removed: run it again'
    ):
        fetch(archive, tmp_path)
    assert fetch(archive, tmp_path).read_bytes() == CONTENT
    (tmp_path / 'data.zip').write_bytes(b'y')
    with pytest.raises(DownloadError, match=r'is not data\.zip as published'):
        fetch(archive, tmp_path)


@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('gone', 'answers 404 Not Found'),
        ('page', 'has 26 bytes, data.zip as published 200,000: another file, or a page in its place'),
        ('wrong', 'is not data.zip as published'),
        ('stuck', 'cannot be fetched .broken off after 0 of 200,000 bytes.'),
    ],
)
def test_not_fetched(server, tmp_path, how, message):
    with pytest.raises(DownloadError, match=message):
        fetch(published(server, CONTENT, how), tmp_path)
    assert not (tmp_path / 'data.zip').exists()
    assert len(server.requests) == (4 if how == 'stuck' else 1)


def test_offline_and_disk(server, tmp_path, monkeypatch):
    archive = published(server, CONTENT)
    offline = replace(archive, url='http://127.0.0.1:9/data.zip')
    with pytest.raises(DownloadError, match=r'127\.0\.0\.1:9/data\.zip cannot be fetched .*refused'):
        fetch(offline, tmp_path)
    fetch(offline, tmp_path, mirror=f'{server.url}/plain/')
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(DownloadError, match=r'needs 0\.00 GB in .* Make room, or take another disk'):
        fetch(archive, tmp_path / 'other')
    with pytest.raises(DownloadError, match=r'unpacking ucm\.zip needs'):
        (tmp_path / 'ucm.zip').write_bytes(zipped(['a'], bytes(2000)))
        unpack(tmp_path / 'ucm.zip', tmp_path / 'out', str)
    assert not (tmp_path / 'out').exists()


def test_archives_that_are_refused(tmp_path):
    """Nothing of them is written."""

    def refused(content: bytes, message: str) -> None:
        (tmp_path / 'archive').write_bytes(content)
        with pytest.raises(DownloadError, match=message):
            unpack(tmp_path / 'archive', tmp_path / 'out', str)
        assert [path.name for path in tmp_path.iterdir()] == ['archive']

    for name in ('../evil.png', '/evil.png', 'a/../../evil.png', 'c:/evil.png', '..\\evil.png'):
        refused(zipped(['a.png', name]), r'evil\.png.* leads out of the folder; nothing is unpacked')
    link = zipfile.ZipInfo('link')
    link.external_attr = 0o120777 << 16
    refused(zipped([link], b'/etc/passwd'), "'link' is a link or a device")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode='w:gz') as file:
            member = tarfile.TarInfo('link')
            member.type, member.linkname = kind, '../../evil'
            file.addfile(member)
        refused(buffer.getvalue(), "'link' is a link or a device")
    refused(zipped(['a/x.png', 'a\\x.png']), r"'a/x\.png' and .* are both for a/x\.png")
    refused(zipped(['a.png'])[:-30], 'is no whole zip or tar file: fetch it again')
    refused(b'Rar!\x1a\x07', 'is a rar, for which there is no free library')
    refused(b'text', 'is no whole zip or tar file')
    damaged = zipped(['a.png'], b'content').replace(b'content', b'contend', 1)
    (tmp_path / 'archive').write_bytes(damaged)
    with pytest.raises(DownloadError, match=r'cannot be unpacked \(Bad CRC-32'):
        unpack(tmp_path / 'archive', tmp_path / 'out', str)


@pytest.fixture
def ucmerced(server, monkeypatch):
    """UC Merced, small, on the server."""
    archive = published(server, UCM, name='UCMerced_LandUse.zip')
    source = replace(SOURCES['ucmerced'], archives=(archive,))
    monkeypatch.setitem(SOURCES, 'ucmerced', source)
    return source


def test_scenes(call, ucmerced, tmp_path):
    tool = partial(call, 'download_dataset.py', 'ucmerced', '--root', tmp_path)
    code, out, err = tool()
    assert code == 0, err
    assert 'licence: public domain' in out and 'UCMerced_LandUse.zip: checksum right' in out
    assert 'is ready: 210 images of 21 classes; as published it has 2100' in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ['ucmerced']
    # what the configs read
    for name, count in (('train', 147), ('val', 63)):
        assert len(UCMerced(str(tmp_path / 'ucmerced'), ann_file=f'{name}.txt')) == count
    (tmp_path / 'ucmerced/val.txt').write_text('river/river00\n')
    code, out, _ = tool()
    assert code == 0 and 'is there already: 210 images' in out
    assert 'train.txt and val.txt are there and stay as they are' in out
    (tmp_path / 'ucmerced/Images/river').rename(tmp_path / 'river')
    code, _, err = tool()
    assert code == 2 and 'lacks 1 of 21 class folders: river' in err


def test_by_hand(call, ucmerced, server, tmp_path):
    server.files.clear()
    tool = partial(call, 'download_dataset.py', 'ucmerced')
    code, _, err = tool('--root', tmp_path / 'a')
    assert code == 2 and '404 Not Found. By hand: get UCMerced_LandUse.zip from http' in err
    file = tmp_path / 'mine.zip'
    file.write_bytes(UCM)
    code, out, err = tool('--root', tmp_path / 'a', '--archive', file)
    assert code == 0 and 'mine.zip: checksum right' in out and file.exists(), err
    names = [f'x/{label}/{i}.jpg' for label in UCMerced.METAINFO['classes'] for i in range(3)]
    file.write_bytes(zipped(names))
    code, _, err = tool('--root', tmp_path / 'b', '--archive', file)
    assert code == 2 and 'is not UCMerced_LandUse.zip as published' in err and '--any-checksum' in err
    code, out, err = tool('--root', tmp_path / 'b', '--archive', file, '--any-checksum')
    assert code == 0 and 'taken without looking at its checksum' in out and '63 images' in out, err
    code, _, err = tool('--root', tmp_path / 'c', '--archive', tmp_path / 'none.zip')
    assert code == 2 and '--archive: no such file' in err
    file.write_bytes(zipped(names[3:]))
    with pytest.raises(DownloadError, match=r'lacks 1 of 21 classes: harbor. It is another archive'):
        prepare_dataset('ucmerced', tmp_path / 'c', [file], any_checksum=True)
    file.write_bytes(zipped(['readme.txt']))
    with pytest.raises(DownloadError, match='has no images of UC Merced Land Use'):
        prepare_dataset('ucmerced', tmp_path / 'c', [file], any_checksum=True)
    assert not list((tmp_path / 'c').iterdir())


def test_mirror(server, monkeypatch, tmp_path):
    classes = AID.METAINFO['classes']
    content = zipped(f'AID/{label}/{label.lower()}_{i}.jpg' for label in classes for i in (1, 2))
    archive = published(server, content, name='AID.zip')
    away = replace(archive, url='http://127.0.0.1:9/AID.zip', size=None)
    monkeypatch.setitem(SOURCES, 'aid', replace(SOURCES['aid'], archives=(away,)))
    target = prepare_dataset('aid', tmp_path, mirror=f'{server.url}/no_range', keep=True)
    assert len(AID(str(target), ann_file='train.txt')) == 30
    assert (tmp_path / 'downloads/aid/AID.zip').read_bytes() == content


def test_loveda(server, monkeypatch, tmp_path):
    archives = []
    for part in ('Train', 'Val', 'Test'):
        folders = [f'{part}/{area}/images_png/{n}' for n, area in enumerate(('Rural', 'Urban'))]
        if part != 'Test':
            folders += [folder.replace('images', 'masks') for folder in folders]
        archives.append(published(server, zipped(f'{f}.png' for f in folders), name=f'{part}.zip'))
    monkeypatch.setitem(SOURCES, 'loveda', replace(SOURCES['loveda'], archives=tuple(archives)))
    (tmp_path / 'Val.zip').write_bytes(server.files.pop('Val.zip'))
    with pytest.raises(
        OptionError, match=r'Val2\.zip is none of LoveDA, whose files are Train\.zip, Val.zip'
    ):
        (tmp_path / 'Val2.zip').write_bytes(b'')
        prepare_dataset('loveda', tmp_path, [tmp_path / 'Val2.zip'])
    lines = []
    target = prepare_dataset('loveda', tmp_path, [tmp_path / 'Val.zip'], report=lines.append)
    assert target == tmp_path / 'loveDA' and len(server.requests) == 2
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob('*.png'))
    folders = ('ann_dir/train', 'ann_dir/val', 'img_dir/test', 'img_dir/train', 'img_dir/val')
    assert found == [f'{folder}/{n}.png' for folder in folders for n in (0, 1)]
    assert '2 in img_dir/test' in lines[-1]


@pytest.mark.slow
def test_isprs_archives(tmp_path, capfd):
    pytest.importorskip('mmseg')

    def tif(colour) -> bytes:
        buffer = io.BytesIO()
        Image.new('RGB', (64, 64), colour).save(buffer, 'TIFF')
        return buffer.getvalue()

    def write(name: str, members: dict[str, bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / name, 'w') as file:
            for member, content in members.items():
                file.writestr(member, content)
        return tmp_path / name

    stem = 'ISPRS_semantic_labeling_Vaihingen'
    areas = [f'top_mosaic_09cm_area{i}' for i in range(33)]
    images = [f'{folder}/{area}.tif' for area in areas for folder in ('top', 'gts_for_participants')]
    given = [
        write(f'{stem}.zip', dict.fromkeys(images, tif((9, 9, 9)))),
        write(f'{stem}_ground_truth_COMPLETE.zip', {f'{a}.tif': tif((0, 0, 255)) for a in areas}),
    ]
    with pytest.raises(DownloadError, match=r'no tiles for eroded in .* Wanted: ISPRS_semantic_labeling'):
        prepare_dataset('vaihingen', tmp_path / 'data', given)
    eroded = {f'{a}_noBoundary.tif': tif((0, 0, 255)) for a in areas}
    given.append(write(f'{stem}_ground_truth_eroded_COMPLETE.zip', eroded))
    target = prepare_dataset('vaihingen', tmp_path / 'data', given)
    capfd.readouterr()
    counts = [len(list((target / 'ann_dir' / part).iterdir())) for part in ('train', 'val', 'test')]
    assert counts == [66, 2, 9] and (target / 'split.txt').is_file()


def test_refusals(call, tmp_path):
    with pytest.raises(DownloadError, match=r'cannot be fetched: .* a form .* --archive Potsdam\.zip'):
        prepare_dataset('potsdam', tmp_path)
    with pytest.raises(OptionError, match="no data set 'dota'; known are ucmerced, aid"):
        prepare_dataset('dota', tmp_path)
    with pytest.raises(MissingDataError, match='no such file'):
        prepare_dataset('aid', tmp_path, ['none.zip'])
    code, out, _ = call('download_dataset.py')
    assert code == 0 and all(f'{name}: ' in out for name in SOURCES) and '4.02 GB, md5:de2b' in out
