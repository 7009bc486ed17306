"""UNetMamba, as its authors' training program saves it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...errors import OptionError
from .files import Converted, needed

# where the parts of the released network stand in mmseg's EncoderDecoder; the longest names first
_PLACES = {
    'encoder.': 'backbone.',
    'decoder.lsm.': 'auxiliary_head.lsm.',
    'decoder.seg.': 'decode_head.conv_seg.',
    'decoder.': 'neck.',
}


def unetmamba_to_mmseg(state_dict: Mapping[str, Tensor], with_lsm: bool = True) -> dict[str, Tensor]:
    """Rename the parameters of a released UNetMamba for this package's configs.

    Args:
        state_dict (Mapping[str, Tensor]): Released names, with the prefix ``net.`` or without.
        with_lsm (bool): Whether to keep the local supervision module, which inference does not need.
            Defaults to True.

    Returns:
        dict[str, Tensor]: Names of mmseg's EncoderDecoder.

    Raises:
        OptionError: If these are not the names of a released UNetMamba.
    """
    renamed, strange = {}, []
    for name, tensor in state_dict.items():
        bare = name.removeprefix('net.')
        place = next((place for place in _PLACES if bare.startswith(place)), None)
        if place is None:
            strange.append(name)
        elif with_lsm or place != 'decoder.lsm.':
            renamed[_PLACES[place] + bare.removeprefix(place)] = tensor
    present = {name.split('.')[0] for name in renamed}
    if not {'backbone', 'neck', 'decode_head'} <= present:
        raise OptionError(
            'these are not the names of a released UNetMamba, which has (net.)encoder.…, (net.)decoder.… '
            f'and (net.)decoder.seg.…; found: {", ".join(list(state_dict)[:5])}, …'
        )
    # metrics and losses of the training program may have buffers of their own; the network's must all fit
    if any(name.startswith('net.') for name in strange):
        raise OptionError(f'unknown parameters of the network: {", ".join(strange[:5])}')
    return renamed


def mmseg_to_unetmamba(state_dict: Mapping[str, Tensor], with_lsm: bool = True) -> dict[str, Tensor]:
    """Rename the parameters of this package's UNetMamba as the authors' training program has them.

    Args:
        state_dict (Mapping[str, Tensor]): Names of mmseg's EncoderDecoder.
        with_lsm (bool): Whether to keep the local supervision module. Defaults to True.

    Returns:
        dict[str, Tensor]: Released names, with the prefix ``net.``.

    Raises:
        OptionError: If a name has no place in the released network; all are listed.
    """
    renamed, strange = {}, []
    for name, tensor in state_dict.items():
        bare = name.removeprefix('module.')
        place = next((old for old, new in _PLACES.items() if bare.startswith(new)), None)
        if place is None:
            strange.append(name)
        elif with_lsm or place != 'decoder.lsm.':
            renamed[f'net.{place}{bare.removeprefix(_PLACES[place])}'] = tensor
    if strange or not renamed:
        raise OptionError(
            f'{len(strange)} of {len(state_dict)} tensors have no place in a released UNetMamba: '
            f'{", ".join(strange[:20])}'
        )
    return renamed


def convert(tensors: dict[str, Tensor]) -> Converted:
    """A released UNetMamba, with local supervision or without."""
    state_dict = unetmamba_to_mmseg(tensors)
    classes = len(needed(state_dict, 'decode_head.conv_seg.weight', 'UNetMamba'))
    return Converted(state_dict, 'rsmamba_mm::_base_/models/unetmamba_rest-lite.py', classes)


def release(state_dict: dict[str, Tensor]) -> dict:
    """The way back: the file that the authors' training program reads."""
    # Lightning takes a file that does not say its version for one of its first, and changes it
    return {'state_dict': mmseg_to_unetmamba(state_dict), 'pytorch-lightning_version': '2.0.4'}
