"""The package's operators in MMEngine's counter of operations (``get_model_complexity_info``)."""

from __future__ import annotations

from collections import Counter

from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_analysis import Handle
from mmengine.analysis.jit_handles import get_shape

from ..ops.flops import conv_flops_of_shapes, scan_flops_of_shapes, step_flops_of_shapes


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
