"""Synthetic aerial scenes: the embedded data of this package, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.registry import DATASETS

from .classification import ClassificationDataset
from .synthetic import MASK_CLASSES, SCENE_TYPES, paint_scene

SCENE_CLASSES: tuple[str, ...] = tuple(SCENE_TYPES)
"""Scene classes in the order of their labels."""

SCENE_MASK_CLASSES: tuple[str, ...] = MASK_CLASSES
"""Land-cover classes of the masks in the order of their pixel values.

``low_vegetation`` is grass and standing crops, ``bare_soil`` also ploughed land and tracks,
``building`` also storage tanks, ``pavement`` all sealed ground with its paint and jetties, and
``vehicle`` cars, boats and aircraft.
"""

SCENE_MASK_PALETTE: list[list[int]] = [
    [150, 116, 84],
    [232, 214, 160],
    [150, 190, 96],
    [40, 98, 46],
    [204, 64, 52],
    [132, 132, 138],
    [52, 112, 190],
    [250, 218, 50],
]
"""RGB colour of each class in ``SCENE_MASK_CLASSES``."""

MIN_SIZE = 32
TASKS = ('classification', 'segmentation')
#: transforms that a data set which draws its images does not need
LOADING = ('LoadImageFromFile', 'LoadAnnotations')


class SyntheticScene(NamedTuple):
    """One rendered scene.

    Attributes:
        image (np.ndarray): BGR image (H, W, 3), uint8.
        mask (np.ndarray): Land cover (H, W), uint8, indices of ``SCENE_MASK_CLASSES``.
        label (int): Index of the scene class in ``SCENE_CLASSES``.
    """

    image: np.ndarray
    mask: np.ndarray
    label: int


def render_scene(
    label: int | str, size: int | tuple[int, int] = 128, seed: int = 0, index: int = 0
) -> SyntheticScene:
    """Render one aerial-looking scene.

    The result depends on the arguments alone: the same call gives the same bytes in any order and
    in any process. Illumination, season, scale, rotation and layout vary with ``seed`` and
    ``index``.

    Args:
        label (int | str): Scene class, an index or a name of ``SCENE_CLASSES``.
        size (int | tuple[int, int]): Side of a square image, or (height, width), in pixels.
            At least 32. Defaults to 128.
        seed (int): Seed of the set of images. Defaults to 0.
        index (int): Number of the image within the set. Defaults to 0.

    Returns:
        SyntheticScene: BGR image (H, W, 3) and mask (H, W), both uint8, and the label.

    Raises:
        ValueError: If the class is unknown, the size is too small or the seed or index negative.
    """
    label = _check_label(label)
    height, width = _check_size(size)
    _check_count('seed', seed, least=0)
    _check_count('index', index, least=0)
    rng = np.random.Generator(np.random.PCG64([seed, index, label]))
    image, mask = paint_scene(SCENE_CLASSES[label], height, width, rng)
    return SyntheticScene(image, mask, label)


def render_landscape(
    size: int = 256, resolution: float = 0.8, columns: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Render a scene of each class, side by side and at one ground resolution, as one large image.

    Args:
        size (int): Side of a scene in pixels. Defaults to 256.
        resolution (float): Ground length of a pixel in metres. Defaults to 0.8.
        columns (int): Scenes in a row. Defaults to 4; the last row may be filled up with first ones.
        seed (int): Seed, of images of their own: none is in a :class:`SyntheticScenes`. Defaults to 0.

    Returns:
        tuple[np.ndarray, np.ndarray]: BGR image (H, W, 3) and mask (H, W) as of :func:`render_scene`.
    """
    rows = -(-len(SCENE_CLASSES) // columns)
    scenes = []
    for place in range(rows * columns):
        rng = np.random.Generator(np.random.PCG64([seed, place, len(SCENE_CLASSES)]))
        name = SCENE_CLASSES[place % len(SCENE_CLASSES)]
        scenes.append(paint_scene(name, size, size, rng, extent=size * resolution))
    image, mask = (
        np.concatenate(
            [np.concatenate(part[row * columns : (row + 1) * columns], 1) for row in range(rows)]
        )
        for part in zip(*scenes, strict=True)
    )
    return image, mask


@DATASETS.register_module()
class SyntheticScenes(ClassificationDataset):
    """Seeded data set of synthetic aerial scenes.

    It serves both classification (:mod:`mmpretrain`) and semantic segmentation (:mod:`mmseg`).
    Image ``i`` has the label ``i % 12``, so the classes are balanced. Scenes are rendered when
    they are first asked for; loading transforms of mmcv and mmseg (:data:`LOADING`) are left out of the
    pipeline, which may so be one for files too, as OpenMMLab's inferencers ask.

    Before the pipeline a sample holds ``img`` (BGR, uint8), ``img_shape``, ``ori_shape``,
    ``gt_label``, ``img_path`` (a name, not a file), ``scene_index`` and ``sample_idx``; for
    segmentation also ``gt_seg_map`` (uint8), ``seg_fields`` and ``reduce_zero_label``.

    Args:
        num_images (int): Number of images.
        img_size (int | tuple[int, int]): Side of the square images, or (height, width).
            Defaults to 128.
        seed (int): Seed of the images. Use different seeds for training and test.
            Defaults to 0.
        task (str): 'classification' or 'segmentation'. Decides on the classes in ``metainfo``
            and on whether samples carry the mask. Defaults to 'classification'.
        pipeline (Sequence[dict | Callable]): Transforms of a sample. Defaults to ().
        test_mode (bool): Whether the data set is used for a test. Defaults to False.
        cache (bool): Whether to keep rendered scenes in memory. Defaults to True.
        indices (int | Sequence[int], optional): Use only the first few images, or those listed.
            Defaults to None, all images.
        serialize_data (bool): Whether to keep the list of images in one shared buffer.
            Defaults to True.
        lazy_init (bool): Whether to build the list of images on first use. Defaults to False.

    Raises:
        ValueError: If an option has no meaning; the message names it and what is valid.

    Examples:
        >>> from rsmamba_mm.datasets import SyntheticScenes
        >>> train = SyntheticScenes(num_images=1200, seed=0)
        >>> test = SyntheticScenes(num_images=240, seed=1, test_mode=True)
        >>> train[0]['img'].shape
        (128, 128, 3)
    """

    METAINFO = dict(classes=SCENE_CLASSES)  # of classification, for those who ask the class
    reads_files = False

    def __init__(
        self,
        num_images: int,
        img_size: int | tuple[int, int] = 128,
        seed: int = 0,
        task: str = 'classification',
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        cache: bool = True,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        lazy_init: bool = False,
    ) -> None:
        if task not in TASKS:
            raise ValueError(f'task must be one of {", ".join(map(repr, TASKS))}, got {task!r}')
        self.num_images = _check_count('num_images', num_images, least=1)
        self.img_size = _check_size(img_size, name='img_size')
        self.seed = _check_count('seed', seed, least=0)
        self.task = task
        self._cache: dict[int, SyntheticScene] | None = {} if cache else None
        self.METAINFO = self._build_metainfo(task)  # for those who ask the data set
        super().__init__(
            metainfo=self.METAINFO,
            pipeline=[step for step in pipeline if not _is_loading(step)],
            test_mode=test_mode,
            indices=indices,
            serialize_data=serialize_data,
            lazy_init=lazy_init,
        )

    @staticmethod
    def _build_metainfo(task: str) -> dict:
        if task == 'classification':
            return dict(classes=SCENE_CLASSES)
        return dict(classes=SCENE_MASK_CLASSES, palette=SCENE_MASK_PALETTE)

    def load_data_list(self) -> list[dict]:
        """List the images without rendering them.

        Returns:
            list[dict]: ``img_path``, ``gt_label`` and ``scene_index`` of each image.
        """
        data_list = []
        for index in range(self.num_images):
            label = index % len(SCENE_CLASSES)
            name = f'synthetic/{self.seed}/{index:06d}_{SCENE_CLASSES[label]}.png'
            data_list.append({'img_path': name, 'gt_label': label, 'scene_index': index})
        return data_list

    def prepare_data(self, idx: int) -> dict | None:
        """Render image ``idx`` and run the pipeline on it.

        Args:
            idx (int): Index of the image.

        Returns:
            dict | None: What the pipeline returns.
        """
        sample = self.get_data_info(idx)
        scene = self._get_scene(sample['scene_index'], sample['gt_label'])
        # Transforms may work in place; the copies keep the cache intact.
        sample.update(img=scene.image.copy(), img_shape=self.img_size, ori_shape=self.img_size)
        if self.task == 'segmentation':
            sample.update(gt_seg_map=scene.mask.copy(), seg_fields=['gt_seg_map'], reduce_zero_label=False)
        return self.pipeline(sample)

    def _get_scene(self, index: int, label: int) -> SyntheticScene:
        if self._cache is None:
            return render_scene(label, self.img_size, self.seed, index)
        if index not in self._cache:
            self._cache[index] = render_scene(label, self.img_size, self.seed, index)
        return self._cache[index]


def mean_colour_accuracy(
    train_images: Iterable[tuple[np.ndarray, int]],
    test_images: Iterable[tuple[np.ndarray, int]],
) -> float:
    """Accuracy of a classifier that knows nothing of an image but its mean colour.

    Each test image gets the class whose mean colour in the training images is nearest. A model
    that looks at shape and texture should do much better.

    Args:
        train_images (Iterable[tuple[np.ndarray, int]]): Pairs of an image (H, W, 3) and a label.
        test_images (Iterable[tuple[np.ndarray, int]]): Pairs to be classified.

    Returns:
        float: Accuracy in per cent.

    Raises:
        ValueError: If one of the two sets is empty.
    """
    train_colours, train_labels = _mean_colours(train_images, 'train_images')
    test_colours, test_labels = _mean_colours(test_images, 'test_images')
    classes = np.unique(train_labels)
    centres = np.stack([train_colours[train_labels == label].mean(0) for label in classes])
    distances = np.linalg.norm(test_colours[:, None] - centres, axis=-1)
    predicted = classes[distances.argmin(1)]
    return float(100 * (predicted == test_labels).mean())


def _mean_colours(images: Iterable[tuple[np.ndarray, int]], name: str) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(np.asarray(image).mean((0, 1)), int(label)) for image, label in images]
    if not pairs:
        raise ValueError(f'{name} holds no image; give at least one pair (image, label)')
    colours, labels = zip(*pairs, strict=True)
    return np.stack(colours), np.array(labels)


def _is_loading(step: dict | Callable) -> bool:
    return isinstance(step, dict) and str(step.get('type')).rpartition('.')[2] in LOADING


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _check_count(name: str, value: int, least: int) -> int:
    if not _is_integer(value) or value < least:
        raise ValueError(f'{name} must be an integer of at least {least}, got {value!r}')
    return int(value)


def _check_label(label: int | str) -> int:
    if isinstance(label, str) and label in SCENE_CLASSES:
        return SCENE_CLASSES.index(label)
    if _is_integer(label) and 0 <= label < len(SCENE_CLASSES):
        return int(label)
    raise ValueError(
        f'unknown scene class {label!r}; give an index from 0 to {len(SCENE_CLASSES) - 1} or one '
        f'of {", ".join(SCENE_CLASSES)}'
    )


def _check_size(size: int | tuple[int, int], name: str = 'size') -> tuple[int, int]:
    sides = (size, size) if _is_integer(size) else size
    if not isinstance(sides, Sequence) or len(sides) != 2 or not all(map(_is_integer, sides)):
        raise ValueError(f'{name} must be an integer or a pair (height, width), got {size!r}')
    if min(sides) < MIN_SIZE:
        raise ValueError(
            f'{name} {size!r} is too small to show a scene; use at least {MIN_SIZE} pixels a side '
            'and shrink the images in the pipeline if you need fewer'
        )
    return int(sides[0]), int(sides[1])
