"""AID, as downloaded."""

from mmengine.registry import DATASETS

from .scene_folder import SceneFolder


@DATASETS.register_module()
class AID(SceneFolder):
    """Aerial Image Dataset: 30 classes of 220 to 420 images, 600 px, 0.5 to 8 m (Xia et al., 2017).

    See :class:`SceneFolder` for the arguments.
    """

    SPLIT_NAME = 'aid'
    HOMEPAGE = 'https://captain-whu.github.io/AID/'
    NUM_IMAGES = 10_000
    METAINFO = dict(
        classes=(
            'Port', 'Square', 'River', 'Pond', 'Playground', 'Mountain', 'Park', 'Airport',
            'SparseResidential', 'Stadium', 'Industrial', 'Church', 'DenseResidential', 'Parking',
            'Farmland', 'Desert', 'Viaduct', 'Forest', 'StorageTanks', 'Center', 'Meadow',
            'MediumResidential', 'School', 'BareLand', 'Commercial', 'BaseballField', 'RailwayStation',
            'Resort', 'Bridge', 'Beach',
        )
    )  # fmt: skip
