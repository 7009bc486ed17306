"""Class tokens among the patch tokens of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# number of class tokens before, in the middle of and after the L patch tokens
CLS_POSITIONS = {
    'none': (0, 0, 0),
    'head': (1, 0, 0),
    'middle': (0, 1, 0),
    'tail': (0, 0, 1),
    'head_tail': (1, 0, 1),
}


@dataclass(frozen=True)
class ClassSlots:
    """Where class tokens stand in a sequence.

    Holds no parameter: a model keeps its class tokens under the name that its checkpoints give them.

    Args:
        position (str): ``'none'``, ``'head'``, ``'tail'``, ``'head_tail'`` or ``'middle'`` (at L // 2 of L
            patch tokens).

    Raises:
        ValueError: If the position is not one of those.
    """

    position: str

    def __post_init__(self) -> None:
        if not isinstance(self.position, str) or self.position not in CLS_POSITIONS:
            raise ValueError(
                f'unknown cls_position {self.position!r}. Choose from: {", ".join(CLS_POSITIONS)}.'
            )

    @property
    def count(self) -> int:
        """Number n of class tokens."""
        return sum(CLS_POSITIONS[self.position])

    def indices(self, num_patches: int) -> list[int]:
        """Where they stand in the sequence of ``num_patches + n`` tokens."""
        head, middle, tail = CLS_POSITIONS[self.position]
        last = num_patches + head
        return [0] * head + [num_patches // 2] * middle + [last] * tail

    def insert(self, patches: Tensor, cls_tokens: Tensor) -> Tensor:
        """Put class tokens ``(B, n, C)`` into their slots among patch tokens ``(B, L, C)``."""
        head, middle, tail = CLS_POSITIONS[self.position]
        first, second = patches.tensor_split([patches.shape[1] // 2], dim=1)
        before, between, after = cls_tokens.split([head, middle, tail], dim=1)
        return torch.cat([before, first, between, second, after], dim=1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Patch tokens ``(B, L, C)`` and class tokens ``(B, n, C)`` of a sequence ``(B, L + n, C)``."""
        if not self.count:
            return x, x[:, :0]
        head, middle, tail = CLS_POSITIONS[self.position]
        patches = x.shape[1] - self.count
        half = patches // 2
        before, first, between, second, after = x.split([head, half, middle, patches - half, tail], 1)
        return torch.cat([first, second], 1), torch.cat([before, between, after], 1)


NO_CLASS_TOKENS = ClassSlots('none')
