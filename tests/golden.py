"""Published outputs of other networks, where they are, whose weights follow from their names; and what
holds for each of them."""

from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from rsmamba_mm.models.released import convert_released

ROOT = Path(__file__).parents[1]
PEERS = ROOT.parent / 'shared' / 'golden' / 'peers'
MORE = PEERS.parent / 'more'


def state_of(name: str) -> dict[str, Tensor]:
    """Floating-point entries of the released network's state dict, under the released names."""
    folder = MORE if (MORE / f'{name}.txt').is_file() else PEERS
    if not (folder / f'{name}.txt').is_file():
        pytest.skip(f'the published outputs of {name} are not here')
    return run_path(str(PEERS / 'fill_from_names.py'))['golden_state'](folder / f'{name}.txt')


def expected_of(name: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Input image, and what else the fixture holds."""
    arrays = {key: torch.from_numpy(x) for key, x in np.load(PEERS / f'{name}.npz').items()}
    image = arrays['x'] if 'x' in arrays else arrays['x_u8'].float() / 127.5 - 1
    return image, arrays


def published(name: str, system: str, config: str) -> nn.Module:
    """The model of a config with the released network's weights, converted."""
    state_dict = convert_released(system, state_of(name)).state_dict
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(ROOT / 'configs' / config).model)
    model.load_state_dict(state_dict)
    return model.eval()


def encode_decode(model: nn.Module, image: Tensor) -> Tensor:
    """Logits at the size of the image, as in mmseg's tests."""
    size = image.shape[-2:]
    with torch.no_grad():
        return model.encode_decode(image, [dict(img_shape=size, ori_shape=size, pad_shape=size)])


def assert_published(name: str, model: nn.Module, tolerance: float = 1e-4) -> None:
    """The logits are the published ones, to a share of their standard deviation."""
    image, arrays = expected_of(name)
    logits = encode_decode(model, image)
    if 'out_offset_stride' in arrays:
        row, column, stride = arrays['out_offset_stride'].tolist()
        logits = logits[..., row::stride, column::stride]
    assert logits.shape == arrays['out'].shape
    error = (logits - arrays['out']).abs().max() / arrays['out_mean_std'][1]
    assert error < tolerance, f'{name}: {error:.1e} of the standard deviation'


def samples(batch: int, size: tuple[int, int], num_classes: int) -> list:
    """Random labels."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    def one():
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, num_classes, (1, *size)))
        return sample

    return [one() for _ in range(batch)]


def assert_any_size(model: nn.Module, size: tuple[int, int], classes: int) -> None:
    """An image of the size gives finite logits of that size."""
    logits = encode_decode(model.eval(), torch.randn(1, 3, *size))
    assert logits.shape == (1, classes, *size) and logits.isfinite().all()


def assert_learns(model: nn.Module, classes: int, names: set[str]) -> None:
    """A step of training has the losses of these names, and every parameter a gradient."""
    losses = model.train().loss(torch.randn(2, 3, 64, 96), samples(2, (64, 96), classes))
    assert names <= set(losses)
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert total.isfinite()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


def classifier(config: str, **backbone) -> nn.Module:
    """The model of a config of scene classification, with other options of its backbone."""
    pytest.importorskip('mmpretrain')
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs' / f'{config}.py').model
    cfg.backbone.update(backbone)
    return MODELS.build(cfg)


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Of a classifier."""
    return model.head(model.extract_feat(images))


def assert_published_logits(name: str, model: nn.Module, tolerance: float) -> None:
    """The logits are the published ones, to a share of their standard deviation."""
    image, arrays = expected_of(name)
    with torch.no_grad():
        error = (logits_of(model.eval(), image) - arrays['out']).abs().max() / arrays['out_mean_std'][1]
    assert error < tolerance, f'{name}: {error:.1e} of the standard deviation'


def assert_formulation(name: str, model: nn.Module, size: tuple[int, int]) -> None:
    """What the benchmarks compare with, on the weights of a model, has its logits and gradients."""
    published = run_path(str(ROOT / f'tools/analysis_tools/published/{name}.py'))[f'published_{name}']
    model, images, results = model.double().train(), torch.randn(2, 3, *size, dtype=torch.float64), []
    for forward in (lambda x: logits_of(model, x), published(model)):
        model.zero_grad()
        y = forward(images)
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad.clone() for p in model.parameters())])
    torch.testing.assert_close(*results)
