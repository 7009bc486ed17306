"""Pictures and maps that hooks make of single images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from PIL import Image

from rsmamba_mm.engine import LandCoverMapHook, LandCoverVisualizationHook, SceneVisualizationHook
from rsmamba_mm.errors import OptionError

CLASSES, PALETTE = ('grass', 'road'), [[0, 255, 0], [0, 0, 255]]
PATHS = ['data/east/a.png', 'data/west/a.png', 'data/west/b.png']


class Images:
    """A data set as the hooks see it."""

    def __init__(self, paths=PATHS, **metainfo):
        self.paths, self.metainfo = paths, dict(classes=CLASSES, **metainfo)

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def share(picture: np.ndarray, *colour) -> float:
    return (abs(picture - colour) <= 2).all(-1).mean()


def scene(path: str, label: int | None = 1, **meta) -> BaseDataElement:
    sample = BaseDataElement(metainfo=dict(img_path=path, **meta))
    sample.pred_score = torch.tensor([0.9, 0.1])
    if label is not None:
        sample.gt_label = torch.tensor([label])
    return sample


def mapped(path: str, prediction, truth=None, **meta) -> BaseDataElement:
    sample = BaseDataElement(metainfo=dict(img_path=path, **meta))
    sample.pred_sem_seg = PixelData(data=torch.as_tensor(prediction)[None])
    if truth is not None:
        sample.gt_sem_seg = PixelData(data=torch.as_tensor(truth)[None])
    return sample


def watch(hook, dataset, *batches):
    """Let a hook see a test."""
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=dataset), logger=SimpleNamespace(info=print)
    )
    hook.before_test_epoch(runner)
    for index, (inputs, samples) in enumerate(batches):
        hook.after_test_iter(runner, index, dict(inputs=inputs, data_samples=samples), samples)
    hook.after_test_epoch(runner)


def solid(*bands, dtype=torch.uint8) -> torch.Tensor:
    """An image of one colour, 64 by 64."""
    return torch.tensor(bands, dtype=dtype)[:, None, None].repeat(1, 64, 64)


def test_scenes_of_any_bands(tmp_path):
    hook = SceneVisualizationHook(enable=True, interval=1, out_dir=str(tmp_path), topk=2)
    red = torch.stack([solid(0, 0, 200), solid(0, 0, 200)])  # blue, green, red
    bands = torch.arange(4 * 64 * 64).view(4, 64, 64).float()
    watch(
        hook,
        Images(),
        (red, [scene(PATHS[0]), scene(PATHS[1], label=0)]),
        (bands[None], [scene(PATHS[2], label=None)]),
    )
    wrong, right, unknown = (pixels(tmp_path / name) for name in ('east/a.png', 'west/a.png', 'west/b.png'))
    assert share(wrong, 200, 0, 0) > 0.4
    bars = dict(wrong=(198, 40, 40), right=(46, 125, 50), unknown=(21, 101, 192))
    for picture, name in ((wrong, 'wrong'), (right, 'right'), (unknown, 'unknown')):
        assert share(picture, *bars[name]) > 0.005
    assert share(right, *bars['wrong']) == share(unknown, *bars['wrong']) == 0


def test_every_second_scene_and_none(tmp_path):
    batches = [(torch.stack([solid(0, 0, 9)]), [scene(path)]) for path in PATHS]
    watch(SceneVisualizationHook(out_dir=str(tmp_path)), Images(), *batches)
    assert not list(tmp_path.iterdir())
    watch(SceneVisualizationHook(True, 2, out_dir=str(tmp_path)), Images(), *batches)
    assert sorted(path.stem for path in tmp_path.rglob('*.png')) == ['a', 'b']


def test_augmented_scenes_are_not_shown_mirrored(tmp_path):
    views = [[solid(0, 0, 200)], [solid(200, 0, 0)]]
    samples = [[scene('b.png', flip=True)], [scene('b.png', flip=False)]]
    hook = SceneVisualizationHook(enable=True, interval=1, out_dir=str(tmp_path))
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=Images(['b.png'])))
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, dict(inputs=views, data_samples=samples), [scene('b.png')])
    assert share(pixels(tmp_path / 'b.png'), 0, 0, 200) > 0.4


def test_land_cover_at_the_size_of_the_prediction(tmp_path):
    prediction, truth = np.zeros((300, 320), int), np.zeros((300, 320), int)
    prediction[:, 160:], truth[:100] = 1, 255
    hook = LandCoverVisualizationHook(draw=True, out_dir=str(tmp_path), opacity=1)
    samples = [mapped(PATHS[0], prediction, truth), mapped(PATHS[2], prediction)]
    watch(hook, Images(palette=PALETTE), ([solid(0, 0, 200), solid(0, 0, 200)], samples))
    full, alone = pixels(tmp_path / 'east/a.png'), pixels(tmp_path / 'west/b.png')
    top = 24
    image, truth, predicted = (full[top : top + 300, x : x + 320] for x in (0, 328, 656))
    assert full.shape[1] == 976 and alone.shape[1] == 648
    assert share(image, 200, 0, 0) == 1
    assert share(truth[:100], 200, 0, 0) == 1 and share(truth[100:], 0, 255, 0) == 1
    assert share(predicted[:, :160], 0, 255, 0) == 1 and share(predicted[:, 160:], 0, 0, 255) == 1
    assert (alone[top : top + 300, 328:] == predicted).all()
    assert full.shape[0] > top + 300  # the legend


def test_validations_bear_their_step(tmp_path):
    hook = LandCoverVisualizationHook(draw=True, interval=1, out_dir=str(tmp_path))
    dataset = Images(['b.png'], palette=PALETTE)
    runner = SimpleNamespace(
        val_dataloader=SimpleNamespace(dataset=dataset), _train_loop=None, iter=70, epoch=0
    )
    hook.before_val_epoch(runner)
    sample = mapped('b.png', np.zeros((64, 64), int))
    hook.after_val_iter(runner, 0, dict(inputs=[solid(1, 2, 3)], data_samples=[sample]), [sample])
    assert [path.name for path in tmp_path.iterdir()] == ['b_70.png']


@pytest.mark.parametrize('shifted', [False, True])
def test_maps(tmp_path, shifted):
    prediction = np.arange(64 * 64).reshape(64, 64) % 2
    batch = ([None] * 3, [mapped(path, prediction, reduce_zero_label=shifted) for path in PATHS])
    for name, options in dict(labels={}, zero=dict(from_zero=True), rgb=dict(rgb=True)).items():
        watch(LandCoverMapHook(str(tmp_path / name), **options), Images(palette=PALETTE), batch)
    for path in ('east/a.png', 'west/a.png', 'west/b.png'):
        assert (pixels(tmp_path / 'labels' / path) == prediction + shifted).all()
        assert (pixels(tmp_path / 'zero' / path) == prediction).all()
        assert (pixels(tmp_path / 'rgb' / path) == np.array(PALETTE)[prediction]).all()


def test_refusals(tmp_path):
    with pytest.raises(OptionError, match='coloured maps: Images has no palette'):
        watch(LandCoverMapHook(str(tmp_path), rgb=True), Images())
    for hook in (SceneVisualizationHook, LandCoverVisualizationHook):
        with pytest.raises(ValueError, match=f'{hook.__name__}: interval must be at least 1, got 0'):
            hook(interval=0)
    with pytest.raises(ValueError, match='opacity is from 0 to 1, got 2'):
        LandCoverVisualizationHook(opacity=2)
    with pytest.raises(ValueError, match='topk must be at least 1, got 0'):
        SceneVisualizationHook(topk=0)
