"""Training in half precision: bfloat16 on any processor that has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from torch import nn

from ..errors import OptionError


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """MMEngine's wrapper of an optimizer, with forward passes in bfloat16, on a GPU or a CPU.

    bfloat16 has the exponents of float32, so that losses need no scale. Weights, their gradients and the
    optimizer's states stay in float32. For float16 there is MMEngine's ``AmpOptimWrapper``.

    Args:
        **kwargs: Those of MMEngine's ``OptimWrapper``.

    Raises:
        OptionError: If the processor does not compute in bfloat16.
    """

    def __init__(self, **kwargs) -> None:
        check_bfloat16()
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute a forward pass in bfloat16."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def check_bfloat16() -> None:
    """Refuse bfloat16 where it would be emulated, slower than float32.

    Raises:
        OptionError: Saying what the processor lacks.
    """
    if torch.cuda.is_available():
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            raise OptionError(
                f'bfloat16: {torch.cuda.get_device_name()} does not compute in it (NVIDIA GPUs do from '
                'Ampere on): take float16, or float32'
            )
    elif not _cpu_has_bfloat16():
        raise OptionError(
            'bfloat16: PyTorch sees no GPU here, and this processor has no instructions for it (AVX-512 '
            'BF16 or AMX): take float32'
        )


def _cpu_has_bfloat16() -> bool:
    # what PyTorch before 2.6 does not tell is not there
    known = (
        getattr(torch.cpu, name, None) for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    )
    return any(supported() for supported in known if supported is not None)
