"""Position encodings of token grids."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .tokens import NO_CLASS_TOKENS, ClassSlots

PE_TYPES = ('learnable', 'sine', 'none')
RESIZE_MODES = ('nearest', 'nearest-exact', 'bilinear', 'bicubic', 'area')


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


@dataclass(frozen=True)
class TokenPositions:
    """Position encoding of a sequence of patch tokens and class tokens, on grids of any size.

    Holds no parameter: a model keeps the learned encoding under the name that its checkpoints give it.

    Args:
        kind (str): ``'learnable'``, ``'sine'`` (zero for class tokens) or ``'none'``.
        grid (tuple[int, int]): Height and width of the token grid of a learned encoding; on others it is
            resized.
        channels (int): Channels C.
        slots (ClassSlots): Where class tokens stand. Defaults to none.
        mode (str): How a learned encoding is resized. Defaults to ``'bicubic'``.

    Raises:
        ValueError: If the kind is not one of those, or the channels do not fit it.
    """

    kind: str
    grid: tuple[int, int]
    channels: int
    slots: ClassSlots = NO_CLASS_TOKENS
    mode: str = 'bicubic'

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in PE_TYPES:
            raise ValueError(f'unknown pe_type {self.kind!r}. Choose from: {", ".join(PE_TYPES)}.')
        if self.kind == 'sine':
            sincos_position_embedding(1, 1, self.channels)  # refuses unfit channels now

    @property
    def length(self) -> int:
        """Tokens of a sequence on the learned encoding's grid."""
        return self.grid[0] * self.grid[1] + self.slots.count

    def new_parameter(self) -> nn.Parameter | None:
        """A learned encoding ``(1, length, C)``, initialised; None of another kind."""
        if self.kind != 'learnable':
            return None
        parameter = nn.Parameter(torch.empty(1, self.length, self.channels))
        self.init(parameter)
        return parameter

    def init(self, learned: Tensor | None) -> None:
        """Initialise a learned encoding by a normal truncated at std 0.02."""
        if learned is not None:
            nn.init.trunc_normal_(learned, std=0.02)

    def add(self, x: Tensor, grid: tuple[int, int], learned: Tensor | None) -> Tensor:
        """Add the encoding to a sequence.

        Args:
            x (Tensor): ``(B, L, C)``, class tokens included.
            grid (tuple[int, int]): Height and width of its token grid.
            learned (Tensor, optional): The learned encoding, ``(1, length, C)``.

        Returns:
            Tensor: ``(B, L, C)``.

        Raises:
            ValueError: If there is no learned encoding where it is of that kind.
        """
        return x if self.kind == 'none' else x + self._on_grid(grid, learned).to(x)

    def _on_grid(self, grid: tuple[int, int], learned: Tensor | None) -> Tensor:
        if self.kind == 'sine':
            patches = sincos_position_embedding(*grid, self.channels)
            return self.slots.insert(patches, patches.new_zeros(1, self.slots.count, self.channels))
        if learned is None:
            raise ValueError("pe_type='learnable' needs the learned encoding")
        return learned if tuple(grid) == tuple(self.grid) else self._resized(learned, self.grid, grid)

    def fit(self, learned: Tensor) -> Tensor:
        """A checkpoint's learned encoding ``(1, L, C)`` on this grid, where it is of another, square one;
        else as it is."""
        num_patches = learned.shape[1] - self.slots.count
        side = round(max(num_patches, 0) ** 0.5)
        if learned.shape[1] == self.length or side * side != num_patches:
            return learned
        return self._resized(learned, (side, side), self.grid)

    def _resized(self, learned: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
        patches, cls = self.slots.split(learned)
        return self.slots.insert(resize_position_embedding(patches, source, target, self.mode), cls)
