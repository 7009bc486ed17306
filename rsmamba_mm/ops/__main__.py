"""Which scan backends there are, which would serve, why not the others, and whether they are right."""

from __future__ import annotations

import time
from typing import Any

import torch

from . import make_orders, resolve_backend
from .backends import BACKENDS, obstacle
from .testing import exact_scan, relative_errors, run_scan, scan_inputs


def main() -> None:
    devices = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
    print(f'torch {torch.__version__}, {torch.get_num_threads()} threads')
    failed = False
    for device in devices:
        try:
            print(f'{device}: {resolve_backend(torch.device(device))!r} serves')
        except (ValueError, RuntimeError) as error:  # one is forced that does not run, or is misspelt
            print(f'{device}: none serves: {error}')
            failed = True
        for name in BACKENDS:
            reason = obstacle(name, device)
            if reason is not None and len(devices) == 1:  # what keeps it from a GPU tells more
                reason = BACKENDS[name].probe() or reason
            if reason is not None:
                print(f'  {name:10s} no: {reason}')
                continue
            error, seconds = self_check(name, device)
            right = error < 1e-4
            failed |= not right
            verdict = f'right to {error:.1e}' if right else f'WRONG by {error:.1e}, please report this'
            print(f'  {name:10s} yes, {verdict}; {seconds * 1e3:.1f} ms forward and backward')
    if failed:
        raise SystemExit(1)


def self_check(backend: str, device: str) -> tuple[float, float]:
    """Largest relative error of outputs and gradients against float64, and the seconds of a step."""
    inputs = scan_inputs(1, 3, 128, 40, 16)
    generator = torch.Generator().manual_seed(0)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, 128, generator=generator)
    # the kernel of mamba_ssm has no gradient through the last state
    options: dict[str, Any] = dict(orders=orders, delta_softplus=True, last_weight=0.0)
    run_scan(backend, inputs, device=device, **options)  # warm up
    start = time.perf_counter()
    ours = run_scan(backend, inputs, device=device, **options)
    seconds = time.perf_counter() - start
    return max(relative_errors(ours, exact_scan(inputs, **options)).values()), seconds


if __name__ == '__main__':
    main()
