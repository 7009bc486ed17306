"""What a model says of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import MissingDataError


@dataclass(repr=False)
class ImagePrediction:
    """What every prediction has.

    Of an image that could not be read nothing is predicted: its label, shares and so on raise a
    :class:`~rsmamba_mm.errors.MissingDataError` that says why.

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

    def _best(self, count: int) -> list[tuple[str, float]]:
        """The largest classes and what they are judged by, falling."""
        return []

    def __repr__(self) -> str:
        try:
            said = ', '.join(f'{name} {value:.3f}' for name, value in self._best(3))
            said += ', …' * (len(self.classes) > 3)
        except MissingDataError as error:
            said = str(error)
        return f'<{type(self).__name__} of {self.file or "an array"}: {said}>'

    def _known(self, values: np.ndarray | None) -> np.ndarray:
        """What the model says, if it does.

        Raises:
            MissingDataError: If the image could not be read.
        """
        if values is None:
            raise MissingDataError(self.error or 'nothing is predicted of this image')
        return values


@dataclass(repr=False)
class ScenePrediction(ImagePrediction):
    """What a classifier says of an image.

    Attributes:
        scores (np.ndarray, optional): Of each class, ``(C,)`` float32, in sum 1.
    """

    scores: np.ndarray | None = None

    @property
    def label(self) -> str:
        """The class with the highest score."""
        return self.classes[int(self._known(self.scores).argmax())]

    @property
    def score(self) -> float:
        """The highest score."""
        return float(self._known(self.scores).max())

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` classes with the highest scores, and these, falling."""
        scores = self._known(self.scores)
        ranked: list[int] = np.argsort(-scores, kind='stable')[:k].tolist()
        return [(self.classes[i], float(scores[i])) for i in ranked]

    def _best(self, count: int) -> list[tuple[str, float]]:
        return self.top(count)


@dataclass(repr=False)
class LandCoverPrediction(ImagePrediction):
    """What a segmenter says of an image.

    Attributes:
        labels (np.ndarray, optional): Classes from 0, ``(H, W)`` uint8.
        palette (Sequence[Sequence[int]]): RGB colour of each class.
    """

    labels: np.ndarray | None = None
    palette: Sequence[Sequence[int]] = field(default=(), repr=False)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the pixels of each class, in sum 1."""
        labels = self._known(self.labels)
        counts = np.bincount(labels.ravel(), minlength=len(self.classes))
        return dict(zip(self.classes, (counts / labels.size).tolist(), strict=True))

    def _best(self, count: int) -> list[tuple[str, float]]:
        return sorted(self.shares.items(), key=lambda share: -share[1])[:count]

    @property
    def coloured(self) -> np.ndarray:
        """The labels in the colours of the classes, ``(H, W, 3)`` uint8 RGB."""
        return np.asarray(self.palette, dtype=np.uint8)[self._known(self.labels)]
