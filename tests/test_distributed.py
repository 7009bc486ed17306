"""Several processes do what one does, on a machine without a GPU."""

import copy
from argparse import Namespace

import pytest
import ranks
import torch
from miniatures import shrink
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_state_dict  # noqa: F401 - imported before processes are forked
from mmengine.structures import PixelData

from rsmamba_mm.apis import prepare_test

SCENES = 'configs/rsmamba/rsmamba-t_synthetic-128px.py'
LAND_COVER = 'configs/unetmamba/unetmamba_rest-lite_synthetic-128x128.py'
pytestmark = ranks.needs_fork


def classifier(root):
    """A model, and what four images show."""
    from mmpretrain.structures import DataSample

    cfg = Config.fromfile(root / SCENES)
    shrink(cfg.model)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    samples = [DataSample().set_gt_label(i) for i in range(4)]
    return model, samples


def segmenter(root):
    """A model with losses that are means over pixels, without what draws for each image; four masks."""
    from mmseg.structures import SegDataSample

    cfg = Config.fromfile(root / LAND_COVER)
    shrink(cfg.model)
    # dice is a quotient of sums over the batch, of which a mean over parts is another number
    cfg.model.decode_head.loss_decode = [
        x for x in cfg.model.decode_head.loss_decode if 'Dice' not in x.type
    ]
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    for module in model.modules():
        if type(module).__name__ in ('BatchNorm2d', 'Dropout', 'Dropout2d', 'DropPath'):
            module.train = lambda mode=True: None
            module.training = False
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 8, (1, 128, 128)))) for _ in range(4)
    ]
    return model, samples


def step(model, images, samples, parts) -> tuple[float, dict]:
    """Loss and gradients of a step of plain descent, a part of the batch after another."""
    bare = getattr(model, 'module', model)
    before = {name: p.detach().clone() for name, p in bare.named_parameters()}
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), accumulative_counts=parts)
    wrapper.initialize_count_status(model, 0, parts)
    losses = []
    for inputs, given in zip(images.chunk(parts), torch.arange(len(samples)).chunk(parts), strict=True):
        torch.manual_seed(5)  # the shuffles
        data = dict(inputs=list(inputs), data_samples=[copy.deepcopy(samples[i]) for i in given])
        losses.append(model.train_step(data, wrapper)['loss'].item())
    return sum(losses) / parts, {name: before[name] - p.detach() for name, p in bare.named_parameters()}


@pytest.mark.parametrize('make', [classifier, segmenter])
def test_two_ranks_have_the_loss_and_gradients_of_one(make, root, tmp_path):
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        model, samples = make(root)
        model.train()
        images = torch.randint(0, 256, (4, 3, 128, 128)).float()
        start = copy.deepcopy(model.state_dict())

        def half(rank):
            torch.distributed.init_process_group('gloo')
            wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)  # no unused parameters
            own = slice(2 * rank, 2 * rank + 2)
            found = [step(wrapped, images[own], samples[own], 1)]
            model.load_state_dict(start)
            return [*found, step(wrapped, images[own], samples[own], 2)]

        halves = ranks.call(half, tmp_path)
        loss, gradients = step(model, images, samples, 1)
    finally:
        torch.set_default_dtype(torch.float32)
    scale = max(g.abs().max() for g in gradients.values())
    for parts in (0, 1):  # a half at once; a quarter after another
        (first, mine), (second, others) = (each[parts] for each in halves)
        assert first != second
        assert (first + second) / 2 == pytest.approx(loss, rel=1e-6)
        for name, gradient in gradients.items():
            assert torch.equal(mine[name], others[name]), name
            assert (mine[name] - gradient).abs().max() <= 1e-6 * scale, name


@pytest.mark.slow
@pytest.mark.parametrize('config', [SCENES, LAND_COVER])
def test_metrics_of_two_ranks_are_those_of_one(config, root, tmp_path):
    cfg = Config.fromfile(root / config)
    shrink(cfg.model)
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    small = dict(batch_size=2, num_workers=0, persistent_workers=False)
    options = {f'test_dataloader.{k}': v for k, v in {**small, 'dataset.num_images': 5}.items()}  # uneven
    cfg.custom_hooks, cfg.visualizer = [], None
    cfg.dump(tmp_path / 'config.py')

    def test(launcher, folder):
        args = Namespace(
            config=str(tmp_path / 'config.py'),
            checkpoint=str(tmp_path / 'model.pth'),
            work_dir=str(folder),
            launcher=launcher,
            cfg_options=options,
        )
        found = prepare_test(args).test()
        return {k: v for k, v in found.items() if 'time' not in k}

    two = ranks.call(lambda rank: test('pytorch', tmp_path / 'two'), tmp_path)
    one = ranks.call(lambda rank: test('none', tmp_path / 'one'), tmp_path / 'alone', 1)
    assert two[0] == two[1] == one[0] and len(one[0]) > 3
