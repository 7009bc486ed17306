"""What all pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PAPER, INK, LINE = 'white', '#212121', '#555555'


def displayable(inputs: Tensor | list[Tensor], bgr: bool) -> np.ndarray:
    """``(H, W, 3 or 1)`` uint8; other than 8 bits are stretched from the 2nd to the 98th percentile."""
    inputs = inputs[0] if isinstance(inputs, list) else inputs
    image = (inputs[:3] if len(inputs) >= 3 else inputs[:1]).permute(1, 2, 0).numpy()
    if image.dtype != np.uint8:
        low, high = np.percentile(image, (2, 98), axis=(0, 1))
        image = (255 * np.clip((image - low) / np.maximum(high - low, 1e-12), 0, 1)).astype(np.uint8)
    return image[..., ::-1] if bgr and image.shape[-1] == 3 else image


def save_figure(figure: Figure, out: str | Path, **texts: str) -> Path:
    """Write a picture, and the folder for it; a PNG bears the texts."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120, metadata=texts or None)
    return out


def save_image(image: np.ndarray, out: str | Path) -> Path:
    """Write uint8 pixels ``(H, W)`` or ``(H, W, 3)`` in RGB, and the folder for them."""
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(image)).save(out)
    return out


def as_rgb(image: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` of an image of three or one bands."""
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's font, which lies beside it on every machine."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size)


def legend(entries: Sequence[tuple[str, Sequence[int]]], width: int, size: int = 14) -> np.ndarray:
    """A strip ``(h, width, 3)`` with a coloured square and a text for each entry, in rows."""
    square, gap, row = size, size // 2, round(1.7 * size)
    places, x, y = [], gap, gap
    for text, _ in entries:
        length = square + gap + round(font(size).getlength(text))
        if x > gap and x + length > width:
            x, y = gap, y + row
        places.append((x, y))
        x += length + 2 * gap
    strip = Image.new('RGB', (width, y + row), PAPER)
    draw = ImageDraw.Draw(strip)
    for (text, colour), (x, y) in zip(entries, places, strict=True):
        box = (x, y, x + square, y + square)
        draw.rectangle(box, fill=tuple(map(int, colour)), outline=LINE)
        draw.text((x + square + gap, y + square / 2), text, fill=INK, font=font(size), anchor='lm')
    return np.asarray(strip)
