"""OpenMMLab's Python APIs on every config, as a stranger calls them; the large models with few blocks."""

import re
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from miniatures import few_blocks, shrink
from mmengine.config import Config
from mmengine.registry import DefaultScope

import rsmamba_mm.models  # noqa: F401 - lists the configs
from rsmamba_mm.datasets import AID, UCMerced, read_bands

mmpretrain = pytest.importorskip('mmpretrain')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('[!_]*/*.py'))
SEGMENTERS = [
    path
    for path in CONFIGS
    if path.parent.name == 'unetmamba' and not re.search('_baseline_|^densecl', path.stem)
]
BANDS = ROOT / 'configs/rsmamba/rsmamba-b_folder-4bands-224px.py'
SCENES = ('baselines', 'rsmamba', 'afmnet', 'vim', 'vmamba')
# of the peers one config of each model: the others differ in the data alone
CLASSIFIERS = [
    path
    for path in CONFIGS
    if path.parent.name in SCENES[:2] or (path.parent.name in SCENES and 'ucmerced' in path.stem)
]
CLASSIFIERS.remove(BANDS)
PEERS = {path.parent.name for path in CONFIGS} - {*SCENES, 'unetmamba'}
OTHERS = [path for path in CONFIGS if path.parent.name in PEERS and path.stem.endswith('_vaihingen224')]
OTHERS += [path for path in CONFIGS if path.stem.endswith('_baseline_vaihingen-512x512')]
WINNER = 1
FAST = ('rsmamba', 'resnet18_ucmerced', 'vim-mini', 'vmamba-mini', 'afmnet-mini')


def small(path: Path):
    """A parameter: the baselines are slow."""
    return pytest.param(path, marks=() if path.stem.startswith(FAST) else pytest.mark.slow)


@pytest.fixture(autouse=True)
def fresh_scope(monkeypatch):
    """As in a new process: mmpretrain's inferencer builds its pipeline in whatever scope is there."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> list[str]:
    """Three images of different sizes and formats."""
    folder = tmp_path_factory.mktemp('files')
    generator = np.random.default_rng(0)
    paths = []
    for name, size in (('a.png', (97, 131)), ('b.jpg', (64, 64)), ('c.tif', (130, 80))):
        cv2.imwrite(str(folder / name), generator.integers(0, 256, (*size, 3), np.uint8))
        paths.append(str(folder / name))
    return paths


def let_class_win(head: torch.nn.Module, classes: int) -> None:
    """Class 1 everywhere, whatever the image."""
    layers = [m for m in head.modules() if getattr(m, 'bias', None) is not None and len(m.bias) == classes]
    assert layers
    for layer in layers:
        torch.nn.init.zeros_(layer.weight)
        layer.bias.data = torch.eye(classes)[WINNER] * 9


def save(model: torch.nn.Module, path: Path, **meta) -> str:
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), path)
    return str(path)


def few(path: Path) -> dict:
    """What to change of a model, that it has few blocks: made anew for each call, which takes from it."""
    backbone = Config.fromfile(path).model.backbone
    if backbone.type == 'AFMNet':
        return dict(
            backbone=dict(num_layers=3, mamba_indices=(0, 1, 2)), head=dict(num_experts=2, inner=8, topk=1)
        )
    changes = few_blocks(backbone)
    if 'arch' in changes and 'arch' in backbone:
        changes['arch']['_delete_'] = True  # a name, which a dict is not merged into
    return dict(backbone=changes)


def classifier(path: Path, folder: Path) -> tuple[str, list[str]]:
    """A checkpoint of a config, and the names of its classes."""
    model = mmpretrain.get_model(str(path), **few(path))
    count = model._config.model.head.num_classes
    let_class_win(model.head, count)
    classes = [f'kind{index}' for index in range(count)]
    return save(model, folder / 'model.pth', classes=classes), classes


@pytest.mark.parametrize('path', [small(path) for path in CLASSIFIERS], ids=lambda path: path.stem)
def test_classifier(path, files, tmp_path):
    checkpoint, classes = classifier(path, tmp_path)
    inferencer = mmpretrain.ImageClassificationInferencer(str(path), checkpoint, 'cpu', **few(path))
    pictures = tmp_path / 'pictures'
    answers = inferencer(files, batch_size=2, show_dir=str(pictures))  # of several sizes
    answers += inferencer(files[0]) + inferencer(cv2.imread(files[0]))
    assert [answer['pred_label'] for answer in answers] == [WINNER] * 5
    assert {answer['pred_class'] for answer in answers} == {'kind1'}
    assert {answer['pred_scores'].shape for answer in answers} == {(len(classes),)}
    assert sorted(picture.name for picture in pictures.iterdir()) == ['a.png', 'b.png', 'c.png']
    # by name
    model = mmpretrain.get_model(path.stem, pretrained=checkpoint, **few(path))
    answer = mmpretrain.inference_model(model, files[0])
    assert answer['pred_class'] == 'kind1' and answer['pred_score'] > 0.9
    (tmp_path / 'model.pth').unlink()


@pytest.mark.parametrize('family', sorted({path.parent.name for path in CONFIGS}))
def test_names_are_listed(family):
    names = mmpretrain.list_models()
    wanted = [path.stem for path in CONFIGS if path.parent.name == family]
    assert wanted and set(wanted) <= set(names)


@pytest.mark.parametrize(
    ('name', 'scenes'), [('rsmamba-b_aid', AID), ('resnet18_ucmerced-128px', UCMerced)], ids=str
)
def test_names_of_classes_without_a_checkpoint(name, scenes, files):
    model = mmpretrain.get_model(name)
    let_class_win(model.head, model.head.num_classes)
    answer = mmpretrain.inference_model(model, files[1])
    assert answer['pred_class'] == scenes.METAINFO['classes'][WINNER]


@pytest.mark.parametrize('path', CLASSIFIERS, ids=lambda path: path.stem)
def test_truncated_image_is_refused(path, files, tmp_path):
    from mmengine.dataset import Compose
    from mmpretrain.registry import TRANSFORMS

    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(Path(files[1]).read_bytes()[:-600])
    assert cv2.imread(str(broken)) is not None  # which is why
    pipeline = Config.fromfile(path).test_dataloader.dataset.pipeline
    pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
    assert pipeline(dict(img_path=files[1]))['inputs'].shape[0] == 3
    with pytest.raises(OSError, match=r'broken\.jpg cannot be read as an 8-bit image .* Fetch it again'):
        pipeline(dict(img_path=str(broken)))


def test_bands(files, tmp_path):
    rasterio = pytest.importorskip('rasterio')
    checkpoint, _ = classifier(BANDS, tmp_path)
    inferencer = mmpretrain.ImageClassificationInferencer(str(BANDS), checkpoint, 'cpu', **few(BANDS))
    raster = str(tmp_path / 'scene.tif')
    bands = np.random.default_rng(0).integers(0, 4000, (4, 60, 70), np.uint16)
    settings = dict(driver='GTiff', count=4, height=60, width=70, dtype='uint16', crs='EPSG:32633')
    settings.update(transform=rasterio.Affine(2.0, 0, 5e5, 0, -2.0, 4e6))
    with rasterio.open(raster, 'w', **settings) as file:
        file.write(bands)
    arrays = [read_bands(raster), np.full((50, 40, 4), 1000, np.float32)]
    assert [answer['pred_class'] for answer in inferencer(arrays, batch_size=2)] == ['kind1'] * 2
    for colours in (files[0], raster, cv2.imread(files[0])):
        with pytest.raises(ValueError, match=r'LoadGeoImage: an array of uint8 .*read_bands\(path\) gives'):
            inferencer(colours)
    with pytest.raises(ValueError, match=r'an array of 5 bands, but the pipeline takes .*\[1, 2, 3, 4\]'):
        inferencer(np.zeros((50, 40, 5), np.float32))


def segmenter(path: Path, folder: Path) -> str:
    """A checkpoint of a config, with a smaller model, whose config is written beside it."""
    from mmseg.apis import init_model

    cfg = Config.fromfile(path)
    shrink(cfg.model)
    cfg.dump(folder / 'config.py')
    model = init_model(str(folder / 'config.py'), device='cpu')
    count = model.decode_head.num_classes
    let_class_win(model.decode_head.conv_seg, count)
    meta = dict(classes=[f'kind{i}' for i in range(count)], palette=[[i, 2 * i, 90] for i in range(count)])
    return save(model, folder / 'model.pth', **meta)


@pytest.mark.parametrize('path', SEGMENTERS, ids=lambda path: path.stem)
def test_segmenter(path, files, tmp_path):
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    checkpoint, config = segmenter(path, tmp_path), str(tmp_path / 'config.py')
    model = init_model(config, checkpoint, device='cpu')
    assert model.dataset_meta['classes'][WINNER] == 'kind1'
    image = cv2.imread(files[0])
    samples = [inference_model(model, files[1]), *inference_model(model, [files[0], files[0]])]
    samples += [inference_model(model, image), *inference_model(model, [image, image])]
    assert {tuple(sample.pred_sem_seg.shape) for sample in samples[1:]} == {(97, 131)}
    assert all((sample.pred_sem_seg.data == WINNER).all() for sample in samples)

    inferencer = MMSegInferencer(config, checkpoint, device='cpu')
    for input in (files[0], image):  # odd sizes
        mask = inferencer(input)['predictions']
        assert mask.shape == (97, 131) and (mask == WINNER).all()
    result = inferencer([image[:64, :96]] * 3, batch_size=2, return_vis=True)
    assert [mask.shape for mask in result['predictions']] == [(64, 96)] * 3
    assert [picture.shape for picture in result['visualization']] == [(64, 96, 3)] * 3
    inferencer([files[0], files[0]], out_dir=str(tmp_path / 'out'))
    assert (cv2.imread(str(tmp_path / 'out/pred/00000005_pred.png'), cv2.IMREAD_GRAYSCALE) == WINNER).all()
    assert cv2.imread(str(tmp_path / 'out/vis/a.png')).shape == (97, 131, 3)
    (tmp_path / 'model.pth').unlink()


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: path.stem)
def test_other_segmenters(path, files, tmp_path):
    """Heads without a bias that a class could win by: all doors give the same map."""
    from mmseg.apis import MMSegInferencer, inference_model, init_model

    cfg = Config.fromfile(path)
    shrink(cfg.model)
    cfg.dump(tmp_path / 'config.py')
    config = str(tmp_path / 'config.py')
    model, count = init_model(config, device='cpu'), cfg.model.decode_head.num_classes
    meta = dict(classes=[f'kind{i}' for i in range(count)], palette=[[i, 2 * i, 90] for i in range(count)])
    checkpoint = save(model, tmp_path / 'model.pth', **meta)
    model, image = init_model(config, checkpoint, device='cpu'), cv2.imread(files[0])
    samples = [inference_model(model, files[0]), *inference_model(model, [image, image])]
    labels = [sample.pred_sem_seg.data[0].numpy() for sample in samples]
    labels.append(MMSegInferencer(config, checkpoint, device='cpu')(files[0])['predictions'])
    assert labels[0].shape == (97, 131) and len(np.unique(labels[0])) > 1
    assert all((one == labels[0]).all() for one in labels)
