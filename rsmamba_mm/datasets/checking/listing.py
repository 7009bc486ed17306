"""What is wrong with the list of a data set's samples, beside its files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..folder import IMAGE_SUFFIXES
from .faults import Fault
from .samples import Seen

_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp', '.webp', '.gif', '.jp2', '.ppm')


def list_faults(dataset: Any, samples: Sequence[dict], train: bool) -> Iterator[Fault]:
    """Faults of labels, classes and names.

    Args:
        dataset (Any): The data set.
        samples (Sequence[dict]): Of its ``get_data_info``.
        train (bool): Whether each class has to be there.

    Yields:
        Fault: Each of them.
    """
    name = type(dataset).__name__
    classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    if not samples:
        place = getattr(dataset, 'ann_file', '') or getattr(dataset, 'data_root', '') or name
        yield Fault(
            str(place), 'no samples', f'{name} finds none: does the folder have images of its suffix '
            f'({getattr(dataset, "img_suffix", "any")}), or the list lines?'
        )  # fmt: skip
        return
    folded = Counter(str(c).strip().casefold() for c in classes)
    for key in [key for key, count in folded.items() if count > 1]:
        alike = [str(c) for c in classes if str(c).strip().casefold() == key]
        yield Fault(
            name, 'class names', f'{" and ".join(map(repr, alike))} are two classes whose names differ in '
            'case or spaces at most: join them, or rename one'
        )  # fmt: skip
    yield from _label_faults(samples, classes)
    if train and classes and 'gt_label' in samples[0] and getattr(dataset, '_indices', None) is None:
        counts = Counter(label for sample in samples for label in _labels(sample))
        for label, class_name in enumerate(classes):
            if not counts[label]:
                yield Fault(
                    name, 'empty class', f'no sample is of the class {class_name!r} ({label}): add some, '
                    'or take it off the classes and num_classes'
                )  # fmt: skip
    yield from _left_out(dataset, samples)


def _labels(sample: dict) -> list:
    return np.ravel(sample['gt_label']).tolist() if 'gt_label' in sample else []


def _label_faults(samples: Sequence[dict], classes: Sequence[str]) -> Iterator[Fault]:
    for index, sample in enumerate(samples):
        for label in _labels(sample):
            if not isinstance(label, int) or (classes and not 0 <= label < len(classes)):
                yield Fault(
                    str(sample.get('img_path', index)), 'label out of range',
                    f'its label is {label!r}, but there are {len(classes)} classes, from 0: mend the list',
                    index,
                )  # fmt: skip


def _left_out(dataset: Any, samples: Sequence[dict]) -> Iterator[Fault]:
    """Images beside those of the data set that their suffix excludes."""
    if getattr(dataset, 'ann_file', ''):
        return
    paths = [str(s[key]) for s in samples for key in ('img_path', 'seg_map_path') if s.get(key)]
    taken = {os.path.splitext(path)[1] for path in paths}
    if hasattr(dataset, 'img_suffix'):  # mmseg's, as they are written
        taken |= {dataset.img_suffix, dataset.seg_map_suffix}
        whatever_case: Sequence[str] = ()
    else:
        whatever_case = getattr(dataset, 'extensions', IMAGE_SUFFIXES)
    for folder in sorted({os.path.dirname(str(s['img_path'])) for s in samples if 'img_path' in s}):
        if '://' in folder or not os.path.isdir(folder):
            continue
        suffixes = (os.path.splitext(name)[1] for name in os.listdir(folder))
        for suffix, count in Counter(s for s in suffixes if s.lower() in _SUFFIXES).items():
            if suffix not in taken and suffix.lower() not in whatever_case:
                yield Fault(
                    folder, 'left out', f'{count} images with the suffix {suffix} are not read by '
                    f'{type(dataset).__name__}: rename or convert them, or move them away'
                )  # fmt: skip


def same_faults(samples: Sequence[dict], seen: dict[int, Seen]) -> Iterator[Fault]:
    """Images that are there twice, or under two labels, and those with other bands than the most."""
    files: dict[tuple[int, int], int] = {}
    contents: dict[bytes, int] = {}
    for index in sorted(seen):
        path, file, digest = str(samples[index].get('img_path')), seen[index].file, seen[index].digest
        first = files.setdefault(file, index) if file else index
        same = 'file'
        if first == index and digest:
            first, same = contents.setdefault(digest, index), 'image'
        if first == index:
            continue
        other, label = str(samples[first]['img_path']), samples[index].get('gt_label')
        if label != samples[first].get('gt_label'):
            yield Fault(
                path, 'two labels', f'it is the same {same} as {other}, whose label is '
                f'{samples[first].get("gt_label")}, not {label}: keep one of them', index
            )  # fmt: skip
        elif same == 'file':
            yield Fault(path, 'twice', f'it is the same file as {other}: keep one of them', index)
    bands = Counter(s.bands for s in seen.values() if s.bands)
    if len(bands) > 1:
        most = bands.most_common(1)[0][0]
        for index, found in sorted(seen.items()):
            if found.bands not in (None, most):
                yield Fault(
                    str(samples[index]['img_path']), 'bands', f'it has {found.bands} bands, most images '
                    f'{most}, and a batch has to be alike: convert it, or choose bands by '
                    'LoadGeoImage(bands=[…])', index
                )  # fmt: skip


def unseen_classes(dataset: Any, seen: dict[int, Seen]) -> Iterator[Fault]:
    """Classes that no mask has."""
    classes = list((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    counts: Counter = Counter()
    for found in seen.values():
        counts.update(found.labels)
    if not counts or getattr(dataset, '_indices', None) is not None:
        return
    present = ', '.join(map(str, sorted(counts)))
    for label, name in enumerate(classes):
        if not counts[label]:
            yield Fault(
                type(dataset).__name__, 'empty class', f'no pixel of the masks is of the class {name!r} '
                f'({label}); their labels are {present}: are they those that the config expects?'
            )  # fmt: skip
