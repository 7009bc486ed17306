from .soft_cross_entropy import SoftCrossEntropyLoss
from .soft_dice import SoftDiceLoss

__all__ = ['SoftCrossEntropyLoss', 'SoftDiceLoss']
