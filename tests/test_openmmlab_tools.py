"""The tools of mmpretrain and mmseg through ``python -m rsmamba_mm.run``, on checkpoints they trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.fileio import load

from rsmamba_mm.datasets import SCENE_CLASSES, render_scene
from rsmamba_mm.run import find_tool, main

pytest.importorskip('mmpretrain')
pytest.importorskip('mmseg')

ROOT = Path(__file__).parents[1]
SCENES = ROOT / 'configs/rsmamba/rsmamba-t_synthetic-128px.py'
LAND_COVER = ROOT / 'configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py'
MINIATURE = [
    '--cfg-options',
    'train_dataloader.dataset.num_images=4',
    'val_dataloader.dataset.num_images=4',
    'test_dataloader.dataset.num_images=4',
    'train_dataloader.batch_size=2',
    'train_cfg.max_epochs=1',
    'default_hooks.logger.interval=1',
]
PICTURES = ['000000_beach.png', '000001_crop_field.png', '000002_crossroads.png', '000003_forest.png']

slow = pytest.mark.slow
smoke = pytest.mark.smoke


@pytest.fixture(scope='session')
def tool(tmp_path_factory):
    """Call a tool, and give what it said."""
    folder = tmp_path_factory.mktemp('calls')  # some write a file where they are called

    def call(*arguments) -> str:
        result = subprocess.run(
            [sys.executable, '-m', 'rsmamba_mm.run', *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'MPLBACKEND': 'Agg'},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    return call


@pytest.fixture(scope='session')
def scenes(tool, tmp_path_factory) -> Path:
    """Work folder of a classifier that mmpretrain's own tool trained."""
    folder = tmp_path_factory.mktemp('scenes')
    tool('mmpretrain::train', SCENES, '--work-dir', folder, *MINIATURE)
    return folder


@pytest.fixture(scope='session')
def land_cover(tool, tmp_path_factory) -> Path:
    """Work folder of a segmenter that mmseg's own tool trained."""
    folder = tmp_path_factory.mktemp('land_cover')
    tool('mmseg::train', LAND_COVER, '--work-dir', folder, *MINIATURE)
    return folder


def log(folder: Path) -> Path:
    return next(folder.glob('*/vis_data/scalars.json'))


def sizes(folder: Path) -> dict:
    return {path.name: cv2.imread(str(path)).shape for path in folder.rglob('*.png')}


class TestMMPretrain:
    pytestmark = slow

    @smoke
    def test_train(self, scenes):
        lines = [json.loads(line) for line in log(scenes).read_text().splitlines()]
        assert [line['step'] for line in lines] == [1, 2, 1]
        assert lines[1]['loss'] > 0 and 0 <= lines[2]['accuracy/top1'] <= 100
        meta = torch.load(scenes / 'epoch_1.pth', map_location='cpu', weights_only=False)['meta']
        assert tuple(meta['dataset_meta']['classes']) == SCENE_CLASSES

    @smoke
    def test_test(self, tool, scenes, tmp_path):
        out = tmp_path / 'o.pkl'
        arguments = ['--out', out, '--work-dir', tmp_path, *MINIATURE]
        assert 'accuracy/top1' in tool('mmpretrain::test', SCENES, scenes / 'epoch_1.pth', *arguments)
        predictions = load(out)
        assert [each['gt_label'].item() for each in predictions] == [0, 1, 2, 3]
        assert all(each['pred_score'].shape == (12,) for each in predictions)

    def test_print_config(self, tool):
        said = tool('mmpretrain::print_config', SCENES, *MINIATURE)
        assert "type='RSMamba'" in said and 'num_images=4' in said and 'num_images=3600' not in said

    @pytest.mark.parametrize('mode', ['transformed', 'pipeline'])
    def test_browse_dataset(self, tool, tmp_path, mode):
        tool(
            'mmpretrain::browse_dataset', SCENES, '-o', tmp_path, '-n', 2, '--not-show', '-m', mode,
            *MINIATURE,
        )  # fmt: skip
        assert sorted(sizes(tmp_path)) == PICTURES[:2]
        assert all(min(size[:2]) > 128 for size in sizes(tmp_path).values())

    def test_get_flops(self, tool):
        said = tool('mmpretrain::get_flops', SCENES, '--shape', 128, 128)
        assert 'Input shape: (3, 128, 128)' in said and 'Params: 0.172M' in said
        assert 'Flops: 28.73M' in said  # with the scans, 6.88M

    def test_analyze_logs(self, tool, scenes, tmp_path):
        seconds = tool('mmpretrain::analyze_logs', 'cal_train_time', log(scenes))
        assert 'slowest epoch 1' in seconds and 's/iter' in seconds and 'nan' not in seconds
        out = tmp_path / 'curve.png'
        tool('mmpretrain::analyze_logs', 'plot_curve', log(scenes), '--keys', 'loss', '--out', out)
        assert cv2.imread(str(out)).std() > 1

    def test_vis_cam(self, tool, scenes, tmp_path):
        pytest.importorskip('pytorch_grad_cam')
        image, out = tmp_path / 'scene.png', tmp_path / 'cam.png'
        cv2.imwrite(str(image), render_scene('runway', 128).image)
        tool(
            'mmpretrain::vis_cam', image, SCENES, scenes / 'epoch_1.pth', '--save-path', out,
            '--device', 'cpu', '--target-layers', 'backbone.ln1', '--target-category', 1, '--vit-like',
        )  # fmt: skip
        assert sizes(tmp_path)['cam.png'] == (128, 128, 3)

    def test_publish_model(self, tool, scenes, tmp_path):
        tool('mmpretrain::publish_model', scenes / 'epoch_1.pth', tmp_path / 'model.pth')
        published = torch.load(next(tmp_path.glob('model_*.pth')), map_location='cpu')
        assert set(published) == {'meta', 'state_dict'}
        assert 'backbone.patch_embed.projection.weight' in published['state_dict']


class TestMMSeg:
    pytestmark = slow

    @smoke
    def test_train(self, land_cover):
        lines = [json.loads(line) for line in log(land_cover).read_text().splitlines()]
        assert [line['step'] for line in lines] == [1, 2, 1]
        assert lines[1]['aux.loss_ce'] > 0 and 0 <= lines[2]['mIoU'] <= 100

    @smoke
    def test_test(self, tool, land_cover, tmp_path):
        out = tmp_path / 'masks'
        arguments = ['--out', out, '--work-dir', tmp_path / 'run', *MINIATURE]
        assert 'mIoU' in tool('mmseg::test', LAND_COVER, land_cover / 'epoch_1.pth', *arguments)
        assert sizes(out) == dict.fromkeys(PICTURES, (128, 128, 3))
        assert cv2.imread(str(out / PICTURES[0])).max() < 8

    def test_print_config(self, tool):
        said = tool('mmseg::print_config', LAND_COVER, *MINIATURE)
        assert "type='MambaSegDecoder'" in said and 'num_images=4' in said

    @pytest.mark.parametrize('name', ['analysis_tools', 'misc'])
    def test_browse_dataset(self, tool, tmp_path, name):
        name = f'mmseg::{name}/browse_dataset.py'
        tool(name, LAND_COVER, '--output-dir', tmp_path, '--not-show', *MINIATURE)
        found = {name.removesuffix('_0.png'): size for name, size in sizes(tmp_path).items()}
        assert found == dict.fromkeys(PICTURES, (128, 128, 3))

    def test_get_flops(self, tool):
        said = tool('mmseg::get_flops', LAND_COVER, '--shape', 128, 128)
        assert 'Input shape: (128, 128)' in said and 'Flops: 1.3' in said and 'Params: 13.8' in said

    def test_analyze_logs(self, tool, land_cover, tmp_path):
        pytest.importorskip('seaborn')
        out = tmp_path / 'curve.png'
        tool('mmseg::analyze_logs', log(land_cover), '--keys', 'loss', '--out', out)
        assert cv2.imread(str(out)).std() > 1

    def test_publish_model(self, tool, land_cover, tmp_path):
        tool('mmseg::publish_model', land_cover / 'epoch_1.pth', tmp_path / 'model.pth')
        published = torch.load(next(tmp_path.glob('model-*.pth')), map_location='cpu')
        assert 'optimizer' not in published and 'decode_head.conv_seg.weight' in published['state_dict']


@slow
@smoke
def test_own_script(tool, tmp_path):
    (tmp_path / 'neighbour.py').write_text("from mmengine.registry import MODELS\nname = 'RSMamba'\n")
    (tmp_path / 'script.py').write_text(
        'import sys\nfrom neighbour import MODELS, name\n'
        "if __name__ == '__main__':\n    print(MODELS.get(name).__module__, sys.argv[1:])\n"
    )
    said = tool(tmp_path / 'script.py', '--option', 'value')
    assert "rsmamba_mm.models.backbones.rsmamba ['--option', 'value']" in said


def test_list(capsys):
    main([])
    listed = capsys.readouterr().out.split()
    assert {'mmpretrain::test.py', 'mmseg::misc/print_config.py', 'rsmamba_mm::train.py'} <= set(listed)


def test_own_tools(root):
    assert find_tool('rsmamba_mm::split_scenes') == root / 'tools/dataset_converters/split_scenes.py'
    assert find_tool('rsmamba_mm::test') == root / 'tools/test.py'


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('mmdet::train', r"mmdet::train: tools are of mmpretrain, mmseg, rsmamba_mm, not of 'mmdet'"),
        (
            'mmseg::nothing',
            r'mmseg::nothing is not there; these are:\n  mmseg::analysis_tools/anal',
        ),
        (
            'mmseg::browse_dataset',
            r'may be one of several:\n  mmseg::analysis_tools/browse_dataset.py\n  mmseg::misc/browse_dat',
        ),
        ('nowhere.py', r'no script nowhere.py; a tool of OpenMMLab is named as mmpretrain::get_flops'),
    ],
)
def test_no_such_tool(name, message):
    with pytest.raises(SystemExit, match=message):
        main([name])
