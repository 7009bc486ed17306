"""Classifiers beside mmpretrain's; needs mmpretrain."""

from .distilled import DistilledClassifier
from .score_tta import AverageScoreTTA

__all__ = ['AverageScoreTTA', 'DistilledClassifier']
