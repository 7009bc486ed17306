"""Every launch of the ``triton`` backend, compiled for sm_90 from the arguments it gets, run nowhere.

Prints, for each sequence length, how many variants of each kernel there are so far. Run by test_triton.py
in a process of its own, for it takes the place of Triton's driver.
"""

import json
from collections import defaultdict

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from rsmamba_mm.ops import make_orders
from rsmamba_mm.ops.backends import ScanInputs
from rsmamba_mm.ops.backends.triton import launch as backend

COMPILED = defaultdict(set)


class Driver:
    """An H200, as far as the compiler asks."""

    def get_current_target(self):
        return GPUTarget('cuda', 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=None):
        return 0


def compile_only(kernel, grid):
    def launch(*args, **kwargs):
        compiled = kernel.run(*args, grid=grid, warmup=True, **kwargs)
        COMPILED[kernel.__name__].add(compiled.hash)

    return launch


def run_all(batch, length, channels=48, states=16, rank=12, paths=3):
    """All functions of the backend, forward and backward, on slices of a projection as in a mixer."""
    u = torch.zeros(batch, paths, length, channels, dtype=torch.bfloat16)
    projected = torch.zeros(batch, paths, length, rank + 2 * states, dtype=torch.bfloat16)
    delta, B, C = projected.split([rank, states, states], -1)
    A, weight, taps = torch.zeros(channels, states), torch.zeros(channels, rank), torch.zeros(channels, 4)
    D, bias = torch.zeros(2, channels)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, length)
    scan = ScanInputs(u, delta, A, B, C, D, bias, weight, orders, True)
    y, last, kept = backend.scan_forward(scan, True)
    backend.scan_forward(scan, False)
    backend.scan_backward(scan, y, last, kept)
    x, weights = u[:, 0].contiguous(), torch.zeros(batch, paths)
    backend.conv_forward(x, taps, bias, orders, True)
    backend.conv_backward(u, x, taps, bias, orders, True)
    backend.pool_forward(u, x)
    backend.pool_backward(torch.zeros(batch, paths, channels), u, x)
    backend.merge_forward(u, x, weights)
    backend.merge_backward(x, u, x, weights)


if __name__ == '__main__':
    driver.set_active(Driver())
    JITFunction.__getitem__ = compile_only
    backend._processors = lambda device: 132
    for length in (4097, 784, 785, 16, 1):
        for batch in (1, 2):
            run_all(batch, length)
        print(json.dumps({name: len(variants) for name, variants in sorted(COMPILED.items())}))
