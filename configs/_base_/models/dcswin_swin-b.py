# DC-Swin behind Swin-B
_base_ = './dcswin_swin-s.py'

model = dict(
    backbone=dict(embed_dims=128, num_heads=(4, 8, 16, 32)),
    neck=dict(in_channels=(128, 256, 512, 1024)),
    decode_head=dict(in_channels=(128, 256)),
)
