"""Which scan backends there are, which would serve, why not the others, and whether they are right."""

from __future__ import annotations

import time
from typing import Any

import torch

from . import make_orders, resolve_backend
from .backends import BACKENDS, load_backend, obstacle
from .backends.verification import explain, verify
from .testing import run_scan, scan_inputs


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
            right, verdict = self_check(name, device)
            failed |= not right
            print(f'  {name:10s} yes, {verdict}')
    if failed:
        raise SystemExit(1)


def self_check(backend: str, device: str) -> tuple[bool, str]:
    """Whether a backend is right, in words how far, and how long a step of a scan takes."""
    if backend == 'reference':
        return True, 'the formula itself: the judge of the others'
    try:
        errors = verify(load_backend(backend), torch.device(device))
    except Exception as error:
        return False, f'but {explain(load_backend(backend), error)}'
    right = ', '.join(f'{error:.1e} in {dtype.removeprefix("torch.")}' for dtype, error in errors.items())
    return True, f'right to {right}; {step_seconds(backend, device) * 1e3:.1f} ms forward and backward'


def step_seconds(backend: str, device: str) -> float:
    """Seconds of a small scan, forward and backward."""
    inputs = scan_inputs(1, 3, 128, 40, 16)
    generator = torch.Generator().manual_seed(0)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, 128, generator=generator)
    # the kernel of mamba_ssm has no gradient through the last state
    options: dict[str, Any] = dict(device=device, orders=orders, delta_softplus=True, last_weight=0.0)
    run_scan(backend, inputs, **options)  # warm up
    start = time.perf_counter()
    ours = run_scan(backend, inputs, **options)
    ours['du'].cpu()  # waits for the device
    return time.perf_counter() - start


if __name__ == '__main__':
    main()
