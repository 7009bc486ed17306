"""VMamba, the classifier, as the code of its authors saves it in any release."""

from __future__ import annotations

from torch import Tensor

from ...errors import OptionError
from ..backbones.vmamba import VMamba, from_release
from .files import Converted, needed

_CONFIGS = {'v0': 't-v0', 's2l5': 't-s2l5', 's1l8': 't-s1l8', 'small': 's', 'base': 'b'}


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released VMamba of any number of classes."""
    head = 'classifier.head.' if 'classifier.head.weight' in tensors else 'head.'
    classes = len(needed(tensors, f'{head}weight', 'VMamba'))
    state_dict = {}
    for name, tensor in tensors.items():
        if name.startswith(head):
            state_dict[f'head.fc.{name.removeprefix(head)}'] = tensor
        else:
            ours, tensor = from_release(name, tensor)
            if f'backbone.{ours}' in state_dict:
                raise OptionError(f'two tensors of this VMamba would be {ours}, one of them {name}')
            state_dict[f'backbone.{ours}'] = tensor
    arch = _arch(state_dict)
    config = None if arch is None else f'rsmamba_mm::_base_/models/vmamba-{_CONFIGS[arch]}.py'
    return Converted(state_dict, config, classes)


def _arch(state_dict: dict[str, Tensor]) -> str | None:
    """That of these shapes: width, depths, states and inner width tell them apart."""
    depths = tuple(
        len({name.split('.')[4] for name in state_dict if name.startswith(f'backbone.layers.{i}.blocks.')})
        for i in range(4)
    )
    block = 'backbone.layers.0.blocks.0.op'
    states = needed(state_dict, f'{block}.A_logs', 'VMamba').shape[1]
    width, inner = needed(state_dict, f'{block}.out_proj.weight', 'VMamba').shape
    found = width, depths, states, inner
    for name, arch in VMamba.arch_zoo.items():
        dim = arch['embed_dims'][0]
        if found == (dim, tuple(arch['depths']), arch['d_state'], int(arch['ssm_ratio'] * dim)):
            return name
    return None
