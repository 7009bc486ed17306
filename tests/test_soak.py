"""Long use: memory, open files and the time of a step stay as they are."""

import os
import queue
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import ModuleType

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.reliability

LEAK = 2**19  # bytes that may be lost in a hundred steps, at most
SLOWER = 1.5  # times, at the end

SCENES = """
_base_ = '{root}/configs/rsmamba/rsmamba-t_synthetic-128px.py'
custom_imports = dict(imports=[*_base_.custom_imports['imports'], *{imports}])
model = dict(backbone=dict(
    arch=dict(embed_dims=8, num_layers=1, feedforward_channels=16), img_size=32, patch_cfg=dict(stride=16)
), head=dict(in_channels=8))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(num_images=400, img_size=32)
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(num_images=16, img_size=32))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(num_images=16, img_size=32))
"""
LAND_COVER = """
_base_ = '{root}/configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py'
model = dict(
    backbone=dict(_delete_=True, type='ResT', arch=dict(
        embed_dims=(4, 4, 8, 8), num_heads=(1, 1, 1, 1), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1)
    )),
    neck=dict(in_channels=(4, 4, 8, 8), depths=(1, 1, 1)),
    decode_head=dict(in_channels=4),
    auxiliary_head=dict(in_channels=(8, 4, 4)),
)
"""


class Uses:
    """What a process used after each step."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.handles: list[int] = []
        self.seconds: list[float] = []

    def step(self, seconds: float, process: int | str = 'self') -> None:
        """Note what it is, a step of so many seconds later."""
        pages = int(Path(f'/proc/{process}/statm').read_text().split()[1])
        self.memory.append(pages * resource.getpagesize())
        self.handles.append(len(os.listdir(f'/proc/{process}/fd')))
        self.seconds.append(seconds)

    def check(self, leak: float = LEAK, at_once: int = 0) -> str:
        """Refuse growth in the second half, and steps that become slower; what to tell of them. As
        many more files may be open as requests are served at once."""
        steps, half = len(self.memory), len(self.memory) // 2
        slope = 100 * np.polyfit(range(steps - half), self.memory[half:], 1)[0]
        tenth = max(1, steps // 10)
        first, last = (np.median(part) for part in (self.seconds[tenth : 2 * tenth], self.seconds[-tenth:]))
        said = (
            f'{slope / 2**10:+.0f} kB in 100 steps of the second half at {self.memory[-1] / 2**20:.0f} MB, '
            f'{self.handles[half]} open files, then {self.handles[-1]}; '
            f'a step {1000 * first:.0f} ms, then {1000 * last:.0f} ms'
        )
        if steps >= 100:
            assert slope < leak, said
            assert last < SLOWER * first, said
            assert min(self.handles[-tenth:]) <= min(self.handles[half : half + tenth]) + at_once, said
        return said


@pytest.mark.parametrize('grows', [None, 'memory', 'handles', 'seconds'])
def test_what_grows_is_refused(grows):
    uses = Uses()
    noise = np.random.default_rng(0)
    for step in range(400):
        uses.memory.append(int(7e8 + 2**16 * noise.random() + 2**13 * step * (grows == 'memory')))
        uses.handles.append(17 + step // 100 * (grows == 'handles') + int(noise.integers(2)))
        uses.seconds.append(0.2 + noise.random() * 0.05 + step / 1000 * (grows == 'seconds'))
    if grows is None:
        assert ' in 100 steps of the second half at 668 MB' in uses.check()
    else:
        with pytest.raises(AssertionError):
            uses.check()


def build(config: Path) -> tuple[str, str]:
    """Config and checkpoint of a model of random weights, saved like a trained one."""
    from mmengine.config import Config
    from mmengine.registry import DATASETS, MODELS, DefaultScope

    cfg = Config.fromfile(config)
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        meta = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[])).metainfo
    checkpoint = config.with_suffix('.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), checkpoint)
    return str(config), str(checkpoint)


@pytest.fixture(scope='module')
def models(root, tmp_path_factory) -> dict[str, tuple[str, str]]:
    """Config and checkpoint of a tiny classifier and a tiny segmenter."""
    pytest.importorskip('mmseg')
    folder = tmp_path_factory.mktemp('models')
    made = {}
    for name, text in (('scenes', SCENES), ('land_cover', LAND_COVER)):
        config = folder / f'{name}.py'
        config.write_text(text.format(root=root, imports=[]))
        made[name] = build(config)
    return made


@pytest.fixture(scope='module')
def raster(tmp_path_factory) -> Path:
    """A GeoTIFF of a few pixels."""
    rasterio = pytest.importorskip('rasterio')
    path = tmp_path_factory.mktemp('raster') / 'raster.tif'
    place = dict(crs='EPSG:32640', transform=rasterio.Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6))
    with rasterio.open(
        path, 'w', driver='GTiff', count=3, height=32, width=40, dtype='uint8', **place
    ) as out:
        out.write(np.random.default_rng(0).integers(0, 256, (3, 32, 40), dtype=np.uint8))
    return path


# a hook that notes what each rank uses
RECORDER = """
import time
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from test_soak import Uses


@HOOKS.register_module()
class UsesHook(Hook):
    uses = Uses()

    def before_train_iter(self, runner, batch_idx, data_batch):
        self.began = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.uses.step(time.perf_counter() - self.began)

    def after_train(self, runner):
        said = f'{len(self.uses.memory)} steps: {self.uses.check()}'
        (Path(runner.work_dir) / f'rank{get_rank()}.txt').write_text(said)
"""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='the ranks would take the GPU')
def test_training_on_two_ranks(root, tmp_path, tally):
    epochs = tally.times(0, 20, 60)
    if not epochs:
        pytest.skip('in make reliability')
    (tmp_path / 'uses_hook.py').write_text(RECORDER)
    config = tmp_path / 'config.py'
    config.write_text(
        SCENES.format(root=root, imports=['uses_hook'])
        + f"custom_hooks = [*_base_.custom_hooks, dict(type='UsesHook')]\n"
        f'train_cfg = dict(max_epochs={epochs})\n'
    )
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(tmp_path), str(root / 'tests'), os.environ.get('PYTHONPATH', '')])
    result = subprocess.run(
        ['bash', 'tools/dist_train.sh', config, '2', '--work-dir', tmp_path / 'run'],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, 'PYTHON': sys.executable, 'PYTHONPATH': path, 'MASTER_PORT': str(port)},
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    said = [(tmp_path / 'run' / f'rank{rank}.txt').read_text() for rank in range(2)]
    assert all(f'{100 * epochs} steps' in line for line in said)
    outcome = said[0].split('steps: ')[1]
    tally.record(
        'Soak', 'iterations on two gloo ranks, with validation and checkpoints', 100 * epochs, outcome
    )


def test_rasters_by_one_segmenter(models, raster, tmp_path, tally):
    from rsmamba_mm.apis import LandCoverSegmenter, segment_raster

    segmenter, uses = LandCoverSegmenter(*models['land_cover'], device='cpu'), Uses()
    for _ in range(tally.times(5, 500, 3000)):
        began = time.perf_counter()
        segment_raster(raster, tmp_path / 'map.tif', segmenter, window=32, areas=True, overwrite=True)
        uses.step(time.perf_counter() - began)
    tally.record('Soak', 'rasters by one segmenter', len(uses.memory), uses.check())


# the page -----------------------------------------------------------------------------------------

AT_ONCE = 8
READS = 10  # every which request brings an image; the others paint its map anew


def drive(request: Callable[[int], None], count: int, process: int | str = 'self') -> Uses:
    """Many requests, eight at once; what the process that serves them used."""
    uses, lock = Uses(), Lock()

    def one(number: int) -> None:
        began = time.perf_counter()
        request(number)
        with lock:
            uses.step(time.perf_counter() - began, process)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(count)))
    return uses


def test_what_the_page_calls(root, models, raster, tally, monkeypatch):
    pytest.importorskip('rasterio')
    if find_spec('gradio') is None:
        monkeypatch.setitem(sys.modules, 'gradio', ModuleType('gradio'))  # nothing of the page is built
    app = runpy.run_path(str(root / 'demo/app.py'), run_name='app')
    served = app['Models'](models['scenes'], models['land_cover'], 'cpu')
    turn, covers = Lock(), []

    def request(number: int) -> None:
        if number % READS and covers:
            assert covers[-1].painted(number % 100).shape == (32, 40, 3)
            return
        with turn:  # one image at a time, as Gradio lets them in
            app['check_size'](raster)
            image, top, _ = served.scene(raster)
            covers[:] = [served.land_cover(raster, image)]
            assert top and covers[0].file.is_file()

    count = tally.times(20, 10_000, 30_000)
    before = len(list(Path(tempfile.gettempdir()).glob('rsmamba_mm-map-*')))
    said = drive(request, count).check()
    assert len(list(Path(tempfile.gettempdir()).glob('rsmamba_mm-map-*'))) <= before + 2
    what = f'requests of what the page calls, {AT_ONCE} at once, every {READS}th with a GeoTIFF'
    tally.record('Soak', what, count, said)


@pytest.mark.slow
def test_the_page(root, models, raster, tmp_path, tally):
    client = pytest.importorskip('gradio_client', reason='the page needs the extra app')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [sys.executable, root / 'demo/app.py', '--port', port, '--device', 'cpu']
    command += ['--classifier', *models['scenes'], '--segmenter', *models['land_cover']]
    with (tmp_path / 'log.txt').open('w') as log:
        page = subprocess.Popen(
            list(map(str, command)),
            stdout=log,
            stderr=log,
            env={**os.environ, 'PYTHONUNBUFFERED': '1', 'GRADIO_TEMP_DIR': str(tmp_path / 'cache')},
        )
    try:
        while f'127.0.0.1:{port}' not in (tmp_path / 'log.txt').read_text():
            assert page.poll() is None, (tmp_path / 'log.txt').read_text()
            time.sleep(0.1)
        address = f'http://127.0.0.1:{port}'
        clients = queue.SimpleQueue()
        for _ in range(AT_ONCE):
            visitor = client.Client(address, download_files=False, verbose=False)
            visitor.predict(client.handle_file(raster), 60, api_name='/read')
            clients.put(visitor)

        def request(number: int) -> None:
            visitor = clients.get()
            if number % READS:
                assert visitor.predict(number % 100, api_name='/repaint')
            else:
                assert visitor.predict(client.handle_file(raster), 60, api_name='/read')
            clients.put(visitor)

        count = tally.times(20, 10_000, 10_000)
        # what is in use stays (docs/reliability.md), but glibc keeps what was given back in pieces, which
        # grow for some thousands of requests
        said = drive(request, count, page.pid).check(4 * LEAK, at_once=AT_ONCE)
    finally:
        page.send_signal(signal.SIGINT)
        page.wait(20)
    what = f'requests through the page, {AT_ONCE} at once, every {READS}th with a GeoTIFF'
    tally.record('Soak', what, count, said)
