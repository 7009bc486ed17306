"""What a run of the bench does beside the training: it can be cut anywhere, and its figures are kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...errors import OptionError
from ..mistakes import JudgedImage, judge_images, judge_samples
from .journal import Journal, select
from .machine import commit, describe_machine, versions
from .scores import confusions, score

IGNORED = 255
SELECTED = 'selected.pth'  # the weights of the epoch that the held-out part selects


@HOOKS.register_module()
class BenchHook(Hook):
    """Keep a training's figures, epoch by epoch, so that one that was cut goes on to the same ones.

    After each validation, which is of the held-out part, the test part is judged too, for the papers'
    protocol; what was said of each image is kept. The held-out part selects the checkpoint ``selected.pth``
    in the work dir. That the weights are the same is :class:`~rsmamba_mm.engine.ExactTrainLoop`'s work.

    With a top-level ``deadline`` in the config, seconds since the epoch of ``time.time()``, the run ends
    before the epoch that would go beyond it.

    Args:
        images (Mapping[str, int]): How many images ``train``, ``held_out`` and ``test`` have. Without
            ``held_out`` the validation is of the test part, and of the last epoch alone.
        metric (str): The figure that selects, see :func:`~rsmamba_mm.apis.bench.scores.score`.
        left_out (Sequence[str]): Classes that do not count in means over classes. Defaults to none.

    Raises:
        OptionError: If a part has another number of images, or an epoch does not see each image once.
    """

    priority = 'LOW'  # before the checkpoint of an epoch is written, which a run goes on from

    def __init__(self, images: Mapping[str, int], metric: str, left_out: Sequence[str] = ()) -> None:
        self.images, self.metric, self.left_out = images, metric, left_out

    def before_train(self, runner: Runner) -> None:
        """Look at the data, and go on where an earlier process was cut."""
        self._check_images(runner)
        dataset: Any = runner.val_dataloader.dataset
        self.classes: tuple[str, ...] = tuple(dataset.metainfo['classes'])
        self.journal = Journal(runner.work_dir)
        self.journal.cut(runner.epoch)
        self.journal.add_facts(
            commit=commit(),
            machine=describe_machine(),
            versions=versions(),
            classes=self.classes,
            batch_size=runner.train_dataloader.batch_size,
            parameters=parameters(runner.model),
        )
        self._started = time.perf_counter()

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin a line of the journal."""
        self._started = time.perf_counter()
        self._losses: list[float] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None
    ) -> None:
        """Keep the loss."""
        self._losses.append((outputs or {})['loss'].item())

    def after_train_epoch(self, runner: Runner) -> None:
        """Keep the epoch, and stop if the next one would end too late."""
        epoch, seconds = runner.epoch + 1, self._lap()
        self.journal.add_epoch(epoch, epoch * self.images['train'], seconds, float(np.mean(self._losses)))
        deadline = runner.cfg.get('deadline')
        if deadline is not None and time.time() + seconds > deadline:
            loop: Any = runner.train_loop
            loop.stop_training = True

    def before_val_epoch(self, runner: Runner) -> None:
        """Forget an earlier validation."""
        self._held_out: list[JudgedImage] = []

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Keep what was said of the held-out images, and after the last of them judge the test part."""
        self._held_out.extend(self._counted(judge_samples(outputs or (), IGNORED, len(self._held_out))))
        if batch_idx + 1 == len(runner.val_dataloader):  # here, for averaged weights leave after the epoch
            self._test = list(self._counted(judge_images(runner.model, _test_images(runner), IGNORED)))

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Keep all figures, and the model if it is the best on the held-out part."""
        again = self.journal.rows[-1]['test'] is not None  # the run was cut after it, and makes up for it
        self._keep(dict(held_out=self._held_out, test=self._test), 0 if again else self._lap())
        if select(self.journal.rows, 'held_out') == runner.epoch:
            runner.save_checkpoint(
                runner.work_dir,
                SELECTED,
                save_optimizer=False,
                save_param_scheduler=False,
                meta=dict(epoch=runner.epoch, iter=runner.iter),
                by_epoch=False,
            )

    def judge_again(self, runner: Runner, before: Journal) -> None:
        """Judge a model that was trained before as this config tests it, and keep that as a run of its own.

        Args:
            runner (Runner): With the weights.
            before (Journal): Of the training.
        """
        loaders = dict(
            held_out=runner.build_dataloader(runner.cfg.val_dataloader), test=_test_images(runner)
        )
        self.classes = tuple(loaders['test'].dataset.metainfo['classes'])
        model = runner.model.eval()
        judged = {
            part: list(self._counted(judge_images(model, loader, IGNORED)))
            for part, loader in loaders.items()
        }
        last, self.journal = before.rows[-1], Journal(runner.work_dir)
        self.journal.rows = []
        self.journal.add_facts(**before.facts)
        self.journal.add_epoch(last['epoch'], last['images_seen'], last['seconds'], last['loss'])
        self._keep(judged, 0)

    def _keep(self, judged: Mapping[str, list[JudgedImage]], seconds: float) -> None:
        """What was said of the images of each part, and its figure."""
        arrays = {part: np.stack([image.prediction for image in images]) for part, images in judged.items()}
        figures = {part: self._figure(array) for part, array in arrays.items()}
        names = {
            f'{part}_images': np.array([image.path for image in each]) for part, each in judged.items()
        }
        self.journal.judge(figures, seconds, **arrays, **names)

    def _lap(self) -> float:
        """Seconds since the last time that was taken."""
        before, self._started = self._started, time.perf_counter()
        return self._started - before

    def _counted(self, images: Iterable[JudgedImage]) -> Iterable[JudgedImage]:
        """Images with the name that tells them apart, and in place of a map its confusion matrix."""
        for image in images:
            if isinstance(image.truth, int):
                image.path = '/'.join(Path(image.path).parts[-2:])
                image.prediction = np.array([image.truth, image.prediction], np.int16)
            else:
                image.path = Path(image.path).name
                valid, classes = image.truth != IGNORED, len(self.classes)
                pairs = image.truth[valid].astype(np.int64) * classes + image.prediction[valid]
                image.prediction = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
                image.truth = None  # of no more use
            yield image

    def _figure(self, judged: np.ndarray) -> float:
        counted = np.array([name not in self.left_out for name in self.classes])
        return float(score(confusions(judged, len(self.classes)).sum(0), self.metric, counted))

    def _check_images(self, runner: Runner) -> None:
        loaders: dict[str, Any] = dict(
            train=runner.train_dataloader, held_out=runner.val_dataloader, test=_test_images(runner)
        )
        found = {part: len(loader.dataset) for part, loader in loaders.items()}
        expected = {'held_out': self.images['test'], **self.images}  # where none are, it is the test part
        wrong = [f'{part} has {found[part]}, not {expected[part]}' for part in found
                 if found[part] != expected[part]]  # fmt: skip
        if wrong:
            raise OptionError(
                f'the data is not that of the bench, whose figures it could not be compared with: '
                f'{"; ".join(wrong)} images. Where the RECIPE of the environment is not ours, unset it'
            )
        loader = loaders['train']
        if loader.drop_last and found['train'] % loader.batch_size:
            raise OptionError(
                f'incomplete batches are left out, and {loader.batch_size} does not divide the '
                f'{found["train"]} training images: an epoch would not see each of them'
            )


@HOOKS.register_module()
class PretrainingHook(Hook):
    """Keep the figures of a pre-training, epoch by epoch, as :class:`BenchHook`; nothing is judged."""

    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Go on where an earlier process was cut."""
        self.journal = Journal(runner.work_dir)
        self.journal.cut(runner.epoch)

    def before_train_epoch(self, runner: Runner) -> None:
        """Begin a line of the journal."""
        self._started, self._losses, self._images = time.perf_counter(), [], 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Keep the loss, and count the images."""
        self._losses.append((outputs or {})['loss'].item())
        self._images += len((data_batch or {})['inputs'])

    def after_train_epoch(self, runner: Runner) -> None:
        """Keep the epoch, and stop if the next one would end too late."""
        seconds, loss = time.perf_counter() - self._started, float(np.mean(self._losses))
        images = (runner.epoch + 1) * self._images
        self.journal.add_epoch(runner.epoch + 1, images, seconds, loss)
        deadline = runner.cfg.get('deadline')
        if deadline is not None and time.time() + seconds > deadline:
            loop: Any = runner.train_loop
            loop.stop_training = True


def _test_images(runner: Runner) -> Any:
    """The loader of the test part."""
    loop: Any = runner.test_loop
    return loop.dataloader


def parameters(model: torch.nn.Module) -> int:
    """Parameters of a model in use, without a head that is for training alone."""
    named = model.named_parameters()
    return sum(
        p.numel() for name, p in named if not name.removeprefix('module.').startswith('auxiliary_head')
    )
