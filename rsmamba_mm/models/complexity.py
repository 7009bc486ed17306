"""Operations of whole models: a count by shapes alone, and the package's operators in MMEngine's counter
(``get_model_complexity_info``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy

import torch
from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_analysis import Handle
from mmengine.analysis.jit_handles import get_shape
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..ops import use_backend
from ..ops.flops import conv_flops_of_shapes, scan_flops_of_shapes, step_flops_of_shapes


@torch.no_grad()
def count_operations(model: nn.Module, shape: Sequence[int]) -> tuple[int, int]:
    """Count the operations of a model's inference.

    Nothing is computed but shapes (PyTorch's counter on tensors without data), so the images may be of any
    size. The products of attention are counted, which MMEngine's counter leaves out where they are fused.

    Args:
        model (nn.Module): Called with one tensor; left as it is.
        shape (Sequence[int]): Of the images, ``(B, C, H, W)``.

    Returns:
        tuple[int, int]: Multiply-adds of matrix products and convolutions, and the scans' operations,
        ``9·B·L·D·N + B·D·L`` each. The projection of a scan's steps is a matrix product.
    """
    model = deepcopy(model).to('meta')
    model.eval()  # of some of OpenMMLab's backbones it returns nothing
    x = torch.empty(*shape, device='meta')

    def total(formulas: dict) -> int:
        counter = FlopCounterMode(display=False, custom_mapping=formulas)
        with use_backend('torch'), counter:  # the backend that runs without data
            model(x)
        return counter.get_total_flops()

    products = total({torch.ops.rsmamba_mm.scan: step_flops_of_shapes})
    return products // 2, total({}) - products


def count_scans() -> None:
    """Enter the scan, by the usual ``9·B·L·D·N + B·D·L``; the projection of its steps, under ``linear``,
    and the convolution, in multiply-adds as MMEngine counts the other operators."""
    handles: dict[str, Handle] = {
        'rsmamba_mm::scan': _scan,
        'rsmamba_mm::conv1d': lambda inputs, outputs: conv_flops_of_shapes(*_shapes(inputs[:4])) // 2,
        # element-wise, like those that MMEngine leaves out
        'rsmamba_mm::pool': None,
        'rsmamba_mm::merge': None,
    }
    complexity_analysis._DEFAULT_SUPPORTED_FLOP_OPS.update(handles)


def _scan(inputs, outputs) -> Counter:
    shapes = _shapes(inputs[:8])
    return Counter(scan=scan_flops_of_shapes(*shapes), linear=step_flops_of_shapes(*shapes) // 2)


def _shapes(values) -> list:
    return [get_shape(value) for value in values]
