"""Pictures and tables of what a run left behind."""

from .analysis import plot_complexity, plot_curves, plot_receptive_field
from .classification import draw_scores, plot_confusion_matrix, plot_predictions, write_class_table
from .costs import plot_answer, plot_costs
from .gates import draw_gates
from .learning_curve import plot_learning_curve, read_curve
from .segmentation import (
    SegmentedImage,
    draw_land_cover,
    overlay_classes,
    plot_overlays,
    write_land_cover_table,
)
from .tables import write_table

__all__ = [
    'SegmentedImage',
    'draw_gates',
    'draw_land_cover',
    'draw_scores',
    'overlay_classes',
    'plot_answer',
    'plot_complexity',
    'plot_confusion_matrix',
    'plot_costs',
    'plot_curves',
    'plot_learning_curve',
    'plot_overlays',
    'plot_predictions',
    'plot_receptive_field',
    'read_curve',
    'write_class_table',
    'write_land_cover_table',
    'write_table',
]
