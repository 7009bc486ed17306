"""Gates of channels and of pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .options import check_sizes


class ChannelGate(nn.Module):
    """Weighs channels by what two convolutions make of their mean and of their largest value (CBAM,
    arXiv:1807.06521, Eq. 2).

    Args:
        channels (int): Channels C.
        reduction (int): C over the channels between the convolutions, of which there is at least one.
            Defaults to 4.

    Raises:
        ValueError: If a size is no positive integer.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        check_sizes('ChannelGate', channels=channels, reduction=reduction)
        hidden = max(1, channels // reduction)
        self.fc = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)``, weighed."""
        mean, largest = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * (self.fc(mean) + self.fc(largest)).sigmoid()


class SpatialGate(nn.Module):
    """Weighs pixels by a convolution of the mean and of the largest value of their channels (CBAM,
    arXiv:1807.06521, Eq. 3).

    Args:
        kernel_size (int): Of the convolution, odd. Defaults to 7.

    Raises:
        ValueError: If the kernel is even.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f'SpatialGate: kernel_size must be odd, got {kernel_size}')
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)``, weighed."""
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.conv(summary).sigmoid()
