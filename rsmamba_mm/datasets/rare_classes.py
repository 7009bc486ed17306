"""Images with rare classes are drawn more often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS

from ..errors import FaultyDataError, OptionError
from ..threads import usable_cores
from .checking.check import leaves
from .checking.samples import loading


@DATA_SAMPLERS.register_module()
class RareClassSampler(DefaultSampler):
    """Rare class sampling (DAFormer, arXiv:2111.14887, Eqs. 5 and 6): a class first, then an image with it.

    A class of which a share ``f`` of the pixels is has the odds ``exp((1 - f) / temperature)``. Of its
    images each comes once, in a random order, before one comes again. An epoch has as many samples as the
    data set. The masks are read once, as the loader is built, and the log says how often each class comes.

    Samples that come twice in an epoch are augmented differently under ``ExactTrainLoop``.

    Args:
        dataset (Sized): A data set of segmentation, or MMEngine's and mmseg's wrappers of it.
        temperature (float): The higher, the more alike are the odds. Defaults to 0.1; the paper has 0.01,
            for nineteen classes.
        min_share (float): Share of an image's pixels from which on it counts as one with the class.
            Defaults to 0.001.
        exclude (Sequence[str]): Classes that are not drawn, such as clutter. Defaults to none.
        seed (int, optional): As of ``DefaultSampler``. Defaults to None.
        round_up (bool): As of ``DefaultSampler``. Defaults to True.

    Raises:
        OptionError: If an option is out of its range, names no class, or leaves no class to draw; or if
            the data set has no masks, or repeats samples itself.
        FaultyDataError: If a mask cannot be read.
    """

    def __init__(
        self,
        dataset: Any,
        temperature: float = 0.1,
        min_share: float = 0.001,
        exclude: Sequence[str] = (),
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        if not temperature > 0 or not 0 <= min_share < 1 or isinstance(exclude, str):
            raise OptionError(
                'RareClassSampler: temperature is above 0, min_share in [0, 1), and exclude a list of '
                f'names, got temperature={temperature}, min_share={min_share}, exclude={exclude!r}'
            )
        super().__init__(dataset, seed=seed, round_up=round_up)
        names = getattr(dataset, 'metainfo', {}).get('classes')
        if not names:
            raise OptionError(
                f'RareClassSampler: {type(leaves(dataset)[0]).__name__} names no classes: give it '
                'metainfo=dict(classes=(…))'
            )
        unknown = [name for name in exclude if name not in names]
        if unknown:
            raise OptionError(
                f'RareClassSampler: exclude names {", ".join(unknown)}, but the classes are '
                f'{", ".join(names)}'
            )
        pixels = _count_pixels(dataset, len(names))
        shares = pixels / pixels.sum(1, keepdims=True).clip(min=1)
        present = (pixels > 0) & (shares >= min_share)
        drawn = present.any(0) & [name not in exclude for name in names]
        if not drawn.any():
            raise OptionError(
                f'RareClassSampler: in no image of {len(pixels)} has any class of '
                f'{", ".join(name for name in names if name not in exclude)} {min_share:g} of the pixels: '
                'lower min_share, or see to the masks (tools/check_dataset.py)'
            )
        frequency = pixels.sum(0) / pixels.sum()
        # the greatest odds are 1: exp would overflow at a low temperature
        odds = np.exp((frequency[drawn].min() - frequency) / temperature) * drawn
        self.images = [torch.from_numpy(column.nonzero()[0]) for column in present.T]
        self.odds = torch.from_numpy(odds / odds.sum())
        told = [
            f'{names[i]} for {self.odds[i]:.0%} ({100 * frequency[i]:.2g}% of the pixels, '
            f'{len(self.images[i])} images)'
            for i in self.odds.argsort(descending=True).tolist()
            if drawn[i]
        ]
        print_log(f'RareClassSampler: {len(pixels)} images are drawn by {", ".join(told)}', 'current')

    def __iter__(self) -> Iterator[int]:
        """Indices of an epoch, those of this process."""
        generator = torch.Generator()
        generator.manual_seed(self.seed + self.epoch)
        classes = torch.multinomial(self.odds, self.total_size, replacement=True, generator=generator)
        indices = torch.empty_like(classes)
        for label, images in enumerate(self.images):
            places = (classes == label).nonzero().flatten()
            if len(places):
                rounds = -(-len(places) // len(images))
                orders = [torch.randperm(len(images), generator=generator) for _ in range(rounds)]
                indices[places] = images[torch.cat(orders)[: len(places)]]
        return iter(indices[self.rank : self.total_size : self.world_size].tolist())


def _count_pixels(dataset: Any, classes: int) -> np.ndarray:
    """Pixels of each class ``(images, classes)``."""
    samples = [(leaf, index) for leaf in leaves(dataset) for index in range(len(leaf))]
    if len(samples) != len(dataset):
        raise OptionError(
            f'RareClassSampler: the data set has {len(dataset)} samples, but there are {len(samples)} '
            'images inside of its wrappers: take it out of RepeatDataset or ClassBalancedDataset'
        )
    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.stack(list(pool.map(lambda sample: _pixels_of(*sample, classes), samples)))


def _pixels_of(dataset: Any, index: int, classes: int) -> np.ndarray:
    """Pixels of each class of a sample, as its pipeline loads the mask."""
    sample = dataset.get_data_info(index)
    loaders = [t for t in loading(dataset) if 'Annotations' in type(t).__name__]
    path = sample.get('seg_map_path')
    if path is None or not loaders:
        raise OptionError(
            f'RareClassSampler: {type(dataset).__name__} has no masks (seg_map_path), or its pipeline '
            'loads none (LoadAnnotations): the sampler is for segmentation'
        )
    try:
        for load in loaders:
            sample = load(sample)
    except Exception as error:  # whatever its library raises
        raise FaultyDataError(
            f'RareClassSampler: {path} cannot be read ({error}): tools/check_dataset.py CONFIG finds all '
            'such files'
        ) from error
    labels = sample['gt_seg_map'].ravel()
    return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
