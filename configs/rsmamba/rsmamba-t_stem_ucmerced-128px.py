# Few tokens behind a stem of residual convolutions (docs/results, "What makes a small model better on
# little data?")
_base_ = [
    '../_base_/models/rsmamba-t_128px.py',
    '../_base_/datasets/ucmerced_128px.py',
    '../_base_/schedules/rsmamba-t_muon.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch=dict(embed_dims=128, num_layers=6, feedforward_channels=256),
        patch_cfg=dict(_delete_=True),
        stem=dict(widths=(24, 48, 96, 128), depths=(0, 1, 1, 1)),
        local_kernel=3,
        layer_cfgs=dict(d_state=8),
    ),
    head=dict(in_channels=128, num_classes={{_base_.data_preprocessor.num_classes}}),
)
