"""Half precision, and losses that are not finite."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from rsmamba_mm.apis.preflight import check_amp
from rsmamba_mm.engine import BFloat16OptimWrapper, mixed_precision
from rsmamba_mm.errors import OptionError, TrainingError


class Net(BaseModel):
    """A model whose middle part may overflow."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.first, self.middle, self.last = (torch.nn.Linear(2, 2) for _ in range(3))
        self.factor, self.seen = factor, []
        self.middle.register_forward_hook(lambda module, inputs, out: out * self.factor)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        hidden = self.middle(self.first(inputs))
        self.seen.append(hidden.dtype)
        return dict(loss=self.last(hidden).square().mean())


def train(tmp_path, model, images=(1.0, 2.0), hooks=(dict(type='rsmamba_mm.CheckFiniteHook'),), **wrapper):
    data = [dict(inputs=torch.full((2,), value)) for value in images]
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=data,
            batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), **wrapper),
        custom_hooks=list(hooks),
        default_hooks=dict(checkpoint=None),
        log_level='ERROR',
        experiment_name=f'{tmp_path.name}{id(model)}',
    )
    runner.train()
    return runner


def test_the_module_that_began_it_is_named(tmp_path):
    with pytest.raises(
        TrainingError, match=r'iteration 1: loss .*begin in middle \(Linear\), in float32, of'
    ):
        train(tmp_path / 'module', Net(float('inf')))
    assert all(torch.isfinite(p).all() for p in train(tmp_path / 'sound', Net()).model.parameters())


def test_the_batch_and_the_weights_are_named(tmp_path):
    with pytest.raises(TrainingError, match=r'iteration 2: loss .*The images of this batch'):
        train(tmp_path / 'batch', Net(), images=(1.0, float('nan')))
    model = Net()
    torch.nn.init.constant_(model.last.bias, float('inf'))
    with pytest.raises(TrainingError, match=r'iteration 1: .*weights last.bias .*lower the learning rate'):
        train(tmp_path / 'weights', model)


def test_weights_are_as_before(tmp_path):
    model = Net()
    with pytest.raises(TrainingError):
        train(tmp_path, model, images=(1.0, float('inf')))
    assert all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.skipif(not mixed_precision._cpu_has_bfloat16(), reason='a processor without bfloat16')
@pytest.mark.skipif(torch.cuda.is_available(), reason='of the CPU')
def test_bfloat16_on_the_cpu(tmp_path):
    model = train(tmp_path, Net(), type='rsmamba_mm.BFloat16OptimWrapper').model
    assert model.seen == [torch.bfloat16] * 2
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert check_amp() == 'bfloat16'


@pytest.mark.skipif(torch.cuda.is_available(), reason='of the CPU')
def test_refusals(monkeypatch):
    with pytest.raises(OptionError, match=r'--amp: float16 needs a GPU.*--amp-dtype bfloat16'):
        check_amp('float16')
    monkeypatch.setattr(mixed_precision, '_cpu_has_bfloat16', lambda: False)
    with pytest.raises(OptionError, match=r'no instructions for it \(AVX-512 BF16 or AMX\): take float32'):
        BFloat16OptimWrapper(optimizer=torch.optim.SGD([torch.ones(1)], lr=1))
    with pytest.raises(OptionError, match=r'--amp: bfloat16: PyTorch sees no GPU.*leave --amp out'):
        check_amp()
