"""Checks before the first step: are the files of the data there, and what they should be?"""

from __future__ import annotations

import time

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Stop before the first step with a list of what is wrong with the data.

    Each file has to be there, with bytes, readable, and with the header of an image that the pipeline
    loads right; a mask has the size of its image; labels and names fit. That takes less than a second for
    2,000 images on a local disk. Of several processes one looks. ``tools/check_dataset.py`` decodes each
    file too, and ``tools/train.py --skip-faulty`` leaves faulty samples out.

    Args:
        decode (bool): Whether to decode each file before each run, in processes. Defaults to False.
        time_limit (float, optional): Seconds for each data set after which the check ends; it says how
            many samples it has seen, drawn at random. Defaults to 10; None is without end. Decoding has
            none.

    Raises:
        FaultyDataError: With the first 20 faults and their number.
    """

    priority = 'VERY_HIGH'

    def __init__(self, decode: bool = False, time_limit: float | None = 10.0) -> None:
        self.decode, self.time_limit = decode, time_limit

    def before_train(self, runner: Runner) -> None:
        """Check the data of the training, and of the validation in it."""
        self._check(runner, 'train', runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            self._check(runner, 'val', runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        """Check the data of the test."""
        self._check(runner, 'test', runner.test_dataloader.dataset)

    def _check(self, runner: Runner, split: str, dataset) -> None:
        # the folder of data sets needs mmcv, which other hooks do not
        from ..datasets.checking import Checked, check_dataset, refuse

        found, start = [Checked()], time.perf_counter()
        if is_main_process():
            limit = None if self.decode else self.time_limit
            found[0] = check_dataset(dataset, self.decode, split == 'train', time_limit=limit)
        broadcast_object_list(found)
        checked: Checked = found[0]
        config = getattr(runner.cfg, 'filename', None) or 'CONFIG'
        command = f'python tools/check_dataset.py {config} --split {split}'
        skip = ', or leave them out: --skip-faulty' if split == 'train' else ''
        refuse(checked.faults, f'the {split} data', f'All of them, decoded as well: {command}{skip}')
        if checked.checked < checked.samples:
            runner.logger.warning(
                f'{split} data: {checked.checked:,} of {checked.samples:,} samples were checked in '
                f'{time.perf_counter() - start:.0f} s, and no fault was found. All of them: {command}'
            )
