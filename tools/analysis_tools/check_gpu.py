#!/usr/bin/env python3
"""Whether what surrounds the kernels works with them: autocast, torch.compile and CUDA graphs, both ways.

Each check runs a step of a small RSMamba, forward and backward, and compares the output and all gradients
with those of the same step as it is. An error is relative: of the output the largest difference over the
largest entry, of the gradients the length of the difference over their length. The program ends with an
error if a check fails or is over its limit.

With ``--dry-run`` the model is tiny and on the CPU, in Triton's interpreter where ``TRITON_INTERPRET=1`` is
set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from _record import Record, add_options
from torch import Tensor

from rsmamba_mm.command_line import Parser
from rsmamba_mm.models import RSMamba
from rsmamba_mm.ops import use_backend

# of the output, of the gradients
LIMITS = {
    'autocast to float16': (5e-3, 2e-2),
    'autocast to bfloat16': (4e-2, 1.5e-1),
    'torch.compile': (1e-3, 1e-3),
    'CUDA graph': (1e-4, 1e-4),
}
MODEL = dict(arch=dict(embed_dims=192, num_layers=2, feedforward_channels=768), img_size=224)
TINY = dict(
    arch=dict(embed_dims=4, num_layers=1, feedforward_channels=8),
    img_size=16,
    layer_cfgs=dict(d_state=1, d_conv=2),
)
CASE = 'RSMamba, forward and backward'
Result = tuple[Tensor, dict[str, Tensor]]


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('--backend', default='triton', help='of the scan (default: triton)')
    parser.add_argument(
        '--dry-run', action='store_true', help='tiny, on the CPU: whether this program works'
    )
    add_options(parser)
    args = parser.parse_args()
    if not args.dry_run and not torch.cuda.is_available():
        raise SystemExit(
            f'check_gpu.py needs an NVIDIA GPU, and PyTorch {torch.__version__} finds none here; '
            'with --dry-run it runs every check at tiny sizes on the CPU.'
        )
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False  # what is compared with is float32
    record = Record(args.record, args.resume)
    checks = Checks('cpu' if args.dry_run else 'cuda')
    with use_backend(args.backend):
        for name, (of_output, of_gradients) in LIMITS.items():
            if record.ended(CASE, name):
                continue
            found = record.attempt(CASE, name, lambda name=name: checks.run(name))
            if found is None:
                continue
            print(f'{name}: ' + ', '.join(f'{key} {value}' for key, value in found.items()), flush=True)
            # so that NaN is over it
            if 'output' in found and not (
                found['output'] <= of_output and found['gradients'] <= of_gradients
            ):
                record.fail(CASE, name, f'allowed are {of_output:.0e} and {of_gradients:.0e}: {found}')
    if record.failed:
        failed = sorted({entry['part'] for entry in record.failed})
        print(f'RED: checks: {", ".join(failed)}')
        raise SystemExit(1)


class Checks:
    """The checks, on one device.

    Args:
        device (str): ``'cuda'``, or ``'cpu'`` for the dry run.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        settings = MODEL if device == 'cuda' else TINY
        # in evaluation, so that all steps shuffle the tokens alike
        self.model = RSMamba(**settings).to(device).eval()
        self.x = torch.randn(2, 3, settings['img_size'], settings['img_size'], device=device)
        self.weights: Tensor | None = None

    def run(self, name: str) -> dict[str, float | str]:
        """The errors of a check by its name, or why it was left out."""
        if name == 'CUDA graph':
            if self.device != 'cuda':
                return dict(left_out='CUDA graphs need a GPU')
            return errors(*self.replayed())
        if name.startswith('autocast'):
            with torch.autocast(self.device, getattr(torch, name.split()[-1])):
                ours = self.step(self.model)
        else:
            backend = 'inductor' if self.device == 'cuda' else 'aot_eager'
            ours = self.step(torch.compile(self.model, backend=backend))
        return errors(ours, self.exact)

    @cached_property
    def exact(self) -> Result:
        """The step as it is."""
        return self.step(self.model)

    def step(self, model: Callable[[Tensor], tuple[Tensor, ...]]) -> Result:
        """Output and gradients of a step."""
        self.model.zero_grad(set_to_none=True)
        y = self.forward_backward(model)
        return y, self.gradients()

    def forward_backward(self, model: Callable[[Tensor], tuple[Tensor, ...]]) -> Tensor:
        y = model(self.x)[0]
        if self.weights is None:
            self.weights = torch.randn_like(y, dtype=torch.float32)
        (y.float() * self.weights).sum().backward()
        return y.detach()

    def gradients(self) -> dict[str, Tensor]:
        return {
            key: p.grad.detach().clone() for key, p in self.model.named_parameters() if p.grad is not None
        }

    def replayed(self) -> tuple[Result, Result]:
        """A step captured in a CUDA graph and replayed on other images, and the same as it is."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels are compiled and memory is laid out
            for _ in range(3):
                self.step(self.model)
        torch.cuda.current_stream().wait_stream(stream)
        self.model.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = self.forward_backward(self.model)
        self.x.copy_(torch.randn_like(self.x))
        graph.replay()
        torch.cuda.synchronize()
        ours = y.clone(), self.gradients()
        return ours, self.step(self.model)


def errors(ours: Result, exact: Result) -> dict[str, float | str]:
    """Of the output and of all gradients together."""
    (y, grads), (y_exact, grads_exact) = ours, exact
    if grads.keys() != grads_exact.keys():
        raise ValueError(f'no gradient of {", ".join(sorted(grads.keys() ^ grads_exact.keys()))}')
    difference = (y.double() - y_exact.double()).abs().max() / y_exact.double().abs().max()
    apart = sum((grads[key].double() - grads_exact[key].double()).square().sum() for key in grads)
    length = sum(grad.double().square().sum() for grad in grads_exact.values())
    return dict(output=difference.item(), gradients=(apart / length).sqrt().item())


if __name__ == '__main__':
    main()
