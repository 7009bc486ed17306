"""Position encodings of token grids."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def sincos_position_embedding(
    height: int, width: int, channels: int, temperature: float = 10000.0
) -> Tensor:
    """Two-dimensional sine-cosine encoding: a quarter of the channels each for the sine and cosine of
    x and of y (as in MoCo v3, arXiv:2104.02057).

    Args:
        height (int): Height of the token grid.
        width (int): Width of the token grid.
        channels (int): Channels C, a multiple of 4.
        temperature (float): Base of the wavelengths. Defaults to 10000.

    Returns:
        Tensor: ``(1, height * width, C)`` float32.

    Raises:
        ValueError: If the channels are no multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"pe_type='sine' needs embed_dims to be a multiple of 4, got {channels}")
    quarter = torch.arange(channels // 4, dtype=torch.float32) / (channels // 4)
    frequencies = temperature**-quarter
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32),
        torch.arange(width, dtype=torch.float32),
        indexing='ij',
    )
    angles = [axis.flatten()[:, None] * frequencies for axis in (x, y)]
    return torch.cat([f(angle) for angle in angles for f in (torch.sin, torch.cos)], 1)[None]


def resize_position_embedding(
    embedding: Tensor, source: tuple[int, int], target: tuple[int, int], mode: str = 'bicubic'
) -> Tensor:
    """Resample a learned encoding to another token grid.

    Args:
        embedding (Tensor): ``(1, h * w, C)``, patch tokens only.
        source (tuple[int, int]): Its grid (h, w).
        target (tuple[int, int]): The wanted grid (H, W).
        mode (str): Mode of ``torch.nn.functional.interpolate``. Defaults to ``'bicubic'``.

    Returns:
        Tensor: ``(1, H * W, C)`` in the same dtype.
    """
    if tuple(source) == tuple(target):
        return embedding
    grid = rearrange(embedding, 'b (h w) c -> b c h w', h=source[0], w=source[1])
    align = None if mode in ('nearest', 'area', 'nearest-exact') else False
    # interpolation on CPU knows no half precision
    resized = F.interpolate(grid.float(), size=tuple(target), mode=mode, align_corners=align)
    return rearrange(resized, 'b c h w -> b (h w) c').to(embedding.dtype)
