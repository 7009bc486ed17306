"""Each kind of bad input is named, by the check of all files and by a training that stops."""

import os
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import commands
import numpy as np
import pytest
from mmengine.registry import DATASETS

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')
pytest.importorskip('rasterio')

import bad_input
from bad_input import ACCEPTED, CASES, RUNS

from rsmamba_mm.apis.preflight import check_work_dir
from rsmamba_mm.datasets.checking import build_leaf, check_dataset, describe
from rsmamba_mm.engine import CheckDataHook
from rsmamba_mm.engine.exact_resume import SeededDataset
from rsmamba_mm.errors import UserError


def faults_of(config: dict, decode: bool) -> str:
    """What is said of a data set, built or not."""
    try:
        dataset, _ = build_leaf(config)
    except UserError as error:
        return str(error)
    processes = int(config['pipeline'][0]['type'] == 'LoadOddImage')
    checked = check_dataset(dataset, decode, train=True, workers=processes, timeout=1)
    return describe(checked.faults, 'it') if checked.faults else ''


def train(config: dict) -> None:
    """As far as the first step of a run would come."""
    dataset, _ = build_leaf(config)
    loader = SimpleNamespace(dataset=SeededDataset(dataset, 0))
    CheckDataHook().before_train(SimpleNamespace(train_dataloader=loader, val_loop=None, cfg={}))


def check_case(name: str, folder: Path) -> None:
    case = CASES[name]
    bad_input.good(folder, case.data)
    config = bad_input.config(case.data, folder, case.options)
    case.write(folder)
    said = faults_of(config, decode=True)
    assert re.search(case.says, said, re.DOTALL), said
    assert said.count('\n  ') in (0, case.faults), said
    if case.early:
        with pytest.raises(UserError, match=f'(?s){case.says}'):
            train(config)
    else:
        assert faults_of(config, decode=False) == ''


def check_run(name: str, folder: Path) -> None:
    run, says = RUNS[name]
    with pytest.raises(UserError, match=f'(?s){says}'):
        run(folder)


@pytest.mark.parametrize('name', CASES)
def test_bad_data_are_named(name, tmp_path):
    check_case(name, tmp_path)


@pytest.mark.parametrize('name', RUNS)
def test_bad_runs_are_named(name, tmp_path):
    check_run(name, tmp_path)


@pytest.mark.parametrize('name', ACCEPTED)
def test_other_data_are_read_right(name, tmp_path):
    data, write, expected = ACCEPTED[name]
    bad_input.good(tmp_path, data)
    write(tmp_path)
    config = bad_input.config(data, tmp_path)
    assert faults_of(config, decode=True) == ''
    train(config)
    if expected is not None:
        dataset, _ = build_leaf(config)
        paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
        image = dataset[next(i for i, path in enumerate(paths) if 'more' in path)]['img'][..., ::-1]
        assert np.abs(image.astype(int) - expected().astype(int)).max() <= 8


def said_to_another_user(check) -> str:
    """What is said to a user who is not root, whom nothing stops."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        said = 'nothing'
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            said = check() or 'nothing'
        except Exception as error:
            said = f'{type(error).__name__}: {error}'
        finally:
            os.write(theirs, said.encode())
            os._exit(0)
    os.close(theirs)
    os.waitpid(child, 0)
    with open(ours) as file:
        return file.read()


PERMISSIONS = {
    'image': ('forest/0.png', 0o000, r'0\.png: not permitted: this user may not read it: chmod a\+r'),
    'class folder': ('forest', 0o000, r'forest cannot be listed by this user \(Perm.*chmod a\+rx'),
    'list': ('list.txt', 0o000, r'list\.txt: list: it cannot be read \(Permission denied\)'),
    'work dir': ('run', 0o555, r'run cannot be written \(Permission denied\): give another --work-dir'),
}  # fmt: skip


@pytest.mark.skipif(sys.platform != 'linux', reason='processes are forked')
@pytest.mark.parametrize('name', PERMISSIONS)
def test_permissions(name):
    place, mode, says = PERMISSIONS[name]
    with tempfile.TemporaryDirectory() as folder:  # that of pytest is closed to others
        root = Path(folder)
        root.chmod(0o755)
        bad_input.good(root, 'scenes')
        (root / 'run').mkdir()
        (root / 'list.txt').write_text('forest/0.png\nriver/0.png\nroad/0.png\n')
        config = bad_input.config('scenes', root, dict(ann_file='list.txt') if name == 'list' else {})

        def check() -> str:
            if name == 'work dir':
                check_work_dir(str(root / 'run'))
            return faults_of(config, decode=True)

        assert check() == ''  # and what is imported on the way is
        (root / place).chmod(mode)
        said = said_to_another_user(check)
        (root / place).chmod(0o755)
        assert re.search(says, said), said


CONFIG = """
_base_ = '{root}/configs/rsmamba/rsmamba-t_folder-128px.py'
custom_hooks = [dict(type='CheckDataHook')]
experiment_name = '{name}'  # two in a second would share a log
model = dict(
    backbone=dict(
        arch=dict(embed_dims=16, num_layers=1, feedforward_channels=16),
        img_size=16,
        patch_size=8,
        init_cfg=None,
    ),
    head=dict(in_channels=16, num_classes=3),
)
data_preprocessor = dict(num_classes=3)
load = [dict(type='LoadSceneImage'), dict(type='Resize', scale=(16, 16)), dict(type='PackInputs')]
images = dict(_delete_=True, type='SceneFolder', data_root='{folder}', pipeline=load)
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(images, {train})
)
val_dataloader = val_cfg = val_evaluator = None
test_dataloader = dict(num_workers=0, dataset=images)
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(save_best=None))
"""


@pytest.fixture
def faulty(root, tmp_path) -> Path:
    """A config whose data have a list, with four faults: of a list, a header, pixels and a label."""
    data = tmp_path / 'data'
    data.mkdir()
    bad_input.good(data, 'scenes')
    for name in ('text', 'cut PNG', 'two labels by a copy'):
        CASES[name].write(data)
    (data / 'forest/bad.png').rename(data / 'forest/cut.png')
    (data / 'list.txt').write_text(
        ''.join(f'{p.parent.name}/{p.name}\n' for p in sorted(data.rglob('*.*g'))) + 'forest/gone.png\n'
    )
    config = tmp_path / 'config.py'
    config.write_text(
        CONFIG.format(root=root, folder=data, name=tmp_path.name, train="ann_file='list.txt'")
    )
    return config


def test_all_faults_at_once_and_a_clean_list(faulty, tmp_path):
    done = commands.call(
        'check_dataset.py', faulty, '--split', 'train', '--workers', 2, '--clean-list', tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert 'SceneFolder (train): 9 samples, 4 faults' in done.stdout
    for line in (
        'missing (1):', "list.txt:10: 'forest/gone.png' is listed but there is no such image",
        'no image (1):', 'forest/bad.jpg: it is a text: fetch it again, or leave it out',
        'truncated (1):', 'forest/cut.png: its end is missing',
        'two labels (1):', 'river/bad.png: it is the same image as',
        f'clean list of 6 samples: {tmp_path}/train.txt',
    ):  # fmt: skip
        assert line in done.stdout, done.stdout
    assert '9 of 9' in done.stderr
    clean = ['--split', 'train', '--cfg-options', f'train_dataloader.dataset.ann_file={tmp_path}/train.txt']
    done = commands.call('check_dataset.py', faulty, *clean)
    assert done.returncode == 0 and 'SceneFolder (train): 6 samples, 0 faults' in done.stdout
    done = commands.call('check_dataset.py', faulty, '--workers', 0)
    assert done.returncode == 2 and '--workers is at least 1' in done.stderr


@pytest.mark.parametrize('data', ['list', 'names', 'maps', 'json'])
def test_clean_lists_of_other_data_sets(data, tmp_path):
    from rsmamba_mm.datasets.checking import write_clean_list

    bad_input.good(tmp_path, data)
    config = bad_input.config(data, tmp_path)
    dataset, _ = build_leaf(config)
    path = write_clean_list(config, dataset, {0}, tmp_path / 'clean/list.txt')
    again, _ = build_leaf(dict(config, ann_file=str(path)))
    kept = [dataset.get_data_info(i)['img_path'] for i in range(1, len(dataset))]
    assert [os.path.relpath(again.get_data_info(i)['img_path'], tmp_path) for i in range(len(again))] == [
        os.path.relpath(path, tmp_path) for path in kept
    ]


def test_training_stops_before_the_first_step(faulty, tmp_path):
    done = commands.call('train.py', faulty, '--work-dir', tmp_path / 'run')
    assert done.returncode == 2 and "list.txt:10: missing: 'forest/gone.png' is listed" in done.stderr
    listing = tmp_path / 'data/list.txt'
    listing.write_text(listing.read_text().replace('forest/gone.png\n', ''))
    done = commands.call('train.py', faulty, '--work-dir', tmp_path / 'run')
    assert done.returncode == 2 and 'a fault in the train data:' in done.stderr
    assert 'forest/bad.jpg: no image: it is a text' in done.stderr
    assert (
        f'python tools/check_dataset.py {faulty} --split train, or leave them out: --skip-faulty'
        in done.stderr
    )
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_faulty_samples_are_skipped_and_counted(faulty, tmp_path):
    done = commands.call('train.py', faulty, '--work-dir', tmp_path / 'run', '--skip-faulty')
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['epoch_1.pth']
    (log,) = (tmp_path / 'run').glob('*/*.log')
    said = log.read_text()
    assert 'SceneFolder: 4 of 10 samples are left out. 4 faults in them' in said
    for name in ('list.txt:10: missing', 'forest/bad.jpg', 'forest/cut.png', 'river/bad.png'):
        assert name in said


def test_data_are_whole_after_skipping(tmp_path):
    bad_input.good(tmp_path, 'scenes')
    CASES['text'].write(tmp_path)  # the only .jpg
    inner = bad_input.config('scenes', tmp_path)
    dataset = DATASETS.build(dict(type='SkipFaulty', dataset=inner, workers=1))
    assert len(dataset) == 6 and check_dataset(dataset, train=True).faults == []


def test_samples_are_skipped_inside_of_wrappers(tmp_path):
    """Mosaics draw from the inner data set, which is the one that has fewer samples."""
    bad_input.good(tmp_path, 'maps')
    CASES['mask of another size'].write(tmp_path)
    inner = dict(type='rsmamba_mm.SkipFaulty', dataset=bad_input.config('maps', tmp_path), workers=1)
    mosaic = dict(type='NativeMosaic', prob=1, size=16)
    mixed = DATASETS.build(dict(type='mmseg.MultiImageMixDataset', dataset=inner, pipeline=[mosaic]))
    assert len(mixed) == 2 and mixed[1]['gt_seg_map'].shape == (16, 16)
    assert check_dataset(mixed).faults == []
    for path in (tmp_path / 'img').iterdir():
        path.write_bytes(b'')
    with pytest.raises(UserError, match=r'BaseSegDataset, of which nothing is left \(3 empty file'):
        DATASETS.build(inner)


def test_a_check_that_takes_too_long_says_so(tmp_path):
    bad_input.good(tmp_path, 'scenes')
    dataset, _ = build_leaf(bad_input.config('scenes', tmp_path))
    checked = check_dataset(dataset, time_limit=-1.0)
    assert (checked.faults, checked.samples) == ([], 6) and checked.checked == 6  # a block is done
    warnings = []
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset), val_loop=None, cfg={},
        logger=SimpleNamespace(warning=warnings.append),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('rsmamba_mm.datasets.checking.check._BLOCK', 2)
        CheckDataHook(time_limit=0.0).before_train(runner)
    assert re.search(r'train data: 2 of 6 samples were checked in 0 s.*check_dataset\.py', warnings[0])


@pytest.mark.reliability
def test_every_kind(tally, tmp_path):
    if not tally.times(0, 1, 1):
        return  # each has a test of its own
    for number, (name, check) in enumerate(
        [*((name, check_case) for name in CASES), *((name, check_run) for name in RUNS)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        check(name, folder)
    for name in PERMISSIONS:
        test_permissions(name)
    tally.record(
        'Bad input',
        'kinds of files, masks, lists, configs, checkpoints and folders that are bad',
        len(CASES) + len(RUNS) + len(PERMISSIONS),
        'each is named in a sentence that says what to do',
    )
