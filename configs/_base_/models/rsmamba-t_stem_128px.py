# Few tokens behind a stem of residual convolutions (docs/results, "What makes a small model better on
# little data?")
_base_ = './rsmamba-t_128px.py'

model = dict(
    backbone=dict(
        arch=dict(embed_dims=128, num_layers=6, feedforward_channels=256),
        patch_cfg=dict(_delete_=True),
        stem=dict(widths=(24, 48, 96, 128), depths=(0, 1, 1, 1)),
        local_kernel=3,
        layer_cfgs=dict(d_state=8),
    ),
    head=dict(in_channels=128),
)
