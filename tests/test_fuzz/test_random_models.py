"""Random models, scans and inputs: right shapes, finite numbers and gradients, or the option is named."""

import re

import pytest
import torch
from fuzz import DTYPES, explore, laid_out
from hypothesis import strategies as st
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from torch import nn

from rsmamba_mm.layers.embed import PE_TYPES
from rsmamba_mm.layers.mamba import SCANS
from rsmamba_mm.layers.tokens import CLS_POSITIONS
from rsmamba_mm.models.backbones.rsmamba import MERGES, OUT_TYPES, PATH_TYPES, RSMamba
from rsmamba_mm.ops import SCAN_ORDERS

pytestmark = pytest.mark.reliability


ORDERS = st.lists(st.sampled_from(sorted(SCAN_ORDERS)), min_size=1, max_size=4)
SIDE = st.integers(1, 24)


def sides(side: st.SearchStrategy) -> st.SearchStrategy:
    """One number, or height and width."""
    return st.one_of(side, st.tuples(side, side))


def some(**options: st.SearchStrategy) -> st.SearchStrategy:
    """A few of the options."""
    return st.fixed_dictionaries({}, optional=options)


IMAGES = dict(
    batch=st.integers(1, 3),
    layout=st.sampled_from(('plain', 'channels last', 'turned', 'sliced', 'expanded')),
    training=st.booleans(),
    seed=st.integers(0, 99),
)


def check_gradients(model: nn.Module, without: tuple[str, ...] = ()) -> None:
    """Every parameter has a finite one, but those whose names begin so."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not name.startswith(without):
            assert parameter.grad is not None, f'{name} has no gradient'
            assert parameter.grad.isfinite().all(), f'the gradient of {name} is not finite'


def refused(make, owners: str, wrong: tuple | None):
    """What is made; None where the message names the class and the option that means nothing."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        assert wrong, f'what means something is refused: {error}'
        key, value = wrong
        keys = '|'.join((key, *(value if isinstance(value, dict) else ())))
        assert re.search(rf'\b({owners})\b', str(error)) and re.search(rf'\b({keys})\b', str(error)), error
        return None


# RSMamba ------------------------------------------------------------------------------------------

LAYER = some(
    d_state=st.integers(1, 8),
    d_conv=st.integers(1, 5),
    dt_rank=st.integers(1, 4),
    conv_bias=st.booleans(),
    bias=st.booleans(),
    scan=st.sampled_from(SCANS),
    weight_sets=st.sampled_from((1, 1, 'orders')),
    use_cache=st.booleans(),
)
ARCH = st.fixed_dictionaries(
    dict(
        embed_dims=st.integers(1, 5).map(lambda n: 4 * n),
        num_layers=st.integers(1, 3),
        feedforward_channels=st.integers(1, 20),
    )
)
RSMAMBA = st.fixed_dictionaries(
    dict(
        arch=ARCH, img_size=sides(SIDE), patch_size=sides(st.integers(1, 6)), in_channels=st.integers(1, 6)
    ),
    optional=dict(
        pe_type=st.sampled_from(PE_TYPES),
        path_type=st.one_of(
            st.sampled_from(sorted(PATH_TYPES)),
            ORDERS,
            st.fixed_dictionaries(dict(orders=ORDERS), optional=dict(merge=st.sampled_from(MERGES))),
        ),
        cls_position=st.sampled_from(sorted(CLS_POSITIONS)),
        out_type=st.sampled_from(OUT_TYPES),
        out_indices=st.integers(-1, 0) | st.just([0]) | st.just((-1,)),
        drop_rate=st.floats(0, 0.9),
        drop_path_rate=st.floats(0, 0.9),
        norm_cfg=st.sampled_from((dict(type='LN'), dict(type='LN', eps=1e-5), dict(type=nn.RMSNorm))),
        shared_pre_norm=st.booleans(),
        final_norm=st.booleans(),
        frozen_stages=st.integers(-1, 1),
        interpolate_mode=st.sampled_from(('nearest', 'bilinear', 'bicubic', 'area')),
        patch_cfg=some(
            stride=sides(st.integers(2, 6)),
            padding=st.sampled_from(('corner', 'same')),
            bias=st.booleans(),
            norm_cfg=st.just(dict(type='LN')),
        ),
        layer_cfgs=LAYER,
        with_cp=st.booleans(),
        shuffle_seed=st.integers(0, 2**31),
        eval_shuffles=st.integers(1, 3),
    ),
)
# values that mean nothing, of which at most one is put in
NOT_SIZES = st.sampled_from((0, -1, 1.5, '3', None, (2, 3, 4), (0, 4)))
NO_NAME = st.sampled_from(('', 'none ', 'forwards', None, 3, ('head',)))
RSMAMBA_WRONG = dict(
    arch=st.one_of(
        NO_NAME,
        st.sampled_from(('embed_dims', 'num_layers', 'feedforward_channels')).flatmap(
            lambda key: st.sampled_from((0, -4, 2.0, '8', None)).map(
                lambda value: dict(dict(embed_dims=8, num_layers=1, feedforward_channels=8), **{key: value})
            )
        ),
        st.just(dict(embed_dims=8)),
    ),
    pe_type=NO_NAME,
    path_type=NO_NAME | st.sampled_from(([], ['spiral'], [3], dict(merge='mean'), dict(orders=[]))),
    cls_position=NO_NAME,
    img_size=NOT_SIZES,
    patch_size=NOT_SIZES,
    in_channels=NOT_SIZES,
    out_type=NO_NAME,
    out_indices=st.sampled_from((7, -9, [0, 9], [0, 0], [], ['0'], 0.5, None)),
    drop_rate=st.sampled_from((-0.1, 1.5, 'x', None, float('nan'))),
    drop_path_rate=st.sampled_from((-0.1, 1.0, 1.5, 'x', None, float('nan'))),
    norm_cfg=st.sampled_from((dict(type='NoNorm'), dict(), None, dict(type='LN', epsilon=1), 'LN')),
    frozen_stages=st.sampled_from((9, -5, 0.5, None)),
    interpolate_mode=st.sampled_from(('cubic', '', None, 3)),
    patch_cfg=st.sampled_from((dict(strides=2), dict(stride=0), dict(padding='x'), dict(dilation=0), None)),
    layer_cfgs=st.sampled_from(
        (
            dict(d_state=0), dict(d_conv=-1), dict(dt_rank=0.5), dict(scan='none'), dict(weight_sets=7),
            dict(states=3), [dict()] * 9, None, 3, dict(hidden_act='relu'), dict(dt_min=-1.0), ['x'],
        )
    ),
    shuffle_seed=st.sampled_from((None, 'x', 0.5, 2**70)),
    eval_shuffles=st.sampled_from((0, -1, 1.5, None, 'x')),
    images=st.integers(7, 9),  # of which these are the bands
)  # fmt: skip


def wrong_option(options: dict) -> st.SearchStrategy:
    """One of the options with a value without meaning, or none."""
    one = st.one_of(*(st.tuples(st.just(key), value) for key, value in options.items()))
    return st.one_of(st.none(), st.none(), one)


RSMAMBA_CASES = st.fixed_dictionaries(
    dict(
        IMAGES,
        config=RSMAMBA,
        wrong=wrong_option(RSMAMBA_WRONG),
        size=st.tuples(SIDE, SIDE),
        dtype=st.sampled_from(DTYPES),
    )
)


def check_rsmamba(case: dict) -> None:
    torch.manual_seed(case['seed'])
    config, channels = dict(case['config']), case['config']['in_channels']
    orders = config.get('path_type', 'forward_reverse_shuffle_gate')
    orders = orders['orders'] if isinstance(orders, dict) else orders
    paths = len(PATH_TYPES[orders][0]) if isinstance(orders, str) else len(orders)
    if layer := config.get('layer_cfgs'):
        sets = dict(weight_sets=paths) if layer.get('weight_sets') == 'orders' else {}
        config['layer_cfgs'] = {**layer, **sets}
    if config.get('out_type') == 'cls_token' and config.get('cls_position', 'none') == 'none':
        config['cls_position'] = 'middle'
    if case['wrong'] and case['wrong'][0] == 'images':
        channels = case['wrong'][1]
    elif case['wrong']:
        config[case['wrong'][0]] = case['wrong'][1]

    model = refused(lambda: RSMamba(**config), 'RSMamba|Mamba', case['wrong'])
    if model is None:
        return
    model.to(case['dtype']).train(case['training'])
    x = laid_out((case['batch'], channels, *case['size']), case['layout'], case['dtype'])
    outs = refused(lambda: model(x.requires_grad_()), 'RSMamba', case['wrong'])
    if outs is None:
        return
    with torch.no_grad():
        grid = model.patch_embed(x)[1]
    width, tokens = model.embed_dims, grid[0] * grid[1] + model.slots.count
    shape = dict(featmap=(width, *grid), raw=(tokens, width)).get(model.out_type, (width,))
    assert len(outs) == len(model.out_indices)
    for y in outs:
        assert y.shape == (case['batch'], *shape) and y.dtype == case['dtype'] and y.isfinite().all()
    sum((y.double() * torch.randn_like(y)).sum() for y in outs).backward()
    assert x.grad.isfinite().all()
    last = max(model.out_indices)
    blocks = ('layers', 'gate_layers', *(['pre_norm'] if isinstance(model.pre_norm, nn.ModuleList) else []))
    unread = [f'{block}.{i}.' for block in blocks for i in range(last + 1, model.num_layers)]
    check_gradients(model, (*unread, *(['ln1.'] if last < model.num_layers - 1 else [])))


def test_random_rsmambas(tally):
    done = explore(tally, RSMAMBA_CASES, check_rsmamba, 30, (1, 100, 1000))
    tally.record(
        'Fuzz',
        'random RSMamba models and images, forward and backward',
        done,
        'finite and of the right shape, or the option named',
    )


# UNetMamba ----------------------------------------------------------------------------------------

FOUR = dict(min_size=4, max_size=4)
REST = st.fixed_dictionaries(
    dict(
        num_heads=st.lists(st.sampled_from((1, 2, 3)), **FOUR),
        depths=st.lists(st.integers(0, 1), **FOUR),
        sr_ratios=st.lists(st.sampled_from((1, 2, 4, 6, 8)), **FOUR),
        multiples=st.lists(st.integers(1, 3), **FOUR),  # of the heads, in the widths
    )
)
UNETMAMBA = dict(
    arch=REST,
    in_channels=st.integers(1, 5),
    backbone=some(
        mlp_ratio=st.sampled_from((0.5, 1.0, 2)),
        qkv_bias=st.booleans(),
        drop_rate=st.floats(0, 0.9),
        drop_path_rate=st.floats(0, 0.9),
        norm_eval=st.booleans(),
        with_cp=st.booleans(),
    ),
    neck=some(
        depths=st.lists(st.integers(0, 1), min_size=3, max_size=3),
        drop_path_rate=st.floats(0, 0.9),
        d_state=st.integers(1, 4),
        ssm_ratio=st.sampled_from((1, 1.5, 2.0)),
        mlp_ratio=st.sampled_from((0, 1, 2.0)),
        orders=ORDERS,
        shuffle_seed=st.integers(0, 9),
    ),
    head=some(
        dropout_ratio=st.sampled_from((0, 0.5)), align_corners=st.booleans(), size_index=st.integers(0, 3)
    ),
    num_classes=st.integers(2, 7),
)
UNETMAMBA_WRONG = {
    'ResT arch': st.sampled_from(
        (
            'liter',
            None,
            3,
            dict(embed_dims=(8,) * 4),
            dict(embed_dims=(8,) * 4, num_heads=(3,) * 4, depths=(1,) * 4, sr_ratios=(1,) * 4),
            dict(embed_dims=(8,) * 4, num_heads=(0,) * 4, depths=(1,) * 4, sr_ratios=(1,) * 4),
            dict(embed_dims=(8,) * 4, num_heads=(1,) * 4, depths=(-1,) * 4, sr_ratios=(1,) * 4),
            dict(embed_dims=(8,) * 4, num_heads=(1,) * 4, depths=(1,) * 4, sr_ratios=(0.5,) * 4),
            dict(embed_dims=(8,) * 4, num_heads=(1,) * 4, depths=(1,) * 4, sr_ratios=(3,) * 4),
            dict(embed_dims=8, num_heads=1, depths=1, sr_ratios=1),
        )
    ),
    'ResT in_channels': NOT_SIZES,
    'ResT mlp_ratio': st.sampled_from((0, -1, 'x', None, float('nan'))),
    'ResT drop_rate': st.sampled_from((-0.1, 1.5, 'x', None, float('nan'))),
    'ResT drop_path_rate': st.sampled_from((-0.1, 1.0, 1.5, 'x', None, float('nan'))),
    'ResT out_indices': st.sampled_from(((4,), (), 3, ('0',), None, (0, 0, 1, 2))),
    'ResT frozen_stages': st.sampled_from((9, -5, 0.5, None)),
    'MambaSegDecoder in_channels': st.sampled_from(((8,), (8, 0, 8, 8), 8, None, 'abcd', (1.5,) * 4)),
    'MambaSegDecoder depths': st.sampled_from(((1, 1), (1, -1, 1), (0.5,) * 3, 1, None, 'abc')),
    'MambaSegDecoder drop_path_rate': st.sampled_from((-0.1, 1.0, 1.5, 'x', None, float('nan'))),
    'MambaSegDecoder d_state': NOT_SIZES,
    'MambaSegDecoder ssm_ratio': st.sampled_from((0, -1, 'x', None, float('nan'), float('inf'))),
    'MambaSegDecoder mlp_ratio': st.sampled_from((-1, 'x', None, float('nan'), float('inf'))),
    'MambaSegDecoder final_scale': NOT_SIZES.filter(lambda value: value not in ((2, 3, 4), (0, 4))),
    'MambaSegDecoder pyramid': st.sampled_from(((4, 2, 1), (3, 1, 1, 1), 4, (4, 2, 1, 0.3))),
    'MambaSegDecoder orders': st.sampled_from(([], 'forward', ['spiral'], None, 3)),
    'MambaSegDecoder shuffle_seed': st.sampled_from((None, 'x', 0.5, 2**70)),
    'LocalSupervisionHead in_channels': st.sampled_from((8, None, (), (8, 0, 8), (8, 8))),
    'LocalSupervisionHead in_index': st.sampled_from((0, None, (), (0, 1, 9), (0, 1))),
    'LocalSupervisionHead size_index': st.sampled_from((4, None, 'x', 0.5)),
    'LocalSupervisionHead dropout_ratio': st.sampled_from((-0.1, 1.5, 'x', None)),
    'ResT images': st.integers(7, 9),
}
UNETMAMBA_CASES = st.fixed_dictionaries(
    dict(
        IMAGES,
        **UNETMAMBA,
        wrong=wrong_option(UNETMAMBA_WRONG),
        size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
        dtype=st.sampled_from((torch.float32, torch.float64)),
        ignored=st.booleans(),  # whether no pixel has a label
    )
)


def unetmamba(case: dict) -> dict:
    """The config of a segmenter of mmseg."""
    multiples, arch = case['arch']['multiples'], dict(case['arch'])
    del arch['multiples']
    # the stem halves its width
    widths = arch['embed_dims'] = [2 * n * h for n, h in zip(multiples, arch['num_heads'], strict=True)]
    parts = dict(
        ResT=dict(case['backbone'], type='ResT', arch=arch, in_channels=case['in_channels']),
        MambaSegDecoder=dict(case['neck'], type='MambaSegDecoder', in_channels=widths),
        LocalSupervisionHead=dict(
            case['head'],
            type='LocalSupervisionHead',
            in_channels=widths[2::-1],
            num_classes=case['num_classes'],
        ),
    )
    if case['wrong']:
        part, option = case['wrong'][0].split()
        if option != 'images':
            parts[part][option] = case['wrong'][1]
    head = dict(type='PixelHead', in_channels=widths[0], num_classes=case['num_classes'])
    losses = [dict(type='SoftCrossEntropyLoss', smooth_factor=0.05), dict(type='SoftDiceLoss')]
    return dict(
        type='EncoderDecoder',
        backbone=parts['ResT'],
        neck=parts['MambaSegDecoder'],
        decode_head=dict(head, loss_decode=losses),
        auxiliary_head=parts['LocalSupervisionHead'],
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def labelled(case: dict):
    """A sample with labels in its upper half, or without any."""
    from mmseg.structures import SegDataSample

    labels = torch.randint(0, case['num_classes'], (1, *case['size']))
    labels[:, 0 if case['ignored'] else (1 + case['size'][0]) // 2 :] = 255
    sample = SegDataSample(metainfo=dict(img_shape=case['size']))
    sample.set_data(dict(gt_sem_seg=PixelData(data=labels)))
    return sample


def check_unetmamba(case: dict) -> None:
    torch.manual_seed(case['seed'])
    wrong, owners, channels = None, '', case['in_channels']
    if case['training'] and case['batch'] == 1 and max(case['size']) <= 32:
        # batch normalisation may refuse a single pixel, which is enough for one case
        case = dict(case, wrong=None)
        wrong, owners = ('batch', 1), 'ResT|LocalSupervisionHead'
    elif case['wrong']:
        owner, option = case['wrong'][0].split()
        wrong, owners = (option, case['wrong'][1]), f'{owner}|SS2D|VSSBlock'
        channels = case['wrong'][1] if option == 'images' else channels
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = refused(lambda: MODELS.build(unetmamba(case)), owners, wrong)
    if model is None:
        return
    model.to(case['dtype']).train(case['training'])
    x = laid_out((case['batch'], channels, *case['size']), case['layout'], case['dtype']).requires_grad_()
    y = refused(lambda: model(x), owners, wrong)
    if y is None:
        return
    strided = [4 * -(-side // 4) for side in case['size']]
    assert y.shape == (case['batch'], case['num_classes'], *strided)
    assert y.dtype == case['dtype'] and y.isfinite().all()
    samples = [labelled(case) for _ in range(case['batch'])]
    losses = refused(lambda: model.loss(x, samples), owners, wrong)
    if losses is None:
        return
    total = sum(value for name, value in losses.items() if 'loss' in name)
    assert total.isfinite()
    total.backward()
    assert x.grad.isfinite().all()
    check_gradients(model)


def test_random_unetmambas(tally):
    pytest.importorskip('mmseg.models')
    done = explore(tally, UNETMAMBA_CASES, check_unetmamba, 30, (1, 20, 200))
    tally.record(
        'Fuzz',
        'random UNetMamba segmenters, labels and images, forward and backward',
        done,
        'finite and of the right shape, or the option named',
    )
