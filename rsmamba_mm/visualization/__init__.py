"""Pictures and tables of what a run left behind."""

from .classification import (
    plot_confusion_matrix,
    plot_learning_curve,
    plot_predictions,
    write_class_table,
)

__all__ = [
    'plot_confusion_matrix',
    'plot_learning_curve',
    'plot_predictions',
    'write_class_table',
]
