"""The released structure of RSMamba, the peer of the benchmarks: every block runs one mixer on the three
paths as one batch. The mixer is transformers' ``MambaMixer`` (with mambapy's parallel scan in training), or
that of mamba_ssm on its CUDA kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mixer(channels: int, kernel: bool = False) -> nn.Module:
    """One block's mixer; with ``kernel`` that of mamba_ssm."""
    if kernel:
        from mamba_ssm import Mamba

        return Mamba(channels, d_state=16, d_conv=4, expand=2)
    try:
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer
    except ImportError as error:
        raise SystemExit(
            f'the peer cannot be imported ({error}): pip install -r requirements/benchmark.txt, best in an '
            'environment of its own'
        ) from None
    config = MambaConfig(
        hidden_size=channels,
        intermediate_size=2 * channels,
        state_size=16,
        conv_kernel=4,
        use_mambapy=True,
        use_bias=False,
    )
    return MambaMixer(config, layer_idx=0)


class ThreePaths(nn.Module):
    """Forward, reverse and shuffled tokens through one mixer, merged by a gate."""

    def __init__(self, channels: int, kernel: bool = False) -> None:
        super().__init__()
        self.mixer = mixer(channels, kernel)
        self.gate = nn.Linear(3 * channels, 3, bias=False)

    def forward(self, x: Tensor, norm: nn.Module) -> Tensor:
        permutation = torch.randperm(x.shape[1], device=x.device)
        paths = norm(torch.cat([x, x.flip(1), x[:, permutation]]))
        forward, reverse, shuffled = self.mixer(paths).chunk(3)
        paths = [forward, reverse.flip(1), shuffled[:, permutation.argsort()]]
        weights = self.gate(torch.cat([path.mean(1) for path in paths], -1)).softmax(-1)
        return sum(weights[:, k, None, None] * path for k, path in enumerate(paths))


class Released(nn.Module):
    """The backbone at stride 8, mean pooling."""

    def __init__(self, channels: int, layers: int, img_size: int, kernel: bool = False) -> None:
        super().__init__()
        side = -(-img_size // 8)
        self.patch_embed = nn.Conv2d(3, channels, 16, stride=8, bias=False)
        self.pos_embed = nn.Parameter(torch.zeros(1, side * side, channels))
        self.pre_norm, self.ln1, self.ln2 = (nn.LayerNorm(channels, eps=1e-6) for _ in range(3))
        self.blocks = nn.ModuleList(ThreePaths(channels, kernel) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(nn.functional.pad(x, (0, 8, 0, 8))).flatten(2).mT + self.pos_embed
        for block in self.blocks:
            x = x + block(x, self.pre_norm)
        return self.ln2(self.ln1(x).mean(1))
