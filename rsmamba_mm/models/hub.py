"""The names of this package's classifiers in mmpretrain's hub: import needs mmpretrain."""

from __future__ import annotations

from mmpretrain.apis import ModelHub

from ..paths import share


def register_models() -> None:
    """Let mmpretrain find the configs of this package by name.

    ``get_model('rsmamba-b_ucmerced', pretrained='FILE.pth')``, ``list_models('rsmamba')`` and
    ``inference_model`` then work, which take the task of a model from the hub. An installation without its
    model index is left alone.
    """
    index = share() / 'model-index.yml'
    if index.is_file() and not ModelHub.has('rsmamba-b_ucmerced'):
        ModelHub.register_model_index(index, config_prefix=index.parent)
