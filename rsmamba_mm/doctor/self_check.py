"""What the package computes here, and whether it is right: scans, a training step, a checkpoint."""

from __future__ import annotations

import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..paths import share
from .machine import disk, first_line
from .report import REPORT, Section

TOLERANCE = 1e-4  # largest error relative to the largest entry of the exact tensor, in float32
SLOWER = 'without it scans are computed by a slower backend: '

MODELS = {
    'RSMamba': ('mmpretrain', 'rsmamba-t_128px.py'),
    'UNetMamba': ('mmseg', 'unetmamba_tiny.py'),
}
CLASSES = 4
SIDE = 64  # pixels of the images of a step


def native(section: Section) -> None:
    """The compiler and the cache of the native backend, which is compiled here where it is not yet."""
    from ..ops.backends.cpu import build, probe

    cxx, folder = build.compiler(), build.cache_folder()
    section.say('compiler', 'none' if cxx is None else f'{cxx}: {_version(cxx)}')
    disk(section, 'cache folder', folder)
    before = time.time()
    if (reason := probe()) is not None:
        section.find(f'the native backend cannot be used, {SLOWER}{reason}')
        return
    path = build.library()
    new = path.stat().st_mtime >= before
    origin = 'came with the package' if path == build.portable_library() else 'was compiled here'
    section.say('library', f'{path.name} {origin}{f", now in {time.time() - before:.0f} s" if new else ""}')


def _version(cxx: str) -> str:
    try:
        result = subprocess.run([cxx, '--version'], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (result.stdout.strip() or result.stderr.strip() or 'says no version').splitlines()[0]


def scans(section: Section) -> None:
    """Each backend of the scan: whether it can run, and whether it is right."""
    import torch

    from ..ops import resolve_backend
    from ..ops.backends import BACKENDS, obstacle

    devices = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
    for device in devices:
        try:
            section.say(device, f'{resolve_backend(torch.device(device))!r} serves')
        except (ValueError, RuntimeError) as error:  # one is forced that does not run, or is misspelt
            section.find(f'no backend of the scan serves tensors on {device}: {error}')
        for name, backend in BACKENDS.items():
            reason = obstacle(name, device)
            if reason is None:
                section.say(f'{device} {name}', _judged(section, name, device))
                continue
            if len(devices) == 1:  # what keeps it from a GPU tells more
                reason = backend.probe() or reason
            section.say(f'{device} {name}', f'no: {reason}')
            if device == 'cuda' and name == 'triton':
                section.find(f"the backend 'triton' cannot run, {SLOWER}{reason}")


def _judged(section: Section, name: str, device: str) -> str:
    """A backend against the reference in float64, and as ``python -m rsmamba_mm.ops`` judges it."""
    import torch

    from ..ops import make_orders
    from ..ops.__main__ import self_check
    from ..ops.testing import exact_scan, relative_errors, run_scan, scan_inputs

    inputs, generator = scan_inputs(1, 2, 24, 16, 4), torch.Generator().manual_seed(0)
    # the kernel of mamba_ssm has no gradient through the last state
    options: dict[str, Any] = dict(
        orders=make_orders(['reverse', 'shuffle'], 1, 24, generator=generator),
        delta_softplus=True,
        last_weight=0.0,
    )
    try:
        found = run_scan(name, inputs, device=device, **options)
    except Exception as error:
        section.find(f'the backend {name!r} fails on {device}: {first_line(error)}', REPORT)
        return f'fails: {first_line(error)}'
    errors = relative_errors(found, exact_scan(inputs, **options))
    worst = max(errors, key=lambda key: errors[key])
    right, verdict = self_check(name, device)
    if errors[worst] > TOLERANCE:
        right, verdict = False, f'but {worst} is off by {errors[worst]:.1e} of its largest entry'
    if not right:
        section.find(
            f'the backend {name!r} is wrong on {device}: {verdict.removeprefix("but ")}',
            f'export RSMAMBA_SCAN_BACKEND={"reference" if name == "torch" else "torch"}, and {REPORT}',
        )
    return f'yes, {errors[worst]:.1e} from the reference in float64; {verdict}'


def models(section: Section) -> None:
    """A training step of a tiny RSMamba and a tiny UNetMamba, on each kind of device."""
    import torch

    for name, (package, config) in MODELS.items():
        if find_spec(package) is None:
            section.say(name, f'not tried: {package} is not installed')
            continue
        for device in ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']:
            loss, seconds = _step(name, config, device)
            told = f'a step of 2 images of {SIDE} px: {seconds * 1e3:.0f} ms, loss {loss:.3f}'
            section.say(f'{name}, {device}', told)
            if not -1e6 < loss < 1e6:
                section.find(f'the loss of a new {name} on {device} is {loss}', REPORT)


def _model(config: str) -> Any:
    """A model of the configs, of few classes, after seed 0."""
    import torch
    from mmengine.config import Config
    from mmengine.registry import MODELS as REGISTRY
    from mmengine.registry import DefaultScope

    from .. import models as registering  # noqa: F401

    folder = share() / 'configs/_base_/models'
    cfg = Config.fromfile(folder / config).model
    for head in ('head', 'decode_head', 'auxiliary_head'):
        if head in cfg:
            cfg[head].num_classes = CLASSES
    torch.manual_seed(0)
    scope = 'mmseg' if 'decode_head' in cfg else 'mmpretrain'
    with DefaultScope.overwrite_default_scope(scope):
        model = REGISTRY.build(cfg)
        model.init_weights()
    return model


def _step(name: str, config: str, device: str) -> tuple[float, float]:
    """Loss of a second training step, which is not finite where its gradient is not, and its seconds."""
    import torch

    model = _model(config).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    samples = _samples(name, device)
    loss = seconds = float('nan')
    for _ in range(2):
        start = time.perf_counter()
        losses = model(images, samples, mode='loss')
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss = (total + 0 * norm).item()
        seconds = time.perf_counter() - start
    return loss, seconds


def _samples(name: str, device: str) -> list[Any]:
    """What two images show."""
    import torch

    if name == 'RSMamba':
        from mmpretrain.structures import DataSample

        return [DataSample().set_gt_label(torch.tensor([label], device=device)) for label in (0, 1)]
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    masks = torch.arange(SIDE * SIDE, device=device).view(1, SIDE, SIDE) // 64 % CLASSES
    return [SegDataSample(gt_sem_seg=PixelData(data=masks)) for _ in range(2)]


def checkpoint(section: Section) -> None:
    """A checkpoint, written and read back as a training does."""
    import torch
    from mmengine.model import BaseModule
    from mmengine.runner import load_checkpoint, save_checkpoint

    from .. import RSMamba
    from ..engine.safe_checkpoint import ATOMIC, torn

    arch = dict(embed_dims=16, num_layers=1, feedforward_channels=32)
    written, read = (RSMamba(arch, img_size=32) for _ in range(2))
    assert isinstance(read, BaseModule)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'epoch_1.pth')
        save_checkpoint(dict(state_dict=written.state_dict()), str(path), backend_args=dict(backend=ATOMIC))
        fault, size = torn(path), path.stat().st_size
        if fault is None:
            load_checkpoint(read, str(path), map_location='cpu', strict=True)
    same = all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(written.state_dict().values(), read.state_dict().values(), strict=True)
    )
    if fault is None and same:
        section.say('checkpoint', f'{size / 1024:.0f} KiB written, and read back the same')
        return
    section.find(
        f'a checkpoint in {tempfile.gettempdir()} is not read back as it was written'
        + (f': {fault}' if fault else ''),
        f'the disk or the memory may be faulty; let TMPDIR name another folder, and try again; {REPORT}',
    )
