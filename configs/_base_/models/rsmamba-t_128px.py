# a model small enough to learn on two CPU cores in a few minutes
_base_ = './rsmamba.py'

model = dict(
    backbone=dict(
        arch=dict(embed_dims=64, num_layers=4, feedforward_channels=128),
        img_size=128,
        patch_cfg=dict(stride=12),
        layer_cfgs=dict(d_state=4),
    ),
    head=dict(in_channels=64),
)
