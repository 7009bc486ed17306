"""Metrics that OpenMMLab lacks, registered in MMEngine's root registry.

Those of segmentation are mmseg's kin and are registered where mmsegmentation is installed.
"""

from importlib.util import find_spec

from .. import compat

compat.apply()

from .kappa import CohenKappa  # noqa: E402

__all__ = ['CohenKappa']

if find_spec('mmseg') is not None:
    from .segmentation import LandCoverMetric

    __all__ += ['LandCoverMetric']
