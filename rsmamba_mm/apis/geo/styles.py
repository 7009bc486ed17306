"""Styles in which QGIS shows a map: it takes the one that bears the name of a layer by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

VERSION = '3.28'  # of QGIS, whose format this is; later ones read it


def write_raster_style(path: Path, classes: Sequence[str], palette: Sequence[Sequence[int]]) -> Path:
    """Classes in their colours, by name (``.qml``)."""
    root = _root()
    renderer = ElementTree.SubElement(
        ElementTree.SubElement(root, 'pipe'),
        'rasterrenderer',
        type='paletted', band='1', opacity='1', alphaBand='-1', nodataColor='',
    )  # fmt: skip
    entries = ElementTree.SubElement(renderer, 'colorPalette')
    for value, (name, colour) in enumerate(zip(classes, palette, strict=True)):
        ElementTree.SubElement(
            entries, 'paletteEntry', value=str(value), label=name, color=_hex(colour), alpha='255'
        )
    return _write(root, path)


def write_polygon_style(path: Path, classes: Sequence[str], palette: Sequence[Sequence[int]]) -> Path:
    """Polygons filled half-way with the colours of their class."""
    root = _root()
    renderer = ElementTree.SubElement(
        root, 'renderer-v2', type='categorizedSymbol', attr='class', enableorderby='0'
    )
    categories, symbols = (ElementTree.SubElement(renderer, tag) for tag in ('categories', 'symbols'))
    for value, (name, colour) in enumerate(zip(classes, palette, strict=True)):
        ElementTree.SubElement(
            categories, 'category', value=name, label=name, symbol=str(value), render='true'
        )
        symbol = ElementTree.SubElement(symbols, 'symbol', name=str(value), type='fill', alpha='1')
        layer = ElementTree.SubElement(symbol, 'layer', {'class': 'SimpleFill', 'enabled': '1'})
        options = ElementTree.SubElement(layer, 'Option', type='Map')
        rgb = ','.join(map(str, colour))
        for key, text in (
            ('color', f'{rgb},128'),
            ('outline_color', f'{rgb},255'),
            ('outline_width', '0.3'),
            ('style', 'solid'),
        ):
            ElementTree.SubElement(options, 'Option', name=key, type='QString', value=text)
    return _write(root, path)


def _root() -> ElementTree.Element:
    return ElementTree.Element('qgis', version=VERSION, styleCategories='Symbology')


def _write(root: ElementTree.Element, path: Path) -> Path:
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding='unicode')
    path.write_text(
        f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n", encoding='utf-8'
    )
    return path


def _hex(colour: Sequence[int]) -> str:
    return '#{:02x}{:02x}{:02x}'.format(*colour)
