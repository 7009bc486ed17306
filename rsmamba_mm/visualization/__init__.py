"""Pictures of what a run left behind."""

from .classification import (
    load_predictions,
    plot_confusion_matrix,
    plot_learning_curve,
    plot_predictions,
)

__all__ = [
    'load_predictions',
    'plot_confusion_matrix',
    'plot_learning_curve',
    'plot_predictions',
]
