# RoMA in a size that two CPU cores pre-train in half an hour
_base_ = './roma-b.py'

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=96, num_layers=4), img_size=96, patch_size=8, out_indices=3
    ),
    neck=dict(in_channels=[96], embed_dims=128, num_layers=2, num_heads=4, patch_size=8),
    head=dict(patch_size=8),
)
