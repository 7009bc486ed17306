"""Virtual rasters (GDAL's VRT): files put together without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from xml.etree import ElementTree

from rasterio.transform import Affine

# rasterio's names of types and of colour interpretations are GDAL's in lower case, but for these
TYPES = dict(
    uint8='Byte', int8='Int8', uint16='UInt16', int16='Int16', uint32='UInt32', int32='Int32',
    uint64='UInt64', int64='Int64', float32='Float32', float64='Float64',
)  # fmt: skip


class Piece(NamedTuple):
    """A whole band of a file and where it lies in the virtual raster, in pixels (may be fractions)."""

    path: str
    band: int | str  # a number from 1, or 'mask,1'
    left: float
    top: float
    width: int
    height: int


@dataclass
class Band:
    """A band of a virtual raster; later pieces lie on earlier ones.

    Where they have the value ``transparent``, what lies below shows.
    """

    dtype: str
    pieces: Sequence[Piece]
    nodata: float | None = None
    colour: str | None = None  # interpretation, as 'Red'
    description: str | None = None
    categories: Sequence[str] = ()
    palette: Sequence[Sequence[int]] = ()
    transparent: float | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass
class VirtualRaster:
    """What a VRT says."""

    height: int
    width: int
    bands: Sequence[Band]
    wkt: str | None = None
    transform: Affine | None = None
    mask: Band | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def to_xml(self) -> str:
        """The file's text."""
        root = ElementTree.Element('VRTDataset', rasterXSize=str(self.width), rasterYSize=str(self.height))
        if self.wkt:
            _text(root, 'SRS', self.wkt)
        if self.transform is not None:
            a, b, c, d, e, f = self.transform[:6]
            _text(root, 'GeoTransform', ', '.join(repr(float(v)) for v in (c, a, b, f, d, e)))
        if self.tags:
            metadata = ElementTree.SubElement(root, 'Metadata')
            for key, value in self.tags.items():
                _text(metadata, 'MDI', value, key=key)
        for number, band in enumerate(self.bands, 1):
            root.append(_band(band, number))
        if self.mask is not None:
            ElementTree.SubElement(root, 'MaskBand').append(_band(self.mask))
        ElementTree.indent(root)
        return ElementTree.tostring(root, encoding='unicode')


def _band(band: Band, number: int | None = None) -> ElementTree.Element:
    attributes: dict[str, Any] = {} if number is None else dict(band=str(number))
    element = ElementTree.Element('VRTRasterBand', dataType=TYPES[band.dtype], **attributes)
    if band.description:
        _text(element, 'Description', band.description)
    if band.nodata is not None:
        _text(element, 'NoDataValue', repr(band.nodata))
    if band.palette:
        _text(element, 'ColorInterp', 'Palette')
        table = ElementTree.SubElement(element, 'ColorTable')
        for red, green, blue in band.palette:
            ElementTree.SubElement(table, 'Entry', c1=str(red), c2=str(green), c3=str(blue), c4='255')
    elif band.colour:
        _text(element, 'ColorInterp', band.colour)
    if band.categories:
        names = ElementTree.SubElement(element, 'CategoryNames')
        for name in band.categories:
            _text(names, 'Category', name)
    if band.scale is not None:
        _text(element, 'Offset', repr(band.offset or 0.0))
        _text(element, 'Scale', repr(band.scale))
    for piece in band.pieces:
        source = ElementTree.SubElement(
            element, 'SimpleSource' if band.transparent is None else 'ComplexSource'
        )
        _text(source, 'SourceFilename', piece.path, relativeToVRT='0')
        _text(source, 'SourceBand', str(piece.band))
        size: dict[str, Any] = dict(xSize=str(piece.width), ySize=str(piece.height))
        ElementTree.SubElement(source, 'SrcRect', xOff='0', yOff='0', **size)
        ElementTree.SubElement(source, 'DstRect', xOff=repr(piece.left), yOff=repr(piece.top), **size)
        if band.transparent is not None:
            _text(source, 'NODATA', repr(band.transparent))
    return element


def _text(parent: ElementTree.Element, tag: str, text: str, **attributes: Any) -> None:
    ElementTree.SubElement(parent, tag, **attributes).text = text
