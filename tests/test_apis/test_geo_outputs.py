"""Areas, polygons, STAC and styles of a map, against what is known of it."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip('rasterio')
import pyogrio
import pyproj
import pystac
import rasterio
import rasterio.features
import shapely
from rasterio.transform import Affine

from rsmamba_mm.apis.geo import polygons
from rsmamba_mm.apis.geo.areas import class_areas, write_areas
from rsmamba_mm.apis.geo.polygons import trace, write_polygons
from rsmamba_mm.apis.geo.stac import raster_assets, when, write_item
from rsmamba_mm.errors import MissingDataError, OptionError

UTM = Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6)
WHEN = '2026-01-31T12:00:00.000Z'


def write_map(
    path: Path, labels: np.ndarray, crs: str | None = 'EPSG:32640', transform: Affine = UTM
) -> Path:
    with rasterio.open(
        path, 'w', driver='GTiff', count=1, height=labels.shape[0], width=labels.shape[1], dtype='uint8',
        nodata=255, crs=crs, transform=transform,
    ) as raster:  # fmt: skip
        raster.write(labels, 1)
    return path


def square(shape: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """Class 1 within class 0."""
    labels = np.zeros(shape, np.uint8)
    labels[rows, columns] = 1
    return labels


def geodesic(transform: Affine, crs: str, rows: slice, columns: slice) -> float:
    """Area of a rectangle of pixels on the ellipsoid, its edges walked in small steps."""
    frame = shapely.box(columns.start, rows.start, columns.stop, rows.stop)
    outline = np.array(shapely.segmentize(frame, 1.0).exterior.coords)
    x, y = (
        transform.a * outline[:, 0] + transform.b * outline[:, 1] + transform.c,
        (transform.d * outline[:, 0] + transform.e * outline[:, 1] + transform.f),
    )
    lonlat = pyproj.Transformer.from_crs(crs, 'EPSG:4326', always_xy=True).transform(x, y)
    return abs(pyproj.Geod(ellps='WGS84').polygon_area_perimeter(*lonlat)[0])


@pytest.mark.parametrize(
    'crs, transform',
    [
        ('EPSG:32640', Affine(10, 0, 3e5, 0, -10, 2.8e6)),
        ('EPSG:32640', Affine(10, 3, 3e5, 3, -10, 2.8e6)),
        ('EPSG:4326', Affine(0.002, 0, 55.1, 0, -0.002, 61.3)),
        ('EPSG:4326', Affine(0.2, 0, -179.9, 0, -0.2, 80)),
        ('EPSG:3857', Affine(10, 0, 6.1e6, 0, -10, 8.4e6)),
        ('EPSG:3413', Affine(500, 0, -5e4, 0, -500, 5e4)),  # over the pole
    ],
    ids=['utm', 'rotated', 'geographic', 'coarse', 'mercator', 'polar'],
)
def test_areas_against_a_known_geometry(tmp_path, crs, transform):
    rows, columns = slice(31, 170), slice(12, 90)
    path = write_map(tmp_path / 'map.tif', square((200, 150), rows, columns), crs, transform)
    pixels, areas = class_areas(path, 3)
    inside = 139 * 78
    assert pixels == [200 * 150 - inside, inside, 0]
    assert areas[2] == 0
    assert areas[1] == pytest.approx(geodesic(transform, crs, rows, columns), rel=2e-6)
    assert sum(areas) == pytest.approx(geodesic(transform, crs, slice(0, 200), slice(0, 150)), rel=2e-6)
    (region,) = [region for region in trace(path) if region.value == 1]
    assert region.area == pytest.approx(areas[1], rel=1e-3)  # its long sides are straight


def test_in_utm_a_pixel_is_as_large_as_its_sides_and_scale_say(tmp_path):
    """On the central meridian UTM draws everything at 0.9996."""
    path = write_map(
        tmp_path / 'map.tif',
        np.zeros((100, 100), np.uint8),
        'EPSG:32640',
        Affine(1, 0, 499950, 0, -1, 2.8e6),
    )
    assert class_areas(path, 1)[1][0] == pytest.approx(100 * 100 / 0.9996**2, rel=1e-8)


def test_the_table(tmp_path):
    labels = square((20, 10), slice(0, 5), slice(0, 10))
    labels[10:] = 255
    path = write_map(tmp_path / 'map.tif', labels, None, Affine.identity())
    table = write_areas(tmp_path / 'a.csv', ['a', 'b'], [[1, 2, 3], [4, 5, 6]], *class_areas(path, 2))
    rows = list(csv.DictReader(table.open()))
    assert rows[1] == dict(
        value='1', share='0.500000', pixels='50', area_m2='', red='4', green='5', blue='6', **{'class': 'b'}
    )


def blobs(shape: tuple[int, int]) -> np.ndarray:
    """Four classes in blobs, and a hole without data."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 4, (shape[0] // 5 + 1, shape[1] // 5 + 1)).astype(np.uint8)
    labels = np.kron(coarse, np.ones((5, 5), np.uint8))[: shape[0], : shape[1]]
    labels[30:40, 20:33] = 255
    return labels


def burnt(regions, shape, transform=UTM) -> np.ndarray:
    return rasterio.features.rasterize(
        [(region.shape, region.value) for region in regions],
        shape,
        fill=255,
        transform=transform,
        dtype='uint8',
    )


@pytest.mark.parametrize('rows', [1, 7, 50, 1000])
def test_polygons_are_merged_across_pieces(tmp_path, monkeypatch, rows):
    labels = blobs((120, 90))
    path = write_map(tmp_path / 'map.tif', labels)
    whole = sorted(trace(path), key=lambda region: region.shape.bounds)
    monkeypatch.setattr(polygons, 'ROWS', rows)
    parts = sorted(trace(path), key=lambda region: region.shape.bounds)
    assert len(parts) == len(whole) > 50
    assert (burnt(parts, labels.shape) == labels).all()
    assert all(region.shape.is_valid for region in parts)
    for one, other in zip(sorted(p.area for p in parts), sorted(p.area for p in whole), strict=True):
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize('rows', [40, 1000])
def test_simplified_neighbours_keep_their_common_border(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(polygons, 'ROWS', rows)
    labels = blobs((120, 90))
    labels[30:40, 20:33] = 0
    path = write_map(tmp_path / 'map.tif', labels)
    regions = list(trace(path, simplify=1.5))
    shapes = [region.shape for region in regions]
    corners = sum(shapely.get_num_coordinates(shapes))
    assert corners < sum(shapely.get_num_coordinates([r.shape for r in trace(path)]))
    # neither gaps nor overlaps
    assert shapely.union_all(shapes).area == pytest.approx(120 * 90 * 0.25, rel=1e-9)
    assert sum(shape.area for shape in shapes) == pytest.approx(120 * 90 * 0.25, rel=1e-9)


def test_rings_that_touch_stay_valid_in_degrees():
    """A hole that touches a slanting border in pixels crosses it by a rounding in degrees."""
    pixel = 4.491555874955085e-06
    degrees = Affine(1.1 * pixel, 0, 55.27, 0, -pixel, 25.2)
    touching = [
        shapely.Polygon(
            [(720, 4800), (732 + i, 4800), (736 + i, 4802), (750, 4810), (750, 4780), (720, 4780)],
            [[(734 + i, 4801), (734 + i, 4799), (736 + i, 4800)]],
        )
        for i in range(12)
    ]
    outlines = shapely.transform(np.array(touching), lambda xy: polygons.placed(degrees, xy))
    assert shapely.is_valid(touching).all() and not shapely.is_valid(outlines).all()
    values, mended = polygons._mended(list(range(12)), outlines, pixel**2 / 1000)
    assert shapely.is_valid(mended).all() and sorted(values) == list(range(12))
    assert shapely.area(mended).sum() == pytest.approx(shapely.area(outlines).sum(), rel=1e-9)


@pytest.mark.parametrize('suffix', ['gpkg', 'geojson'])
def test_files_of_polygons(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(polygons, 'BATCH', 7)
    labels = blobs((60, 60))
    path = write_map(tmp_path / 'map.tif', labels)
    crs = rasterio.CRS.from_epsg(32640)
    made = [
        write_polygons(tmp_path / f'{name}.{suffix}', trace(path, min_area=6.5), 'abcd', crs, WHEN)
        for name in 'xy'
    ]
    if suffix == 'gpkg':
        assert made[0].read_bytes() == made[1].read_bytes()  # no time of the day in it
        # of SQLite's header: a version that GDAL before 3.7 reads without a warning
        assert int.from_bytes(made[0].read_bytes()[60:64], 'big') == 10200
    meta, _, geometry, fields = pyogrio.raw.read(made[0])
    assert meta['crs'] == ('EPSG:32640' if suffix == 'gpkg' else 'EPSG:4326')
    values, names, areas = (
        fields[list(meta['fields']).index(key)] for key in ('value', 'class', 'area_m2')
    )
    assert len(geometry) == len(values) == len([r for r in trace(path) if r.area >= 6.5])
    assert areas.min() >= 6.5 and all(
        'abcd'[value] == name for value, name in zip(values, names, strict=True)
    )
    x, y = shapely.get_coordinates(shapely.from_wkb(geometry)).mean(0)
    assert (54 < x < 56 and 25 < y < 26) == (suffix == 'geojson')


def test_a_map_without_data_has_no_polygons(tmp_path):
    path = write_map(tmp_path / 'map.tif', np.full((10, 10), 255, np.uint8))
    for suffix in ('gpkg', 'geojson'):
        made = write_polygons(
            tmp_path / f'a.{suffix}', trace(path), 'ab', rasterio.CRS.from_epsg(32640), WHEN
        )
        assert len(pyogrio.raw.read(made)[2]) == 0


@pytest.mark.slow
def test_the_item_and_the_styles(segmenter, picture, write_raster, tmp_path):
    pytest.importorskip('mmseg.models')
    from rsmamba_mm.apis import segment_raster

    source = write_raster(picture)
    with rasterio.open(source, 'r+') as raster:
        raster.update_tags(TIFFTAG_DATETIME='2025:03:04 05:06:07')
    result = segment_raster(
        source, tmp_path / 'map.tif', segmenter, stac=True, style=True, polygons='geojson'
    )
    item = pystac.Item.from_file(str(tmp_path / 'map.json'))
    assert item.datetime.isoformat() == '2025-03-04T05:06:07+00:00'
    assert shapely.geometry.shape(item.geometry).is_valid and 55 < item.bbox[0] < item.bbox[2] < 55.1
    assert item.properties['proj:code'] == 'EPSG:32640' and item.properties['proj:shape'] == [150, 200]
    assert item.properties['proj:transform'] == list(UTM)[:6]
    classes = item.assets['map'].extra_fields['classification:classes']
    assert [each['title'] for each in classes] == segmenter.classes
    for asset in item.assets.values():
        assert Path(asset.get_absolute_href()).is_file()
    style = ElementTree.fromstring((tmp_path / 'map.qml').read_text())
    entries = [entry.attrib for entry in style.iter('paletteEntry')]
    assert [entry['label'] for entry in entries] == segmenter.classes
    assert entries[1]['color'] == '#{:02x}{:02x}{:02x}'.format(*segmenter.palette[1])
    style = ElementTree.fromstring((tmp_path / 'map_polygons.qml').read_text())
    assert [each.get('value') for each in style.iter('category')] == segmenter.classes
    assert json.loads((tmp_path / 'map_polygons.geojson').read_text())['type'] == 'FeatureCollection'
    assert set(result.files) == {'map', 'stac', 'style', 'polygons', 'polygon_style'}


def test_names_of_classes_in_an_item(tmp_path):
    """The classification extension allows letters, numbers, - and _ in names, and anything in titles."""
    classes, crs = ['low vegetation', 'bare-soil', 'forêt & bois'], rasterio.CRS.from_epsg(32640)
    files, palette = {'map': tmp_path / 'map.tif'}, [[1, 2, 3]] * 3
    taken = when('2025-01-02T03:04:05Z', [])
    path = write_item(tmp_path / 'map.json', files, classes, palette, crs, UTM, (90, 120), taken, {})
    found = json.loads(path.read_text())['assets']['map']['classification:classes']
    assert [each['name'] for each in found] == ['low_vegetation', 'bare-soil', 'for_t_bois']
    assert [each['title'] for each in found] == classes


def test_assets_of_an_item(tmp_path):
    def item(**assets: str) -> Path:
        made = pystac.Item('x', None, None, when('2025-01-02T03:04:05Z', []), {})
        for key, href in assets.items():
            made.add_asset(key, pystac.Asset(href))
        path = tmp_path / 'item.json'
        made.save_object(dest_href=str(path), include_self_link=False)
        return path

    assert raster_assets(item(image='./a.tif', thumbnail='./a.png')) == (
        [str(tmp_path / 'a.tif')],
        '2025-01-02T03:04:05+00:00',
    )
    bands = item(red='./r.tif', green='./g.tif')
    assert raster_assets(bands, ['green', 'red'])[0] == [str(tmp_path / f'{band}.tif') for band in 'gr']
    with pytest.raises(OptionError, match=r'several rasters: .*--assets red green'):
        raster_assets(bands)
    with pytest.raises(OptionError, match='has no raster blue; it has red, green'):
        raster_assets(bands, ['blue'])
    with pytest.raises(MissingDataError, match='no asset that is a raster; it has thumbnail'):
        raster_assets(item(thumbnail='./a.png'))
