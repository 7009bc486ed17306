"""From images to what a person wants to see of them: classes and scores, or maps of land cover."""

from __future__ import annotations

import csv
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS, DefaultScope

from ..errors import CheckpointError, MissingDataError, OptionError
from ..scopes import find_class
from ..visualization import draw_land_cover, draw_scores
from ..visualization._figures import displayable, save_image
from ..visualization._names import unique_names
from ..visualization.segmentation import spread_palette
from .faults import explained_options
from .preflight import check_checkpoint, is_segmenter, read_checkpoint
from .results import LandCoverPrediction, ScenePrediction
from .runner import read_config, without_annotations

TOPK = 5
Prediction = ScenePrediction | LandCoverPrediction


class ImagePredictor:
    """A trained classifier or segmenter for images that lie about, by OpenMMLab's inferencers.

    Images are read as the config's test pipeline reads them: rasters of many bands by ``LoadGeoImage``.

    Args:
        config (str): Config file.
        checkpoint (str): Checkpoint of its model.
        device (str, optional): Defaults to None, a GPU if there is one.
        cfg_options (dict, optional): Entries of the config to override. Defaults to None.

    Attributes:
        segmenter (bool): Whether the model maps land cover.
        classes (list[str]): Names of the classes.
        palette (list[list[int]]): RGB colours of a segmenter's classes.

    Raises:
        OptionError: If config, checkpoint or device are not there or do not fit, or nothing names the
            classes.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        device: str | None = None,
        cfg_options: dict | None = None,
    ) -> None:
        from .. import datasets, models  # noqa: F401 - a published config has no imports

        cfg = read_config(config, cfg_options)
        if 'test_dataloader' not in cfg:
            raise OptionError(f'{config} has no test_dataloader, whose pipeline says how to read images')
        read = read_checkpoint(checkpoint)
        self._cfg = cfg
        self.segmenter = is_segmenter(cfg)
        scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope'))
        with warnings.catch_warnings(), scope:
            # a checkpoint without classes is not taken for one of Cityscapes here
            warnings.simplefilter('ignore', UserWarning)
            self._reader = _reader(cfg)
            try:
                with explained_options(config):
                    self._inferencer = _inferencer(cfg, checkpoint, _device(device))
            except CheckpointError as error:
                raise OptionError(f'{checkpoint} is of another model: {error}') from error
        model = self._inferencer.model
        check_checkpoint(checkpoint, read, model)
        head = getattr(model, 'decode_head', None) or getattr(model, 'head', None)
        self.classes, palette = _names_and_colours(
            read.get('meta') or {}, cfg, getattr(head, 'num_classes', None), config, checkpoint
        )
        self.palette = palette or spread_palette(len(self.classes))

    def predict(
        self, files: Iterable[str | Path | np.ndarray], batch_size: int = 1
    ) -> Iterator[Prediction]:
        """Predict images one after the other; those that cannot be read bear an ``error``.

        Args:
            files (Iterable[str | Path | np.ndarray]): The images, which may come from a generator; also
                ``zip://ARCHIVE!/NAME`` as a string, and arrays ``(H, W, bands)`` as the config loads them.
            batch_size (int): How many go through the model at a time; a segmenter's only where they are of
                one size. Defaults to 1.

        Yields:
            ScenePrediction | LandCoverPrediction: Of each image, in their order.
        """
        batch: list[tuple[Path | None, np.ndarray]] = []
        for source in files:
            array = isinstance(source, np.ndarray)
            file = None if array else Path(source)
            try:
                image = self._reader(dict(img=source) if array else dict(img_path=str(source)))['img']
            except (OSError, ValueError) as error:
                yield from self._predicted(batch)
                batch = []
                yield self._kind(file=file, error=str(error))
                continue
            if len(batch) == batch_size or (self.segmenter and batch and batch[0][1].shape != image.shape):
                yield from self._predicted(batch)
                batch = []
            batch.append((file, image))
        yield from self._predicted(batch)

    @property
    def _kind(self) -> type[Prediction]:
        return LandCoverPrediction if self.segmenter else ScenePrediction

    @torch.no_grad()
    def _predicted(self, batch: Sequence[tuple[Path | None, np.ndarray]]) -> list[Prediction]:
        if not batch:
            return []
        (data,) = self._inferencer.preprocess([image for _, image in batch], batch_size=len(batch))
        predictions: list[Prediction] = []
        for (file, image), sample in zip(batch, self._inferencer.forward(data), strict=True):
            bands = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image))).permute(2, 0, 1)
            prediction = self._kind(file=file, image=displayable(bands, bgr=True), classes=self.classes)
            if isinstance(prediction, LandCoverPrediction):
                prediction.labels = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
                prediction.palette = self.palette
            else:
                prediction.scores = sample.pred_score.float().cpu().numpy()
            predictions.append(prediction)
        return predictions


def predict_images(args: Namespace) -> Iterator[str]:
    """What ``tools/image_demo.py`` does: predict images, write the results, and tell of each in a line.

    Args:
        args (Namespace): Parsed options of :func:`add_inference_arguments`.

    Yields:
        str: A line for each image, and one at the end on where the results lie.

    Raises:
        OptionError: If an option does not fit.
        MissingDataError: If there is no image; at the end, if one could not be read.
    """
    if args.batch_size < 1:
        raise OptionError(f'--batch-size must be at least 1, got {args.batch_size}')
    out = Path(args.out_dir)
    if out.is_file():
        raise OptionError(f'--out-dir: {out} is a file, not a folder')
    files = find_inputs(args.image, out)
    predictor = ImagePredictor(args.config, args.checkpoint, args.device, args.cfg_options)
    names = unique_names(files)
    errors = []
    out.mkdir(parents=True, exist_ok=True)
    with (out / ('classes.csv' if predictor.segmenter else 'predictions.csv')).open('w', newline='') as f:
        table = csv.writer(f)
        if predictor.segmenter:
            table.writerows(_class_rows(predictor))
        else:
            shown = min(TOPK, len(predictor.classes))
            ranks = (column for i in range(2, shown + 1) for column in (f'class_{i}', f'score_{i}'))
            table.writerow(['file', 'class', 'score', *ranks])
        for file, prediction in zip(files, predictor.predict(files, args.batch_size), strict=True):
            image = prediction.image
            name = names[str(file)]
            if image is None:
                errors.append(prediction.error)
                if len(files) > 1:
                    yield f'left out: {prediction.error}'
            elif isinstance(prediction, LandCoverPrediction):
                if prediction.labels is not None:
                    yield f'{file}: {_keep_maps(image, prediction.labels, predictor, out, name)}'
            elif prediction.scores is not None:
                said, row = _keep_scores(image, prediction.scores, predictor.classes, out, name, file.name)
                table.writerow([file, *row])
                yield f'{file}: {said}'
    if errors and len(files) == 1:
        raise MissingDataError(errors[0])
    yield f'results: {out}'
    if errors:
        raise MissingDataError(f'{len(errors)} of {len(files)} images could not be read, and were left out')


def find_inputs(source: str | Path, out: Path | None = None) -> list[Path]:
    """An image, or those of a folder at any depth; not what an earlier call wrote into ``out`` there.

    Raises:
        MissingDataError: If there is none.
    """
    # the folder of data sets needs mmcv, which other parts of this package's interface do not
    from ..datasets.folder import IMAGE_SUFFIXES

    source = Path(source)
    if source.is_file():
        return [source]
    if not source.exists():
        raise MissingDataError(f'no such image or folder: {source} (from {Path.cwd()})')
    found = sorted(path for path in source.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES)
    if out is not None and out.resolve() != source.resolve():
        found = [path for path in found if out.resolve() not in path.resolve().parents]
    if not found:
        raise MissingDataError(
            f'no images in {source}: looked for {" ".join(IMAGE_SUFFIXES)}, at any depth'
        )
    return found


def _keep_scores(
    image: np.ndarray, scores: np.ndarray, classes: Sequence[str], out: Path, name: str, caption: str
) -> tuple[str, list[str]]:
    """Write the picture of a classified image; what to tell of it, and its row of the table."""
    ranked: list[int] = np.argsort(-scores)[:TOPK].tolist()
    picture = draw_scores(image, scores, classes, topk=len(ranked), name=caption)
    save_image(picture, out / 'pictures' / f'{name}.png')
    row = [cell for i in ranked for cell in (classes[i], f'{scores[i]:.4f}')]
    first, *others = (f'{classes[i]} {100 * scores[i]:.1f} %' for i in ranked[:3])
    return f'{first} ({", ".join(others)})' if others else first, row


def _keep_maps(
    image: np.ndarray, labels: np.ndarray, predictor: ImagePredictor, out: Path, name: str
) -> str:
    """Write picture, coloured map and labels of a segmented image; what to tell of it."""
    classes, palette = predictor.classes, predictor.palette
    save_image(draw_land_cover(image, labels, classes, palette), out / 'pictures' / f'{name}.png')
    save_image(np.asarray(palette, dtype=np.uint8)[labels], out / 'maps' / f'{name}.png')
    save_image(labels, out / 'labels' / f'{name}.png')
    shares = 100 * np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    ranked = [i for i in np.argsort(-shares).tolist() if shares[i] > 0]
    return ', '.join(f'{classes[i]} {shares[i]:.1f} %' for i in ranked)


def _class_rows(predictor: ImagePredictor) -> Iterator[list]:
    """Which value and colour is which class."""
    yield ['label', 'class', 'red', 'green', 'blue']
    for label, (name, colour) in enumerate(zip(predictor.classes, predictor.palette, strict=True)):
        yield [label, name, *colour]


def _reader(cfg: Config):
    """The transform that reads an image as the test pipeline does, and refuses broken ones."""
    steps = [step for step in cfg.test_dataloader.dataset.pipeline if _loads(step)]
    step = dict(steps[0]) if steps else dict(type='LoadImageFromFile')
    kind = step['type'].rpartition('.')[2]
    plain = step.get('color_type', 'color') in ('color', 'grayscale')
    if kind == 'LoadImageFromFile' and plain and step.get('imdecode_backend', 'cv2') in ('cv2', 'pillow'):
        # OpenCV takes the readable part of a truncated file for the image
        known = ('to_float32', 'color_type', 'backend_args')
        step = dict(type='rsmamba_mm.LoadSceneImage', **{key: step[key] for key in known if key in step})
    try:
        return TRANSFORMS.build(step)
    except ImportError as error:
        raise OptionError(str(error)) from error


def _loads(step: dict) -> bool:
    """Whether a step reads an image."""
    kind = step['type'].rpartition('.')[2]
    return kind.startswith('Load') and 'Image' in kind


def _inferencer(cfg: Config, checkpoint: str, device: str) -> Any:
    """OpenMMLab's inferencer for a config's model; it is handed arrays."""
    cfg = deepcopy(cfg)
    if not is_segmenter(cfg):
        from mmpretrain import ImageClassificationInferencer

        cfg.model.pop('train_cfg', None)  # else it says that images are mixed, which they are in training
        return ImageClassificationInferencer(cfg, pretrained=checkpoint, device=device)
    from mmseg.apis import MMSegInferencer

    # it knows one way of loading, and lets arrays pass by it
    dataset = cfg.test_dataloader.dataset
    steps = [step for step in without_annotations(dataset.pipeline) if not _loads(step)]
    dataset.pipeline = [dict(type='LoadImageFromFile'), *steps]
    cfg.visualizer = dict(type='SegLocalVisualizer')
    cfg.model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    return MMSegInferencer(cfg, weights=checkpoint, device=device)


def _device(name: str | None) -> str:
    """A device that is there."""
    if name is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(f'--device {name}: not on this machine ({reason}). Take --device cpu') from None
    return name


def _names_and_colours(
    meta: dict, cfg: Config, count: int | None, config: str, checkpoint: str
) -> tuple[list[str], list | None]:
    """Classes and palette: the checkpoint's, else those of the config's data set."""
    dataset = cfg.test_dataloader.dataset
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        kind = find_class(DATASETS, dataset.type)
    sources = [meta.get('dataset_meta'), dataset.get('metainfo'), getattr(kind, 'METAINFO', None)]
    sources.insert(1, {key.lower(): meta[key] for key in ('CLASSES', 'PALETTE') if key in meta})
    for source in sources:
        classes = (source or {}).get('classes')
        if classes is not None and count in (None, len(classes)):
            palette = source.get('palette')
            return list(classes), palette if palette and len(palette) == len(classes) else None
    raise OptionError(
        f'{checkpoint} does not name its {count} classes, nor does {config}. Name them: --cfg-options '
        'test_dataloader.dataset.metainfo.classes="[first,second,…]"'
    )
