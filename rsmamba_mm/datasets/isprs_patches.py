"""Small patches of the ISPRS images, a part of them held out: import needs mmsegmentation."""

from __future__ import annotations

from mmengine.registry import DATASETS
from mmseg.datasets import ISPRSDataset

from ..errors import OptionError
from .folder import stratified_split


@DATASETS.register_module()
class ISPRSPatches(ISPRSDataset):
    """Patches of Vaihingen or Potsdam whose labels begin at 0.

    Args:
        holdout (float): Share of the patches that is held out for model selection: 0.1 with
            ``held_out=False`` gives nine tenths, with ``held_out=True`` the other tenth. Defaults to 0.
        held_out (bool): Which of the two parts to take. Defaults to False.
        **kwargs: Further arguments of mmseg's ``ISPRSDataset``; ``reduce_zero_label`` is False here.

    Raises:
        OptionError: If the holdout is no share.
    """

    def __init__(self, holdout: float = 0.0, held_out: bool = False, **kwargs) -> None:
        if not 0 <= holdout < 1 or (held_out and not holdout):
            raise OptionError(
                'ISPRSPatches: holdout is the share to hold out, in [0, 1), and held_out=True needs one '
                f'above 0; got holdout={holdout}, held_out={held_out}'
            )
        self.holdout, self.held_out = holdout, held_out
        super().__init__(**{'reduce_zero_label': False, **kwargs})

    def load_data_list(self) -> list[dict]:
        """The patches of the part, in the order of their names."""
        samples = super().load_data_list()
        if self.holdout:
            parts = stratified_split([0] * len(samples), (1 - self.holdout, self.holdout))
            samples = [samples[index] for index in parts[self.held_out]]
        return samples
