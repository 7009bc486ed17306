"""Hooks and optimisers, registered in MMEngine's root registry."""

from .check_classes import CheckClassesHook
from .classification_report import ClassificationReportHook
from .lookahead import LookaheadAdamW
from .segmentation_report import SegmentationReportHook

__all__ = ['CheckClassesHook', 'ClassificationReportHook', 'LookaheadAdamW', 'SegmentationReportHook']
