"""A classifier that learns from another one."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

pytest.importorskip('mmpretrain')

from mmpretrain.structures import DataSample

from rsmamba_mm.engine import CheckClassesHook
from rsmamba_mm.errors import OptionError
from rsmamba_mm.models import DistilledClassifier

PARTS = dict(
    backbone=dict(
        type='RSMamba',
        arch=dict(embed_dims=8, num_layers=1, feedforward_channels=16),
        img_size=32,
        patch_size=8,
    ),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=8),
)
TEACHER = dict(
    type='ImageClassifier',
    backbone=dict(type='LeNet5'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=3, in_channels=120),
)


@pytest.fixture(scope='module')
def images():
    return torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope='module')
def labels():
    return [DataSample().set_gt_label(index % 3) for index in range(4)]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    init_default_scope('mmpretrain')
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    meta = dict(dataset_meta=dict(classes=('field', 'river', 'town')))
    torch.save(dict(state_dict=MODELS.build(TEACHER).state_dict(), meta=meta), path)
    return path


def build(checkpoint, teacher: dict | None = None, **options) -> DistilledClassifier:
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    start = dict(init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint)))
    parts = {**PARTS, 'backbone': dict(PARTS['backbone'], in_channels=1)}
    return MODELS.build(
        dict(type='DistilledClassifier', teacher=TEACHER | start | (teacher or {}), **parts) | options
    )


def test_loss_is_that_of_the_paper(checkpoint, images, labels):
    """The head's loss and, by its definition, the weighted divergence at a temperature."""
    model = build(checkpoint, teacher_weight=0.5, temperature=3.0)
    model.init_weights()
    losses = model.eval().loss(images, labels)
    plain = MODELS.build(
        dict(type='ImageClassifier', **PARTS | dict(backbone=model.backbone, head=model.head))
    )
    teacher = MODELS.build(TEACHER)
    teacher.load_state_dict(torch.load(checkpoint)['state_dict'])
    with torch.no_grad():
        p = (teacher(images).double() / 3).softmax(1)
        q = (plain(images).double() / 3).softmax(1)
    expected = 0.5 * 9 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(losses['loss_teacher'].double(), expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(losses['loss'], plain.loss(images, labels)['loss'])
    assert model.teacher_classes == ('field', 'river', 'town')


def test_a_student_that_learns_from_its_teacher_alone_comes_to_agree(checkpoint, images):
    model = build(checkpoint)
    model.init_weights()
    before = {name: x.clone() for name, x in model.teacher[0].state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model.train()
    found = []
    for _ in range(30):
        loss = model.loss(images, [DataSample().set_gt_label(0)] * 4)['loss_teacher']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    assert found[-1] < 0.2 * found[0]
    assert not model.teacher[0].training
    after = model.teacher[0].state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_checkpoints_are_of_a_plain_classifier(checkpoint, images):
    model = build(checkpoint).eval()
    init_default_scope('mmpretrain')
    plain = MODELS.build(
        dict(type='ImageClassifier', **PARTS | dict(backbone=dict(PARTS['backbone'], in_channels=1)))
    )
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain.eval()(images), model(images))


def test_a_checkpoint_of_another_model_is_refused(checkpoint, tmp_path):
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict=dict(x=torch.zeros(1))), other)
    said = r'other\.pth is not of the teacher: \d+ of \d+ tensors do not fit'
    with pytest.raises(OptionError, match=said):
        build(other).init_weights()


def test_a_teacher_of_other_classes_than_the_data_is_refused_before_the_first_step(checkpoint):
    model = build(checkpoint)
    model.init_weights()

    def check(*classes: str) -> None:
        loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
        CheckClassesHook().before_train(SimpleNamespace(model=model, train_dataloader=loader))

    check('field', 'river', 'town')
    with pytest.raises(OptionError, match=r'the teacher was trained for other classes .*only in .*: lake'):
        check('field', 'lake', 'town')
    with pytest.raises(OptionError, match='or for another order of them'):
        check('town', 'river', 'field')


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (
            dict(teacher=dict(init_cfg=None)),
            r'the teacher has to be a trained one: give teacher\.init_cfg=dict\(type=.Pretrained',
        ),
        (
            dict(teacher=dict(head=dict(type='LinearClsHead', num_classes=5, in_channels=120))),
            r'head\.num_classes is 3, and 5 of the teacher',
        ),
        (
            dict(
                data_preprocessor=dict(mean=[127.5], std=[1.0]),
                teacher=dict(data_preprocessor=dict(mean=[0.0], std=[1.0])),
            ),
            r'data_preprocessor\.mean is \[127\.5\], and \[0\.0\] of the teacher',
        ),
        (dict(teacher_weight=-1), 'teacher_weight must be a number in'),
        (dict(temperature=0), 'temperature must be positive, got 0'),
    ],
)
def test_bad_options_are_refused(checkpoint, options, said):
    with pytest.raises((OptionError, ValueError), match=said):
        build(checkpoint, **options)
