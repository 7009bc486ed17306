# Vim on the tokens and in the width and depth of RSMamba-T
_base_ = './vim-t.py'

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=64, num_layers=4, feedforward_channels=128),
        img_size=128,
        stride=8,
        layer_cfgs=dict(d_state=4),
    ),
    head=dict(in_channels=64),
    train_cfg=None,
)
