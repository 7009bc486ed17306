"""What is wrong with data, all of it at once, before anything trains on it."""

from .annotations import annotation_faults, build_leaf
from .check import Checked, SkipFaulty, check_dataset, leaf_configs, leaves
from .clean import write_clean_list
from .faults import Fault, describe, grouped, refuse

__all__ = [
    'Checked',
    'Fault',
    'SkipFaulty',
    'annotation_faults',
    'build_leaf',
    'check_dataset',
    'describe',
    'grouped',
    'leaf_configs',
    'leaves',
    'refuse',
    'write_clean_list',
]
