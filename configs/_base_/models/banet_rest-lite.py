# BANet, with ResT-Lite in its dependency path
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='BANet', context=dict(type='ResT', arch='lite', out_indices=(2, 3))),
    decode_head=dict(
        type='PixelShuffleHead',
        in_channels=256,
        num_classes=6,
        loss_decode=[
            dict(type='SoftCrossEntropyLoss', smooth_factor=0.05),
            dict(type='SoftDiceLoss', smooth=0.05),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
