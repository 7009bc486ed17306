"""Which scan backends there are, which would serve, why not the others, and whether they are right."""

from __future__ import annotations

import time

import torch

from . import make_orders, multi_order_scan, resolve_backend, use_backend
from .backends import BACKENDS, obstacle


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
    exact = _step('reference', 'cpu', torch.float64)
    _step(backend, device, torch.float32)  # warm up
    start = time.perf_counter()
    ours = _step(backend, device, torch.float32)
    seconds = time.perf_counter() - start
    errors = [
        ((x.double() - e).abs().max() / e.abs().max()).item() for x, e in zip(ours, exact, strict=True)
    ]
    return max(errors), seconds


def _step(backend: str, device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        x = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return x.to(device, dtype).requires_grad_()

    inputs = dict(
        u=draw(1, 3, 128, 40),
        delta=draw(1, 3, 128, 40),
        B=draw(1, 3, 128, 16),
        C=draw(1, 3, 128, 16),
        D=draw(40),
        delta_bias=draw(40),
    )
    A_log = draw(40, 16)
    orders = make_orders(['forward', 'reverse', 'shuffle'], 1, 128, generator=generator).to(device)
    with use_backend(backend):
        y = multi_order_scan(**inputs, A=-A_log.exp(), orders=orders, delta_softplus=True)
        y.square().sum().backward()
    return [x.detach().cpu() for x in (y, A_log.grad, *(x.grad for x in inputs.values()))]


if __name__ == '__main__':
    main()
