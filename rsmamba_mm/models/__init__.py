"""Registered models; importing this registers them in MMEngine's root registries."""

from .. import compat

compat.apply()

from .backbones import RSMamba  # noqa: E402 - the cures of compat come before OpenMMLab's imports

__all__ = ['RSMamba']
