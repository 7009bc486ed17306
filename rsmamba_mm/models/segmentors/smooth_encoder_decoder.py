"""Sliding windows that are blended smoothly."""

from __future__ import annotations

from mmengine.registry import MODELS
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from ..windows import fade, window_starts


@MODELS.register_module()
class SmoothEncoderDecoder(EncoderDecoder):
    """mmseg's EncoderDecoder whose sliding windows fade into one another.

    With ``test_cfg=dict(mode='slide', crop_size=…, stride=…)``, mmseg's own averages overlapping windows
    evenly, and leaves a seam where one begins: what it sees there has no surroundings. Here a window
    counts less toward its edges, in the shape of a Hann window. In every other respect it is
    EncoderDecoder.
    """

    def slide_inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Predict window by window.

        Args:
            inputs (Tensor): ``(B, C, H, W)``.
            batch_img_metas (list[dict]): Of each image.

        Returns:
            Tensor: Logits ``(B, classes, H, W)``.

        Raises:
            ValueError: If the stride is larger than the window, so that pixels would be left out.
        """
        crop, stride = self.test_cfg.crop_size, self.test_cfg.stride
        if any(s > c for s, c in zip(stride, crop, strict=True)):
            raise ValueError(
                f'test_cfg: stride {tuple(stride)} leaves gaps between windows of {tuple(crop)}'
            )
        size = inputs.shape[-2:]
        windows = [min(c, n) for c, n in zip(crop, size, strict=True)]
        starts = [window_starts(n, w, s) for n, w, s in zip(size, windows, stride, strict=True)]
        weight = (fade(windows[0])[:, None] * fade(windows[1])).to(inputs)
        logits = inputs.new_zeros(len(inputs), self.out_channels, *size)
        weights = inputs.new_zeros(size)
        for top in starts[0]:
            for left in starts[1]:
                place = (..., slice(top, top + windows[0]), slice(left, left + windows[1]))
                batch_img_metas[0]['img_shape'] = tuple(windows)  # what the head resizes its logits to
                logits[place] += self.encode_decode(inputs[place], batch_img_metas) * weight
                weights[place] += weight
        return logits / weights
