"""Checkpoints as data: reading one runs nothing that is in it.

:func:`install` puts :func:`load` behind every way in which MMEngine reads a checkpoint: ``load_from``,
``resume``, ``init_cfg=dict(type='Pretrained', …)``, ``load_checkpoint`` and the inferencers.
docs/security.md says what is promised.
"""

from __future__ import annotations

import functools
import logging
import os
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from .errors import CheckpointError
from .trusted_types import allow_types
from .zoo import SCHEME, published_files

VARIABLE = 'RSMAMBA_ALLOW_PICKLE'
SAFETENSORS = '.safetensors'
# Before this release files made for it corrupt the memory of PyTorch's safe loader.
_SAFE_TORCH = (2, 10)
# how PyTorch begins what it says of a file that asks for more than data
_REFUSALS = ('Unsupported global: ', 'Trying to ', 'Can only ', 'Only persistent', 'Unsupported op')
_EXPANDED = 2**30  # bytes that a tensor may have beyond those stored for it


def allow_pickle(allowed: bool = True) -> None:
    """Let files run code as they are loaded, in this process and those it starts; off by default.

    The same as the environment variable ``RSMAMBA_ALLOW_PICKLE=1`` and the tools' ``--allow-pickle``.

    Args:
        allowed (bool): False forbids it again. Defaults to True.
    """
    if allowed:
        os.environ[VARIABLE] = '1'
    else:
        os.environ.pop(VARIABLE, None)


def pickle_allowed() -> bool:
    """Whether the user lets files run code."""
    return os.environ.get(VARIABLE, '') not in ('', '0')


def safe_torch() -> bool:
    """Whether the safe loader of this PyTorch is not known to be broken."""
    return tuple(map(int, torch.__version__.split('.')[:2])) >= _SAFE_TORCH


def refuse_unsafe_torch(what: str) -> None:
    """Refuse foreign files beside a PyTorch whose safe loader is broken.

    Raises:
        CheckpointError: If so, and pickles are not allowed.
    """
    if not safe_torch() and not pickle_allowed():
        raise CheckpointError(
            f'{what} is not read by PyTorch {torch.__version__}, where a file made for it can run code. '
            f'Update to PyTorch 2.10 or later; or, if you trust who made the file, {_how_to_allow()}'
        )


def load(file: str | Path | IO[bytes], map_location: Any = None, mmap: bool = False) -> dict:
    """Read a checkpoint, of which nothing is run: PyTorch's formats, and safetensors by their suffix.

    Args:
        file (str | Path | IO[bytes]): The file, or an open one.
        map_location: As of ``torch.load``. Defaults to None.
        mmap (bool): Leave the tensors of a zip archive on the disk till they are looked at; they are not
            searched for NaN then. Defaults to False.

    Returns:
        dict: What is in it. The tensors of a safetensors file are under ``state_dict``.

    Raises:
        CheckpointError: If the file is broken or no checkpoint, or would have to run code.
        FileNotFoundError: If it is not there.
    """
    name = str(file) if isinstance(file, str | Path) else getattr(file, 'name', 'the checkpoint')
    if isinstance(file, str | Path):
        file = os.path.expanduser(file)
        if not os.path.isfile(file):
            raise FileNotFoundError(f'{name} can not be found.')
    if name.endswith(SAFETENSORS):
        content = _load_safetensors(file, name, map_location)
    else:
        check_container(file, name)
        content = _load_pickle(file, name, map_location, mmap)
    _check_content(content, name, values=not mmap)
    return content


def _load_pickle(file: str | IO[bytes], name: str, map_location: Any, mmap: bool) -> Any:
    _warn_of_old_torch(name)
    mmap = mmap and zipfile.is_zipfile(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # other protocols, TorchScript: what is wrong is raised
            return torch.load(file, map_location=map_location, mmap=mmap or None, weights_only=True)
    except Exception as error:  # a broken file can raise anything
        reason = _reason(error)
        if ('GLOBAL' not in str(error) and 'allowlisted' not in str(error)) or not pickle_allowed():
            raise _unreadable(name, reason) from error
    warnings.warn(f'{name} is unpickled as allowed, and may run any code: {reason}', stacklevel=3)
    if hasattr(file, 'seek'):
        file.seek(0)
    return torch.load(file, map_location=map_location, weights_only=False)


def _reason(error: Exception) -> str:
    """What PyTorch says of the file, without its advice to trust it."""
    for line in str(error).splitlines():
        for mark in _REFUSALS:
            if mark in line:
                return 'it asks for what is not data: ' + line[line.index(mark) :].split(' was not an')[0]
    first = (str(error).strip().splitlines() or [''])[0]
    return f'{type(error).__name__}: {first[:200]}'


def _unreadable(name: str, reason: str) -> CheckpointError:
    advice = 'fetch or write it again'
    if reason.startswith('it asks for what is not data'):
        advice = (
            'nothing of it was run. Ask for a file of tensors alone, such as .safetensors; or, if you '
            f'trust who made it, {_how_to_allow()}'
        )
    return CheckpointError(f'{name} cannot be read as a checkpoint ({reason}): {advice}')


def _how_to_allow() -> str:
    return (
        f'let it run code by --allow-pickle, {VARIABLE}=1 or rsmamba_mm.safe_loading.allow_pickle(), '
        'which sets no limit to what it does'
    )


@functools.cache
def _warn_of_old_torch(name: str) -> None:
    if not safe_torch():
        warnings.warn(
            f'PyTorch {torch.__version__} reads {name} by a loader that is known to be unsafe: a file made '
            'for it can run code. Load only files that you trust, or update to PyTorch 2.10 or later',
            stacklevel=4,
        )


def check_container(file: str | IO[bytes], name: str) -> None:
    """Refuse archives that PyTorch does not write: packed or overlapping entries, TorchScript, tar."""
    if zipfile.is_zipfile(file):
        size = os.path.getsize(file) if isinstance(file, str) else file.seek(0, os.SEEK_END)
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except Exception as error:  # also a version, or a way of packing, that zipfile does not know
            raise _unreadable(name, _reason(error)) from error
        names = [entry.filename for entry in entries]
        if any(entry.endswith('constants.pkl') for entry in names):
            raise _unreadable(name, 'it is a TorchScript program, not tensors')
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _unreadable(name, 'its entries are compressed, which those of PyTorch never are')
        if sum(entry.file_size for entry in entries) > size or len(set(names)) < len(names):
            raise _unreadable(name, 'its entries overlap')
        if not any(entry.endswith('/data.pkl') for entry in names):
            raise _unreadable(name, 'it is a zip archive without data.pkl')
    elif isinstance(file, str) and _is_tar(file):
        raise _unreadable(name, 'it is a tar archive, a format that PyTorch reads by running it')
    else:
        start = _start(file)
        if start.startswith(b'PK'):
            raise _unreadable(name, 'its end is missing, as after a transfer that was cut off')
        if not start.startswith(b'\x80'):  # how PyTorch's older format begins
            raise _unreadable(name, 'it is empty' if not start else 'it is another kind of file')
    if not isinstance(file, str):
        file.seek(0)


def _is_tar(file: str) -> bool:
    try:
        return tarfile.is_tarfile(file)
    except Exception:  # what begins like something packed and is not whole
        return False


def _start(file: str | IO[bytes]) -> bytes:
    if not isinstance(file, str):
        file.seek(0)
        return file.read(2)
    with open(file, 'rb') as opened:
        return opened.read(2)


def _check_content(content: Any, name: str, values: bool) -> None:
    if not isinstance(content, Mapping):
        raise _unreadable(name, f'it holds a {type(content).__name__}, not a dict of tensors')
    tensors = content.get('state_dict', content)
    if not isinstance(tensors, Mapping) or not all(isinstance(key, str) for key in tensors):
        raise _unreadable(name, 'its state_dict is no dict of names')
    for key, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_meta:
            continue
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() + _EXPANDED:
            raise _unreadable(name, f'{key} of shape {tuple(tensor.shape)} is larger than what is stored')
        if values and tensor.is_floating_point() and tensor.isnan().any():
            raise CheckpointError(
                f'{name}: {key} has values that are not a number: the training diverged, or the file is '
                'damaged. Take an earlier checkpoint'
            )
    meta = content.get('meta')
    if isinstance(meta, dict) and 'config' in meta and not pickle_allowed():
        del meta['config']  # MMEngine's resume would run it; today's checkpoints have it under `cfg`
        logging.getLogger(__name__).warning('%s: the config text in it is left out, not run', name)


def _load_safetensors(file: str | IO[bytes], name: str, map_location: Any) -> dict:
    """Tensors under ``state_dict``, and what :func:`save_safetensors` wrote beside them under ``meta``."""
    import json

    from safetensors import SafetensorError, safe_open

    if not isinstance(file, str):
        raise _unreadable(name, 'safetensors are read from files only')
    try:
        with safe_open(file, framework='pt', device='cpu') as archive:
            tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 - no mapping
            meta = json.loads((archive.metadata() or {}).get('meta', '{}'))
    except (SafetensorError, ValueError, OSError) as error:
        raise _unreadable(name, _reason(error)) from error
    if map_location is not None and map_location != 'cpu' and not callable(map_location):
        tensors = {key: tensor.to(map_location) for key, tensor in tensors.items()}
    return dict(state_dict=tensors, meta=meta)


def save_safetensors(
    state_dict: Mapping[str, Tensor], path: str | Path, meta: Mapping | None = None
) -> None:
    """Write tensors so that they can be read without running anything.

    Args:
        state_dict (Mapping[str, Tensor]): Tensors by name.
        path (str | Path): The file, which should end in ``.safetensors``.
        meta (Mapping, optional): What JSON can hold, such as ``dataset_meta``; :func:`load` gives it back
            under ``meta``. Defaults to None.
    """
    import json

    from safetensors.torch import save_file

    # tensors that share memory are written apart
    tensors = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state_dict.items()}
    save_file(tensors, str(path), metadata=dict(format='pt', meta=json.dumps(meta or {})))


def load_from_package(filename: str, map_location: Any = None) -> dict:
    """The weights of a model that the package carries, by ``rsmamba_mm://NAME``.

    Raises:
        OptionError: If there is none of this name.
    """
    return load(published_files(filename.removeprefix(SCHEME))[1], map_location)


def install() -> None:
    """Let MMEngine read checkpoints by :func:`load`, and take the config text in them as data."""
    from mmengine.runner import checkpoint as module

    allow_types()
    module._safe_torch_load = lambda file, map_location=None, weights_only=None: load(file, map_location)
    module.load_url = _load_url

    def load_from_local(filename: str, map_location: Any = None) -> dict:
        return load(filename, map_location)

    module.load_from_local = load_from_local
    for prefix, loader in list(module.CheckpointLoader._schemes.items()):
        loader = _from_afar(loader) if prefix else load_from_local
        module.CheckpointLoader.register_scheme(prefix, loader, force=True)
    module.CheckpointLoader.register_scheme(SCHEME, load_from_package, force=True)
    _read_configs_as_data()
    _read_yaml_as_data()


def _from_afar(loader: Callable) -> Callable:
    @functools.wraps(loader)
    def load_from_afar(filename: str, *args, **kwargs) -> dict:
        refuse_unsafe_torch(filename)
        return loader(filename, *args, **kwargs)

    return load_from_afar


def _load_url(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> dict:
    """As ``torch.hub.load_state_dict_from_url``, which unpickles what it fetches."""
    from urllib.parse import urlparse

    folder = Path(model_dir or Path(torch.hub.get_dir()) / 'checkpoints')
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / Path(urlparse(url).path).name
    if not file.is_file():
        torch.hub.download_url_to_file(url, str(file), None, progress=progress)
    return load(file, map_location)


def _read_configs_as_data() -> None:
    """Let MMEngine's inferencers not run the config that is in a checkpoint as text."""
    from mmengine.infer import BaseInferencer

    init_model = BaseInferencer._init_model

    @functools.wraps(init_model)
    def init_model_of_data(self, cfg: dict, weights: str | None, device: str = 'cpu'):
        if not cfg and weights is not None and not pickle_allowed():
            from mmengine.runner.checkpoint import _load_checkpoint

            from .checkpoint_config import parse_config

            cfg.update(parse_config(config_text(_load_checkpoint(weights, 'cpu'), weights), weights))
        return init_model(self, cfg, weights, device)

    BaseInferencer._init_model = init_model_of_data


def _read_yaml_as_data() -> None:
    """Let MMEngine's YAML name no function to call, nor a class: tuples are what its own files have."""
    from mmengine.fileio.handlers import yaml_handler

    class Data(getattr(yaml_handler.yaml, 'CSafeLoader', yaml_handler.yaml.SafeLoader)):
        pass

    Data.add_constructor(
        'tag:yaml.org,2002:python/tuple', lambda self, node: tuple(self.construct_sequence(node))
    )
    yaml_handler.Loader = Data


def config_text(checkpoint: Mapping, name: str) -> str:
    """The config that MMEngine wrote into a checkpoint.

    Args:
        checkpoint (Mapping): Of :func:`load`.
        name (str): Where it is from, for the message.

    Raises:
        CheckpointError: If there is none.
    """
    for keys in (('message_hub', 'runtime_info', 'cfg'), ('meta', 'cfg')):
        found: Any = checkpoint
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, str):
            return found
    raise CheckpointError(f'{name} has no config in it: pass the config file too')
