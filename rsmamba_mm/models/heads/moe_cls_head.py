"""Classification head with a mixture of experts: import needs mmpretrain."""

from __future__ import annotations

from mmengine.registry import MODELS
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from ...layers.experts import Experts


@MODELS.register_module()
class MoEClsHead(ClsHead):
    """Head of AFM-Net: a mixture of experts, then a linear classifier.

    Args:
        num_classes (int): Classes.
        in_channels (int): Channels of the features.
        num_experts (int): Experts. Defaults to 8.
        inner (int): Inner channels of an expert. Defaults to 768.
        shared (int): Width of the shared expert, in multiples of ``inner``; 0 for none. Defaults to 1.
        topk (int): Experts that a sample goes to. Defaults to 2.
        balance_weight (float): Weight of the balance of the experts in the loss; 0 for none. Defaults to
            0.01.
        init_cfg (dict, optional): Initialisation. Defaults to a normal of std 0.01 for the classifier.
        **kwargs: Options of mmpretrain's ``ClsHead``, such as ``loss`` and ``topk`` of its accuracy, which
            is called ``accuracy_topk`` here.

    Raises:
        ValueError: If a size is not positive, or ``balance_weight`` is negative.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        num_experts: int = 8,
        inner: int = 768,
        shared: int = 1,
        topk: int = 2,
        balance_weight: float = 0.01,
        accuracy_topk: int | tuple[int, ...] = (1,),
        init_cfg: dict | list[dict] | None = dict(type='Normal', layer='Linear', std=0.01),  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(topk=accuracy_topk, init_cfg=init_cfg, **kwargs)
        if num_classes < 1:
            raise ValueError(f'MoEClsHead: num_classes must be positive, got {num_classes}')
        if balance_weight < 0:
            raise ValueError(f'MoEClsHead: balance_weight must be at least 0, got {balance_weight}')
        self.num_classes, self.in_channels = num_classes, in_channels
        self.balance_weight = balance_weight
        self.experts = Experts(in_channels, num_experts, inner, shared, topk)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Logits ``(B, num_classes)`` of the last of the features, ``(B, in_channels)``."""
        return self.fc(self.experts(self.pre_logits(feats))[0])

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample], **kwargs) -> dict:
        """Losses ``loss`` and, with a weight, ``loss_balance``.

        Args:
            feats (tuple[Tensor, ...]): Features; the last, ``(B, in_channels)``, counts.
            data_samples (list[DataSample]): Labels, or scores where images are mixed.
            **kwargs: Passed to the loss.

        Returns:
            dict: The losses, and the accuracies where they are asked for.
        """
        mixed, balance = self.experts(self.pre_logits(feats))
        losses = self._get_loss(self.fc(mixed), data_samples, **kwargs)
        if self.balance_weight:
            losses['loss_balance'] = self.balance_weight * balance
        return losses
