#!/usr/bin/env python3
"""A released UNetMamba checkpoint for our configs: ``unetmamba_to_mmseg.py released.ckpt out.pth``.

Takes the Lightning files of the authors' code, whose other contents are neither needed nor run. With
``--to released`` a checkpoint of ours becomes such a file. Every tensor is compared with the model: what is
missing, surplus or of another shape is named, and nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import rsmamba_mm._openmmlab

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

import rsmamba_mm.models  # noqa: F401
from rsmamba_mm.apis.options import AllowPickle
from rsmamba_mm.errors import OptionError, UserError
from rsmamba_mm.models.released import (
    count_parameters,
    mmseg_to_unetmamba,
    read_tensors,
    unetmamba_to_mmseg,
    verify_tensors,
)

CONFIG = 'rsmamba_mm::_base_/models/unetmamba_rest-lite.py'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path, help='checkpoint to convert')
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument(
        '--to', choices=['mmseg', 'released'], default='mmseg', help='whose names (default: %(default)s)'
    )
    parser.add_argument(
        '--without-lsm', action='store_true', help='leave out the local supervision module, for inference'
    )
    parser.add_argument(
        '--config', default=CONFIG, help="config of the model (default: UNetMamba with the file's classes)"
    )
    parser.add_argument(
        '--allow-pickle', action=AllowPickle, help='trust the file, beside PyTorch before 2.10'
    )
    args = parser.parse_args()
    try:
        tensors = read_tensors(args.checkpoint)
        try:
            state_dict, content = convert(tensors, args.to, args.config, not args.without_lsm)
        except OptionError as error:
            raise OptionError(f'{args.checkpoint}: {error}') from error
    except UserError as error:
        parser.error(str(error))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, args.out)
    parameters = count_parameters(state_dict)
    left_out = len(tensors) - len(state_dict)
    print(
        f'{args.out}: {len(state_dict)} tensors, {parameters:,} parameters, all as in the model; '
        f'{left_out} of the file left out'
    )


def convert(tensors: dict[str, Tensor], to: str, config: str, with_lsm: bool) -> tuple[dict, dict]:
    """Tensors with the names wanted, and the file around them."""
    ours = unetmamba_to_mmseg(tensors, with_lsm) if to == 'mmseg' else {}
    if to == 'released':
        ours = {name.removeprefix('module.'): tensor for name, tensor in tensors.items()}
        if not with_lsm:
            ours = {name: tensor for name, tensor in ours.items() if not name.startswith('auxiliary_head.')}
        mmseg_to_unetmamba(ours)  # names what has no place there
    verify_tensors(ours, model_of(ours, config))
    if to == 'mmseg':
        return ours, dict(state_dict=ours, meta=dict())
    state_dict = mmseg_to_unetmamba(ours)
    # Lightning takes a file that does not say its version for one of its first, and changes it
    return state_dict, {'state_dict': state_dict, 'pytorch-lightning_version': '2.0.4'}


def model_of(tensors: dict[str, Tensor], config: str) -> nn.Module:
    """The model of a config, with the classes of these tensors, and with LSM if they have one."""
    cfg = Config.fromfile(config if '::' not in config else Config._get_cfg_path(config, '')[0]).model
    classes = tensors.get('decode_head.conv_seg.weight')
    if classes is not None:
        cfg.decode_head.num_classes = len(classes)
    if not any(name.startswith('auxiliary_head.') for name in tensors):
        cfg.pop('auxiliary_head', None)
    elif classes is not None and 'auxiliary_head' in cfg:
        cfg.auxiliary_head.num_classes = len(classes)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg)


if __name__ == '__main__':
    main()
