"""RoMA's step of pre-training as it is published, on the weights of a model of this package.

Each mixer is the plain Mamba module with the reference scan, a step of the sequence at a time. So runs the
code of its authors where their CUDA kernels are not. All else is the model's.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .vim import OWN, inner


def published_roma(model: nn.Module) -> Callable[[Tensor], dict[str, Tensor]]:
    """The losses of images ``(B, C, H, W)``, of a ``RoMA`` with the encoder ``ClusterMamba``; its mixers
    compute so from then on."""
    for layer in model.backbone.layers:
        layer.mixer.forward = _mixer(layer.mixer)
    return model.loss


def _mixer(mixer: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    def forward(tokens: Tensor, orders: Tensor) -> Tensor:
        x, z = mixer.in_proj(tokens).mT.chunk(2, 1)
        weights = {name: mixer.get_parameter(name) for name in OWN}
        return mixer.out_proj(inner(x, z, weights).mT)

    return forward
