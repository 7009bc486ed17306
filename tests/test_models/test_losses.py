"""Losses of regions and of hard pixels, against their formulas in float64."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from rsmamba_mm.models import LovaszSoftmaxLoss, SoftDiceLoss, SoftJaccardLoss, SoftmaxFocalLoss

LOSSES = [SoftJaccardLoss(), SoftmaxFocalLoss(), LovaszSoftmaxLoss(), LovaszSoftmaxLoss(per_image=True)]
IDS = ['jaccard', 'focal', 'lovasz', 'lovasz_per_image']
each = pytest.mark.parametrize('loss', LOSSES, ids=IDS)


@pytest.fixture
def logits():
    return 2 * torch.randn(2, 4, 5, 6, dtype=torch.float64)


@pytest.fixture
def target():
    target = torch.randint(0, 4, (2, 5, 6))
    target[0, :2] = 255
    return target


def jaccard_of_set(wrong: set, foreground: set) -> float:
    """The loss of a prediction that is wrong at these pixels."""
    return len(wrong) / len(foreground | wrong) if foreground | wrong else 0.0


def lovasz_by_definition(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean over the classes present, of pixels ``(P, C)`` and ``(P,)``: sets grow by the next largest
    error."""
    losses = []
    for k in y.unique().tolist():
        foreground = set((y == k).nonzero().flatten().tolist())
        errors = ((y == k).double() - p[:, k]).abs()
        wrong, total = set(), 0
        for i in errors.argsort(descending=True).tolist():
            grown = wrong | {i}
            total = total + errors[i] * (
                jaccard_of_set(grown, foreground) - jaccard_of_set(wrong, foreground)
            )
            wrong = grown
        losses.append(total)
    return torch.stack(losses).mean()


def pixels(logits: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and classes of the valid pixels."""
    valid = target != 255
    return logits.softmax(1).permute(0, 2, 3, 1)[valid], target[valid]


def test_lovasz_by_its_definition(logits, target):
    torch.testing.assert_close(
        LovaszSoftmaxLoss()(logits, target), lovasz_by_definition(*pixels(logits, target))
    )
    images = [lovasz_by_definition(*pixels(logits[i : i + 1], target[i : i + 1])) for i in (0, 1)]
    torch.testing.assert_close(
        LovaszSoftmaxLoss(per_image=True, loss_weight=3)(logits, target), 3 * sum(images) / 2
    )


def test_lovasz_is_mmsegs(logits, target):
    pytest.importorskip('mmseg.models')
    for ours, theirs in (
        (LovaszSoftmaxLoss(), dict(reduction='none')),
        (LovaszSoftmaxLoss(per_image=True), dict(per_image=True)),
    ):
        loss = MODELS.build(dict(type='mmseg.LovaszLoss', **theirs))
        x, y = logits.float().requires_grad_(), logits.float().requires_grad_()
        value, other = ours(x, target), loss(y, target, ignore_index=255)
        torch.testing.assert_close(value, other)
        torch.testing.assert_close(torch.autograd.grad(value, x), torch.autograd.grad(other, y))


@pytest.mark.parametrize('smooth', [0, 0.3])
def test_jaccard_by_its_formula(logits, target, smooth):
    p, y = pixels(logits, target)
    y = F.one_hot(y, 4)
    overlap, union = (p * y).sum(0), p.sum(0) + y.sum(0) - (p * y).sum(0)
    expected = (1 - (overlap + smooth) / (union + smooth)).mean()
    torch.testing.assert_close(SoftJaccardLoss(smooth)(logits, target), expected)
    # J = D / (2 - D) for each class
    one = torch.zeros_like(target)
    jaccard, dice = (4 - 4 * loss(logits, one) - 3 for loss in (SoftJaccardLoss(), SoftDiceLoss(0)))
    torch.testing.assert_close(jaccard, dice / (2 - dice))


@pytest.mark.parametrize('gamma', [0, 0.5, 2])
def test_focal_by_its_formula(logits, target, gamma):
    p, y = pixels(logits, target)
    p = p.gather(1, y[:, None])[:, 0]
    losses = -((1 - p) ** gamma) * p.log()
    torch.testing.assert_close(SoftmaxFocalLoss(gamma)(logits, target), losses.mean())
    alpha = [1, 0.5, 2, 0]
    weighted = (torch.tensor(alpha)[y] * losses).mean()
    torch.testing.assert_close(SoftmaxFocalLoss(gamma, alpha)(logits, target), weighted)
    if gamma == 0:
        expected = F.cross_entropy(logits, target, ignore_index=255)
        torch.testing.assert_close(losses.mean(), expected)


def test_a_sure_pixel_has_a_gradient():
    logits = torch.tensor([100.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    for gamma in (0, 0.5, 2):
        SoftmaxFocalLoss(gamma)(logits, torch.zeros(1, 1, 1, dtype=torch.long)).backward()
        assert logits.grad.isfinite().all()


@each
def test_ignored_pixels_count_for_nothing(loss, logits, target):
    changed = logits.clone()
    changed[(target == 255).unsqueeze(1).expand_as(changed)] = 50
    torch.testing.assert_close(loss(changed, target), loss(logits, target))
    torch.testing.assert_close(
        loss(logits, target.where(target != 255, torch.tensor(9)), ignore_index=9), loss(logits, target)
    )


@each
def test_nothing_valid(loss, logits, target):
    logits.requires_grad_()
    value = loss(logits, torch.full_like(target, 255))
    value.backward()
    assert value == 0 and logits.grad.isfinite().all()


@each
def test_an_image_without_a_valid_pixel_changes_nothing(loss, logits, target):
    target = torch.stack([target[1], torch.full_like(target[1], 255)])
    torch.testing.assert_close(loss(logits, target), loss(logits[:1], target[:1]))


@each
def test_pixels_of_weight_0_do_not_count(loss, logits, target):
    keep = (torch.arange(6) < 3).expand(2, 5, 6)
    weighted = loss(logits, target, weight=keep.double())
    masked = loss(logits, target.masked_fill(~keep, 255))
    if isinstance(loss, SoftmaxFocalLoss):  # a mean over all valid pixels, as of mmseg's samplers
        valid = target != 255
        masked = masked * (valid & keep).sum() / valid.sum()
    torch.testing.assert_close(weighted, masked)


@each
def test_one_channel_is_class_1(loss, logits, target):
    """Of two classes that exclude one another."""
    target = target.where(target == 255, target % 2)
    one = logits[:, :1]
    two = torch.cat([torch.zeros_like(one), one], 1)
    if isinstance(loss, SoftmaxFocalLoss):
        torch.testing.assert_close(loss(one, target), loss(two, target))
        return
    expected = loss(two, target)
    swapped = loss(-one, target.where(target == 255, 1 - target))
    torch.testing.assert_close((loss(one, target) + swapped) / 2, expected)


@each
def test_half_precision_is_computed_in_single(loss, logits, target):
    value = loss(logits.half(), target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(logits.half().float(), target))


def test_a_list_of_losses_is_a_weighted_sum():
    pytest.importorskip('mmseg.models')
    names = ['SoftJaccardLoss', 'SoftmaxFocalLoss', 'LovaszSoftmaxLoss']
    losses = [dict(type=f'rsmamba_mm.{name}', loss_weight=0.5) for name in names]
    head = MODELS.build(
        dict(type='PixelHead', in_channels=4, num_classes=4, in_index=0, loss_decode=losses)
    )
    from golden import samples

    found = head.loss([torch.randn(2, 4, 8, 8)], samples(2, (8, 8), 4), {})
    assert set(found) == {'loss_jaccard', 'loss_focal', 'loss_lovasz', 'acc_seg'}


def test_refusals(logits, target):
    with pytest.raises(ValueError, match='SoftJaccardLoss: smooth is at least 0, got -1'):
        SoftJaccardLoss(-1)
    with pytest.raises(ValueError, match='SoftmaxFocalLoss: gamma is at least 0, got -1'):
        SoftmaxFocalLoss(-1)
    with pytest.raises(ValueError, match='class_weight has 2 numbers for 4 classes'):
        SoftmaxFocalLoss(class_weight=(1, 2))(logits, target)
