"""What every run leaves beside its log."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..visualization import plot_learning_curve


class ReportHook(Hook):
    """After training, draw the learning curve into ``WORK_DIR/TIME/learning_curve.png``."""

    priority = 'VERY_LOW'

    def after_train(self, runner: Runner) -> None:
        """Draw the learning curve."""
        scalars = Path(runner.log_dir) / 'vis_data' / 'scalars.json'
        if is_main_process() and scalars.is_file():
            try:
                plot_learning_curve(scalars, Path(runner.log_dir) / 'learning_curve.png')
            except ValueError as error:  # a run shorter than one log interval
                runner.logger.info('no learning curve: %s', error)
