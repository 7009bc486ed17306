"""What a type of a config names, where packages of OpenMMLab have classes of their own."""

from __future__ import annotations

from typing import Any

from mmengine.registry import Registry


def find_class(registry: Registry, kind: Any) -> Any:
    """The class of a type, looked for in the default scope, such as mmseg, and what it is part of.

    ``Registry.get`` by itself looks in the root and above, and finds none of theirs.

    Args:
        registry (Registry): Such as MMEngine's ``DATASETS``.
        kind (Any): A name, or a class, which is its own.

    Returns:
        The class; None if there is none.
    """
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(None) as own:
        return own.get(kind)
