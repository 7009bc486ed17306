"""Importing this applies the cures of :mod:`rsmamba_mm.compat`; it comes before OpenMMLab and OpenCV."""

from . import compat

compat.apply()
