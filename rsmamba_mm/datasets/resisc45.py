"""NWPU-RESISC45, as downloaded."""

from mmengine.registry import DATASETS

from .scene_folder import SceneFolder


@DATASETS.register_module()
class RESISC45(SceneFolder):
    """NWPU-RESISC45: 45 classes of 700 images, 256 px, 0.2 to 30 m (Cheng et al., 2017).

    See :class:`SceneFolder` for the arguments.
    """

    SPLIT_NAME = 'resisc45'
    HOMEPAGE = 'https://gcheng-nwpu.github.io/#Datasets'
    NUM_IMAGES = 31_500
    METAINFO = dict(
        classes=(
            'river', 'terrace', 'snowberg', 'stadium', 'parking_lot', 'thermal_power_station',
            'rectangular_farmland', 'cloud', 'intersection', 'meadow', 'palace', 'ground_track_field',
            'commercial_area', 'beach', 'church', 'baseball_diamond', 'ship', 'industrial_area',
            'bridge', 'freeway', 'medium_residential', 'circular_farmland', 'mobile_home_park',
            'railway', 'forest', 'sparse_residential', 'harbor', 'wetland', 'mountain', 'airport',
            'golf_course', 'overpass', 'dense_residential', 'chaparral', 'basketball_court', 'airplane',
            'tennis_court', 'runway', 'storage_tank', 'island', 'railway_station', 'lake', 'sea_ice',
            'desert', 'roundabout',
        )
    )  # fmt: skip
