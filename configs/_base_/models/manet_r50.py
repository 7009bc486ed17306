# MANet, behind mmsegmentation's ResNet-50
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNet', depth=50),
    decode_head=dict(
        type='MANetHead',
        in_channels=(256, 512, 1024, 2048),
        num_classes=6,
        loss_decode=[
            dict(type='SoftCrossEntropyLoss', smooth_factor=0.05),
            dict(type='SoftDiceLoss', smooth=0.05),
        ],
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
