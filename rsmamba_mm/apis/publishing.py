"""Trained models as folders that anyone can load without running anything of them.

A folder has the layout of Hugging Face's hub: ``model.safetensors``, ``config.json`` and the model card
``README.md``. ``config.json`` is a config of MMEngine in plain values, and so what ``PyTorchModelHubMixin``
takes for the arguments of a class.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import tempfile
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from torch import Tensor, nn

from ..checkpoint_config import READ, check_config
from ..errors import CheckpointError, MissingDataError, MissingExtraError, OptionError
from ..models.class_order import checkpoint_classes
from ..models.released import count_parameters, verify_tensors
from ..safe_loading import load, save_safetensors
from ..zoo import ZOO, zoo_models
from .preflight import existing, is_segmenter
from .runner import read_config

WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.json', 'README.md'


def publish_model(
    config: str,
    checkpoint: str,
    out_dir: str | Path,
    ema: str = 'averaged',
    metrics: Mapping[str, float] | None = None,
    command: str | None = None,
    license: str | None = None,
    half: bool = False,
) -> Path:
    """Write a model for others: its tensors alone, its config as plain values, and a model card.

    The optimiser's state, the logs and the local supervision module are left out.

    Args:
        config (str): Config file.
        checkpoint (str): Checkpoint of its model.
        out_dir (str | Path): Where the folder ``CONFIG-HASH`` is made; HASH is of the weights.
        ema (str): Of a training with an averaged model: ``'averaged'`` weights, or those of the ``'last'``
            step. Defaults to ``'averaged'``.
        metrics (Mapping[str, float], optional): For the card. Defaults to None, the best score in the
            checkpoint.
        command (str, optional): That of the training, for the card. Defaults to None, as a training of
            ``tools/train.py`` left it beside the checkpoint.
        license (str, optional): Of the weights, as an SPDX identifier. Defaults to None, not said.
        half (bool): Whether the weights are written as float16, in half the bytes; a model that loads them
            computes in float32 as ever. The running statistics of norms stay float32: a variance may be
            beyond 65,504. Defaults to False.

    Returns:
        Path: The folder.

    Raises:
        OptionError: If a file is not there, the tensors are not those of the model, or nothing names the
            classes.
    """
    cfg = read_config(config)
    try:
        read = load(existing(checkpoint, 'checkpoint'), map_location='cpu')
    except CheckpointError as error:
        raise OptionError(str(error)) from error
    plain = _plain_config(cfg)
    state_dict = {
        name: tensor
        for name, tensor in _weights(read, ema, checkpoint).items()
        if not name.startswith('auxiliary_head.')
    }
    if half:
        state_dict = {name: _halved(name, tensor) for name, tensor in state_dict.items()}
    try:
        verify_tensors(state_dict, _build(plain))
    except OptionError as error:
        raise OptionError(f'{checkpoint}: {error}') from error
    classes = checkpoint_classes(read)
    if classes is None:
        raise OptionError(
            f'{checkpoint} has no names of classes: write them into it by tools/model_converters, or '
            'take a checkpoint of a training'
        )
    meta: dict[str, Any] = dict(classes=list(classes))
    palette = (read['meta'].get('dataset_meta') or {}).get('palette')
    if palette is not None:
        meta['palette'] = [[int(value) for value in colour] for colour in palette]

    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir) as folder:
        weights = Path(folder) / WEIGHTS
        save_safetensors(state_dict, weights, dict(dataset_meta=meta))
        digest = _digest(weights)
        target = out_dir / f'{Path(config).stem}-{digest[:8]}'
        target.mkdir(exist_ok=True)
        weights.chmod(0o644)  # safetensors writes for the owner alone
        weights.replace(target / WEIGHTS)
    described = dict(plain, dataset_meta=meta, sha256=digest)
    (target / CONFIG).write_text(json.dumps(described, indent=2) + '\n', encoding='utf-8')
    card = _card(
        cfg,
        target.name,
        state_dict,
        classes,
        metrics or _best(read),
        command or _command(checkpoint),
        license,
    )
    (target / CARD).write_text(card, encoding='utf-8')
    return target


def load_pretrained(source: str | Path, device: str | torch.device = 'cpu') -> nn.Module:
    """Load a model that :func:`publish_model` wrote; nothing of the folder is run.

    Args:
        source (str | Path): The folder, a model that the package carries
            (:func:`~rsmamba_mm.apis.zoo_models`), or the id of one on Hugging Face's hub, such as
            ``'owner/model'``.
        device (str | torch.device): Defaults to ``'cpu'``.

    Returns:
        nn.Module: In evaluation, with ``cfg`` and ``dataset_meta``; what mmpretrain's
        ``ImageClassificationInferencer`` and mmseg's ``inference_model`` take.

    Raises:
        MissingDataError: If there is no such folder, or a file of it is not there.
        MissingExtraError: If it is an id, and huggingface_hub is not installed.
        CheckpointError: If the weights are not those that were published, or the config names what is
            not known to be harmless.
    """
    from .. import datasets, models  # noqa: F401 - what the config names, which has no imports

    folder = _fetched(source)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise MissingDataError(f'{folder} is no published model: {name} is not there')
    try:
        described = json.loads((folder / CONFIG).read_text(encoding='utf-8'))
        cfg = check_config(described)
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f'{folder / CONFIG} is not taken as data ({error}): nothing of it was run. Fetch it again, or '
            'build the model by a config file that you trust'
        ) from error
    if 'sha256' in described and _digest(folder / WEIGHTS) != described['sha256']:
        raise CheckpointError(f'{folder / WEIGHTS} is not the file that was published: fetch it again')
    content = load(folder / WEIGHTS)
    model = _build(cfg)
    try:
        verify_tensors(content['state_dict'], model)
    except OptionError as error:
        raise CheckpointError(f'{folder / WEIGHTS}: {error}') from error
    model.load_state_dict(content['state_dict'])
    # where mmseg and mmpretrain look for them
    cfg.setdefault('test_pipeline', cfg['test_dataloader']['dataset']['pipeline'])
    if 'default_scope' in cfg:
        init_default_scope(cfg['default_scope'])  # as mmseg's and mmpretrain's own functions do
    for name in ('cfg', '_config'):
        setattr(model, name, Config(cfg))
    for name in ('dataset_meta', '_dataset_meta'):
        setattr(model, name, described.get('dataset_meta') or {})
    return model.to(device).eval()


def _fetched(source: str | Path) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder
    if str(source) in zoo_models():
        return ZOO / str(source)
    if not re.fullmatch(r'[\w.-]+/[\w.-]+', str(source)) or str(source).startswith('.'):
        raise MissingDataError(
            f'no published model: {source} is no folder, and no id of the form owner/model'
        )
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError(
            f'{source} is no folder here. To fetch it from the hub: pip install huggingface_hub'
        ) from error
    return Path(snapshot_download(str(source), allow_patterns=[CONFIG, WEIGHTS]))


def _build(cfg: dict) -> nn.Module:
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return MODELS.build(ConfigDict(deepcopy(cfg['model'])))  # mmseg looks into it by attributes


def _plain_config(cfg: Config) -> dict[str, Any]:
    """What inference needs of a config: no weights to start from, no folders of this machine."""
    plain = deepcopy({key: value for key, value in cfg.to_dict().items() if key in READ})
    plain.pop('test_pipeline', None)  # the data set has it
    model = plain['model']
    model.setdefault('data_preprocessor', plain.get('data_preprocessor'))
    if model.pop('teacher', None):  # of the training, as the others
        model['type'] = 'ImageClassifier'
    for key in ('auxiliary_head', 'pretrained', 'init_cfg', 'train_cfg', 'teacher_weight', 'temperature'):
        model.pop(key, None)
    for part in model.values():
        if isinstance(part, dict):
            part.pop('init_cfg', None)
    loader = plain.get('test_dataloader')
    if loader is None:
        raise OptionError(f'{cfg.filename} has no test_dataloader, whose pipeline says how to read images')
    dataset = loader['dataset']
    plain['test_dataloader'] = dict(dataset=dict(type=dataset['type'], pipeline=dataset['pipeline']))
    return json.loads(json.dumps(plain))


def _weights(checkpoint: dict, ema: str, name: str) -> dict[str, Tensor]:
    """The averaged weights, which MMEngine has under ``state_dict``, or those of the last step."""
    tensors = checkpoint.get('state_dict', checkpoint)
    tensors = {key.removeprefix('module.'): tensor for key, tensor in tensors.items()}
    if ema == 'averaged':
        return tensors
    if ema != 'last':
        raise OptionError(f'ema: averaged or last, got {ema!r}')
    last = checkpoint.get('ema_state_dict')
    if last is None:
        raise OptionError(f'{name} has no averaged model beside the last: it was trained without EMA')
    last = {key.removeprefix('module.'): t for key, t in last.items() if key.startswith('module.')}
    return {**tensors, **last}


def _halved(name: str, tensor: Tensor) -> Tensor:
    whole = not tensor.is_floating_point() or name.rpartition('.')[2].startswith('running_')
    return tensor if whole else tensor.half()


def _best(checkpoint: dict) -> dict[str, float]:
    hub = checkpoint.get('message_hub')
    best = (hub.get('runtime_info') or {}).get('best_score') if isinstance(hub, Mapping) else None
    return {} if best is None else {'best validation score': float(best)}


def _command(checkpoint: str) -> str | None:
    """The latest training in the checkpoint's work dir."""
    for record in sorted(Path(checkpoint).parent.glob('*/run.json'), reverse=True):
        command = shlex.split(json.loads(record.read_text(encoding='utf-8')).get('command', ''))
        if any(Path(part).name == 'train.py' for part in command):
            return shlex.join(['python', *command[1:]])
    return None


def _digest(path: Path) -> str:
    with open(path, 'rb') as file:
        digest = hashlib.sha256()  # Python 3.10 has no hashlib.file_digest
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _card(
    cfg: Config,
    name: str,
    state_dict: Mapping[str, Tensor],
    classes: tuple[str, ...],
    metrics: Mapping[str, float],
    command: str | None,
    license: str | None,
) -> str:
    segmenter = is_segmenter(cfg)
    dataset = cfg.test_dataloader.dataset.type.rpartition('.')[2]
    parameters = count_parameters(state_dict)
    head = [
        'library_name: rsmamba_mm',
        f'pipeline_tag: image-{"segmentation" if segmenter else "classification"}',
        'tags: [remote-sensing, mamba, openmmlab]',
    ]
    if license:
        head.append(f'license: {license.lower()}')
    figures = '\n'.join(f'| {key} | {value:.4g} |' for key, value in metrics.items())
    return '\n'.join(
        [
            '---',
            *head,
            '---',
            '',
            f'# {name}',
            '',
            f'{"Land cover of" if segmenter else "Scenes in"} remote-sensing images, by {cfg.model.type} '
            f'with {cfg.model.backbone.type} of rsmamba_mm: {parameters:,} parameters.',
            '',
            f'- Data set: {dataset}, {len(classes)} classes: {", ".join(classes)}',
            f'- Config: `{Path(cfg.filename).name}`',
            f'- Trained by: `{command}`' if command else '- Trained by: not said',
            f'- Licence of the weights: {license or "not said; ask before you use them"}',
            '',
            '## Metrics',
            '',
            f'| metric | value |\n|---|---|\n{figures}' if figures else 'Not measured.',
            '',
            '## Use',
            '',
            '```python',
            'from rsmamba_mm.apis import load_pretrained',
            '',
            "model = load_pretrained('FOLDER')  # or the id on the hub",
            '```',
            '',
            f'The tools take the two files: `python tools/image_demo.py IMAGE {CONFIG} {WEIGHTS}`.',
            '',
        ]
    )
