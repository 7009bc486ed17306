# PyramidMamba on Swin-B, of whose maps the finest and the deepest are read
_base_ = './pyramidmamba_r18.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        out_indices=(0, 3),
        drop_path_rate=0.3,
    ),
    decode_head=dict(in_channels=(128, 1024), in_index=(0, 1)),
)
