"""UAVid, as downloaded: import needs mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from ..errors import MissingDataError, OptionError
from .folder import find_images


@DATASETS.register_module()
class UAVidDataset(BaseSegDataset):
    """UAVid (Lyu et al., 2020, arXiv:1810.10438): streets seen by a drone at a slant, in sequences of ten
    images of 3840 or 4096 × 2160 px, with masks in colours.

    As downloaded: ``PART/seqN/Images/*.png`` and ``PART/seqN/Labels/*.png``. The classes are in the order
    of the published ids. Load masks with ``LoadPaletteAnnotations(palette=…, ignore=[])``, the palette
    ``UAVidDataset.METAINFO['palette']``: black is a class.

    Args:
        data_root (str): Folder with the parts ``uavid_train``, ``uavid_val`` and ``uavid_test``.
        parts (Sequence[str]): Names of the parts to use.
        **kwargs: Further arguments of mmseg's ``BaseSegDataset``. With ``test_mode=True`` images need no
            masks, as those of ``uavid_test``, which are not published.

    Raises:
        MissingDataError: If a part is not there, or an image has no mask.
        OptionError: If no part is named.
    """

    METAINFO = dict(
        classes=(
            'background clutter', 'building', 'road', 'static car', 'tree', 'low vegetation', 'human',
            'moving car',
        ),
        palette=[
            [0, 0, 0],
            [128, 0, 0],
            [128, 64, 128],
            [192, 0, 192],
            [0, 128, 0],
            [128, 128, 0],
            [64, 64, 0],
            [64, 0, 128],
        ],
    )  # fmt: skip

    def __init__(self, data_root: str, parts: Sequence[str], **kwargs) -> None:
        if isinstance(parts, str) or not parts:
            raise OptionError(
                f"UAVidDataset: parts is a list of names, such as ['uavid_val'], got {parts!r}"
            )
        self.parts = list(parts)
        super().__init__(data_root=data_root, data_prefix=dict(), **kwargs)

    def load_data_list(self) -> list[dict]:
        """The images of the parts, in the order of parts, sequences and names."""
        samples = []
        for part in self.parts:
            folder = Path(self.data_root) / part
            sequences = [path for path in folder.glob('*/Images') if path.is_dir()]
            if not sequences:
                raise MissingDataError(
                    f'UAVidDataset: no sequences in {folder.resolve()}. Expected: seqN/Images/ and '
                    'seqN/Labels/, as downloaded. Where they lie elsewhere: --cfg-options data_root=FOLDER'
                )
            for sequence in sorted(sequences, key=_number):
                samples += [self._sample(image) for image in find_images(sequence)]
        return samples

    def _sample(self, image: Path) -> dict:
        sample = dict(img_path=str(image), label_map=self.label_map, reduce_zero_label=False, seg_fields=[])
        mask = image.parent.parent / 'Labels' / image.name
        if mask.is_file():
            sample['seg_map_path'] = str(mask)
        elif not self.test_mode:
            raise MissingDataError(f'UAVidDataset: {image} has no mask: {mask} is not there')
        return sample


def _number(images: Path) -> tuple[int, str]:
    """seq2 before seq10."""
    name = images.parent.name
    return int(''.join(filter(str.isdigit, name)) or 0), name
