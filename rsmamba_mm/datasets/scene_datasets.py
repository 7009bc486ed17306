"""The scene classification data sets, for imports that named this module: each has a file of its own."""

from .aid import AID
from .released import RSClsDataset
from .resisc45 import RESISC45
from .scene_folder import SceneFolder
from .ucmerced import UCMerced

__all__ = ['AID', 'RESISC45', 'RSClsDataset', 'SceneFolder', 'UCMerced']
