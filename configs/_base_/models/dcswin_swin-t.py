# DC-Swin, behind mmsegmentation's Swin Transformer, tiny by default: the size of the published figures
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='SwinTransformer', drop_path_rate=0.3),
    neck=dict(type='DCFAM', in_channels=(96, 192, 384, 768)),
    decode_head=dict(
        type='DCSwinHead',
        in_channels=(96, 192),
        num_classes=6,
        loss_decode=[
            dict(type='SoftCrossEntropyLoss', smooth_factor=0.05),
            dict(type='SoftDiceLoss', smooth=0.05),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
