"""Checkpoints that are whole or not there, and resuming from the last whole one."""

from __future__ import annotations

import inspect
import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner

from ..errors import OptionError, OutputError
from ..safe_loading import load
from .check_classes import bare_model

WORKERS_END = 10.0  # seconds until the loader's workers of a killed process have noticed, and let go
ATOMIC = 'rsmamba_mm.atomic'  # name of the file backend


class AtomicBackend(LocalBackend):
    """Local files that are written whole or not at all: beside their place, to the disk, then renamed."""

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write a file.

        Raises:
            OutputError: If there is no room for it; an earlier file of the name is as it was.
        """
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f'.{path.name}.part')
        try:
            with open(part, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(
                f'{path} could not be written ({error.strerror}; {len(obj) / 2**20:.0f} MB): make room, '
                'then go on with --resume from the checkpoint before it, which is as it was'
            ) from error
        if os.name == 'posix':  # the new name too is to outlive a power cut
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


register_backend(ATOMIC, AtomicBackend)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's hook, of whose checkpoints a kill, a full disk or a power cut never leaves a part.

    A local file is written beside its place and renamed when it is on the disk. A checkpoint that is not
    to be kept is removed after the next one is there, not before. A run that resumes by itself
    (``resume=True`` without ``load_from``) takes the newest checkpoint whose checksums hold, and names
    those that it passes over. The checksums are those that PyTorch writes for each part of the file. While
    it trains, no other run may train in its work dir.

    Args:
        **kwargs: Those of MMEngine's ``CheckpointHook``, and of ``Runner.save_checkpoint``.

    Raises:
        TypeError: If there is no such argument.
        OptionError: If another run trains in the work dir, no checkpoint to resume from is whole, or
            what is loaded is of another model or, to resume, of no run.
    """

    meta: Mapping[str, int] = {}  # epoch and iteration of what is being saved

    def __init__(self, *args, **kwargs) -> None:
        known = {
            *inspect.signature(CheckpointHook).parameters,
            *inspect.signature(Runner.save_checkpoint).parameters,
        }
        for name in kwargs.keys() - known:  # the parent would find out when it first saves
            raise TypeError(f'{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}')
        super().__init__(*args, **kwargs)

    def before_run(self, runner: Runner) -> None:
        """Take the work dir, and find the checkpoint to resume from."""
        if isinstance(runner._train_loop, BaseLoop) and is_main_process():  # not to be tested alone
            # of this process: one that was interrupted in a notebook may begin anew
            self._lock = FileLock(Path(runner.work_dir) / '.lock', is_singleton=True)
            try:
                self._lock.acquire(timeout=WORKERS_END)
            except Timeout as error:
                raise OptionError(
                    f'another process trains in {runner.work_dir}: wait for it, end it, or give another '
                    '--work-dir'
                ) from error
        if runner._resume and runner._load_from is None:
            runner._load_from = newest_checkpoint(runner.work_dir, runner.logger.warning)
            runner._resume = runner._load_from is not None
            if not runner._resume:
                runner.logger.warning(f'nothing to resume in {runner.work_dir}: the training begins')
        elif runner._resume and Path(runner._load_from).is_file():
            refuse_torn(runner._load_from)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse a file that training cannot begin or go on with."""
        path, meta = runner._load_from, checkpoint.get('meta') or {}
        if runner._resume and not {'epoch', 'iter'} <= set(meta):
            raise OptionError(
                f'{path} has weights alone, without the state of a run to resume: start from it by '
                '--cfg-options load_from=FILE, without --resume'
            )
        if runner._resume and 'optimizer' not in checkpoint:
            runner.logger.warning(
                f'{path} has no state of the optimizer (save_optimizer=False?): it begins anew, so the run '
                'does not end with the weights of one that was never cut'
            )
        tensors = checkpoint.get('state_dict', checkpoint)
        own = bare_model(runner.model).state_dict()
        shapes = {name.removeprefix('module.'): getattr(t, 'shape', None) for name, t in tensors.items()}
        if not any(shapes.get(name) == tensor.shape for name, tensor in own.items()):
            raise OptionError(
                f'{path} is of another model: not one of its tensors has name and shape of one here, and '
                'MMEngine would go on with random weights. Take the config of its training'
            )

    def after_run(self, runner: Runner) -> None:
        """Leave the work dir."""
        if hasattr(self, '_lock'):
            self._lock.release()

    def before_train(self, runner: Runner) -> None:
        """Choose the backend: MMEngine's own where files are not local, or another one is asked for."""
        folder = self.out_dir or runner.work_dir
        if self.backend_args is None and isinstance(get_file_backend(folder), LocalBackend):
            self.backend_args = dict(backend=ATOMIC)
        super().before_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        runner.call_hook('before_saving')  # in every process
        with self._saving(meta):
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._saving(dict(epoch=runner.epoch, iter=runner.iter)):
            super()._save_best_checkpoint(runner, metrics)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the place: a FlexibleRunner counts one more after a validation."""
        checkpoint['meta'].update(self.meta)

    @contextmanager
    def _saving(self, meta: dict) -> Iterator[None]:
        """Remove what is removed inside at the end, if nothing has failed."""
        outer, self.meta = self.meta, dict(meta)
        backend: Any = self.file_backend
        later: list[tuple[Any, str]] = []

        class Later:
            def __getattr__(self, name: str) -> Any:
                if name not in ('remove', 'rmtree'):
                    return getattr(backend, name)
                return lambda path: later.append((getattr(backend, name), path))

        self.file_backend = Later()
        try:
            yield
        finally:
            self.file_backend, self.meta = backend, outer
        kept = (self.last_ckpt, getattr(self, 'best_ckpt_path', None))
        for remove, path in later:
            if path not in kept and is_main_process():
                remove(path)


def torn(path: str | Path) -> str | None:
    """What is wrong with a checkpoint file by its checksums, or None.

    Args:
        path (str | Path): A file that ``torch.save`` wrote: a zip file with a checksum for each part.
    """
    try:
        with zipfile.ZipFile(path) as file:
            part = file.testzip()
    except Exception as error:  # of whatever kind: these bytes are no whole zip file
        return f'it is torn ({error})'
    return None if part is None else f'the checksum of its part {part} is wrong'


def refuse_torn(path: str | Path) -> None:
    """Refuse a checkpoint whose checksums do not hold.

    Raises:
        OptionError: Naming it.
    """
    if (fault := torn(path)) is not None:
        raise OptionError(f'{path} cannot be resumed from, {fault}: take the checkpoint before it')


def newest_checkpoint(folder: str | Path, say=print) -> str | None:
    """The newest whole checkpoint of a run.

    Args:
        folder (str | Path): The run's work dir.
        say (Callable): What is told of each newer one that is passed over. Defaults to ``print``.

    Returns:
        str | None: Its path; None if the run has left no checkpoint.

    Raises:
        OptionError: If none of those that it has left is whole.
    """
    places = {
        path: int(number[1])
        for path in Path(folder).glob('*.pth')
        if (number := re.fullmatch(r'(?:epoch|iter)_(\d+)', path.stem))
    }
    noted = _noted(Path(folder))
    if noted is not None:
        places.setdefault(noted, 0)
    # by time, as epochs and iterations are counted differently; of the same time the higher number
    newest = sorted(places, key=lambda path: (path.stat().st_mtime_ns, places[path]), reverse=True)
    if noted is not None:
        # clocks jump: what is to come before the one that was noted last is both newer and further
        since, done = noted.stat().st_mtime_ns, _iteration(noted)
        ahead = [p for p in newest if p.stat().st_mtime_ns >= since and _iteration(p) > done]
        newest = list(dict.fromkeys([*ahead, noted, *newest]))
    for path in newest:
        if (fault := torn(path)) is None:
            return str(path)
        say(f'{path} is passed over, {fault}')
    if newest:
        raise OptionError(
            f'no checkpoint in {folder} is whole, so there is nothing to resume from: begin anew without '
            '--resume, in another --work-dir'
        )
    return None


def _noted(folder: Path) -> Path | None:
    """The checkpoint that MMEngine's note names, whatever its name is."""
    note = folder / 'last_checkpoint'
    if not note.is_file() or not (name := Path(note.read_text(errors='replace').strip()).name):
        return None
    return folder / name if (folder / name).is_file() else None


def _iteration(path: Path) -> float:
    """After how many iterations a checkpoint was written; endless if it cannot be read."""
    try:
        return load(path, map_location='cpu', mmap=True)['meta']['iter']
    except Exception:  # whatever is wrong with it, its checksums tell
        return math.inf
