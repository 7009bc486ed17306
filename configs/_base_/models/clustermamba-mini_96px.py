# the encoder of roma-mini_96px, along four orders
_base_ = './clustermamba-b.py'

model = dict(
    backbone=dict(arch=dict(_delete_=True, embed_dims=96, num_layers=4), img_size=96, patch_size=8),
    head=dict(in_channels=96),
    train_cfg=None,
)
