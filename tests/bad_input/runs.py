"""What is bad of a run beside its data: configs, options, checkpoints, folders."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hostile
import torch
from mmengine.config import Config
from torch import nn

from rsmamba_mm.apis import prepare_train
from rsmamba_mm.apis.preflight import (
    check_checkpoint,
    check_folders,
    check_lists,
    check_work_dir,
    read_checkpoint,
)
from rsmamba_mm.apis.runner import build_runner, read_config
from rsmamba_mm.datasets.checking import build_leaf
from rsmamba_mm.engine import CheckClassesHook, SafeCheckpointHook
from rsmamba_mm.engine.safe_checkpoint import newest_checkpoint, refuse_torn
from rsmamba_mm.safe_loading import load

from .files import CLASSES, DATA, good

Run = tuple[Callable[[Path], Any], str]


def _config(text: str, name: str = 'config.py', options: dict | None = None) -> Callable[[Path], Any]:
    def read(folder: Path) -> Config:
        (folder / name).write_text(text)
        return read_config(str(folder / name), options)

    return read


def _unknown_model(folder: Path) -> Any:
    return build_runner(Config(dict(model=dict(type='RSMabma'), work_dir=str(folder))), splits=())


def _counts(**parts) -> Callable[[Path], Any]:
    return lambda folder: build_runner(Config(dict(parts, work_dir=str(folder))), splits=())


def _trained(**options) -> Callable[[Path], Any]:
    """``tools/train.py`` as far as its options are looked at."""

    def prepare(folder: Path) -> Any:
        (folder / 'config.py').write_text('train_dataloader = dict(dataset=dict(type="ThreeScenes"))\n')
        args = Namespace(config=str(folder / 'config.py'), work_dir=str(folder / 'run'), launcher='none')
        return prepare_train(Namespace(**vars(args), **options))

    return prepare


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 3)


def _other_classes(head: int = 3, preprocessor: int = 3, mean: int = 3) -> Callable[[Path], Any]:
    """Train with numbers of classes and bands."""
    model: Any = _Model()
    model.head.num_classes = head
    model.data_preprocessor = SimpleNamespace(num_classes=preprocessor, mean=[0.0] * mean)
    data = SimpleNamespace(metainfo=dict(classes=CLASSES))
    runner: Any = SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=data))
    return lambda folder: CheckClassesHook().before_train(runner)


def _two_preprocessors(folder: Path) -> None:
    cfg = Config(dict(model=dict(data_preprocessor=dict(mean=[1])), data_preprocessor=dict(mean=[2])))
    CheckClassesHook().before_run(SimpleNamespace(cfg=cfg))  # type: ignore[arg-type]


def _tested(content: Any, classes: tuple | None = CLASSES) -> Callable[[Path], Any]:
    """Take a checkpoint for a test."""

    def check(folder: Path) -> None:
        path = folder / 'model.pth'
        torch.save(content() if callable(content) else content, path)
        check_checkpoint(str(path), read_checkpoint(str(path)), _Model(), classes)

    return check


def _broken(name: str) -> Callable[[Path], Any]:
    return lambda f: read_checkpoint(str(hostile.write(name, f, f / 'canary')))


def _loaded(content: Callable[[], dict], resume: bool) -> Callable[[Path], Any]:
    """Begin or go on with a checkpoint."""

    def load(folder: Path) -> None:
        runner: Any = SimpleNamespace(_resume=resume, _load_from='model.pth', model=_Model())
        SafeCheckpointHook(interval=1).after_load_checkpoint(runner, content())

    return load


def _weights(**changed) -> dict:
    return {**_Model().state_dict(), **changed}


def _future(folder: Path) -> None:
    """Of a format that PyTorch has not got to yet."""
    import zipfile

    torch.save(dict(state_dict=_weights()), folder / 'old.pth')
    with zipfile.ZipFile(folder / 'old.pth') as old, zipfile.ZipFile(folder / 'model.pth', 'w') as new:
        for entry in old.namelist():
            new.writestr(entry, b'99\n' if entry.endswith('/version') else old.read(entry))
    read_checkpoint(str(folder / 'model.pth'))


def _torn(folder: Path) -> None:
    torch.save(dict(state_dict=_weights()), folder / 'epoch_1.pth')
    content = (folder / 'epoch_1.pth').read_bytes()
    (folder / 'epoch_1.pth').write_bytes(content[:-40])
    refuse_torn(folder / 'epoch_1.pth')


def _all_torn(folder: Path) -> None:
    (folder / 'epoch_1.pth').write_bytes(b'PK')
    newest_checkpoint(folder, lambda text: None)


def _file(folder: Path) -> Path:
    (folder / 'file').write_text('x')
    return folder / 'file'


def _folders(**options) -> Callable[[Path], Any]:
    def check(folder: Path) -> None:
        (folder / 'empty').mkdir()
        check_folders(dict(DATA['maps'], data_root=str(folder), **options))

    return check


def build_scenes(folder: Path, kind: str = 'ThreeScenes', **options) -> Any:
    return build_leaf(dict(type=kind, data_root=str(folder), **options))


def _two(folder: Path) -> Path:
    for name in CLASSES[:2]:
        (folder / name).mkdir()
    return folder


_LOG = 'data_root = "data"\n'
CONFIGS: dict[str, Run] = {
    'no config': (lambda f: read_config(str(f / 'none.py')), r'config not found: .*none\.py'),
    'config is a folder': (lambda f: read_config(str(f)), 'config not found'),
    'no base': (_config('_base_ = "./none.py"\n'), r'its base .*none\.py is not there'),
    'syntax': (_config('model = dict(\n'), r'config\.py cannot be read \(SyntaxError: .*: mend it'),
    'unknown name': (
        _config('model = modle\n'),
        r"cannot be read \(NameError: name 'modle' is not defined",
    ),
    'text as a config': (_config('x', 'config.txt'), r'config\.txt cannot be read \(OSError: Only'),
    'broken JSON': (_config('{"model":', 'config.json'), r'config\.json cannot be read \(JSONDecodeError'),
    'no such import': (
        _config('custom_imports = dict(imports=["no_such_module"])\n'),
        'ImportError: .*no_such_module',
    ),
    'two bases with one key': (
        lambda f: (
            [(f / n).write_text(_LOG) for n in ('a.py', 'b.py')] and _config('_base_ = ["a.py", "b.py"]')(f)
        ),
        r'cannot be read \(KeyError: .*data_root',
    ),
    'option into a list': (
        _config('bands = [1, 2]\n', options={'bands.7': 3}),
        r'--cfg-options: .* has no such entry \(.*7',
    ),
    'unknown data set': (
        lambda f: check_lists(dict(type='SceneFoldr')),
        'no data set is named SceneFoldr; did you mean SceneFolder',
    ),
    'unknown model': (_unknown_model, 'RSMabma is not in the .*is it spelt right'),
    'a length in words': (
        _counts(train_cfg=dict(max_epochs='abc')),
        r"train_cfg\.max_epochs is a whole number of at least 1, got 'abc'",
    ),
    'an empty batch': (
        _counts(test_dataloader=dict(batch_size=0)),
        r'test_dataloader\.batch_size is a whole number of at least 1, got 0',
    ),
    'num_classes of the head': (
        _other_classes(head=5),
        r'model\.head\.num_classes is 5, but SimpleNamespace has 3 classes',
    ),
    'num_classes of the preprocessor': (
        _other_classes(preprocessor=2),
        r'data_preprocessor\.num_classes is 2',
    ),
    'bands of the mean': (_other_classes(mean=4), 'mean has 4 values, but the backbone takes 3 bands'),
    'two preprocessors': (_two_preprocessors, r'differ, and the latter is taken: mean is \[2\] and \[1\]'),
    'no folder of images': (
        _folders(data_prefix=dict(img_path='none')),
        r'none is not there\. Expected there',
    ),
    'empty folder of images': (
        _folders(data_prefix=dict(img_path='empty')),
        r'empty is empty\. Expected there',
    ),
    'no scenes': (
        lambda f: build_scenes(f / 'none'),
        'ThreeScenes: no class folders in .*one folder for each of forest',
    ),
    'a class is missing': (lambda f: build_scenes(_two(f)), 'lacks 1 of 3 class folders: road'),
    'link of a class leads nowhere': (
        lambda f: (good(f, 'scenes'), (f / 'sea').symlink_to(f / 'sea'), build_scenes(f, 'SceneFolder')),
        'sea is a link that leads nowhere, or to itself',
    ),
    'holdout above 1': (
        lambda f: build_scenes(f, holdout=1.5),
        r'holdout is the share to hold out, in \[0, 1\)',
    ),
}
CHECKPOINTS: dict[str, Run] = {
    'no checkpoint': (lambda f: read_checkpoint(str(f / 'none.pth')), 'checkpoint not found: '),
    **{
        f'checkpoint: {name}': (_broken(name), 'cannot be read as a checkpoint')
        for name in (
            'empty',
            'text',
            'web page',
            'image',
            'gzip',
            'other zip',
            'a list',
            'truncated to half',
            'tar',
            'names are numbers',
            'whole model',
            'TorchScript',
            'empty.safetensors',
            'pickle.safetensors',
        )
    },
    'checkpoint of another model': (
        _tested(dict(state_dict=dict(other=torch.ones(1)))),
        'is of another model: it has 0 of the 4 tensors',
    ),
    'checkpoint of the released code': (
        _tested(dict(state_dict={'net.encoder.stem.weight': torch.ones(1)})),
        r'converted by tools/.*released_to_mm',
    ),
    'checkpoint of another size': (
        _tested(lambda: dict(state_dict=_weights(**{'head.weight': torch.ones(7, 4)}))),
        r'has head\.weight of shape \(7, 4\); .* \(3, 4\): take the config of its training',
    ),
    'checkpoint of other classes': (
        _tested(lambda: dict(state_dict=_weights(), meta=dict(dataset_meta=dict(classes=('a', 'b', 'c'))))),
        'classes',
    ),
    'checkpoint under an older key': (
        _tested(lambda: dict(model_state=_weights(), epoch=3)),
        'it has 0 of the 4 tensors of this one',
    ),
    'checkpoint of a future PyTorch': (_future, 'cannot be read as a checkpoint .*version'),
    'NaN in a checkpoint': (
        lambda f: load(hostile.write('NaN', f, f / 'canary')),
        'values that are not a number: the training diverged',
    ),
    'weights to resume from': (
        _loaded(_weights, True),
        'has weights alone, .*load_from=FILE, without --resume',
    ),
    'load_from of another model': (
        _loaded(lambda: dict(state_dict=dict(other=torch.ones(1))), False),
        'not one of its tensors has name and shape',
    ),
    'load_from that is not there': (
        _trained(cfg_options=dict(load_from='none.pth')),
        r'checkpoint \(load_from\) not found: none\.pth',
    ),
    'resume from what is not there': (_trained(resume='none.pth'), 'checkpoint not found: none.pth'),
    'torn checkpoint': (_torn, 'cannot be resumed from, it is torn .*take the checkpoint before it'),
    'nothing whole': (_all_torn, 'no checkpoint in .* is whole, .*begin anew without --resume'),
}
FOLDERS: dict[str, Run] = {
    'work dir is a file': (
        lambda f: check_work_dir(str(_file(f))),
        'the work dir .*file cannot be written',
    ),
    'work dir in a file': (
        lambda f: check_work_dir(str(_file(f) / 'run')),
        'cannot be written .*another --work-dir',
    ),
}
RUNS = {**CONFIGS, **CHECKPOINTS, **FOLDERS}
