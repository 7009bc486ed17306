"""Small models with checkpoints, for the tools that take trained ones."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import commands
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

SCENES = """
_base_ = '{root}/configs/rsmamba/rsmamba-t_synthetic-128px.py'
test_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(num_images=5, img_size=64))
custom_hooks = [dict(type='CheckClassesHook')]
"""
LAND_COVER = """
_base_ = '{root}/configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py'
model = dict(
    backbone=dict(_delete_=True, type='ResT', arch=dict(
        embed_dims=(8, 16, 32, 64), num_heads=(1, 2, 4, 8), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1)
    )),
    neck=dict(in_channels=(8, 16, 32, 64)),
    decode_head=dict(in_channels=8),
    auxiliary_head=dict(in_channels=(32, 16, 8)),
)
test_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(num_images=5, img_size=64))
custom_hooks = [dict(type='CheckClassesHook')]
"""


class Trained(NamedTuple):
    """What a tool takes."""

    config: Path
    checkpoint: Path


class Call(NamedTuple):
    """What a tool left."""

    code: int
    out: str
    err: str


def build(config: Path, meta: dict | None = None) -> Trained:
    """A model of random weights, saved like a trained one."""
    cfg = Config.fromfile(config)
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        if meta is None:
            meta = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=[])).metainfo
    checkpoint = config.with_suffix('.pth')
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), checkpoint)
    return Trained(config, checkpoint)


@pytest.fixture(scope='session')
def scenes(root, tmp_path_factory) -> Trained:
    """A classifier of synthetic scenes."""
    config = tmp_path_factory.mktemp('scenes_model') / 'scenes.py'
    config.write_text(SCENES.format(root=root))
    return build(config)


@pytest.fixture(scope='session')
def land_cover(root, tmp_path_factory) -> Trained:
    """A segmenter of synthetic scenes."""
    pytest.importorskip('mmseg')
    config = tmp_path_factory.mktemp('land_cover_model') / 'land_cover.py'
    config.write_text(LAND_COVER.format(root=root))
    return build(config)


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The checkpoints that were read whole; those that were only mapped are not among them."""
    load, files = torch.load, []

    def recorded(file, *args, mmap=None, **kwargs):
        if not mmap:
            files.append(str(file))
        return load(file, *args, mmap=mmap, **kwargs)

    monkeypatch.setattr(torch, 'load', recorded)
    return files


@pytest.fixture(scope='session')
def trained() -> Callable[[Path, dict | None], Trained]:
    """Save a model of a config: of the config's classes, or of those given."""
    return build


@pytest.fixture
def call() -> Callable[..., Call]:
    """Run a tool in this process: ``code, out, err = call('classify_folder.py', *arguments)``."""

    def run(tool: str, *arguments) -> Call:
        done = commands.call(tool, *arguments)
        return Call(done.returncode, done.stdout, done.stderr)

    return run
