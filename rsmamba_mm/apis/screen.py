"""What a run prints: its progress. What describes it at length goes into its log file alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

LENGTHY = (
    'Config:\n',
    'Distributed training is not used, all SyncBatchNorm',
    'Exp name: ',
    'Hooks will be executed in the following order',
    'paramwise_options -- ',
)


class Progress(logging.Filter):
    """Lets pass what is not about environment, config, hooks, and the options of each parameter."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not text.startswith(LENGTHY) and '\nSystem environment:' not in text


@contextmanager
def progress_alone() -> Iterator[None]:
    """Let runners that are built inside print their progress alone."""
    build_logger = Runner.build_logger

    def build_quiet_logger(self: Runner, *args: Any, **kwargs: Any) -> MMLogger:
        logger = build_logger(self, *args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:  # not that of the file
                handler.addFilter(Progress())
        return logger

    Runner.build_logger = build_quiet_logger
    try:
        yield
    finally:
        Runner.build_logger = build_logger
