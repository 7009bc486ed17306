"""Classifiers beside mmpretrain's; needs mmpretrain."""

from .distilled import DistilledClassifier

__all__ = ['DistilledClassifier']
