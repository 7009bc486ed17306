"""What Deepness and GeoDeep read in the ONNX files by which they map rasters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...errors import OptionError

OVERLAP = 25.0  # per cent


def mapper_properties(
    model: Any,
    target: str,
    images: Tensor,
    classes: Sequence[str],
    resolution: float | None,
    overlap: float | None,
) -> dict[str, Any]:
    """The metadata of the file, by its keys.

    Args:
        model (nn.Module): Whose data_preprocessor says the mean and standard deviation.
        target (str): ``'deepness'`` or ``'geodeep'``.
        images (Tensor): ``(B, 3, S, S)``.
        classes (Sequence[str]): Their names.
        resolution (float, optional): Ground length of a pixel in cm.
        overlap (float, optional): Of tiles, in per cent. None for 25.

    Raises:
        OptionError: If it could not map by them.
    """
    size = images.shape[-1]
    if resolution is None or not resolution > 0:
        raise OptionError(f'export for {target}: needs --resolution, the ground length of a pixel in cm')
    overlap = OVERLAP if overlap is None else overlap
    if not 0 <= overlap <= 50:
        raise OptionError(f'export for {target}: tiles overlap by 0 to 50 %, got {overlap}')
    if not classes:
        raise OptionError(f'export for {target}: needs the names of the classes')
    if images.shape[1] != 3 or images.shape[2] != size:
        raise OptionError(
            f'export for {target}: it maps by square images of three bands, got '
            f'{tuple(images.shape[1:])}; --size says another'
        )
    mean, std = torch.zeros(3), torch.ones(3)
    if target == 'deepness':  # normalises itself, what it divides by 255
        mean, std = (getattr(model.data_preprocessor, name).flatten() / 255 for name in ('mean', 'std'))
    return dict(
        model_type='Segmentor',
        resolution=resolution,
        tile_size=size,
        tiles_size=size,
        tiles_overlap=overlap,
        standardization_mean=mean.tolist(),
        standardization_std=std.tolist(),
        seg_thresh=0.0,
        seg_small_segment=0,
    )
