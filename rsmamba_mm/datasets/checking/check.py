"""All samples of a data set, at once and in parallel."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ...threads import usable_cores
from .annotations import build_leaf
from .faults import SHOWN, Fault, describe, refuse
from .headers import AGAIN, forget_folders
from .listing import list_faults, same_faults, unseen_classes
from .samples import SampleChecker, Seen, loading
from .workers import TIMEOUT, Lost, call_in_processes

_BLOCK = 256  # samples between two looks at the clock


@dataclass
class Checked:
    """What a check found.

    Attributes:
        faults (list[Fault]): All of them; those of samples in their order.
        checked (int): Samples that were looked at.
        samples (int): Samples that there are.
    """

    faults: list[Fault] = field(default_factory=list)
    checked: int = 0
    samples: int = 0


def leaves(dataset: Any) -> list[Any]:
    """The data sets inside of wrappers, of MMEngine, mmpretrain, mmseg and this package."""
    if hasattr(dataset, '__dict__') and 'dataset' in vars(dataset):
        return leaves(dataset.dataset)
    if hasattr(dataset, '__dict__') and 'datasets' in vars(dataset):
        return [leaf for inner in dataset.datasets for leaf in leaves(inner)]
    return [dataset]


def leaf_configs(config: dict) -> list[dict]:
    """The configs of the data sets inside of those of wrappers; they may be changed in place."""
    inner = config.get('dataset', config.get('datasets'))
    if inner is None:
        return [config]
    return [leaf for each in (inner if isinstance(inner, list) else [inner]) for leaf in leaf_configs(each)]


def check_dataset(
    dataset: Any,
    decode: bool = False,
    train: bool = False,
    workers: int = 8,
    timeout: float = 30.0,
    time_limit: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Checked:
    """Check all samples of a data set.

    Without decoding its files have to be there, readable and with the header of an image that the pipeline
    loads right; a mask of the size of its image; labels within the classes; no file twice. With decoding
    also their pixels, as the loading transforms of the pipeline give them.

    Args:
        dataset (Any): As built, a wrapper or not. One that draws its images (``reads_files = False``)
            has no faults.
        decode (bool): Whether to decode each file. Defaults to False.
        train (bool): Whether each class has to be there. Defaults to False.
        workers (int): Threads, or processes to decode in; 0 decodes in this process, without timeout,
            as is done elsewhere than on Linux. Defaults to 8.
        timeout (float): Seconds that the decoding of a sample may take. Defaults to 30.
        time_limit (float, optional): Seconds after which no further file is looked at; they come in a
            random order then, always the same. Defaults to None.
        progress (Callable, optional): Is told how many samples are done, and how many there are. Defaults
            to None.

    Returns:
        Checked: Its faults have the index of the sample in the innermost data set.
    """
    result, start = Checked(), time.monotonic()
    forget_folders()
    for leaf in leaves(dataset):
        if not hasattr(leaf, 'get_data_info') or not getattr(leaf, 'reads_files', True):
            continue
        samples = [leaf.get_data_info(index) for index in range(len(leaf))]
        transforms = loading(leaf)
        result.samples += len(samples)
        result.faults += list_faults(leaf, samples, train)
        classes = (getattr(leaf, 'metainfo', None) or {}).get('classes')
        checker = SampleChecker(
            transforms, len(classes) if classes else None, getattr(leaf, 'ignore_index', 255)
        )
        order = list(range(len(samples)))
        if time_limit is not None:
            order = np.random.default_rng(0).permutation(len(samples)).tolist()

        def check(index: int, checker=checker, samples=samples) -> Seen:
            return checker.check(samples[index], decode)

        if decode and workers and sys.platform == 'linux':  # of macOS forked processes may crash
            found = call_in_processes(check, order, workers, timeout)
        else:
            found = _in_threads(check, order, max(1, workers), start, time_limit)
        seen: dict[int, Seen] = {}
        for index, of_one in found:
            seen[index] = of_one if isinstance(of_one, Seen) else _lost(samples[index], of_one, timeout)
            result.checked += 1
            if progress is not None:
                progress(result.checked, result.samples)
        for index in sorted(seen):
            result.faults += [Fault(*fault, index) for fault in seen[index].faults]
        result.faults += same_faults(samples, seen)
        if decode and train:
            result.faults += unseen_classes(leaf, seen)
    return result


def _in_threads(
    check: Callable[[int], Seen], order: list[int], threads: int, start: float, limit: float | None
) -> Iterator[tuple[int, Seen]]:
    """Files lie on disks or a network: threads wait for several at a time."""
    indices = iter(order)
    with ThreadPoolExecutor(threads) as pool:
        while block := list(islice(indices, _BLOCK)):
            yield from zip(block, pool.map(check, block), strict=True)
            if limit is not None and time.monotonic() - start > limit:
                return


def _lost(sample: dict, lost: Lost, timeout: float) -> Seen:
    path = str(sample.get('img_path'))
    if lost.reason == TIMEOUT:
        fault = (path, 'hangs', f'it was not read in {timeout:g} s: {AGAIN}')
    else:
        fault = (path, 'kills', f'the process that decoded it died, of memory or a defect: {AGAIN}')
    return Seen([fault])


@DATASETS.register_module(name='SkipFaulty')
def SkipFaulty(
    dataset: dict, decode: bool = True, workers: int | None = None, timeout: float = 30.0
) -> Any:
    """A data set without its faulty samples, which are counted and named in the log.

    In a config ``dataset=dict(type='SkipFaulty', dataset=dict(type='SceneFolder', …))``, inside of wrappers
    such as ``MultiImageMixDataset``; ``tools/train.py --skip-faulty`` puts it there. Of several processes
    one checks for all.

    Args:
        dataset (dict): Config of the data set.
        decode (bool): Whether to decode each file, once before the training. Defaults to True.
        workers (int, optional): Processes that decode. Defaults to None, the number of cores.
        timeout (float): Seconds that the decoding of a sample may take. Defaults to 30.

    Returns:
        The data set itself, with fewer samples.

    Raises:
        FaultyDataError: If no sample is left.
    """
    built, faults = build_leaf(dataset, skip=True)
    found: list[list[Fault]] = [[]]
    if is_main_process():
        found[0] = check_dataset(built, decode, False, workers or usable_cores(), timeout).faults
    broadcast_object_list(found)
    faulty = {fault.index for fault in found[0] if fault.index is not None}
    faults += [fault for fault in found[0] if fault.index is not None]
    total = len(built) + sum(fault.line is not None for fault in faults)
    kept = [index for index in range(len(built)) if index not in faulty]
    if not kept:
        refuse(faults or found[0], f'{type(built).__name__}, of which nothing is left')
    if faults:
        skipped = total - len(kept)
        print_log(
            f'{type(built).__name__}: {skipped} of {total} samples are left out. '
            f'{describe(faults, "them", max(SHOWN, len(faults)))}',
            logger='current',
            level=30,
        )
        built.get_subset_(kept)
    return built
