from .lovasz_softmax import LovaszSoftmaxLoss
from .soft_cross_entropy import SoftCrossEntropyLoss
from .soft_dice import SoftDiceLoss
from .soft_jaccard import SoftJaccardLoss
from .softmax_focal import SoftmaxFocalLoss

__all__ = [
    'LovaszSoftmaxLoss',
    'SoftCrossEntropyLoss',
    'SoftDiceLoss',
    'SoftJaccardLoss',
    'SoftmaxFocalLoss',
]
