_base_ = './clustermamba-b_linear.py'

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, embed_dims=96, num_layers=4), img_size=96, patch_size=8, frozen_stages=4
    ),
    neck=dict(input_features=96),
    head=dict(in_channels=96),
)
