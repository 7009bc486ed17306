"""What can be mapped: tiles, lists, STAC items, areas of interest."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mmseg.models')
pytest.importorskip('rasterio')
import pyproj
import pystac
import rasterio
import shapely
from rasterio.transform import Affine

from rsmamba_mm.apis import segment_raster
from rsmamba_mm.apis.geo.sources import open_source
from rsmamba_mm.apis.geo.stac import when
from rsmamba_mm.errors import MissingDataError, OptionError

UTM = Affine(0.5, 0, 3e5, 0, -0.5, 2.8e6)
TURNED = UTM * Affine.rotation(20)


def labels_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1)


@pytest.fixture
def plain(segmenter, picture) -> np.ndarray:
    """The map of the picture."""
    return segmenter(np.ascontiguousarray(picture[::-1].transpose(1, 2, 0))).labels


@pytest.fixture(params=[UTM, TURNED], ids=['upright', 'rotated'])
def tiles(request, picture, write_raster) -> tuple[Path, Affine]:
    """The picture in four tiles that overlap, one of them with an edge without data."""
    for number, (top, left) in enumerate([(0, 0), (0, 90), (70, 0), (70, 90)]):
        tile = picture[:, top : top + 80, left : left + 110].copy()
        if number == 3:
            tile[:, :10] = tile[:, :, :10] = 0
        transform = request.param * Affine.translation(left, top)
        folder = write_raster(tile, f'tiles/{number}.tif', transform=transform, nodata=0).parent
    return folder, request.param


def test_a_folder_of_tiles_is_one_raster(tiles, segmenter, plain, tmp_path):
    folder, transform = tiles
    result = segment_raster(folder, tmp_path / 'map.tif', segmenter)
    with rasterio.open(result.map) as raster:
        assert raster.transform.almost_equals(transform, 1e-6) and raster.shape == (150, 200)
    assert (labels_of(result.map) == plain).all()


def test_a_list_of_tiles(tiles, segmenter, plain, tmp_path):
    folder, _ = tiles
    (folder / 'list.txt').write_text('0.tif\n1.tif\n\n3.tif\n')
    files = [folder / f'{number}.tif' for number in (0, 1, 3)]
    maps = [
        labels_of(segment_raster(source, tmp_path / f'{name}.tif', segmenter).map)
        for name, source in (('a', folder / 'list.txt'), ('b', files))
    ]
    assert (maps[0] == maps[1]).all()
    missing = np.zeros((150, 200), bool)
    missing[80:, :100] = missing[70:80, :0] = True  # the third tile, but what others have of it
    assert ((maps[0] == 255) == missing).all()


def test_a_virtual_raster(tiles, segmenter, plain, tmp_path):
    from rsmamba_mm.apis.geo.mosaic import mosaic

    path = tmp_path / 'mosaic.vrt'
    path.write_text(mosaic(sorted(map(str, tiles[0].glob('*.tif')))).to_xml())
    assert (labels_of(segment_raster(path, tmp_path / 'map.tif', segmenter).map) == plain).all()


def test_tiles_that_do_not_fit(picture, write_raster, tmp_path):
    write_raster(picture, 'tiles/a.tif')
    for changed, message in (
        (dict(crs='EPSG:32641'), r'a\.tif and .*b\.tif have other coordinate reference systems'),
        (dict(transform=Affine(0.6, 0, 3e5, 0, -0.6, 2.8e6)), 'pixels of other sizes or directions'),
        (dict(transform=TURNED), 'pixels of other sizes or directions'),
        (dict(crs=None, transform=None), r'b\.tif has no coordinates, so there is no place'),
    ):
        write_raster(picture, 'tiles/b.tif', **changed)
        with pytest.raises(OptionError, match=message):
            open_source(tmp_path / 'tiles')
    write_raster(picture[:1], 'tiles/b.tif')
    with pytest.raises(OptionError, match='have other bands'):
        open_source(tmp_path / 'tiles')
    (tmp_path / 'tiles/b.tif').write_bytes(b'x')
    with pytest.raises(MissingDataError, match=r'b\.tif cannot be read as a raster'):
        open_source(tmp_path / 'tiles')


def test_what_is_not_there(tmp_path, picture, write_raster):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'empty.txt').touch()
    (tmp_path / 'other.json').write_text('{}')
    for source, message in (
        (tmp_path / 'nothing.tif', 'no such raster: .*nothing'),
        (tmp_path / 'empty', r'no rasters in .*empty: looked for \.tif'),
        (tmp_path / 'empty.txt', 'names no rasters'),
    ):
        with pytest.raises(MissingDataError, match=message):
            open_source(source)
    with pytest.raises(OptionError, match='is no STAC item'):
        open_source(tmp_path / 'other.json')
    with pytest.raises(OptionError, match='assets are of STAC items'):
        open_source(write_raster(picture), assets=['red'])
    with pytest.raises(OptionError, match='has complex numbers'):
        open_source(write_raster(picture.astype(np.complex64), 'complex.tif'))


def test_a_stac_item(picture, write_raster, segmenter, plain, tmp_path):
    item = pystac.Item('x', None, None, when('2025-01-02T03:04:05Z', []), {})
    for name, band in zip(('red', 'green', 'blue'), picture, strict=True):
        write_raster(band[None], f'{name}.tif')
        item.add_asset(name, pystac.Asset(f'./{name}.tif'))
    item.save_object(dest_href=str(tmp_path / 'item.json'), include_self_link=False)
    result = segment_raster(
        tmp_path / 'item.json', tmp_path / 'map.tif', segmenter, assets=['red', 'green', 'blue'], stac=True
    )
    assert (labels_of(result.map) == plain).all()
    assert (
        json.loads((tmp_path / 'map.json').read_text())['properties']['datetime'] == '2025-01-02T03:04:05Z'
    )


@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:32640'])
@pytest.mark.parametrize('suffix', ['geojson', 'gpkg'])
def test_an_area_of_interest(picture, write_raster, segmenter, tmp_path, crs, suffix, monkeypatch):
    import pyogrio

    source = write_raster(picture, transform=TURNED)
    corner = np.array([[60, 20], [170, 45], [95.3, 119.8], [60, 20]])  # in pixels
    outline = np.stack([TURNED.a * corner[:, 0] + TURNED.b * corner[:, 1] + TURNED.c,
                        TURNED.d * corner[:, 0] + TURNED.e * corner[:, 1] + TURNED.f])  # fmt: skip
    move = pyproj.Transformer.from_crs('EPSG:32640', crs, always_xy=True)
    shape = shapely.Polygon(np.stack(move.transform(*outline), axis=1))
    aoi = tmp_path / f'aoi.{suffix}'
    pyogrio.raw.write(
        aoi, np.array([shapely.to_wkb(shape)], object), [], [], geometry_type='Polygon', crs=crs
    )
    computed = []
    logits = segmenter.logits
    monkeypatch.setattr(segmenter, 'logits', lambda images, tta: computed.append(1) or logits(images, tta))
    result = segment_raster(source, tmp_path / 'map.tif', segmenter, aoi=aoi)
    with rasterio.open(result.map) as raster:
        labels = raster.read(1)
        origin = ~TURNED * (raster.transform.c, raster.transform.f)
    assert origin == pytest.approx((60, 20), abs=1e-3) and labels.shape == (100, 110)
    assert len(computed) <= 6
    inside = labels < 255
    assert inside.sum() == pytest.approx(110 * 100 * 0.5, rel=0.2)
    triangle = rasterio.features.geometry_mask(
        [shapely.Polygon(corner)], (150, 200), Affine.identity(), invert=True
    )[20:120, 60:170]
    assert (inside != triangle).sum() < 5  # pixels whose centre lies on the line


def test_areas_that_do_not_fit(picture, write_raster, segmenter, tmp_path):
    def area(west: float, crs: str | None = None) -> Path:
        ring = [[west, 25.2], [west + 0.001, 25.2], [west, 25.201], [west, 25.2]]
        path = tmp_path / 'aoi.geojson'
        path.write_text(json.dumps(dict(type='Polygon', coordinates=[ring])))
        return path

    source, dst = write_raster(picture), tmp_path / 'map.tif'
    with pytest.raises(OptionError, match='aoi: the area lies outside of '):
        segment_raster(source, dst, segmenter, aoi=area(50))
    with pytest.raises(MissingDataError, match=r'aoi: no such file: nowhere\.gpkg'):
        segment_raster(source, dst, segmenter, aoi='nowhere.gpkg')
    (tmp_path / 'broken.geojson').write_text('x')
    with pytest.raises(MissingDataError, match=r'aoi: .*broken\.geojson cannot be read'):
        segment_raster(source, dst, segmenter, aoi=tmp_path / 'broken.geojson')
    (tmp_path / 'point.geojson').write_text('{"type": "Point", "coordinates": [55, 25]}')
    with pytest.raises(OptionError, match=r'point\.geojson has no polygons'):
        segment_raster(source, dst, segmenter, aoi=tmp_path / 'point.geojson')
    bare = write_raster(picture, 'bare.tif', crs=None, transform=None)
    with pytest.raises(
        OptionError, match=r'bare\.tif has no coordinate reference system to lay the area on'
    ):
        segment_raster(bare, dst, segmenter, aoi=area(55))


def test_a_value_without_data(picture, write_raster, segmenter, tmp_path):
    values = picture.copy()
    values[:, 20:40, 50:70] = 7
    result = segment_raster(write_raster(values), tmp_path / 'map.tif', segmenter, nodata=7)
    missing = (values == 7).all(0)
    assert ((labels_of(result.map) == 255) == missing).all()
