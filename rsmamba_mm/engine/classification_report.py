"""What a run of a scene classifier leaves beside its log: tables and pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.dist import collect_results
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..evaluation.kappa import confusion_matrix
from ..visualization import plot_confusion_matrix, plot_predictions, write_class_table
from .report import ReportHook


@HOOKS.register_module()
class ClassificationReportHook(ReportHook):
    """After training, draw the learning curve; after a test, the confusion matrix and the predictions that
    are most surely right and wrong, and write a table of precision, recall and F1 of each class.

    They lie beside the log, in ``WORK_DIR/TIME``: ``learning_curve.png``, ``confusion_matrix.png``,
    ``predictions.png`` and ``classes.csv``. Models and data that are no single-label classification are
    left alone.
    """

    def before_test_epoch(self, runner: Runner) -> None:
        """Forget an earlier test."""
        self.predictions: list[tuple[torch.Tensor, int]] = []

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Keep scores and labels."""
        for sample in outputs or ():
            if 'pred_score' in sample and 'gt_label' in sample and sample.gt_label.numel() == 1:
                self.predictions.append((sample.pred_score.float().cpu(), int(sample.gt_label)))

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write the table and draw the pictures."""
        dataset = runner.test_dataloader.dataset
        classes = getattr(dataset, 'metainfo', {}).get('classes')
        predictions = collect_results(self.predictions, len(dataset), device='cpu')
        if not predictions or classes is None:  # no classifier, or not the main process
            return
        scores = torch.stack([score for score, _ in predictions])
        labels = torch.tensor([label for _, label in predictions])
        folder = Path(runner.log_dir)
        counts = confusion_matrix(labels, scores.argmax(1), len(classes))
        write_class_table(counts, classes, folder / 'classes.csv')
        plot_confusion_matrix(counts, classes, folder / 'confusion_matrix.png')
        plot_predictions(dataset, scores, labels, classes, folder / 'predictions.png')
        runner.logger.info('table of the classes, confusion matrix and predictions: %s', folder)
