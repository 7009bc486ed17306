"""What a model says of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class ImagePrediction:
    """What every prediction has.

    Attributes:
        file (Path, optional): The image; None of an array.
        image (np.ndarray, optional): To show, ``(H, W, 3 or 1)`` uint8 RGB; None if it could not be read.
        error (str, optional): Why the image could not be read.
        classes (Sequence[str]): Names of the classes.
    """

    file: Path | None = None
    image: np.ndarray | None = None
    error: str | None = None
    classes: Sequence[str] = field(default=(), repr=False)


@dataclass
class ScenePrediction(ImagePrediction):
    """What a classifier says of an image.

    Attributes:
        scores (np.ndarray): Of each class, ``(C,)`` float32, in sum 1; empty if the image could not be
            read.
    """

    scores: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def label(self) -> str:
        """The class with the highest score."""
        return self.classes[int(self.scores.argmax())]

    @property
    def score(self) -> float:
        """The highest score."""
        return float(self.scores.max())

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` classes with the highest scores, and these, falling."""
        ranked: list[int] = np.argsort(-self.scores, kind='stable')[:k].tolist()
        return [(self.classes[i], float(self.scores[i])) for i in ranked]


@dataclass
class LandCoverPrediction(ImagePrediction):
    """What a segmenter says of an image.

    Attributes:
        labels (np.ndarray): Classes from 0, ``(H, W)`` uint8; empty if the image could not be read.
        palette (Sequence[Sequence[int]]): RGB colour of each class.
    """

    labels: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.uint8))
    palette: Sequence[Sequence[int]] = field(default=(), repr=False)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels of each class, in sum 1."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return dict(zip(self.classes, (counts / self.labels.size).tolist(), strict=True))

    @property
    def coloured(self) -> np.ndarray:
        """The labels in the colours of the classes, ``(H, W, 3)`` uint8 RGB."""
        return np.asarray(self.palette, dtype=np.uint8)[self.labels]
