"""Land-cover data sets for mmsegmentation: import needs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from ..errors import MissingDataError, OptionError
from .folder import find_images


@DATASETS.register_module()
class DubaiDataset(BaseSegDataset):
    """Aerial images of Dubai (CC0), eight tiles of nine images each, with masks in colours.

    As downloaded: ``tileN/images/*.jpg`` and ``tileN/masks/*.png``. Load masks with
    ``LoadPaletteAnnotations(palette=DubaiDataset.METAINFO['palette'])``.

    Args:
        data_root (str): Folder with the tiles.
        tiles (Sequence[str]): Names of the tiles to use.
        **kwargs: Further arguments of mmseg's ``BaseSegDataset``.

    Raises:
        MissingDataError: If a tile is not there, or an image has no mask.
        OptionError: If no tile is named.
    """

    METAINFO = dict(
        classes=('building', 'land', 'road', 'vegetation', 'water', 'unlabeled'),
        palette=[
            [60, 16, 152],
            [132, 41, 246],
            [110, 193, 228],
            [254, 221, 58],
            [226, 169, 41],
            [155, 155, 155],
        ],
    )

    def __init__(self, data_root: str, tiles: Sequence[str], **kwargs) -> None:
        if isinstance(tiles, str) or not tiles:
            raise OptionError(f"DubaiDataset: tiles is a list of names, such as ['tile7'], got {tiles!r}")
        self.tiles = list(tiles)
        super().__init__(data_root=data_root, data_prefix=dict(), **kwargs)

    def load_data_list(self) -> list[dict]:
        """The images of the tiles, in the order of tiles and names."""
        samples = []
        for tile in self.tiles:
            folder = Path(self.data_root) / tile
            if not (folder / 'images').is_dir():
                raise MissingDataError(
                    f'DubaiDataset: no images in {folder.resolve()}. Expected: images/ and masks/, as '
                    'downloaded. Where they lie elsewhere: --cfg-options data_root=FOLDER'
                )
            for image in find_images(folder / 'images'):
                mask = folder / 'masks' / f'{image.stem}.png'
                if not mask.is_file():
                    raise MissingDataError(f'DubaiDataset: {image} has no mask: {mask} is not there')
                samples.append(
                    dict(
                        img_path=str(image),
                        seg_map_path=str(mask),
                        label_map=self.label_map,
                        reduce_zero_label=False,
                        seg_fields=[],
                    )
                )
        return samples
