"""Registered models; importing this registers them in MMEngine's root registries."""

from .. import compat

compat.apply()

# the cures of compat come before OpenMMLab's imports
from .backbones import RSMamba  # noqa: E402
from .complexity import count_scans  # noqa: E402

count_scans()

__all__ = ['RSMamba']
