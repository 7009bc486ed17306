"""A file and its header: what can be told without decoding it."""

from __future__ import annotations

import errno
import functools
import os
import stat
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

Said = tuple[str, str]  # kind of a fault, and its sentence
PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89478485)  # more are refused by Pillow
AGAIN = 'fetch it again, or leave it out'
_TURNED = range(5, 9)  # values of the EXIF tag that exchange width and height
# how files begin that bear the name of an image
_STARTS = {
    b'<!doctype html': 'a web page',
    b'<html': 'a web page',
    b'<vrtdataset': 'a VRT, which points to other files',
    b'<svg': 'a drawing (SVG)',
    b'<?xml': 'an XML text',
    b'%pdf': 'a PDF',
    b'pk\x03\x04': 'a zip archive',
    b'\x1f\x8b': 'a gzip archive',
    b'\x80\x02': 'a pickle',
    b'\x80\x04': 'a pickle',
    b'version https://git-lfs': 'a pointer of Git LFS in place of the file: git lfs pull',
    b'\x93numpy': 'a NumPy array',
    b'\x89hdf': 'an HDF5 file',
}
_IMAGES = (b'\xff\xd8', b'\x89PNG', b'II*\0', b'MM\0*', b'BM', b'GIF8', b'RIFF')


@dataclass
class Header:
    """What the header of an image says.

    Attributes:
        size (tuple[int, int]): Height and width, as stored.
        mode (str): Pillow's mode, such as ``'RGB'``; empty if only another library reads it.
        format (str): Such as ``'JPEG'``; empty likewise.
        orientation (int): The EXIF tag. Defaults to 1, upright.
    """

    size: tuple[int, int]
    mode: str = ''
    format: str = ''
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width after the turn that the EXIF tag asks for."""
        return self.size[::-1] if self.orientation in _TURNED else self.size


def file_fault(path: str) -> Said | None:
    """What is wrong with a file before it is read, or None."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return _no_file(path, error)
    if stat.S_ISDIR(status.st_mode):
        return 'folder', 'it is a folder with the name of an image: rename it'
    if not stat.S_ISREG(status.st_mode):
        return 'no file', 'it is a pipe, socket or device, which would be waited for: remove it'
    if status.st_size == 0:
        return 'empty file', f'it has no bytes: {AGAIN}'
    if not os.access(path, os.R_OK):
        return 'not permitted', 'this user may not read it: chmod a+r, or ask its owner'
    return None


def _no_file(path: str, error: OSError | ValueError) -> Said:
    number = getattr(error, 'errno', None)
    if number == errno.ELOOP:
        return 'link loop', 'it is a link that leads to itself: remove it'
    if number == errno.EACCES:
        return 'not permitted', f'this user may not enter {os.path.dirname(path)}: chmod a+rx'
    if number == errno.ENAMETOOLONG:
        return 'missing', 'the name is too long for a file: is this line of the list a name?'
    if isinstance(error, ValueError):
        return 'missing', 'the name has a NUL character: is the list a text file?'
    if os.path.islink(path):
        return 'broken link', f'it is a link to {os.readlink(path)}, which is not there: mend or remove it'
    return 'missing', f'it is not there{_hint(path)}: {AGAIN}'


def _hint(path: str) -> str:
    """What the name in the list may have been meant to be."""
    folder, name = os.path.split(path)
    present = _names(folder)
    if present is None:
        return f', nor is its folder {folder}'
    if name.startswith('\ufeff') or '\ufeff' in path:
        return ' (the list begins with a byte order mark: save it as UTF-8 without one)'
    if found := present.get(name.casefold()):
        return f' (the case differs: {found} is)'
    stem, suffix = os.path.splitext(name)
    if os.path.splitext(stem)[1] and present.get(stem.casefold()):
        return f' (the list has names with their suffix, to which {suffix} was added)'
    if not stem or stem.startswith('.'):
        return ' (an empty line of the list?)'
    other = next((n for key, n in present.items() if os.path.splitext(key)[0] == stem.casefold()), None)
    return f' (another suffix? {other} is)' if other else ''


@functools.lru_cache(maxsize=256)
def _names(folder: str) -> dict[str, str] | None:
    """Names in a folder by themselves without regard of case; None if there is no such folder."""
    try:
        return {name.casefold(): name for name in os.listdir(folder or '.')}
    except OSError:
        return None


def forget_folders() -> None:
    """Let folders be listed anew: files may have come since."""
    _names.cache_clear()


def read_header(path: str, library: str) -> Header | Said:
    """The header of an image, or why there is none.

    Args:
        path (str): A file that is there.
        library (str): What is to read it: ``'pillow'``, ``'cv2'``, ``'raster'``, or another one.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of large images
            with Image.open(path) as image:
                header = Header(image.size[::-1], image.mode, image.format or '', _orientation(image))
    except Image.DecompressionBombError as error:
        if library != 'raster':
            return 'bomb', _bomb(path, str(error).split(' exceeds')[0].split('(')[-1].rstrip(')'))
        header = None
    except OSError as error:
        if getattr(error, 'errno', None):
            return 'not readable', f'{error.strerror}: {AGAIN}'
        header = None
        if isinstance(error, UnidentifiedImageError) and (other := _other(path)):
            return 'no image', f'it is {other}: {AGAIN}'
        if library == 'pillow':
            return _no_image(path, str(error))
    except Exception as error:  # Pillow raises many kinds on broken headers
        header = None
        if library == 'pillow':
            return _no_image(path, str(error))
    if header is None:
        header = _header_by_others(path, library)
    if isinstance(header, Header):
        pixels, stored = header.size[0] * header.size[1], os.path.getsize(path)
        if pixels > PIXELS and (library != 'raster' or pixels > 1000 * stored):
            return 'bomb', _bomb(path, f'{pixels} pixels')
    return header


def _orientation(image: Image.Image) -> int:
    if image.format == 'PNG' and 'exif' not in image.info:
        return 1  # Pillow would decode the whole image in search of it
    return image.getexif().get(0x112, 1)


def _bomb(path: str, pixels: str) -> str:
    size = os.path.getsize(path)
    return (
        f'its header claims {pixels} in {size:,} bytes, and decoding it would fill the memory: leave it '
        'out, or cut it into tiles'
    )


def _header_by_others(path: str, library: str) -> Header | Said:
    if library == 'raster':
        import rasterio

        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                with rasterio.open(path) as raster:
                    return Header((raster.height, raster.width))
        except rasterio.errors.RasterioError as error:
            return _no_image(path, str(error))
    import cv2

    if library == 'cv2' and not cv2.haveImageReader(path):
        return _no_image(path, 'OpenCV knows no such format')
    return Header((0, 0))  # of a size that only its decoder knows


def _no_image(path: str, reason: str) -> Said:
    with open(path, 'rb') as file:
        start = file.read(16)
    if start.startswith(_IMAGES):
        reason = reason.splitlines()[0].replace(path, 'it') if reason else 'its header ends too soon'
        return 'broken header', f'it begins like an image, but its header is broken ({reason}): {AGAIN}'
    return 'no image', f'it is {_other(path) or "no image that is known"}: {AGAIN}'


def _other(path: str) -> str | None:
    """What a file is that is no image, if its beginning says so."""
    with open(path, 'rb') as file:
        start = file.read(256)
    if not start.strip(b'\0'):
        return 'filled with zeros, as after a copy that was cut off'
    text = start.lstrip().lower()
    for sign, name in _STARTS.items():
        if text.startswith(sign):
            return name
    if all(byte >= 32 or byte in b'\t\r\n' for byte in start):
        return 'a text'
    return None
