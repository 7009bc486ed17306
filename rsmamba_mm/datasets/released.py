"""The three data sets by the name that RSMamba's released configs have for them."""

from __future__ import annotations

from mmengine.registry import DATASETS

from ..errors import OptionError
from .aid import AID
from .resisc45 import RESISC45
from .scene_folder import SceneFolder
from .ucmerced import UCMerced


@DATASETS.register_module()
class RSClsDataset(SceneFolder):
    """The three data sets by the settings of RSMamba's released configs.

    Args:
        data_root (str): Folder of the data set.
        data_name (str): ``'UC'``, ``'AID'`` or ``'NWPU'``. Defaults to ``'AID'``.
        ann_file (str): List of the images. Defaults to '', all images.
        **kwargs: Further arguments of :class:`SceneFolder`.

    Raises:
        OptionError: If ``data_name`` is none of these; otherwise as :class:`SceneFolder`.
    """

    NAMES: dict[str, type[SceneFolder]] = dict(UC=UCMerced, AID=AID, NWPU=RESISC45)

    def __init__(self, data_root: str = '', data_name: str = 'AID', ann_file: str = '', **kwargs) -> None:
        if data_name not in self.NAMES:
            raise OptionError(
                f'RSClsDataset: data_name is one of {", ".join(self.NAMES)}, got {data_name!r}'
            )
        known = self.NAMES[data_name]
        self.METAINFO, self.FOLDER = known.METAINFO, known.FOLDER
        self.SPLIT_NAME, self.HOMEPAGE = known.SPLIT_NAME, known.HOMEPAGE
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)
