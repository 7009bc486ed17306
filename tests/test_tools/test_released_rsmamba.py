"""Checkpoints of RSMamba in the released format name what their heads were built to name."""

import re

import cv2
import numpy as np
import pytest
import torch
from commands import call
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.runner import Runner

import rsmamba_mm.datasets
import rsmamba_mm.models
from rsmamba_mm.errors import OptionError

pytest.importorskip('mmpretrain')
from mmpretrain import ImageClassificationInferencer, get_model

CONFIGS = dict(ucmerced='UCMerced', aid='AID', resisc45='RESISC45')
# wide enough that a head can tell 45 images apart
SMALL = dict(embed_dims=64, num_layers=2, feedforward_channels=128)
# one class and the one before it in each released order, as the authors' code lists them
RELEASED = dict(
    ucmerced=('harbor', 'parkinglot', 'denseresidential'),
    aid=('Port', 'Square', 'Beach'),
    resisc45=('river', 'terrace', 'roundabout'),
)


class Released:
    """One image a class, a model, and files whose heads name the images."""

    def __init__(self, root, name: str, folder) -> None:
        self.folder, self.classes = folder, getattr(rsmamba_mm, CONFIGS[name]).METAINFO['classes']
        self.config = root / f'configs/rsmamba/rsmamba-b_{name}.py'
        generator = np.random.default_rng(0)
        lines = []
        for label in sorted(self.classes):
            (folder / label).mkdir()
            image = generator.integers(0, 256, (8, 8, 3), np.uint8).repeat(32, 0).repeat(32, 1)
            cv2.imwrite(str(folder / label / f'{label}0.png'), image)
            lines.append(f'{label}/{label}0.png\n')
        for part in ('train', 'val'):
            (folder / f'{part}.txt').write_text(''.join(lines))
        self.options = dict(data_root=str(folder))
        cfg = self.cfg()
        init_default_scope('mmpretrain')
        torch.manual_seed(0)
        self.model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).eval()
        self.dataset = DATASETS.build(cfg.test_dataloader.dataset)
        batch = self.model.data_preprocessor(
            dict(inputs=torch.stack([self.dataset[i]['inputs'] for i in range(len(self.dataset))]))
        )
        with torch.no_grad():
            self.features = self.model.extract_feat(batch['inputs'])[0]

    def cfg(self) -> Config:
        cfg = Config.fromfile(self.config)
        cfg.model.backbone.arch, cfg.model.backbone.img_size = SMALL, 64
        cfg.model.backbone.patch_cfg = dict(stride=16)
        cfg.model.head.in_channels = 64
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False, batch_size=16)
            loader.dataset.data_root = str(self.folder)
        cfg.custom_hooks = [dict(type='CheckClassesHook')]  # no reports
        cfg.work_dir = str(self.folder / 'work_dir')
        return cfg

    def save(self, path, order, meta: dict | None) -> str:
        """A file whose row i answers to the image of class ``order[i]`` alone."""
        labels = self.dataset.get_gt_labels()
        image_of = {self.classes[label]: index for index, label in enumerate(labels)}
        head = torch.linalg.pinv(self.features.double().T)  # head @ features.T is the identity
        state_dict = dict(self.model.state_dict())
        state_dict['head.fc.weight'] = 10 * head[[image_of[name] for name in order]].float()
        state_dict['head.fc.bias'] = torch.zeros(len(order))
        torch.save(dict(state_dict=state_dict, **({} if meta is None else dict(meta=meta))), path)
        return str(path)

    def accuracy(self, checkpoint: str) -> float:
        cfg = self.cfg()
        cfg.load_from = checkpoint
        return round(Runner.from_cfg(cfg).test()['accuracy/top1'], 2)

    def named_right(self, checkpoint: str) -> bool:
        """By the inferencer, on files."""
        inferencer = ImageClassificationInferencer(self.cfg(), checkpoint, device='cpu')
        paths = [self.dataset.get_data_info(i)['img_path'] for i in range(len(self.dataset))]
        named = [result['pred_class'] for result in inferencer(paths, batch_size=8)]
        return named == [path.split('/')[-2] for path in paths]


@pytest.fixture(scope='module', params=CONFIGS)
def released(request, root, tmp_path_factory):
    return Released(root, request.param, tmp_path_factory.mktemp(request.param))


def test_order_of_the_rows(released):
    known = RELEASED[released.config.stem.split('_')[1]]
    assert (*released.classes[:2], released.classes[-1]) == known


@pytest.mark.parametrize('kind', ['without_names', 'sorted_names'])
def test_every_image_gets_its_name(released, kind, tmp_path):
    order = sorted(released.classes) if kind == 'sorted_names' else released.classes
    meta = dict(epoch=500, dataset_meta=dict(classes=list(order)))
    checkpoint = released.save(tmp_path / 'x.pth', order, None if kind == 'without_names' else meta)
    assert released.accuracy(checkpoint) == 100
    assert released.named_right(checkpoint)
    model = get_model(released.cfg(), checkpoint)
    assert tuple(model._dataset_meta['classes']) == tuple(order)


@pytest.mark.parametrize('released', ['ucmerced'], indirect=True)
def test_a_wrong_order_does_not_pass(released, tmp_path):
    """What the other tests rely on."""
    wrong = [*released.classes[1:], released.classes[0]]
    checkpoint = released.save(tmp_path / 'x.pth', wrong, None)
    assert released.accuracy(checkpoint) == 0 and not released.named_right(checkpoint)


@pytest.mark.parametrize('released', ['ucmerced'], indirect=True)
def test_other_classes_are_refused(released, tmp_path):
    names = ['volcano', *released.classes[1:]]
    meta = dict(dataset_meta=dict(classes=names))
    checkpoint = released.save(tmp_path / 'x.pth', released.classes, meta)
    message = (
        rf'x\.pth was trained for other classes.*only in the checkpoint \({len(names)} classes\): volcano; '
        rf'only in the data set \({len(names)} classes\): {released.classes[0]}\. Test it with its own data'
    )
    with pytest.raises(OptionError, match=message):
        released.accuracy(checkpoint)


def test_the_tool_refuses_another_data_sets_checkpoint(root, tmp_path):
    """Of another number of classes too: before any of it is loaded."""
    from argparse import Namespace

    from rsmamba_mm.apis import prepare_test

    config = root / 'configs/rsmamba/rsmamba-t_synthetic-128px.py'
    model = MODELS.build(Config.fromfile(config).model)
    state_dict = dict(model.state_dict())
    state_dict['head.fc.weight'], state_dict['head.fc.bias'] = torch.zeros(2, 64), torch.zeros(2)
    meta = dict(dataset_meta=dict(classes=['beach', 'volcano']))
    torch.save(dict(state_dict=state_dict, meta=meta), tmp_path / 'x.pth')
    args = dict(config=str(config), checkpoint=str(tmp_path / 'x.pth'), work_dir=str(tmp_path))
    with pytest.raises(
        OptionError, match=r'only in the checkpoint \(2 classes\): volcano; only in the data'
    ):
        prepare_test(Namespace(**args, cfg_options=None, launcher='none', local_rank=0))


@pytest.mark.parametrize('released', ['ucmerced'], indirect=True)
def test_training_starts_from_other_classes_without_their_head(released, tmp_path):
    names = ['volcano', *released.classes[1:]]
    checkpoint = released.save(tmp_path / 'x.pth', released.classes, dict(dataset_meta=dict(classes=names)))
    cfg = released.cfg()
    cfg.load_from, cfg.train_cfg.max_epochs = checkpoint, 1
    cfg.train_dataloader.dataset.update(holdout=0, indices=2)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.optim_wrapper.optimizer.update(lr=0, weight_decay=0)
    cfg.param_scheduler = []
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert not torch.equal(
        runner.model.head.fc.weight, torch.load(checkpoint)['state_dict']['head.fc.weight']
    )
    assert torch.equal(runner.model.backbone.ln1.weight, released.model.backbone.ln1.weight)
    log = next((released.folder / 'work_dir').glob(f'{runner.timestamp}/*.log')).read_text()
    assert 'its head is left out (head.fc.weight, head.fc.bias)' in log


@pytest.mark.parametrize('released', ['ucmerced'], indirect=True)
def test_resuming_with_other_classes_is_refused(released, tmp_path):
    meta = dict(dataset_meta=dict(classes=sorted(released.classes)))
    cfg = released.cfg()
    cfg.load_from, cfg.resume = released.save(tmp_path / 'x.pth', sorted(released.classes), meta), True
    cfg.train_dataloader.dataset.holdout = 0
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    with pytest.raises(OptionError, match='the run to resume was of other classes, or of another order'):
        Runner.from_cfg(cfg).train()


@pytest.mark.parametrize('released', ['ucmerced'], indirect=True)
class TestConverter:
    def convert(self, checkpoint, config, out):
        return call('model_converters/released_to_mm.py', 'rsmamba', checkpoint, out, '--config', config)

    @pytest.mark.slow
    def test_writes_what_every_door_takes(self, released, root, tmp_path):
        order = sorted(released.classes)
        checkpoint = released.save(tmp_path / 'x.pth', order, dict(dataset_meta=dict(classes=order)))
        released.cfg().dump(tmp_path / 'config.py')
        result = self.convert(checkpoint, tmp_path / 'config.py', tmp_path / 'out.pth')
        assert result.returncode == 0, result.stderr
        assert re.search(
            r'\d+ tensors, .* all as in rsmamba .*; \d+ classes, reordered from', result.stdout
        )
        written = torch.load(tmp_path / 'out.pth', weights_only=True)
        assert written['meta']['dataset_meta']['classes'] == released.classes
        assert released.accuracy(str(tmp_path / 'out.pth')) == 100

    def test_classes_of_the_config_are_those_of_the_file(self, released, tmp_path):
        checkpoint = released.save(tmp_path / 'x.pth', released.classes, None)
        cfg = released.cfg()
        cfg.dump(tmp_path / 'config.py')
        result = self.convert(checkpoint, tmp_path / 'config.py', tmp_path / 'out.pth')
        assert '21 classes, in the released order, since the file has no names' in result.stdout
        cfg.test_dataloader.dataset.type = 'AID'
        cfg.dump(tmp_path / 'config.py')
        result = self.convert(checkpoint, tmp_path / 'config.py', tmp_path / 'none.pth')
        assert 'x.pth: it has 21 classes, and the data of the config 30' in result.stderr
        assert not (tmp_path / 'none.pth').exists()
        result = call('model_converters/released_to_mm.py', 'rsmamba', checkpoint, tmp_path / 'none.pth')
        assert 'no config of this package has this variant of rsmamba' in result.stderr

    def test_is_recognised_by_its_shapes(self, released, root, tmp_path):
        config = Config.fromfile(root / 'configs/rsmamba/rsmamba-b_aid.py')
        config.model.head.num_classes = 4
        state_dict = MODELS.build(config.model).state_dict()
        torch.save(dict(state_dict=state_dict), tmp_path / 'x.pth')
        result = call(
            'model_converters/released_to_mm.py', 'rsmamba', tmp_path / 'x.pth', tmp_path / 'y.pth'
        )
        assert 'all as in rsmamba (rsmamba-b_aid)' in result.stdout, result.stderr
        written = torch.load(tmp_path / 'y.pth', weights_only=True)
        assert written['meta'] == {} and written['state_dict'].keys() == state_dict.keys()

    def test_verifies_every_tensor(self, released, tmp_path):
        from rsmamba_mm.models.released import read_checkpoint, verify_tensors

        path = released.save(tmp_path / 'x.pth', released.classes, None)
        tensors, classes = read_checkpoint(path)
        verify_tensors(tensors, released.model)
        assert classes is None
        del tensors['backbone.ln1.bias']
        tensors['backbone.extra'] = torch.zeros(1)
        tensors['head.fc.bias'] = torch.zeros(3)
        tensors['backbone.ln2.weight'] = torch.full((64,), float('nan'))
        with pytest.raises(OptionError) as error:
            verify_tensors(tensors, released.model)
        for line in (
            'backbone.ln1.bias is missing',
            'backbone.extra is not in the model',
            f'head.fc.bias is (3,), in the model ({len(released.classes)},)',
            'backbone.ln2.weight has values that are not finite',
        ):
            assert line in str(error.value)
