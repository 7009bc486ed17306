"""Operations of whole models: a count by shapes alone, and the package's operators in MMEngine's counter
(``get_model_complexity_info``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from mmengine.analysis import complexity_analysis
from mmengine.analysis.jit_analysis import Handle
from mmengine.analysis.jit_handles import get_shape
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..ops import use_backend
from ..ops.flops import conv_flops_of_shapes, scan_flops_of_shapes, step_flops_of_shapes


@dataclass
class ModuleComplexity:
    """What a module costs, with all that is in it.

    Attributes:
        name (str): Its name in the model; empty for the model itself.
        kind (str): Its class.
        parameters (int): Numbers to learn.
        multiply_adds (int): Of matrix products and convolutions.
        scans (int): The scans' operations, ``9·B·L·D·N + B·D·L`` each.
        activations (int): Bytes that a forward keeps for the backward, weights and input not counted.
    """

    name: str
    kind: str
    parameters: int
    multiply_adds: int = 0
    scans: int = 0
    activations: int = 0


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
    adds, scans = _count(model, shape)
    return adds.get('', 0), scans.get('', 0)


def complexity_by_module(model: nn.Module, shape: Sequence[int]) -> list[ModuleComplexity]:
    """What each module of a model costs: counted by shapes, its activations in a forward of training.

    Args:
        model (nn.Module): Called with one tensor, on the CPU; left as it is.
        shape (Sequence[int]): Of the images, ``(B, C, H, W)``.

    Returns:
        list[ModuleComplexity]: The model first, then its modules in their order. Those that a forward for
        inference leaves out, such as an auxiliary head, have parameters alone.
    """
    adds, scans = _count(model, shape)
    kept = _kept_for_backward(model, shape)
    return [
        ModuleComplexity(
            name,
            type(module).__name__,
            sum(p.numel() for p in module.parameters()),
            adds.get(name, 0),
            scans.get(name, 0),
            kept.get(name, 0),
        )
        for name, module in model.named_modules()
    ]


@torch.no_grad()
def _count(model: nn.Module, shape: Sequence[int]) -> tuple[dict[str, int], dict[str, int]]:
    """Multiply-adds and operations of scans, by the name of the module."""
    # a copy without data: parameters and buffers are exchanged while it is made
    memo = {id(t): t.to('meta') for t in model.buffers()}
    memo |= {id(p): nn.Parameter(p.to('meta'), p.requires_grad) for p in model.parameters()}
    model = deepcopy(model, memo).to('meta')
    model.eval()  # of some of OpenMMLab's backbones it returns nothing
    x = torch.empty(*shape, device='meta')
    names = [name for name, _ in model.named_modules() if name]
    with use_backend('torch'), FlopCounterMode(display=False, custom_mapping=_BOTH) as counter:
        model(x)  # on the backend that runs without data
    counts = {name: sum(by_operator.values()) for name, by_operator in counter.get_flop_counts().items()}

    def totals(part: int) -> dict[str, int]:
        root = type(model).__name__
        inside = {
            name.removeprefix(f'{root}.'): divmod(count, _SHIFT)[part]
            for name, count in counts.items()
            if name != root
        }
        of_parts = Counter[str]()
        for name in reversed(names):  # parts come before what they are part of
            # a head whose `forward` is called past its hooks has what its parts have
            inside[name] = max(inside.get(name, 0), of_parts[name])
            of_parts[name.rpartition('.')[0]] += inside[name]
        return {**inside, '': divmod(counts.get('Global', 0), _SHIFT)[part]}

    return {name: count // 2 for name, count in totals(1).items()}, totals(0)


# PyTorch's counter adds one number of each operator: of a scan it gets two, the projection of its steps and
# all else, this one times more than the other can be
_SHIFT = 1 << 80


def _scan_and_steps(*shapes, **options) -> int:
    return step_flops_of_shapes(*shapes, **options) + _SHIFT * scan_flops_of_shapes(*shapes, **options)


_BOTH = {torch.ops.rsmamba_mm.scan: _scan_and_steps}


def _kept_for_backward(model: nn.Module, shape: Sequence[int]) -> dict[str, int]:
    """Bytes that autograd keeps, by the name of the module that computed what keeps them."""
    model = deepcopy(model).cpu()
    model.train()
    x = torch.zeros(*shape)
    weights = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), x)}
    path, seen, kept = [''], dict[int, torch.Tensor](), Counter[str]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and storage.data_ptr() not in seen:
            seen[storage.data_ptr()] = tensor  # held, that no later one takes its place
            parts = path[-1].split('.') if path[-1] else []
            for end in range(len(parts) + 1):
                kept['.'.join(parts[:end])] += storage.nbytes()
        return tensor

    for name, module in model.named_modules():
        if name:
            module.register_forward_pre_hook(lambda *_, name=name: path.append(name))
            module.register_forward_hook(lambda *_: path.pop() and None, always_call=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(x)
    return dict(kept)


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
