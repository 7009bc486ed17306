"""Random and damaged files: read, or refused in words that name the file; nothing hangs, runs or dies."""

import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import cv2
import hostile
import numpy as np
import pytest
import torch
import yaml
from fuzz import explore
from hypothesis import strategies as st

from rsmamba_mm import safe_loading
from rsmamba_mm.apis.folders import find_scenes
from rsmamba_mm.apis.preflight import check_checkpoint, is_segmenter, read_checkpoint, variants
from rsmamba_mm.apis.runner import read_config
from rsmamba_mm.checkpoint_config import parse_config
from rsmamba_mm.datasets import LoadGeoImage, LoadPaletteAnnotations, LoadSceneImage, SceneFolder
from rsmamba_mm.errors import UserError

pytestmark = pytest.mark.reliability

MORE = 3 * 2**30  # bytes of addresses that a case may ask for
MARKS = (b'', b'\0', b'\xff' * 8, b'\x7f\xff\xff\xff', b'%s%n', b'../', b'\n', '{"é"}'.encode())
EDIT = st.tuples(
    st.sampled_from(('flip', 'cut', 'drop', 'insert', 'splice', 'zero')),
    st.floats(0, 1),
    st.floats(0, 1),
    st.one_of(st.sampled_from(MARKS), st.binary(max_size=16)),
)
DAMAGE = st.one_of(
    st.binary(max_size=300), *[st.lists(EDIT, min_size=1, max_size=4)] * 5
)  # bytes instead, or what is done to a whole file


def damaged(whole: bytes, damage: bytes | list) -> bytes:
    """A file after all that happened to it."""
    if isinstance(damage, bytes):
        return damage
    data = bytearray(whole)
    for kind, first, second, mark in damage:
        start = int(first * len(data))
        end = start + int(second * min(64, len(data) - start))
        if kind == 'cut':
            del data[start:]
        elif kind == 'drop':
            del data[start:end]
        elif kind == 'insert':
            data[start:start] = mark
        elif kind == 'zero':
            data[start:end] = bytes(end - start)
        elif kind == 'splice':  # a part of the file over another part
            data[start:end] = whole[: end - start]
        elif start < len(data):
            data[start] ^= 1 << int(7 * second)
    return bytes(data)


@pytest.fixture
def bounded() -> Iterator[None]:
    """A size in a header that nobody has memory for must not be asked for."""
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@contextlib.contextmanager
def refusing(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Let errors of these kinds pass that name the file."""
    try:
        yield
    except kinds as error:
        assert path.name in str(error), f'{type(error).__name__} does not name {path.name}: {error}'


# images -------------------------------------------------------------------------------------------


def pictures(folder: Path) -> dict[str, bytes]:
    """Whole images by name."""
    rasterio = pytest.importorskip('rasterio')
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8), (40, 33))
    for suffix in ('png', 'jpg', 'bmp', 'tif'):
        cv2.imwrite(str(folder / f'whole.{suffix}'), image)
    cv2.imwrite(str(folder / 'mask.png'), image[..., 0] // 64)
    profiles = dict(
        bands=dict(count=4, dtype='uint16', nodata=0),
        packed=dict(count=3, dtype='uint8', compress='deflate', tiled=True, blockxsize=16, blockysize=16),
        floats=dict(count=2, dtype='float32', compress='lzw', predictor=3),
    )
    for name, profile in profiles.items():
        place = dict(crs='EPSG:32640', transform=rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6))
        with rasterio.open(
            folder / f'{name}.tif', 'w', driver='GTiff', height=33, width=40, **profile, **place
        ) as raster:
            raster.write(rng.integers(0, 256, (profile['count'], 33, 40)).astype(profile['dtype']))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def check_raster(path: Path) -> None:
    """Described, and read as the maps of rasters do."""
    from rsmamba_mm.apis.geo.sources import open_source

    source = open_source(path)
    bands = list(range(1, min(source.count, 4) + 1))
    with source.reader(bands) as reader:
        reader.read_small(64)
        rows, columns = ((max(0, side - 64), side) for side in (source.height, source.width))
        reader.read(rows, columns)


def test_damaged_images(tally, tmp_path, bounded):
    (tmp_path / 'whole').mkdir()
    whole = pictures(tmp_path / 'whole')
    readers = dict(
        scene=LoadSceneImage().transform,
        geo=LoadGeoImage().transform,
        bands=LoadGeoImage(bands=[1, 2]).transform,
        palette=LoadPaletteAnnotations(palette=[(1, 1, 1), (2, 2, 2), (3, 3, 3)]).transform,
        raster=None,
    )

    def check(case: tuple) -> None:
        name, reader, damage = case
        path = tmp_path / f'damaged_{name}'
        path.write_bytes(damaged(whole[name], damage))
        kinds = (UserError,) if reader == 'raster' else (OSError, ValueError)
        with refusing(path, *kinds):
            if reader == 'raster':
                check_raster(path)
            else:
                readers[reader](dict(img_path=str(path), seg_map_path=str(path)))

    cases = st.tuples(st.sampled_from(sorted(whole)), st.sampled_from(sorted(readers)), DAMAGE)
    done = explore(tally, cases, check, 40, (1, 60, 600))
    tally.record('Fuzz', 'random and damaged images and rasters', done, 'read, or the file named')


# checkpoints --------------------------------------------------------------------------------------


def checkpoints(folder: Path, canary: Path) -> dict[str, bytes]:
    """Whole checkpoints by name, and some of an attacker."""
    model = torch.nn.Linear(4, 3)
    content = dict(
        state_dict=model.state_dict(), meta=dict(epoch=1, dataset_meta=dict(classes=('a', 'b', 'c')))
    )
    torch.save(content, folder / 'zip.pth')
    torch.save(content, folder / 'legacy.pth', _use_new_zipfile_serialization=False)
    safe_loading.save_safetensors(model.state_dict(), folder / 'whole.safetensors', content['meta'])
    for kind in ('os.system', 'exec', 'getattr', 'eval'):
        for layout in ('zip', 'legacy', 'plain'):
            path = hostile.write_call(kind, folder, canary, layout)
            path.rename(folder / f'{kind}.{layout}.pth')
    for kind in hostile.RAW:
        hostile.write(kind, folder, canary)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in SUFFIXES}


SUFFIXES = ('.pth', '.safetensors')


def test_damaged_checkpoints(tally, tmp_path, bounded, monkeypatch):
    monkeypatch.delenv(safe_loading.VARIABLE, raising=False)
    for name in ('trap', 'whole'):
        (tmp_path / name).mkdir()
    canary = tmp_path / 'trap' / 'canary'
    whole = checkpoints(tmp_path / 'whole', canary)
    assert not canary.exists()
    model = torch.nn.Linear(4, 3)

    def check(case: tuple) -> None:
        name, how, suffix, damage = case
        path = tmp_path / f'damaged{suffix or Path(name).suffix}'
        path.write_bytes(damaged(whole[name], damage))
        with refusing(path, UserError):
            if how == 'open':
                with path.open('rb') as file:
                    safe_loading.load(file, 'cpu')
            elif how == 'load':
                safe_loading.load(path, 'cpu')
            else:
                check_checkpoint(str(path), read_checkpoint(str(path)), model, ('a', 'b', 'c'))
        assert not canary.exists()

    cases = st.tuples(
        st.sampled_from(sorted(whole)),
        st.sampled_from(('load', 'open', 'check')),
        st.sampled_from(('', '', '', *SUFFIXES)),
        DAMAGE,
    )
    done = explore(tally, cases, check, 40, (1, 40, 500))
    tally.record(
        'Fuzz', 'random and damaged checkpoints, some of an attacker', done, 'read, or the file named'
    )


# lists --------------------------------------------------------------------------------------------


def test_damaged_lists(tally, tmp_path, bounded):
    for name in ('forest', 'harbor'):
        (tmp_path / 'scenes' / name).mkdir(parents=True)
        for i in range(4):
            (tmp_path / 'scenes' / name / f'{name}{i}.png').touch()
    whole = b''.join(b'%s/%s%d.jpg\n' % (n, n, i) for n in (b'forest', b'harbor') for i in range(4))
    path = tmp_path / 'train.txt'

    def check(case: tuple) -> None:
        how, damage = case
        path.write_bytes(damaged(whole, damage))
        with refusing(path, ValueError, UserError):
            if how == 'scenes':
                samples = SceneFolder(str(tmp_path / 'scenes'), ann_file=str(path))
                assert all(0 <= samples[i]['gt_label'] < 2 for i in range(len(samples)))
            else:
                find_scenes(path)

    done = explore(tally, st.tuples(st.sampled_from(('scenes', 'files')), DAMAGE), check, 40, (1, 20, 300))
    tally.record('Fuzz', 'random and damaged lists of images', done, 'read, or the file named')


# configs ------------------------------------------------------------------------------------------

CONFIG = dict(
    default_scope='mmseg',
    data_root='data/x',
    model=dict(type='EncoderDecoder', backbone=dict(type='ResT', arch='lite'), test_cfg=dict(mode='whole')),
    train_dataloader=dict(batch_size=4, dataset=dict(type='LoveDADataset', data_root='data/x')),
    recipe='paper',
    lr=[0.1, 1e-3, None, True],
)


def configs(canary: Path) -> dict[str, bytes]:
    """Whole configs by name."""
    python = '\n'.join(f'{key} = {value!r}' for key, value in CONFIG.items())
    return {
        'config.json': json.dumps(CONFIG, indent=1).encode(),
        'config.yaml': yaml.safe_dump(CONFIG).encode(),
        'hostile.yaml': f'model: !!python/object/apply:os.mkdir ["{canary}"]\n'.encode(),
        'config.py': python.encode(),
        'text': python.encode(),  # as a checkpoint has it
    }


def test_damaged_configs(tally, tmp_path, bounded):
    canary = tmp_path / 'canary'
    whole = configs(canary)

    def check(case: tuple) -> None:
        name, damage = case
        path = tmp_path / name
        data = damaged(whole[name], damage)
        with refusing(path, UserError):
            if name == 'text':
                parse_config(data.decode(errors='replace'), str(path))
            else:
                path.write_bytes(data)
                cfg = read_config(str(path))
                is_segmenter(cfg), variants(cfg)
        assert not canary.exists()

    cases = st.tuples(st.sampled_from(sorted(whole)), DAMAGE)
    done = explore(tally, cases, check, 40, (1, 25, 400))
    tally.record('Fuzz', 'random and damaged configs', done, 'read, or the file named')
