"""RSMamba inside the configs of other OpenMMLab packages, each in a process of its own."""

import subprocess
import sys

import pytest

CLASSIFIER = """
from rsmamba_mm import compat; compat.apply()
import torch
from mmengine.registry import MODELS, init_default_scope
from mmpretrain.structures import DataSample

custom_imports = {custom_imports!r}
if custom_imports:
    from mmengine.utils import import_modules_from_strings
    import_modules_from_strings(**custom_imports)
init_default_scope('mmpretrain')
model = MODELS.build(dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4], to_rgb=True),
    backbone=dict(
        type={type!r}, img_size=64,
        arch=dict(embed_dims=32, num_layers=2, feedforward_channels=64)),
    neck=None,
    head=dict(type='LinearClsHead', num_classes=5, in_channels=32),
))
model.init_weights()
"""

CLASSIFIER_STEP = """
from mmengine.optim import OptimWrapper
samples = [DataSample().set_gt_label(i) for i in range(2)]
data = dict(inputs=torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), data_samples=samples)
wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
without = dict(model.named_parameters())
for name, p in model.named_parameters():
    p.register_post_accumulate_grad_hook(lambda p, name=name: without.pop(name))
losses = model.train_step(data, wrapper)
assert losses['loss'].isfinite()
assert not without, f'without a gradient: {list(without)}'
print('stepped', float(losses['loss']))
"""

SEGMENTER = """
from rsmamba_mm import compat; compat.apply()
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
import mmseg.models
from mmseg.structures import SegDataSample

init_default_scope('mmseg')
model = MODELS.build(dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4],
        bgr_to_rgb=True, size=(64, 64)),
    backbone=dict(
        type='rsmamba_mm.RSMamba', img_size=64, out_type='featmap', out_indices=(0, 1),
        arch=dict(embed_dims=32, num_layers=2, feedforward_channels=64)),
    decode_head=dict(
        type='FCNHead', in_channels=32, in_index=1, channels=16, num_convs=1, num_classes=4,
        norm_cfg=dict(type='BN')),
    auxiliary_head=dict(
        type='FCNHead', in_channels=32, in_index=0, channels=16, num_convs=1, num_classes=4,
        norm_cfg=dict(type='BN')),
    train_cfg=dict(), test_cfg=ConfigDict(mode='whole'),
))
model.init_weights()
samples = []
for _ in range(2):
    sample = SegDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64)))
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 4, (1, 64, 64)))
    samples.append(sample)
images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in samples]
wrapper = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
without = dict(model.named_parameters())
for name, p in model.named_parameters():
    p.register_post_accumulate_grad_hook(lambda p, name=name: without.pop(name))
losses = model.train_step(dict(inputs=images, data_samples=samples), wrapper)
assert losses['loss'].isfinite()
assert not without, f'without a gradient: {list(without)}'
model.eval()
(result, _) = model.test_step(dict(inputs=images, data_samples=samples))
assert result.pred_sem_seg.data.shape == (1, 64, 64)
print('stepped', float(losses['loss']))
"""


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize(
    ('type', 'custom_imports'),
    [('RSMamba', dict(imports=['rsmamba_mm.models'])), ('rsmamba_mm.RSMamba', None)],
    ids=['custom_imports', 'full_name'],
)
def test_backbone_in_a_plain_mmpretrain_config(type, custom_imports):
    pytest.importorskip('mmpretrain')
    code = CLASSIFIER.format(type=type, custom_imports=custom_imports)
    result = run(code + CLASSIFIER_STEP)
    assert result.returncode == 0 and 'stepped' in result.stdout, result.stderr


@pytest.mark.smoke
def test_backbone_in_an_mmseg_config():
    pytest.importorskip('mmseg')
    result = run(SEGMENTER)
    assert result.returncode == 0 and 'stepped' in result.stdout, result.stderr


@pytest.mark.slow
def test_misspelt_option_is_refused_by_name():
    pytest.importorskip('mmpretrain')
    code = CLASSIFIER.format(type='rsmamba_mm.RSMamba', custom_imports=None)
    result = run(code.replace('img_size=64', 'img_sise=64'))
    assert result.returncode != 0
    assert "unexpected keyword argument 'img_sise'" in result.stderr


def test_importing_the_package_is_light():
    heavy = '{"torch", "numpy", "cv2", "mmengine", "mmcv", "rsmamba_mm._openmmlab"}'
    code = f'import rsmamba_mm, sys; assert not {heavy} & set(sys.modules)'
    result = run(code)
    assert result.returncode == 0, result.stderr


def test_all_that_is_registered_stands_at_the_top():
    """As ``type='rsmamba_mm.NAME'``; and what a checkpoint's config may name is read off there."""
    from mmengine import registry

    import rsmamba_mm
    from rsmamba_mm import datasets, engine, evaluation, models  # noqa: F401

    ours = {
        name
        for each in vars(registry).values()
        if isinstance(each, registry.Registry)
        for name, kind in each.module_dict.items()
        if kind.__module__.startswith('rsmamba_mm.') and '.apis.' not in kind.__module__
    }
    assert 'RSMamba' in ours
    assert {name.removeprefix('rsmamba_mm.') for name in ours} <= set(rsmamba_mm.__all__)
