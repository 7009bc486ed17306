"""UC Merced Land Use, as downloaded."""

from mmengine.registry import DATASETS

from .scene_folder import SceneFolder


@DATASETS.register_module()
class UCMerced(SceneFolder):
    """UC Merced Land Use: 21 classes of 100 images, 256 px, 0.3 m (Yang and Newsam, 2010).

    See :class:`SceneFolder` for the arguments.
    """

    FOLDER = 'Images'
    SPLIT_NAME = 'ucmerced'
    HOMEPAGE = 'http://weegee.vision.ucmerced.edu/datasets/landuse.html'
    NUM_IMAGES = 2_100
    METAINFO = dict(
        classes=(
            'harbor', 'parkinglot', 'buildings', 'mediumresidential', 'sparseresidential', 'forest',
            'agricultural', 'overpass', 'golfcourse', 'freeway', 'baseballdiamond', 'beach',
            'intersection', 'runway', 'mobilehomepark', 'chaparral', 'airplane', 'river',
            'storagetanks', 'tenniscourt', 'denseresidential',
        )
    )  # fmt: skip
