# RSMamba-T as the encoder, along one path; the patches of a cluster are embedded from its own pixels alone
_base_ = './roma-b.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='RSMamba',
        arch=dict(embed_dims=64, num_layers=4, feedforward_channels=128),
        img_size=128,
        patch_cfg=dict(stride=8),
        layer_cfgs=dict(d_state=4),
        pe_type='sine',
        path_type=['forward'],
        out_type='raw',
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='linear'),
    ),
    neck=dict(in_channels=[64], embed_dims=128, num_layers=2, num_heads=4, patch_size=8),
    head=dict(patch_size=8, block=4),
)
