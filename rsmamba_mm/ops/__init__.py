"""Scan orders, selective scan and causal convolution: torch only, no OpenMMLab import."""

from .backends import BACKENDS, available_backends, register_backend, resolve_backend, use_backend
from .conv import multi_order_conv1d
from .flops import scan_flops
from .gate import merge_paths, pool_paths
from .inner import mamba_inner
from .numerics import compute_dtype
from .orders import SCAN_ORDERS, fixed_orders, get_order, invert_orders, make_orders, register_order
from .scan import multi_order_scan, selective_scan

__all__ = [
    'BACKENDS',
    'SCAN_ORDERS',
    'available_backends',
    'compute_dtype',
    'fixed_orders',
    'get_order',
    'invert_orders',
    'make_orders',
    'mamba_inner',
    'merge_paths',
    'multi_order_conv1d',
    'multi_order_scan',
    'pool_paths',
    'register_backend',
    'register_order',
    'resolve_backend',
    'scan_flops',
    'selective_scan',
    'use_backend',
]
