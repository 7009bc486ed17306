"""Test-time augmentation by flips, quarter turns and scales."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch.nn.functional as F
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS
from torch import Tensor, nn

FLIPS = {'horizontal': -1, 'vertical': -2}


@MODELS.register_module()
class D4SegTTAModel(BaseTTAModel):
    """Average a segmenter's logits over flips, quarter turns and scales of its input.

    As the released UNetMamba tests ("d4"). mmseg's ``SegTTAModel`` augments in the pipeline, which can undo
    neither turns nor both flips at once; here the batch itself is augmented, so that ``tta_pipeline`` is
    the plain test pipeline.

    Args:
        module (dict | nn.Module): The segmenter, as mmengine passes it.
        scales (Sequence[float]): Sizes relative to the input's. Defaults to ``(1.0,)``.
        flips (Sequence[str]): ``'horizontal'`` and ``'vertical'``: each one, neither, and both. Defaults to
            both.
        rotations (Sequence[int]): Degrees, multiples of 90. Defaults to ``(0, 90)``: with both flips, the
            eight symmetries of a square.
        interpolation (str): Of scaled images and logits, as ``torch.nn.functional.interpolate``'s.
            Defaults to ``'bicubic'``.
        data_preprocessor (dict | nn.Module, optional): As mmengine's. Defaults to None.

    Raises:
        ValueError: If an option has no meaning; the message names it and what is valid.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        scales: Sequence[float] = (1.0,),
        flips: Sequence[str] = ('horizontal', 'vertical'),
        rotations: Sequence[int] = (0, 90),
        interpolation: str = 'bicubic',
        data_preprocessor: dict | nn.Module | None = None,
    ) -> None:
        if not scales or any(scale <= 0 for scale in scales):
            raise ValueError(f'D4SegTTAModel: scales are positive numbers, got {scales}')
        if not set(flips) <= set(FLIPS):
            raise ValueError(f'D4SegTTAModel: flips are among {", ".join(FLIPS)}, got {flips}')
        if not rotations or any(angle % 90 for angle in rotations):
            raise ValueError(f'D4SegTTAModel: rotations are multiples of 90 degrees, got {rotations}')
        if interpolation not in ('bicubic', 'bilinear'):
            raise ValueError(
                f"D4SegTTAModel: interpolation is 'bicubic' or 'bilinear', got {interpolation!r}"
            )
        super().__init__(module, data_preprocessor)
        turns = [angle // 90 % 4 for angle in rotations]
        flipped = [[axis for axis in axes if axis] for axes in product(*((0, FLIPS[f]) for f in flips))]
        self.views = list(product(scales, flipped, turns))
        self.interpolation = interpolation

    def test_step(self, data: dict) -> list:
        """Predict a batch.

        Args:
            data (dict): As the data loader gives it.

        Returns:
            list[SegDataSample]: With ``seg_logits``, averaged over the views, and ``pred_sem_seg``.
        """
        data = self.module.data_preprocessor(data, False)
        inputs, samples = data['inputs'], data['data_samples']
        return self.module.postprocess_result(self.logits(inputs, samples), samples)

    def logits(self, inputs: Tensor, samples: list) -> Tensor:
        """Logits ``(B, classes, H, W)`` of preprocessed inputs ``(B, C, H, W)``, over all views."""
        return sum(self._view(inputs, samples, *view) for view in self.views) / len(self.views)

    def merge_preds(self, data_samples_list) -> list:
        """Not used: the logits of the views are averaged where they are made."""
        raise NotImplementedError('D4SegTTAModel averages logits in test_step')

    def _view(self, inputs: Tensor, samples: list, scale: float, flips: list[int], turns: int) -> Tensor:
        """Logits ``(B, classes, H, W)`` of one view, back in the place of the input."""
        size = inputs.shape[-2:]
        view = inputs if scale == 1 else self._resize(inputs, [max(1, round(scale * n)) for n in size])
        view = view.flip(flips).rot90(turns, (-2, -1))
        shape = tuple(view.shape[-2:])
        metas = [dict(s.metainfo, img_shape=shape, pad_shape=shape) for s in samples]
        logits = self.module.inference(view, metas)
        logits = logits.rot90(-turns, (-2, -1)).flip(flips)
        return logits if scale == 1 else self._resize(logits, size)

    def _resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return F.interpolate(x, size=tuple(size), mode=self.interpolation, align_corners=False)
