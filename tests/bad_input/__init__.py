"""Data that a stranger may have: each kind that is bad is to be named, each other one to be read right."""

from .accepted import ACCEPTED
from .files import Case, config, good
from .images import IMAGES
from .lists import LISTS
from .masks import MASKS
from .runs import RUNS

CASES = {**IMAGES, **MASKS, **LISTS}

__all__ = ['ACCEPTED', 'CASES', 'IMAGES', 'LISTS', 'MASKS', 'RUNS', 'Case', 'config', 'good']
