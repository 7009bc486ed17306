"""Small fixtures of parity: models whose weights follow from their names, and what must come out.

``tests/data/{rest,msd_decoder,…}.npz``, one for each of ``MODELS``, hold results, sampled, of weights that
``fill`` draws. They were written by this package at a state that gave the published models' outputs, and of
the decoder and the encoder of UNetMamba their gradients, on the published models' weights:
``test_published_outputs…`` of each, or ``test_released_to_mm.py``, says so where its file is, which is too
large to lie here. ``python tests/parity.py NAME`` writes a fixture anew.
"""

import math
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from miniatures import VMAMBA
from model_tester import REST, maps
from torch import Tensor, nn

import rsmamba_mm.models

DATA = Path(__file__).parent / 'data'
SIZE = (70, 100)  # odd on the third map


def draw(name: str, shape: tuple) -> Tensor:
    """Random numbers by a name, the same on every machine and release."""
    return torch.from_numpy(np.random.RandomState(crc32(name.encode())).standard_normal(shape))


@torch.no_grad()
def fill(model: nn.Module) -> None:
    """Give every parameter and buffer a value that its name and shape decide."""
    for name, x in model.state_dict().items():
        if not x.is_floating_point():
            continue
        r = draw(name, x.shape)
        if name.endswith(('A_logs', 'A_log')):
            x.copy_(torch.arange(1.0, x.shape[1] + 1).log() + r / 10)
        elif name.endswith(('dt_projs_bias', 'dt_proj.bias')):
            x.copy_(r / 2 - 2)
        elif name.endswith('running_var'):
            x.copy_(1 + r.abs() / 10)
        elif name.endswith(
            ('Ds', '.D', 'norm.weight', 'norm1.weight', 'norm2.weight', 'bn.weight', '.weights')
        ):
            x.copy_(1 + r / 10)
        elif x.dim() == 1:
            x.copy_(r / 10)
        else:
            x.copy_(r / math.sqrt(x[0].numel()))


CHANNELS, STRIDES = REST['arch']['embed_dims'], (4, 8, 16, 32)
IMAGES = 'rest', 'banet', 'rs3mamba', 'cluster_mamba', 'roma'  # the others take maps
SIZES = dict(roma=(48, 96))  # of clusters


class Predictor(nn.Module):
    """What RoMA predicts of images, half of whose patches are marked as turned."""

    def __init__(self, models) -> None:
        super().__init__()
        arch = dict(embed_dims=16, num_layers=2)
        self.roma = models.RoMA(
            dict(type='ClusterMamba', mode='pretrain', arch=arch, img_size=48, patch_size=4),
            dict(
                type='RoMADecoder',
                in_channels=[16, 16],
                embed_dims=16,
                num_layers=2,
                num_heads=2,
                patch_size=4,
            ),
            dict(type='RoMAHead', patch_size=4, block_loss='none'),
        )

    def forward(self, images: Tensor) -> Tensor:
        turned = torch.arange(len(self.roma.layout(images)[1]))[None] % 2 == 0
        return self.roma.reconstruct(images, turned)[0]


MODELS = dict(
    rest=lambda models: models.ResT(REST['arch']),
    banet=lambda models: models.BANet(dict(REST, out_indices=(2, 3)), CHANNELS[2:], channels=8),
    msd_decoder=lambda models: models.MambaSegDecoder(CHANNELS, drop_path_rate=0),
    cmunet_decoder=lambda models: models.CMUNetDecoder(CHANNELS, drop_path_rate=0),
    dcfam=lambda models: models.DCFAM(CHANNELS),
    unetformer_decoder=lambda models: models.UNetFormerDecoder(CHANNELS, channels=8),
    rs3mamba=lambda models: models.RS3MambaBackbone(
        REST,
        dict(type='VMamba', arch=VMAMBA, in_channels=4, patch_size=2, out_norm=False),
        CHANNELS,
        CHANNELS,
        stem_channels=4,
        num_heads=2,
    ),
    cluster_mamba=lambda models: models.ClusterMamba(
        dict(embed_dims=16, num_layers=2), img_size=48, out_type='featmap', cls_position='middle'
    ),
    roma=Predictor,
    manet_head=lambda models: models.MANetHead(CHANNELS, channels=8, num_classes=5),
    pyramid_mamba_head=lambda models: models.PyramidMambaHead(
        CHANNELS[::3], 5, (0, 1), pool_channels=8, hidden_channels=16, mid_channels=8, channels=8
    ),
)


def model_of(name: str) -> tuple[nn.Module, Tensor | list[Tensor]]:
    """A model in float64, filled, and its inputs."""
    model = MODELS[name](rsmamba_mm.models)
    shapes = [x.shape for x in maps(1, SIZE, CHANNELS, STRIDES)]
    if name in IMAGES:
        shapes = [(1, 3, *SIZES.get(name, SIZE))]
    elif name == 'pyramid_mamba_head':
        shapes = shapes[::3]
    model = model.double().eval()
    fill(model)
    inputs = [draw(f'input {i}', shape).requires_grad_() for i, shape in enumerate(shapes)]
    return model, inputs


def results(name: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Outputs, gradients of the inputs, and of every parameter the gradient's norm and first entry."""
    model, inputs = model_of(name)
    model, inputs = model.to(dtype), [x.detach().to(dtype).requires_grad_() for x in inputs]
    ys = model(*inputs) if name in IMAGES else model(inputs)
    ys = [ys] if isinstance(ys, Tensor) else ys
    torch.autograd.backward(ys, [draw(f'cotangent {i}', y.shape).to(dtype) for i, y in enumerate(ys)])
    found = {f'y{i}': y.detach() for i, y in enumerate(ys)}
    found |= {f'grad {i}': x.grad for i, x in enumerate(inputs)}
    found = {key: x[..., ::3, ::3] for key, x in found.items()}
    gradients = [p.grad for _, p in sorted(model.named_parameters())]
    found['gradients'] = torch.stack([torch.stack([g.norm(), g.flatten()[0]]) for g in gradients])
    return found


def assert_parity(name: str) -> None:
    """The results are those of the fixture, in single precision too."""
    expected = {key: torch.from_numpy(x) for key, x in np.load(DATA / f'{name}.npz').items()}
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-4)):
        found = results(name, dtype)
        assert set(found) == set(expected)
        for key, x in expected.items():
            error = ((found[key].float() - x).norm() / x.norm()).item()
            assert error < tolerance, f'{key} in {dtype}: relative error {error:.1e}'


if __name__ == '__main__':
    for name in sys.argv[1:]:
        np.savez_compressed(
            DATA / f'{name}.npz', **{k: x.float().numpy() for k, x in results(name).items()}
        )
