"""What all pictures share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor


def displayable(inputs: Tensor | list[Tensor], bgr: bool) -> np.ndarray:
    """``(H, W, 3 or 1)`` uint8; other than 8 bits are stretched from the 2nd to the 98th percentile."""
    inputs = inputs[0] if isinstance(inputs, list) else inputs
    image = (inputs[:3] if len(inputs) >= 3 else inputs[:1]).permute(1, 2, 0).numpy()
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (2, 98), axis=(0, 1))
        image = (255 * np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1)).astype(np.uint8)
    return image[..., ::-1] if bgr and image.shape[-1] == 3 else image


def save_figure(figure: Figure, out: str | Path) -> Path:
    """Write a picture, and the folder for it."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)
    return out
