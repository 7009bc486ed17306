"""Graphs for other runtimes: exact, for any batch, no larger for larger images."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from rsmamba_mm.apis import export
from rsmamba_mm.apis.export import ExportedModel, ExportReport, export_model, formats
from rsmamba_mm.apis.export.check import check
from rsmamba_mm.errors import MissingExtraError, OptionError, OutputError

needs = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('onnx', 'onnxscript', 'openvino'),
    'torch': (),
}
REST = dict(embed_dims=(8, 16, 24, 32), num_heads=(1, 2, 4, 8), depths=(1, 1, 1, 1), sr_ratios=(8, 4, 2, 1))


def scene_model(size: int):
    arch = dict(embed_dims=16, num_layers=2, feedforward_channels=24)
    cfg = dict(
        type='ImageClassifier',
        data_preprocessor=dict(mean=[100.0, 110, 120], std=[50.0, 60, 70], to_rgb=True),
        backbone=dict(
            type='RSMamba',
            arch=arch,
            img_size=size,
            patch_size=8,
            path_type=['forward', 'reverse', 'shuffle'],
        ),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=16),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg).eval()


def land_cover_model(root):
    pytest.importorskip('mmseg')
    cfg = Config.fromfile(root / 'configs' / 'unetmamba' / 'unetmamba_tiny_synthetic-128x128.py')
    widths = REST['embed_dims']
    cfg.model.backbone = dict(type='ResT', arch=REST)
    cfg.model.neck.in_channels = widths
    cfg.model.decode_head.update(in_channels=widths[0], channels=widths[0])
    cfg.model.pop('auxiliary_head')
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg.model).eval()


def skip_without(target: str) -> None:
    for library in needs[target]:
        pytest.importorskip(library)


@pytest.mark.slow
@pytest.mark.parametrize('target', needs)
@pytest.mark.parametrize('kind', ['scenes', 'land_cover'])
def test_exact_for_any_batch(target, kind, root, tmp_path):
    skip_without(target)
    model = scene_model(32) if kind == 'scenes' else land_cover_model(root)
    images = torch.randn(2, 3, 32, 32) if kind == 'scenes' else torch.randn(2, 3, 64, 64)
    out = tmp_path / f'model{export.FORMATS[target].suffix}'
    report = export_model(model, out, target, images, classes=['a', 'b'])
    # attention that has not learnt is nearly even, and its normalisation multiplies what is rounded
    bound = 2e-5 if kind == 'scenes' else 2e-3
    assert report.difference < bound and str(out) in str(report)
    three = torch.randn(3, *images.shape[1:])
    with torch.no_grad():
        expected = ExportedModel(model)(three)
    found = export.FORMATS[target].load(out)(three.numpy())
    np.testing.assert_allclose(found, expected.numpy(), atol=bound * float(expected.std()))
    if kind == 'land_cover':
        assert expected.shape[-2:] == images.shape[-2:]


@pytest.mark.slow
def test_graph_does_not_grow_with_the_image(tmp_path):
    skip_without('onnx')
    import onnx

    nodes = []
    # the larger with constants beyond what is usually folded; and both in one process: what was learned
    # of the first must not hold for the second
    for size in (32, 512):
        out = tmp_path / f'{size}.onnx'
        export_model(scene_model(size), out, 'onnx', torch.randn(2, 3, size, size), classes=['land', 'sea'])
        graph = onnx.load(out)
        onnx.checker.check_model(graph)
        nodes.append(sorted(node.op_type for node in graph.graph.node))
        assert graph.metadata_props[0].value == '{"0": "land", "1": "sea"}'
    assert nodes[0] == nodes[1] and nodes[0].count('Scan') == 2  # one for each block, along all its paths


def test_normalisation_and_softmax_inside():
    model, pixels = scene_model(32), torch.rand(2, 3, 32, 32) * 255
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    with torch.no_grad():
        inside = ExportedModel(model, normalize=True, softmax=True)(pixels)
        outside = ExportedModel(model)((pixels - mean) / std).softmax(1)
    torch.testing.assert_close(inside, outside)
    torch.testing.assert_close(inside.sum(1), torch.ones(2))


@pytest.mark.parametrize('wrong', [0.01, float('nan')])
def test_wrong_graph_leaves_an_earlier_file(wrong, tmp_path, monkeypatch):
    torch_format = export.FORMATS['torch']

    def broken(path):
        run = torch_format.load(path)
        return lambda images: run(images) + (wrong if len(images) > 1 else 0)

    monkeypatch.setitem(export.FORMATS, 'torch', torch_format._replace(load=broken))
    out = tmp_path / 'model.pt2'
    out.write_text('an earlier one')
    with pytest.raises(OutputError, match=r'is not written: what it gives differs .* above 1e-04'):
        export_model(scene_model(32), out, 'torch', torch.randn(2, 3, 32, 32))
    assert out.read_text() == 'an earlier one' and list(tmp_path.iterdir()) == [out]


def test_rounding_of_the_model_itself_is_said(tmp_path):
    # differences of large numbers: what float32 leaves of them
    model = scene_model(32)
    with torch.no_grad():
        model.head.fc.weight.mul_(1e-2)
        model.head.fc.bias.fill_(1e2)
    graph, images = ExportedModel(model), torch.randn(2, 3, 32, 32)
    out, step = tmp_path / 'model.onnx', 2.0**-17  # the last place of a hundred

    def written(images, off=step):
        return graph(torch.from_numpy(images)).numpy() + off

    with torch.no_grad():
        apart, rounding = check(graph, written, [images], out)
        assert apart > 1e-4 and rounding is not None and 0.1 * apart <= rounding
        said = str(ExportReport(out, 'ONNX Runtime', apart, rounding, 1.0, 1.0))
        assert f'accepted: the model itself is off by {rounding:.1e} in float32' in said
        with pytest.raises(OutputError, match=f'10 times the model.s own rounding of {rounding:.1e}'):
            check(graph, lambda x: written(x, 1), [images], out)


def test_prediction_by_other_scores_is_refused(tmp_path, monkeypatch):
    model, images = scene_model(32), torch.randn(2, 3, 32, 32)
    plain = model.head.predict

    def sharpened(feats, *args, **kwargs):
        samples = plain(feats, *args, **kwargs)
        for sample in samples:
            sample.set_pred_score(sample.pred_score.square())
        return samples

    monkeypatch.setattr(model.head, 'predict', sharpened)
    with pytest.raises(OutputError, match=r'what ImageClassifier\.predict gives is not what its tensor'):
        export_model(model, tmp_path / 'model.pt2', 'torch', images)


def test_windows_of_another_size_are_refused(root, tmp_path):
    model = land_cover_model(root)
    model.test_cfg = dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    with pytest.raises(OptionError, match=r'by windows of \(32, 32\), the images are of \(64, 64\)'):
        export_model(model, tmp_path / 'model.pt2', 'torch', torch.randn(2, 3, 64, 64))


def test_any_size(tmp_path):
    cfg = dict(
        type='ImageClassifier',
        data_preprocessor=dict(mean=[100.0, 110, 120], std=[50.0, 60, 70], to_rgb=True),
        backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=64),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg).eval()
    out, other = tmp_path / 'model.pt2', torch.randn(3, 3, 96, 53)
    with pytest.raises(OptionError, match='for any size: images of 64 px or more are to check it'):
        export_model(model, out, 'torch', torch.randn(2, 3, 63, 64), any_size=True)
    export_model(model, out, 'torch', torch.randn(2, 3, 64, 64), any_size=True)
    with torch.no_grad():
        expected = ExportedModel(model)(other)
    torch.testing.assert_close(torch.export.load(out).module()(other), expected)
    with pytest.raises(OptionError, match='MultiPathMamba cannot take any size: the orders of its scans'):
        export_model(scene_model(64), out, 'torch', torch.randn(2, 3, 64, 64), any_size=True)


def test_options_that_a_format_does_not_heed(tmp_path):
    model, images = scene_model(32), torch.randn(2, 3, 32, 32)
    for target, options, said in (
        ('geodeep', dict(normalize=True, resolution=80), 'for geodeep: has no use for normalize; its'),
        (
            'onnx',
            dict(overlap=20, bands=['red']),
            'for onnx: has no use for overlap, bands; its',
        ),
        ('stac', dict(resolution=80.0), 'for stac: has no use for resolution'),
    ):
        suffix = export.FORMATS[target].suffix
        with pytest.raises(OptionError, match=said):
            export_model(model, tmp_path / f'model{suffix}', target, images, list('abcde'), **options)


def test_stac(tmp_path):
    schema = pytest.importorskip('stac_model.schema')
    import pystac
    import pystac.validation

    model, images, names = scene_model(32), torch.randn(2, 3, 32, 32), ['dense urban', *'bcde']
    out = tmp_path / 'scenes.json'
    bands = ['red', 'green', 'blue']
    report = export_model(model, out, 'stac', images, names, normalize=True, softmax=True, bands=bands)
    assert report.difference < 1e-5 and {p.name for p in tmp_path.iterdir()} == {
        'scenes.json',
        'scenes.pt2',
    }
    item = pystac.Item.from_file(str(out))
    properties = item.properties
    schema.MLModelProperties(**properties)  # what is missing or wrong raises
    assert schema.SCHEMA_URI in item.stac_extensions and 'v1.6.0' in schema.SCHEMA_URI
    (source,), (result,) = properties['mlm:input'], properties['mlm:output']
    assert source['input']['shape'] == [-1, 3, 32, 32] and source['bands'] == bands
    assert result['result']['shape'] == [-1, 5] and result['name'] == 'probabilities'
    assert result['classification:classes'][0] == {
        'value': 0, 'name': 'dense_urban', 'description': 'dense urban'
    }  # fmt: skip
    assert 'value_scaling' not in source  # it normalises itself
    pystac.validation.validate_dict(json.loads(out.read_text()), extensions=[])  # the core's schema
    asset = item.assets['model']
    graph = torch.export.load(tmp_path / asset.href).module()
    shares = graph(torch.rand(4, 3, 32, 32) * 255)
    torch.testing.assert_close(shares.sum(1), torch.ones(4))
    with pytest.raises(OptionError, match='2 names of bands for 3 channels'):
        export_model(model, out, 'stac', images, names, bands=bands[:2])


def test_bad_options(tmp_path, monkeypatch):
    model, images = scene_model(32), torch.randn(2, 3, 32, 32)
    with pytest.raises(OptionError, match=r'a file for onnx ends in \.onnx, got model\.pt'):
        export_model(model, tmp_path / 'model.pt', 'onnx', images)
    with pytest.raises(OptionError, match="onnx, openvino, torch, deepness, geodeep, stac, got 'tflite'"):
        export_model(model, tmp_path / 'model.tflite', 'tflite', images)
    with pytest.raises(OptionError, match='needs a batch of two images or more'):
        export_model(model, tmp_path / 'model.pt2', 'torch', images[:1])

    def absent(name):
        raise ImportError(f'No module named {name!r}')

    monkeypatch.setattr(formats, 'import_module', absent)
    with pytest.raises(MissingExtraError, match=r'export needs onnx .*pip install "rsmamba_mm\[export\]"'):
        export_model(model, tmp_path / 'model.onnx', 'onnx', images)


@pytest.mark.slow
@pytest.mark.parametrize('target', export.MAPPERS)
def test_file_that_maps_rasters(target, tmp_path):
    skip_without('onnx')
    import onnxruntime

    model, pixels = scene_model(32), torch.rand(2, 3, 32, 32) * 255
    mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
    normalised = (pixels - mean) / std
    out = tmp_path / 'model.onnx'
    export_model(model, out, target, normalised, classes=list('abcde'), resolution=80, overlap=20)
    session = onnxruntime.InferenceSession(str(out))
    meta = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert meta['model_type'] == 'Segmentor' and meta['class_names']['4'] == 'e'
    assert (meta['resolution'], meta['tiles_overlap'], meta['seg_thresh']) == (80, 20, 0)
    assert meta['tile_size'] == meta['tiles_size'] == 32
    (source,) = session.get_inputs()
    assert source.shape == [1, 3, 32, 32]
    # each divides by 255, and then normalises by what the file says
    seen = torch.tensor([meta['standardization_mean'], meta['standardization_std']]).view(2, 1, 3, 1, 1)
    fed = ((pixels[:1] / 255 - seen[0]) / seen[1]).numpy()
    (shares,) = session.run(None, {source.name: fed})
    with torch.no_grad():
        expected = ExportedModel(model, softmax=True)(normalised[:1])
    assert shares.shape == (1, 5, 32, 32)
    np.testing.assert_allclose(shares, expected[..., None, None].expand(1, 5, 32, 32).numpy(), atol=1e-5)
    onnx = pytest.importorskip('onnx')
    assert onnx.load(out).ir_version == 9


@pytest.mark.parametrize('target', export.MAPPERS)
def test_files_that_map_need_to_know_the_ground(target, tmp_path):
    model, images = scene_model(32), torch.randn(2, 3, 32, 32)
    out, names = tmp_path / 'model.onnx', list('abcde')
    for options, said in (
        (dict(classes=names), 'needs --resolution, the ground length of a pixel in cm'),
        (dict(classes=names, resolution=-1), 'needs --resolution'),
        (dict(classes=names, resolution=80, overlap=60), 'tiles overlap by 0 to 50 %, got 60'),
        (dict(resolution=80), 'needs the names of the classes'),
    ):
        with pytest.raises(OptionError, match=said):
            export_model(model, out, target, images, **options)
    with pytest.raises(OptionError, match=r'by square images of three bands, got \(3, 32, 64\)'):
        export_model(model, out, target, torch.randn(2, 3, 32, 64), classes=names, resolution=80)
    assert not out.exists()
