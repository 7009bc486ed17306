"""Loading and augmenting scenes: 8-bit images, and rasters of any number of bands and bits."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.registry import TRANSFORMS
from PIL import Image

from .zips import gdal_path

_CODE = np.array([65536, 256, 1])  # of a colour as one number


@TRANSFORMS.register_module()
class LoadSceneImage(LoadImageFromFile):
    """Load an 8-bit colour image; a truncated or broken one is refused and named.

    mmcv's own loading with OpenCV takes the readable part of a truncated JPEG for the image, without a
    word. An image that is there already, as OpenMMLab's inferencers hand it over, passes.

    Args:
        to_float32 (bool): Whether to give float32 instead of uint8. Defaults to False.
        color_type (str): ``'color'`` or ``'grayscale'``. Defaults to ``'color'``.
        backend_args (dict, optional): Where files are kept, as mmengine's. Defaults to None.

    Raises:
        OSError: If an image cannot be read.
        ValueError: If an image that is there already is no image of 8-bit colours.
    """

    def __init__(
        self, to_float32: bool = False, color_type: str = 'color', backend_args: dict | None = None
    ) -> None:
        super().__init__(to_float32, color_type, imdecode_backend='pillow', backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Add ``img`` ``(H, W, 3)`` in BGR, ``img_shape`` and ``ori_shape``."""
        if 'img' in results:
            image = results['img']
            if image.ndim < 2 or (self.color_type == 'color' and image.shape[2:] != (3,)):
                raise ValueError(
                    f'LoadSceneImage takes a colour image (H, W, 3) in BGR, got {image.shape}; a config of '
                    'other bands loads by LoadGeoImage'
                )
            return _loaded(results, image)
        try:
            return super().transform(results)
        except FileNotFoundError:
            raise
        except Exception as error:  # Pillow raises many kinds on broken files
            raise OSError(
                f'{results["img_path"]} cannot be read as an 8-bit image ({error}). Fetch it again, or '
                'take it off the list; tools/dataset_converters/split_scenes.py names all such images. '
                'Rasters with more bands or bits are loaded by LoadGeoImage.'
            ) from error


def _loaded(results: dict, image: np.ndarray) -> dict:
    """Enter an image and its size."""
    results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
    return results


@TRANSFORMS.register_module()
class LoadGeoImage(BaseTransform):
    """Load a raster of any number of bands and bits (GeoTIFF and whatever else GDAL reads).

    An array that is there already, as a user hands it to OpenMMLab's inferencers, passes if it has the
    bands: ``inferencer(read_bands('scene.tif'))``. mmpretrain's inferencers read file names with OpenCV,
    which gives three 8-bit bands, turned round, of whatever the file has: that is refused.

    Of a sample that has a ``window`` (top, left, height, width in pixels) that part alone is read.

    Args:
        bands (Sequence[int], optional): Numbers of the bands to take, from 1, in this order. Defaults to
            None, all.
        fill (float): Value of pixels without data (the file's nodata value or mask, or NaN). Defaults to 0.

    Raises:
        ImportError: If rasterio is not installed.
        ValueError: If ``bands`` are not numbers from 1, an image lacks one of them, or an array is 8-bit
            colours or has another number of bands.
        OSError: If an image cannot be read.
    """

    def __init__(self, bands: Sequence[int] | None = None, fill: float = 0.0) -> None:
        try:
            import rasterio  # noqa: F401
        except ImportError:
            raise ImportError(
                'LoadGeoImage reads rasters through rasterio: pip install "rsmamba_mm[geo]"'
            ) from None
        if bands is not None and (not bands or any(not isinstance(b, int) or b < 1 for b in bands)):
            raise ValueError(f'LoadGeoImage: bands are numbers from 1, such as [1, 2, 3, 4], got {bands}')
        self.bands = None if bands is None else list(bands)
        self.fill = fill

    def transform(self, results: dict) -> dict:
        """Add ``img`` ``(H, W, bands)`` float32, ``img_shape`` and ``ori_shape``."""
        if 'img' in results:
            return _loaded(results, self._checked(results['img']))
        return _loaded(
            results, read_bands(results['img_path'], self.bands, self.fill, results.get('window'))
        )

    def _checked(self, image: np.ndarray) -> np.ndarray:
        """An array ``(H, W, bands)``, float32."""
        wanted = 'all bands' if self.bands is None else f'{len(self.bands)} bands'
        if image.ndim != 3 or (image.dtype == np.uint8 and image.shape[2] == 3):
            raise ValueError(
                f'LoadGeoImage: an array of {image.dtype} {image.shape} is what an inferencer reads from a '
                f'file with OpenCV, but this pipeline takes {wanted} of a raster. Hand over the array '
                '(H, W, bands) that rsmamba_mm.datasets.read_bands(path) gives, or float32 in that order'
            )
        if self.bands is not None and image.shape[2] != len(self.bands):
            raise ValueError(
                f'LoadGeoImage: an array of {image.shape[2]} bands, but the pipeline takes the bands '
                f'{self.bands}'
            )
        return image.astype(np.float32)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(bands={self.bands}, fill={self.fill})'


def read_bands(
    path: str,
    bands: Sequence[int] | None = None,
    fill: float = 0.0,
    window: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Read bands of a raster, or of a part of it; arguments as :class:`LoadGeoImage`.

    Returns:
        np.ndarray: ``(H, W, bands)``, float32.

    Raises:
        ValueError: If the raster lacks one of the bands.
        OSError: If it cannot be read.
    """
    import rasterio

    try:
        with warnings.catch_warnings():
            # scenes cut out for classification often have no georeference, and need none
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(gdal_path(str(path))) as raster:
                if bands is not None and max(bands) > raster.count:
                    raise ValueError(
                        f'{path} has {raster.count} bands, but band {max(bands)} is asked for: set the '
                        "pipeline's bands=[…]"
                    )
                part = None
                if window is not None:
                    top, left, height, width = window
                    part = rasterio.windows.Window(left, top, width, height)
                image = raster.read(list(bands) if bands is not None else None, masked=True, window=part)
    except rasterio.errors.RasterioError as error:
        raise OSError(f'{path} cannot be read as a raster ({error}): fetch it again') from error
    image = np.ma.masked_invalid(image.astype(np.float32)).filled(fill)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


@TRANSFORMS.register_module()
class LoadPaletteAnnotations(BaseTransform):
    """Load a mask whose classes are colours: an RGB image, or one with a palette of its own.

    mmseg's ``LoadAnnotations`` takes pixel values for classes. The order of a palette file's own entries
    has no meaning here, only their colours. A sample without a mask, as of OpenMMLab's inferencers, passes.

    Args:
        palette (Sequence[Sequence[int]]): RGB colour of each class, in the order of the labels.
        ignore (Sequence[Sequence[int]]): Colours of pixels to ignore. Defaults to black.
        ignore_index (int): Their label. Defaults to 255.

    Raises:
        ValueError: If a colour is not three integers from 0 to 255, or stands twice; in a run, if a mask
            has a colour that is neither.
        OSError: If a mask cannot be read.
    """

    def __init__(
        self,
        palette: Sequence[Sequence[int]],
        ignore: Sequence[Sequence[int]] = ((0, 0, 0),),
        ignore_index: int = 255,
    ) -> None:
        self.colours = [tuple(colour) for colour in (*palette, *ignore)]
        for colour in self.colours:
            if len(colour) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in colour):
                raise ValueError(
                    f'LoadPaletteAnnotations: a colour is three integers from 0 to 255, got {colour}'
                )
            if self.colours.count(colour) > 1:
                raise ValueError(f'LoadPaletteAnnotations: colour {colour} stands twice')
        codes = np.array(self.colours) @ _CODE
        labels = np.array([*range(len(palette)), *[ignore_index] * len(ignore)], dtype=np.uint8)
        order = codes.argsort()
        self.codes, self.labels = codes[order], labels[order]

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` ``(H, W)`` uint8 and enter it in ``seg_fields``."""
        path = results.get('seg_map_path')
        if path is None:
            return results
        try:
            with Image.open(path) as file:
                mask = np.asarray(file.convert('RGB'))
        except FileNotFoundError:
            raise
        except Exception as error:  # Pillow raises many kinds on broken files
            raise OSError(f'{path} cannot be read as a mask ({error}): fetch it again') from error
        try:
            results['gt_seg_map'] = self.labels_of(mask)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def labels_of(self, mask: np.ndarray) -> np.ndarray:
        """Labels ``(H, W)``, uint8, of RGB colours ``(H, W, 3)``.

        Raises:
            ValueError: If a colour is unknown.
        """
        codes = mask.astype(np.int64) @ _CODE
        places = np.searchsorted(self.codes, codes).clip(max=len(self.codes) - 1)
        unknown = codes[self.codes[places] != codes]
        if unknown.size:
            first = tuple((int(unknown[0]) // _CODE % 256).tolist())
            raise ValueError(
                f'{unknown.size} pixels have a colour that is no class, the first {first}. Known: '
                f'{", ".join(map(str, self.colours))}; add it to palette or ignore'
            )
        return self.labels[places]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(colours={self.colours})'


@TRANSFORMS.register_module()
class RandomBandGain(BaseTransform):
    """Multiply an image, and each of its bands, by random gains: light, haze and sensors differ.

    The gains are log-normal, so that brighter and darker are equally likely.

    Args:
        shared (float): Standard deviation of the logarithm of the gain of all bands. Defaults to 0.1.
        per_band (float): The same of each band's own. Defaults to 0.05.
        prob (float): How often it is applied. Defaults to 1.

    Raises:
        ValueError: If a deviation is negative, or ``prob`` is not in [0, 1].
    """

    def __init__(self, shared: float = 0.1, per_band: float = 0.05, prob: float = 1.0) -> None:
        if shared < 0 or per_band < 0 or not 0 <= prob <= 1:
            raise ValueError(
                'RandomBandGain: shared and per_band are at least 0 and prob is in [0, 1], got '
                f'shared={shared}, per_band={per_band}, prob={prob}'
            )
        self.shared, self.per_band, self.prob = shared, per_band, prob

    def transform(self, results: dict) -> dict:
        """Change ``img``; a uint8 image stays one."""
        if np.random.random() >= self.prob:
            return results
        image = results['img']
        channels = 1 if image.ndim == 2 else image.shape[-1]
        logarithms = np.random.normal(0, self.shared) + np.random.normal(0, self.per_band, channels)
        scaled = image * np.exp(logarithms).astype(np.float32)
        if np.issubdtype(image.dtype, np.integer):
            scaled = np.clip(np.rint(scaled), 0, np.iinfo(image.dtype).max)
        results['img'] = scaled.astype(image.dtype)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shared={self.shared}, per_band={self.per_band}, prob={self.prob})'


@TRANSFORMS.register_module()
class RandomTranspose(BaseTransform):
    """Exchange rows and columns: with flips in both directions, all eight ways that a view from above lies.

    Args:
        prob (float): How often it is applied. Defaults to 0.5.

    Raises:
        ValueError: If ``prob`` is not in [0, 1].
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'RandomTranspose: prob is in [0, 1], got {prob}')
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Change ``img``, and ``gt_seg_map`` where there is one."""
        if np.random.random() >= self.prob:
            return results
        for key in ('img', 'gt_seg_map'):
            if results.get(key) is not None:
                results[key] = np.ascontiguousarray(results[key].swapaxes(0, 1))
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
