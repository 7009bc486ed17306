"""The command lines as a user calls them."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import commands
import pytest
import torch
from mmengine.fileio import load

from rsmamba_mm.apis import prepare_test
from rsmamba_mm.errors import OptionError

CONFIG = 'configs/rsmamba/rsmamba-t_synthetic-128px.py'
MINIATURE = [
    '--cfg-options',
    'train_dataloader.dataset.num_images=8',
    'val_dataloader.dataset.num_images=4',
    'test_dataloader.dataset.num_images=6',
    'train_dataloader.batch_size=4',
    'default_hooks.logger.interval=1',
]


def call(tool, *args) -> None:
    result = commands.call(tool, *args)
    assert result.returncode == 0, result.stdout + result.stderr


def in_process(root, tool, *args) -> str:
    """What a tool says in a process of its own."""
    command = [sys.executable, root / 'tools' / tool, *map(str, args)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def metrics(work_dir: Path) -> dict:
    newest = max(work_dir.glob('*/*.json'), key=lambda path: path.stat().st_mtime)
    return {k: v for k, v in json.loads(newest.read_text()).items() if 'time' not in k}


@pytest.mark.slow
@pytest.mark.smoke
def test_train_resume_and_test_twice(root, tmp_path):
    work_dir = tmp_path / 'run'
    call('train.py', CONFIG, '--work-dir', work_dir, *MINIATURE, 'train_cfg.max_epochs=1')
    assert (work_dir / 'epoch_1.pth').is_file()
    log = in_process(
        root, 'train.py', CONFIG, '--work-dir', work_dir, '--resume', *MINIATURE,
        'train_cfg.max_epochs=2',
    )  # fmt: skip
    assert 'resumed epoch: 1' in log and 'eta:' in log
    checkpoint = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    assert checkpoint['meta']['epoch'] == 2

    figures = []
    for name in ('first', 'second'):
        out = tmp_path / name / 'predictions.pkl'
        call(
            'test.py', CONFIG, work_dir / 'epoch_2.pth', '--work-dir', tmp_path / name,
            '--out', out, *MINIATURE,
        )  # fmt: skip
        scores = torch.stack([sample['pred_score'] for sample in load(out)])
        figures.append((metrics(tmp_path / name), scores))
    assert figures[0][0] == figures[1][0]
    assert torch.equal(figures[0][1], figures[1][1])
    assert scores.shape == (6, 12)

    out = tmp_path / 'tta.pkl'
    call(
        'test.py', CONFIG, work_dir / 'epoch_2.pth', '--tta', '--work-dir', tmp_path / 'tta',
        '--out', out, *MINIATURE,
    )  # fmt: skip
    averaged = torch.stack([sample['pred_score'] for sample in load(out)])
    assert averaged.shape == (6, 12) and not torch.equal(averaged, scores)
    labels = torch.cat([sample['pred_label'] for sample in load(out)])
    assert torch.equal(labels, averaged.argmax(1))


def test_checkpoint_of_another_model_is_refused(root, tmp_path):
    options = dict(config=str(root / CONFIG), work_dir=str(tmp_path), cfg_options=None, launcher='none')
    options.update(local_rank=0, out=None, tta=False, amp=False)
    files = dict(other={'state_dict': {'backbone.conv1.weight': torch.zeros(1)}})
    files['released'] = {'state_dict': {'net.encoder.stem.conv1.weight': torch.zeros(1)}}
    for name, content in files.items():
        torch.save(content, tmp_path / f'{name}.pth')
    (tmp_path / 'broken.pth').write_text('no checkpoint')
    for name, message in dict(
        other=r'other\.pth is of another model: it has 0 of the \d+ tensors of this one$',
        released=r'of this one: a released network is converted by tools/.*released_to_mm\.py',
        broken=r'broken\.pth cannot be read as a checkpoint',
    ).items():
        with pytest.raises(OptionError, match=message):
            prepare_test(Namespace(**options, checkpoint=str(tmp_path / f'{name}.pth')))


def refusal(tool, *args) -> str:
    result = commands.call(tool, *args)
    assert result.returncode == 2
    return result.stderr


def test_refusals(tmp_path):
    message = refusal('train.py', 'configs/nowhere.py')
    assert 'config not found: configs/nowhere.py' in message and 'Traceback' not in message
    message = refusal('test.py', CONFIG, 'nowhere.pth')
    assert 'checkpoint not found: nowhere.pth' in message
    if not torch.cuda.is_available():
        message = refusal('train.py', CONFIG, '--amp', '--amp-dtype', 'float16', '--work-dir', tmp_path)
        assert '--amp: float16 needs a GPU' in message
    message = refusal('train.py', CONFIG, '--amp-dtype', 'bfloat16', '--work-dir', tmp_path)
    assert '--amp-dtype bfloat16 is of --amp: give both' in message


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('train_dataloder.batch_size=8', "has no entry 'train_dataloder'; did you mean train_dataloader"),
        ('model.backbone.arch=giant', "unknown arch 'giant'. Choose from: small, base, large"),
        ('model.backbone.with_cpp=1', "RSMamba has no option 'with_cpp': is it spelt right"),
        ('default_hooks.checkpoint.intervall=1', "SafeCheckpointHook has no option 'intervall'"),
        ('optim_wrapper.optimizer.type=AdamV', 'no optimiser is named AdamV; did you mean Adam'),
        ('load_from=no.pth', 'checkpoint (load_from) not found: no.pth'),
        ('model.head.init_cfg.type=Pretrained', 'model.head.init_cfg: type Pretrained needs'),
    ],
)  # fmt: skip
def test_config_options_are_refused_in_a_sentence(tmp_path, option, said):
    message = refusal('train.py', CONFIG, '--work-dir', tmp_path, '--cfg-options', option)
    assert said in message and message.startswith('train.py: error: '), message


def test_start_that_is_not_there_is_named(tmp_path):
    key = 'model.head.init_cfg'
    options = (f'{key}.type=Pretrained', f'{key}.checkpoint=no.pth')
    message = refusal('train.py', CONFIG, '--work-dir', tmp_path, '--cfg-options', *options)
    assert f'checkpoint ({key}) not found: no.pth (from ' in message


def test_without_data_it_is_said_what_to_do(tmp_path):
    message = refusal(
        'train.py', 'configs/rsmamba/rsmamba-t_ucmerced-128px.py', '--work-dir', tmp_path,
        '--cfg-options', f'data_root={tmp_path}/none',
    )  # fmt: skip
    said = message.splitlines()[-1]
    assert f'no class folders in {tmp_path}/none/Images' in said and 'as downloaded from http' in said
    assert '--cfg-options data_root=FOLDER' in said and 'split_scenes.py ucmerced FOLDER' in said
    assert 'Traceback' not in message


@pytest.mark.slow
@pytest.mark.smoke
def test_segmenter_with_and_without_augmentation(tmp_path):
    config = 'configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py'
    call('train.py', config, '--work-dir', tmp_path, *MINIATURE, 'train_cfg.max_epochs=1')
    checkpoint, figures = tmp_path / 'epoch_1.pth', []
    for options in ((), (), ('--tta',)):
        work_dir = tmp_path / str(len(figures))
        call('test.py', config, checkpoint, '--work-dir', work_dir, *options, *MINIATURE)
        figures.append(metrics(work_dir))
        for name in ('predictions.png', 'classes.csv'):
            assert len(list(work_dir.glob(f'*/{name}'))) == 1
    assert figures[0] == figures[1] != figures[2]
    assert {'mIoU', 'mFscore', 'aAcc', 'IoU.building'} <= set(figures[2])
