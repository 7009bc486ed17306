"""Metrics that OpenMMLab lacks, registered in MMEngine's root registry.

Those of segmentation are mmseg's kin and are registered where mmsegmentation is installed.
"""

from importlib.util import find_spec

from .. import _openmmlab  # noqa: F401 - cures come first
from .kappa import CohenKappa

__all__ = ['CohenKappa']

if find_spec('mmseg') is not None:
    from .boundary import BoundaryMetric
    from .segmentation import LandCoverMetric

    __all__ += ['BoundaryMetric', 'LandCoverMetric']
