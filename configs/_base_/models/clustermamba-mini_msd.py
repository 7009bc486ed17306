# the encoder of roma-mini_96px with UNetMamba's decoder
_base_ = './unetmamba_rest-lite.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ClusterMamba',
        arch=dict(embed_dims=96, num_layers=4),
        img_size=224,
        patch_size=8,
        out_type='featmap',
        out_indices=(0, 1, 2, 3),
    ),
    neck=dict(in_channels=[96] * 4, pyramid=(2, 1, 0.5, 0.25)),
    decode_head=dict(in_channels=96),
    auxiliary_head=dict(in_channels=(96, 96, 96)),
)
