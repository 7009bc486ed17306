"""Trained models as a Python user calls them: scenes by their class, images as maps of land cover."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor

from ..engine.check_classes import input_channels
from ..errors import MissingDataError, OptionError
from ..zoo import published_files
from .inference import ImagePredictor, find_inputs
from .preflight import is_segmenter
from .results import ImagePrediction
from .runner import read_config

Image = str | Path | np.ndarray
HALVES = dict(float16=torch.float16, bfloat16=torch.bfloat16)


@dataclass(frozen=True)
class ModelInput:
    """What a model takes, as its config says.

    Attributes:
        channels (int): Number of bands.
        colour (bool): Whether these are 8-bit red, green and blue (or grey); else values as they lie in the
            files.
        reverse (bool): Whether an array has them as blue, green, red.
        bands (tuple[int, ...], optional): Numbers of the bands in a raster, from 1, where the config names
            them.
        mean, std (tuple[float, ...], optional): Of each band, by which the model normalises; in the order
            red, green, blue, or that of the bands.
        fill (tuple[float, ...]): What stands for missing data, in each band, likewise.
    """

    channels: int
    colour: bool
    reverse: bool
    bands: tuple[int, ...] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    fill: tuple[float, ...]


class _Model(ImagePredictor):
    """What classifier and segmenter share."""

    _segments: bool

    def __init__(
        self,
        config: str | Path,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        cfg_options: dict | None = None,
        half: str | None = None,
    ) -> None:
        if checkpoint is None:
            config, checkpoint = published_files(config)
        if half is not None and half not in HALVES:
            raise OptionError(f'half: {" or ".join(HALVES)}, got {half!r}')
        super().__init__(str(config), str(checkpoint), device, cfg_options)
        if self.segmenter != self._segments:
            other = 'LandCoverSegmenter' if self.segmenter else 'SceneClassifier'
            raise OptionError(f'{config} is not for {type(self).__name__}: take {other}')
        self.config, self.checkpoint, self.half = str(config), str(checkpoint), half

    @property
    def model(self) -> Any:
        """The model, in evaluation mode."""
        return self._inferencer.model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def __call__(self, images: Image | Iterable[Image], batch_size: int = 1):
        """Predict one image, or several; :meth:`predict` does so one after the other, lazily.

        Args:
            images (str | Path | np.ndarray | Iterable): A file, or an array ``(H, W, bands)`` as the config
                loads it: OpenMMLab's blue, green, red of 8-bit images, the bands of rasters in their order.
                Or a folder with images at any depth, a batch of arrays ``(N, H, W, bands)``, a list or a
                generator of files and arrays.
            batch_size (int): How many go through the model at a time. Defaults to 1.

        Returns:
            ScenePrediction | LandCoverPrediction | list: Of the one image, or of each.

        Raises:
            MissingDataError: If an image cannot be read, or a folder has none.
            OptionError: If ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise OptionError(f'batch_size must be at least 1, got {batch_size}')
        if isinstance(images, str | Path) and Path(images).is_dir():
            images = find_inputs(images)
        one = isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim < 4)
        several = cast('Iterable[Image]', [images] if one else images)
        predictions: list[ImagePrediction] = []
        for prediction in self.predict(several, batch_size):
            if prediction.error is not None:
                raise MissingDataError(prediction.error)
            predictions.append(prediction)
        return predictions[0] if one else predictions

    def read(self, file: str | Path) -> np.ndarray:
        """An image ``(H, W, bands)`` as the config loads it.

        Raises:
            MissingDataError: If it cannot be read.
        """
        try:
            return self._reader(dict(img_path=str(file)))['img']
        except (OSError, ValueError) as error:
            raise MissingDataError(f'{file} cannot be read: {error}') from error

    def inputs(self, images: Sequence[np.ndarray]) -> Tensor:
        """What the model sees of arrays of one shape: ``(B, C, H, W)``, resized and normalised.

        Args:
            images (Sequence[np.ndarray]): ``(H, W, bands)`` each, as the config loads them.
        """
        return self._preprocessed(images)[0]

    def takes(self) -> ModelInput:
        """What the model takes, by the config's pipeline, its preprocessor and its first convolution."""
        step, preprocessor = self._reader, self.model.data_preprocessor
        name = type(step).__name__
        raster = name == 'LoadGeoImage'
        mean, std = (_values(getattr(preprocessor, key, None)) for key in ('mean', 'std'))
        bands = getattr(step, 'bands', None) if raster else None
        grey = getattr(step, 'color_type', 'color') == 'grayscale'
        channels = len(bands) if bands else input_channels(getattr(self.model, 'backbone', None))
        if channels is None:
            channels = len(mean) if mean is not None and len(mean) > 1 else 1 if grey else 3
        if mean is not None and std is not None:
            mean, std = (value * (channels if len(value) == 1 else 1) for value in (mean, std))
        reverse = not raster and channels == 3
        # as the preprocessor turns the bands round after loading, so lie its mean and std
        turned = channels == 3 and any(
            getattr(preprocessor, key, False) for key in ('_channel_conversion', 'to_rgb')
        )
        if mean is not None and std is not None and reverse != turned:
            mean, std = mean[::-1], std[::-1]
        fill = (float(getattr(step, 'fill', 0.0)),) * channels if raster or mean is None else mean
        return ModelInput(channels, not raster, reverse, tuple(bands) if bands else None, mean, std, fill)

    def _autocast(self) -> AbstractContextManager:
        if self.half is None:
            return nullcontext()
        return torch.autocast(self.device.type, HALVES[self.half])

    def _preprocessed(self, images: Sequence[np.ndarray]) -> tuple[Tensor, list]:
        """Inputs ``(B, C, H, W)`` and data samples of arrays of one shape, on the device."""
        with DefaultScope.overwrite_default_scope(self._cfg.get('default_scope')):
            (data,) = self._inferencer.preprocess(list(images), batch_size=len(images))
        data = self.model.data_preprocessor(data, False)
        return data['inputs'], data['data_samples']


class SceneClassifier(_Model):
    """A trained classifier of scenes: ``SceneClassifier(config, checkpoint)(images, batch_size=8)``.

    Args:
        config (str | Path): Config file; or a model that the package carries, see
            :func:`~rsmamba_mm.apis.zoo_models`, or the folder of a published one, which need no checkpoint.
        checkpoint (str | Path, optional): Checkpoint of the config's model. Defaults to None.
        device (str, optional): Such as ``'cpu'`` or ``'cuda:1'``. Defaults to None, a GPU if there is one.
        cfg_options (dict, optional): Entries of the config to override. Defaults to None.
        half (str, optional): ``'float16'`` or ``'bfloat16'``, in which PyTorch's autocast computes what
            bears it. Defaults to None, float32 throughout.

    Attributes:
        classes (list[str]): Names of the classes.
        palette (list[list[int]]): RGB colours of the classes.
        model (nn.Module): In evaluation mode, on its device.

    Raises:
        OptionError: If config, checkpoint or device are not there or do not fit, or the config is a
            segmenter's.
    """

    _segments = False

    @torch.inference_mode()
    def scores(self, images: Sequence[np.ndarray], tta: bool = False) -> Tensor:
        """Scores ``(B, classes)``, float32, of arrays of one shape, as the config loads them.

        Args:
            images (Sequence[np.ndarray]): ``(H, W, bands)`` each.
            tta (bool): Whether to average over both flips. Defaults to False.
        """
        inputs, samples = self._preprocessed(images)
        views = [[], [-1], [-2], [-2, -1]] if tta else [[]]
        with self._autocast():
            scores = [
                torch.stack([s.pred_score for s in self.model.predict(inputs.flip(view), samples)]).float()
                for view in views
            ]
        return torch.stack(scores).mean(0)


class LandCoverSegmenter(_Model):
    """A trained segmenter of land cover: ``LandCoverSegmenter(config, checkpoint)(image)``.

    Args:
        config (str | Path): Config file; or a model that the package carries, see
            :func:`~rsmamba_mm.apis.zoo_models`, or the folder of a published one, which need no checkpoint.
        checkpoint (str | Path, optional): Checkpoint of the config's model. Defaults to None.
        device (str, optional): Such as ``'cpu'`` or ``'cuda:1'``. Defaults to None, a GPU if there is one.
        cfg_options (dict, optional): Entries of the config to override. Defaults to None.
        half (str, optional): ``'float16'`` or ``'bfloat16'``, in which PyTorch's autocast computes what
            bears it. Defaults to None, float32 throughout.

    Attributes:
        classes (list[str]): Names of the classes.
        palette (list[list[int]]): RGB colours of the classes.
        model (nn.Module): In evaluation mode, on its device.

    Raises:
        OptionError: If config, checkpoint or device are not there or do not fit, or the config is a
            classifier's.
    """

    _segments = True

    @property
    def scale_factor(self) -> float:
        """By which the test pipeline resizes every image, before the model sees it; 1 if it does not."""
        steps = self._cfg.test_dataloader.dataset.get('pipeline') or ()
        factors = [step.get('scale_factor') for step in steps if isinstance(step, dict)]
        return math.prod(factor for factor in factors if isinstance(factor, int | float))

    @torch.inference_mode()
    def logits(self, images: Sequence[np.ndarray], tta: bool = False) -> Tensor:
        """Logits ``(B, classes, H, W)``, float32, of arrays of one shape, as the config loads them.

        An array is one window: sliding windows that the config's ``test_cfg`` asks for are left out.

        Args:
            images (Sequence[np.ndarray]): ``(H, W, bands)`` each.
            tta (bool): Whether to average over the views of the config's ``tta_model``, or without one
                those of :class:`~rsmamba_mm.models.segmentors.D4SegTTAModel`. Defaults to False.

        Raises:
            OptionError: If ``tta`` is asked for and the config has another kind of ``tta_model``.
        """
        inputs, samples = self._preprocessed(images)
        with self._autocast(), self._whole():
            if tta:
                logits = self._augmented().logits(inputs, samples)
            else:
                logits = self.model.inference(inputs, [sample.metainfo for sample in samples])
        if logits.shape[-2:] != images[0].shape[:2]:  # the pipeline resized or padded
            samples = self.model.postprocess_result(logits, samples)
            logits = torch.stack([sample.seg_logits.data for sample in samples])
        return logits.float()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        model = self.model
        test_cfg, model.test_cfg = model.test_cfg, ConfigDict(model.test_cfg or {}, mode='whole')
        try:
            yield
        finally:
            model.test_cfg = test_cfg

    def _augmented(self):
        from ..models.segmentors import D4SegTTAModel

        if not hasattr(self, '_tta'):
            options = dict(self._cfg.get('tta_model') or {})
            kind = options.pop('type', 'D4SegTTAModel')
            if kind.rpartition('.')[2] != 'D4SegTTAModel':
                raise OptionError(
                    f'tta: the config has tta_model of the type {kind}, which augments in its pipeline; '
                    "windows need --cfg-options tta_model.type=D4SegTTAModel, or the config's without it"
                )
            self._tta = D4SegTTAModel(self.model, **options)
        return self._tta


def _values(tensor: Tensor | None) -> tuple[float, ...] | None:
    return None if tensor is None else tuple(tensor.flatten().tolist())


def predictor(
    config: str | Path, checkpoint: str | Path, **options
) -> SceneClassifier | LandCoverSegmenter:
    """The one of the two that a config is for; options as theirs."""
    cfg = read_config(str(config), options.get('cfg_options'))
    kind = LandCoverSegmenter if is_segmenter(cfg) else SceneClassifier
    return kind(config, checkpoint, **options)
