"""A model as a graph from pixels to scores, and its trace."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.exc import UserError
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...errors import OptionError
from ...layers import SS2D, MultiPathMamba
from ...ops import use_backend

BATCH = torch.export.Dim('batch', min=1, max=4096)
SMALLEST = 64  # px; at 32 the last map of an encoder is a pixel, which graphs treat by itself
SIDES = {
    dim: torch.export.Dim(name, min=SMALLEST - 16, max=8192) for dim, name in ((2, 'height'), (3, 'width'))
}


class ExportedModel(nn.Module):
    """A classifier or segmenter from pixels to scores.

    Args:
        model (nn.Module): Of mmpretrain or mmseg, in evaluation mode.
        normalize (bool): Whether the graph normalises: it then takes values from 0 to 255, of colour
            images in the order red, green, blue. Defaults to False, the input is normalised.
        softmax (bool): Whether it gives probabilities instead of logits. Defaults to False.
        unit (bool): Whether values to normalise are from 0 to 1 instead. Defaults to False.
        as_map (bool): Whether a classifier gives a map too, its scores at each pixel. Defaults to False.

    Raises:
        OptionError: If it is to normalise and the model's data_preprocessor has no mean and std.
    """

    def __init__(
        self,
        model: Any,
        normalize: bool = False,
        softmax: bool = False,
        unit: bool = False,
        as_map: bool = False,
    ) -> None:
        super().__init__()
        self.scale, self.as_map = 255.0 if unit else 1.0, as_map
        self.model, self.softmax = model, softmax
        preprocessor = model.data_preprocessor
        mean, std = (getattr(preprocessor, name, None) for name in ('mean', 'std'))
        if normalize and (mean is None or std is None):
            raise OptionError('normalize: the data_preprocessor of the config has no mean and std')
        self.normalize = normalize
        self.mean: Tensor
        self.std: Tensor
        if mean is not None and std is not None:
            self.register_buffer('mean', mean.clone())
            self.register_buffer('std', std.clone())

    def forward(self, images: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, classes)``, or a segmenter's ``(B, classes, H, W)``."""
        x = self.seen(images)
        y = self.model(x, None, mode='tensor')
        if y.ndim == 4 and y.shape[-2:] != x.shape[-2:]:
            align = self.model.decode_head.align_corners
            y = nn.functional.interpolate(y, x.shape[-2:], mode='bilinear', align_corners=align)
        elif y.ndim == 2 and self.as_map:
            y = y[..., None, None].expand(-1, -1, *x.shape[-2:]).contiguous()
        return y.softmax(1) if self.softmax else y

    def seen(self, images: Tensor) -> Tensor:
        """What the model sees of the graph's input."""
        return (images * self.scale - self.mean) / self.std if self.normalize else images

    def fed(self, normalized: Tensor) -> Tensor:
        """The graph's input by which the model sees these."""
        return (normalized * self.std + self.mean) / self.scale if self.normalize else normalized


def trace(graph: ExportedModel, images: Tensor, any_batch: bool, any_size: bool) -> Any:
    """The graph of plain operators.

    Args:
        graph (ExportedModel): In evaluation mode.
        images (Tensor): ``(B, C, H, W)``, two or more.
        any_batch (bool): Whether it is for any batch, or for one image.
        any_size (bool): Whether it is for images of any size.

    Raises:
        OptionError: If it is to be for any size and the model has one of its own.
    """
    mixers = {type(m).__name__ for m in graph.modules() if isinstance(m, (MultiPathMamba, SS2D))}
    if any_size and mixers:
        raise OptionError(
            f'export: {", ".join(sorted(mixers))} cannot take any size: the orders of its scans are '
            'constants of the graph. Export one for each size'
        )
    torch._dynamo.reset()  # what it learned of other sizes would be held for constants
    sizes = ({0: BATCH} if any_batch else {}) | (SIDES if any_size else {})
    # attention as the products that it consists of, which every runtime has
    with use_backend('reference'), sdpa_kernel(SDPBackend.MATH):
        try:
            given = images if any_batch else images[:1]
            return torch.export.export(graph, (given,), dynamic_shapes=(sizes,) if sizes else None)
        except UserError as error:
            if not any_size:
                raise
            first = (str(error).strip().splitlines() or [''])[0]
            raise OptionError(
                f'export: this model cannot take any size, it has one of its own ({first}). Export one '
                'for each size'
            ) from error
